//! The lanes: per destination a fixed number of queues. One series has one lane, one lane has one
//! request in flight, so a series' samples stay in order.

use std::sync::Arc;

use metrics::{Counter, Gauge};
use tracing::error;

use super::ack::{Acked, Load, Parts, Request};
use super::budget::{Budget, Permit};
use super::inbox::{self, Feed, Inbox};
use super::ledger::Serials;
use crate::meters::{self, Meters};
use crate::sample::{Batch, SampleRef};
use crate::seldom::Seldom;

/// The smallest number of bytes that a request is charged. With the budget it bounds how many
/// requests, and so how many parts per lane, there can be at once.
pub const REQUEST_CHARGE_MIN: u64 = 16 << 10;

/// The books of one destination: each sample handed to it is counted once when it comes and once
/// when it is settled.
#[derive(Debug)]
struct Books {
    destination: String,
    received: Counter,
    in_flight: Gauge,
    delivered: Counter,
    partial: Counter,
    refused: Counter,
    aged_out: Counter,
    too_new: Counter,
    dropped: Counter,
    lost: Counter,
    dropped_log: Seldom,
}

impl Books {
    fn drop_samples(&self, samples: u64, because: &str) {
        self.dropped.increment(samples);
        if samples > 0
            && let Some(unsaid) = self.dropped_log.due()
        {
            let destination = self.destination.as_str();
            error!(
                destination,
                samples, unsaid, because, "samples dropped for a best-effort destination"
            );
        }
    }
}

/// How the samples of a part ended, by number. What the numbers leave out is lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Stored.
    pub delivered: u64,
    /// Of requests of which the receiver says that it stored some and refused at least one.
    pub partial: u64,
    /// Refused for good.
    pub refused: u64,
    /// Too old for the destination.
    pub aged_out: u64,
    /// Too far ahead of the clock for the destination.
    pub too_new: u64,
}

impl Tally {
    fn sum(&self) -> u64 {
        self.delivered + self.partial + self.refused + self.aged_out + self.too_new
    }
}

/// The samples of one request for one lane. Dropped unsettled, they are lost.
#[derive(Debug)]
pub struct Part {
    /// Given back before the load's permit is: what is held of a share is always held of the whole.
    _share: Arc<Permit>,
    load: Arc<Load>,
    samples: Box<[SampleRef]>,
    destination: usize,
    serial: u64,
    required: bool,
    books: Arc<Books>,
    /// How it ended so far.
    pub tally: Tally,
    /// Why what is not in the tally was given up, or would be now: what went wrong last.
    pub lost_because: Option<String>,
}

impl Part {
    /// The request's batch.
    #[must_use]
    pub fn load(&self) -> &Arc<Load> {
        &self.load
    }

    /// The samples, in the order in which they are to be sent.
    #[must_use]
    pub fn samples(&self) -> &[SampleRef] {
        &self.samples
    }

    /// Index of the destination in the configuration.
    #[must_use]
    pub fn destination(&self) -> usize {
        self.destination
    }

    /// Notes what went wrong last. The waiting end learns it with the destination's name, unless
    /// nobody waits for this destination.
    pub fn note_trouble(&mut self, trouble: &str) {
        if self.required {
            let name = &self.books.destination;
            self.load.note_trouble(format!("destination `{name}`: {trouble}"));
        }
        self.lost_because = Some(trouble.to_owned());
    }

    /// Whether every sample is in the tally.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.tally.sum() == self.samples.len() as u64
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        let total = self.samples.len() as u64;
        let settled = self.tally.sum();
        debug_assert!(settled <= total, "more samples settled than there are");
        let lost = total.saturating_sub(settled);
        self.books.delivered.increment(self.tally.delivered);
        self.books.partial.increment(self.tally.partial);
        self.books.refused.increment(self.tally.refused);
        self.books.aged_out.increment(self.tally.aged_out);
        self.books.too_new.increment(self.tally.too_new);
        self.books.in_flight.decrement(total as f64);
        if lost == 0 {
            self.load.part_delivered(self.destination, self.serial);
        }
        if !self.required {
            self.books.drop_samples(lost, "not delivered in time");
            return;
        }
        self.books.lost.increment(lost);
        self.load.part_settled((lost > 0).then(|| {
            let why = self.lost_because.take().unwrap_or_else(|| "given up unsettled".to_owned());
            format!("destination `{}`: {why}", self.books.destination)
        }));
    }
}

