//! What an access key may hold of the budget, and how it is told that this is used up.

use std::sync::Arc;

use metrics::Counter;

use super::reply::Answer;
use crate::meters::{self, Meters};
use crate::queue::{Budget, Full, Lack, Permit, Purse};
use crate::units::format_bytes;

/// An access key's account; one for all where no key is asked for.
#[derive(Debug)]
pub(super) struct Account {
    /// The key's name; empty where there are no keys.
    pub(super) name: String,
    purse: Purse,
    refused_for_budget: Counter,
    refused_for_own_part: Counter,
    refused_for_destination: Counter,
}

impl Account {
    fn new(name: &str, purse: Purse, meters: &Meters) -> Self {
        let refused = |reason| meters.counter(&meters::FIREHOSE_REQUESTS_REFUSED, &[name, reason]);
        Self {
            name: name.to_owned(),
            purse,
            refused_for_budget: refused("budget"),
            refused_for_own_part: refused("key_budget"),
            refused_for_destination: refused("destination"),
        }
    }

    /// The account of those who need no key.
    pub(super) fn of_anyone(budget: &Arc<Budget>, meters: &Meters) -> Self {
        Self::new("", budget.purse(), meters)
    }

    /// Divides the budget among keys of these names.
    pub(super) fn of_each(names: &[&str], budget: &Arc<Budget>, meters: &Meters) -> Vec<Self> {
        let purses = names.iter().zip(budget.divide(names));
        purses.map(|(name, purse)| Self::new(name, purse, meters)).collect()
    }

    /// Takes bytes, or says 503.
    pub(super) fn take(&self, bytes: u64) -> Result<Permit, Answer> {
        self.purse.try_take(bytes).ok_or_else(|| self.no_room())
    }

    /// The most that requests with this key may hold.
    pub(super) fn part_bytes_max(&self) -> u64 {
        self.purse.part_bytes_max()
    }

    /// The answer to a request for which a destination has no room.
    pub(super) fn no_room_at(&self, full: &Full) -> Answer {
        self.refused_for_destination.increment(1);
        Answer::Full(full.to_string())
    }

    /// The answer to a request of which the account just got no more bytes.
    pub(super) fn no_room(&self) -> Answer {
        let limit = format_bytes(self.purse.budget().limit());
        match self.purse.lack() {
            Lack::Whole => {
                self.refused_for_budget.increment(1);
                Answer::Full(format!("the budget of {limit} is used up"))
            }
            Lack::Own => {
                self.refused_for_own_part.increment(1);
                let part = format_bytes(self.part_bytes_max());
                Answer::Full(format!(
                    "requests with this access key hold its part, {part}, of the budget of {limit}"
                ))
            }
        }
    }
}
