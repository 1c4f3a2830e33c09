//! What requests are treated by: everything of the door that a new configuration replaces at once.

use std::sync::Arc;
use std::time::Duration;

use metrics::Counter;

use super::account::Account;
use super::admission;
use super::attributes;
use super::auth::{Keys, Pass};
use super::config::{Config, OnUndecodable};
use super::head::{Encoding, Head};
use super::http::SHUTTING_DOWN;
use super::reply::Answer;
use super::unread::Bounds;
use crate::map::Mapper;
use crate::meters::{self, Meters};
use crate::queue::{Budget, Lanes, Permit, Serials};
use crate::units::{format_bytes, format_duration};

/// What requests are treated by, from their headers to the lanes that their samples go to.
#[derive(Debug)]
pub struct Rules {
    pub(super) path: String,
    keys: Keys,
    /// Of each key.
    accounts: Vec<Account>,
    /// Theirs who need no key.
    anyone: Account,
    common_attributes: Vec<String>,
    pub(super) on_undecodable: OnUndecodable,
    pub(super) request_deadline: Duration,
    pub(super) read_timeout: Duration,
    pub(super) body_bytes_max: u64,
    header_bytes_max: u64,
    pub(super) mapper: Arc<Mapper>,
    pub(super) lanes: Lanes,
    /// The destinations of which a 200 says that they have settled the request.
    pub(super) required: Serials,
    /// By destination.
    superseded: Vec<Counter>,
}

/// What the headers of a request gave it.
pub(super) struct Admitted<'a> {
    pub(super) encoding: Encoding,
    pub(super) claimed: Option<u64>,
    pub(super) labels: Vec<(String, String)>,
    pub(super) permit: Permit,
    /// For the labels.
    pub(super) labels_permit: Permit,
    pub(super) account: &'a Account,
}

/// A request whose body is not wanted: the answer, and how much of the body is read nevertheless.
pub(super) struct TurnedAway(pub(super) Answer, pub(super) Bounds);

impl Rules {
    /// Puts the rules together, and divides the budget and the destinations' shares of it among the
    /// keys. The mapper's outlets and the lanes are those of the same destinations, in the same order.
    #[must_use]
    pub fn new(
        config: &Config,
        keys: Keys,
        mapper: Arc<Mapper>,
        lanes: Lanes,
        budget: &Arc<Budget>,
        meters: &Meters,
    ) -> Self {
        let superseded =
            lanes.destinations().map(|name| meters.counter(&meters::SAMPLES_SUPERSEDED, &[name]));
        let accounts = Account::of_each(&keys.names(), budget, meters);
        lanes.divide_like(budget);
        Self {
            path: config.path.clone(),
            accounts,
            anyone: Account::of_anyone(budget, meters),
            keys,
            common_attributes: config.common_attributes.clone(),
            on_undecodable: config.on_undecodable,
            request_deadline: config.request_deadline,
            read_timeout: config.read_timeout,
            body_bytes_max: config.max_body_size,
            header_bytes_max: config.max_header_size,
            superseded: superseded.collect(),
            required: lanes.required(),
            mapper,
            lanes,
        }
    }

    /// All that can be said before the body: cheap, and in this order.
    pub(super) fn admit<'a>(
        &'a self,
        head: &Head,
        pass: &mut Pass<'a>,
        is_shutting_down: bool,
    ) -> Result<Admitted<'a>, TurnedAway> {
        let place = self.keys.check(head).map_err(|no| TurnedAway(no, Bounds::STRANGER))?;
        let account = place.and_then(|place| self.accounts.get(place)).unwrap_or(&self.anyone);
        *pass = Pass { key: Some(&account.name) };
        let turn_away = |answer| TurnedAway(answer, Bounds::known(self.body_bytes_max));
        let unreadable = |why| turn_away(Answer::Unreadable(why));
        if head.bytes() > self.header_bytes_max {
            let limit = format_bytes(self.header_bytes_max);
            return Err(unreadable(format!(
                "the headers are larger than max_header_size, {limit}"
            )));
        }
        if let Some(fault) = head.protocol_fault() {
            return Err(unreadable(fault));
        }
        let encoding = head.encoding().map_err(unreadable)?;
        let labels = attributes::labels(head.common_attributes(), &self.common_attributes)
            .map_err(unreadable)?;
        if is_shutting_down {
            return Err(turn_away(Answer::Later(SHUTTING_DOWN.to_owned())));
        }
        let claimed = head.content_length();
        if claimed.is_some_and(|claimed| claimed > self.body_bytes_max) {
            return Err(unreadable(admission::too_long(self.body_bytes_max)));
        }
        let part = account.part_bytes_max();
        let charge = admission::charge(claimed, encoding, self.body_bytes_max, part);
        let labels_bytes: usize = labels.iter().map(|(name, value)| name.len() + value.len()).sum();
        let labels_permit = account.take(labels_bytes as u64).map_err(turn_away)?;
        let permit = account.take(charge).map_err(turn_away)?;
        Ok(Admitted { encoding, claimed, labels, permit, labels_permit, account })
    }

    /// The account that a permit was taken from.
    pub(super) fn account_of(&self, permit: &Permit) -> &Account {
        let name = &**permit.account();
        self.accounts.iter().find(|account| account.name == name).unwrap_or(&self.anyone)
    }

    /// The answer to a request whose time is up.
    pub(super) fn late(&self, where_it_was: &str, trouble: Option<String>) -> Answer {
        let limit = format_duration(self.request_deadline);
        let trouble = trouble.map(|trouble| format!("; last trouble: {trouble}"));
        let trouble = trouble.unwrap_or_default();
        Answer::Later(format!("the request deadline of {limit} passed: {where_it_was}{trouble}"))
    }

    /// Counts samples that later ones of their series and timestamp replaced, by destination.
    pub(super) fn count_superseded(&self, by_destination: &[u64]) {
        for (counter, samples) in self.superseded.iter().zip(by_destination) {
            counter.increment(*samples);
        }
    }
}