/// A destination, as the lanes see it.
#[derive(Debug)]
struct Outlet {
    serial: u64,
    required: bool,
    share: Arc<Budget>,
    books: Arc<Books>,
    feed: Arc<Feed>,
    /// Extra requests that isolating refused samples may cost per Firehose request.
    isolation_max: u32,
}

/// Hands batches to the lanes. Clones hand to the same lanes; the lanes end when the last is gone.
#[derive(Clone, Debug)]
pub struct Lanes(Arc<Vec<Outlet>>);

/// What one destination may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the budget that its unsettled batches may hold.
    pub share_bytes: u64,
    /// Extra requests that isolating refused samples may cost per Firehose request.
    pub isolation_max: u32,
}

/// A required destination's share of the budget is used up.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("destination `{destination}` holds its share of the budget")]
pub struct Full {
    /// Its name.
    pub destination: String,
}

/// Builds the lanes, destination by destination.
#[derive(Debug, Default)]
pub struct LanesBuilder {
    outlets: Vec<Outlet>,
}

impl LanesBuilder {
    /// Adds a destination and returns its inboxes, as many as it has lanes. By its serial is remembered
    /// what it has settled: another one is for whatever takes its place under the same name.
    pub fn destination(
        &mut self,
        name: &str,
        serial: u64,
        required: bool,
        lanes: u32,
        Limits { share_bytes, isolation_max }: Limits,
        meters: &Meters,
    ) -> Vec<Inbox> {
        let outcome = |outcome| meters.counter(&meters::SAMPLES, &[name, outcome]);
        let books = Books {
            destination: name.to_owned(),
            received: meters.counter(&meters::SAMPLES_RECEIVED, &[name]),
            in_flight: meters.gauge(&meters::SAMPLES_IN_FLIGHT, &[name]),
            delivered: outcome("delivered"),
            partial: outcome("partial"),
            refused: outcome("refused"),
            aged_out: outcome("aged_out"),
            too_new: outcome("too_new"),
            dropped: outcome("dropped"),
            lost: outcome("lost"),
            dropped_log: Seldom::default(),
        };
        let (feed, inboxes) = inbox::lanes(lanes.max(1) as usize);
        self.outlets.push(Outlet {
            serial,
            required,
            share: Budget::new(share_bytes),
            books: Arc::new(books),
            feed,
            isolation_max,
        });
        inboxes
    }

    /// Adds a destination that `before` has, with its lanes as they are, what waits in them included.
    /// False, and nothing is added, if there is none of that name with so many lanes.
    #[must_use]
    pub fn keep(
        &mut self,
        before: &Lanes,
        name: &str,
        serial: u64,
        required: bool,
        lanes: u32,
        Limits { share_bytes, isolation_max }: Limits,
    ) -> bool {
        let found = before.0.iter().find(|outlet| outlet.books.destination == name);
        let Some(outlet) = found.filter(|outlet| outlet.feed.lanes() == lanes.max(1) as usize)
        else {
            return false;
        };
        // What older requests hold of another share does not count against the new one: for the
        // moment until they are settled, the budget as a whole bounds them.
        let share = match outlet.share.limit() == share_bytes {
            true => Arc::clone(&outlet.share),
            false => Budget::new(share_bytes),
        };
        self.outlets.push(Outlet {
            serial,
            required,
            share,
            books: Arc::clone(&outlet.books),
            feed: Arc::clone(&outlet.feed),
            isolation_max,
        });
        true
    }

    /// The lanes.
    #[must_use]
    pub fn build(self) -> Lanes {
        Lanes(Arc::new(self.outlets))
    }
}

impl Lanes {
    /// The destinations' names, in the order of the configuration.
    pub fn destinations(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|outlet| outlet.books.destination.as_str())
    }

    /// The destinations that requests wait for.
    #[must_use]
    pub fn required(&self) -> Serials {
        self.0.iter().filter(|outlet| outlet.required).map(|outlet| outlet.serial).collect()
    }

    /// Divides the shares of the required destinations like the budget that they are shares of: who
    /// holds no more than its reserve of that is never [`Full`].
    pub fn divide_like(&self, budget: &Budget) {
        self.0.iter().filter(|outlet| outlet.required).for_each(|outlet| {
            outlet.share.divide_like(budget);
        });
    }

    /// The largest batch that finds room beside others at every required destination, for the account
    /// of this name. A larger one must wait until a share is free.
    #[must_use]
    pub fn batch_bytes_max(&self, account: &str) -> u64 {
        let required = self.0.iter().filter(|outlet| outlet.required);
        let parts = required.map(|outlet| outlet.share.part_bytes_max(account));
        // What is charged the least could not be made smaller.
        parts.min().map_or(u64::MAX, |part| part.max(REQUEST_CHARGE_MIN))
    }

    /// Hands a batch to its lanes.
    ///
    /// # Errors
    /// If a required destination's share of the budget is used up, beyond the reserves; nothing is
    /// handed over then. A best-effort destination without room drops its samples, counted.
    pub fn submit(
        &self,
        mut batch: Batch,
        permit: Permit,
        request: Request,
    ) -> Result<Acked, Full> {
        let mut by_destination = std::mem::take(&mut batch.lanes);
        if let Some(claim) = &request.claim {
            for (outlet, lanes) in self.0.iter().zip(&mut by_destination) {
                if claim.has_settled(outlet.serial) {
                    lanes.clear();
                }
            }
        }
        let bytes = permit.bytes();
        let mut shares = Vec::with_capacity(self.0.len());
        let mut count = Parts { required: 0, by_destination: Vec::with_capacity(self.0.len()) };
        for (outlet, lanes) in self.0.iter().zip(&by_destination) {
            let parts = lanes.iter().filter(|samples| !samples.is_empty()).count();
            let share = match (parts, outlet.required) {
                (0, _) => None,
                (_, true) => outlet.share.try_take_share(&permit),
                // What nobody waits for never takes more than its share of the room.
                (_, false) => outlet.share.try_take(bytes),
            };
            if outlet.required && parts > 0 {
                if share.is_none() {
                    return Err(Full { destination: outlet.books.destination.clone() });
                }
                count.required += parts;
            }
            count.by_destination.push(parts);
            shares.push(share.map(Arc::new));
        }
        let isolation_max =
            self.0.iter().map(|outlet| outlet.isolation_max / request.batches.max(1));
        let isolation_max = isolation_max.collect();
        let (load, acked) = Load::new(batch, permit, request, isolation_max, count);
        let load = Arc::new(load);
        for (destination, ((outlet, lanes), share)) in
            self.0.iter().zip(by_destination).zip(shares).enumerate()
        {
            let mut parts = Vec::with_capacity(lanes.len());
            for (lane, samples) in lanes.into_iter().enumerate() {
                if samples.is_empty() {
                    continue;
                }
                let total = samples.len() as u64;
                outlet.books.received.increment(total);
                let Some(share) = &share else {
                    outlet.books.drop_samples(total, "its share of the budget is used up");
                    continue;
                };
                outlet.books.in_flight.increment(total as f64);
                let part = Part {
                    _share: Arc::clone(share),
                    load: Arc::clone(&load),
                    samples: samples.into_boxed_slice(),
                    destination,
                    serial: outlet.serial,
                    required: outlet.required,
                    books: Arc::clone(&outlet.books),
                    tally: Tally::default(),
                    lost_because: None,
                };
                parts.push((lane, part));
            }
            outlet.feed.put(parts);
        }
        Ok(acked)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        /// Whatever the others do: who holds no more than its reserve of the whole finds room in the
        /// share, and no more than the share has is held unless one request is to blame.
        #[test]
        fn a_reserve_of_the_whole_is_one_of_the_share(
            keys in 2usize..5,
            limit in 500u64..1_000,
            steps in proptest::collection::vec((0usize..5, 0u64..400, 0u8..4), 0..200),
        ) {
            let whole = Budget::new(limit);
            let share = Budget::new(limit / 4 * 3);
            let names = &["a", "b", "c", "d"][..keys];
            let purses = whole.divide(names);
            share.divide_like(&whole);
            let reserve = limit / 4 / keys as u64;
            let mut held: Vec<(Permit, Permit)> = Vec::new();
            for (choice, bytes, action) in steps {
                if action == 0 {
                    if !held.is_empty() {
                        let (share, whole) = held.swap_remove(choice % held.len());
                        drop(share);
                        drop(whole);
                    }
                    continue;
                }
                let Some(permit) = purses[choice % keys].try_take(bytes) else { continue };
                let of_key = whole.used_by_name()[choice % keys].1;
                let part = share.try_take_share(&permit);
                proptest::prop_assert!(part.is_some() || of_key > reserve, "{} {}", of_key, reserve);
                held.extend(part.map(|part| (part, permit)));
                let most = held.iter().map(|(part, _)| part.bytes()).max().unwrap_or(0);
                let alone = reserve * keys as u64 + most;
                proptest::prop_assert!(share.used() <= share.limit().max(alone));
            }
            drop(held);
            proptest::prop_assert_eq!((share.used(), whole.used()), (0, 0));
        }
    }
}
