//! A simulated world: its time, what survives the gateway, and the first law that was broken.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use sluicegate::demo::dice::Dice;
use tokio::sync::{Notify, Semaphore};
use tokio::time::{Instant, sleep_until};

use super::sim_batches::Cargo;
use super::sim_plan::Plan;
use super::sim_receiver::Receiver;

/// A law that did not hold.
#[derive(Clone, Debug)]
pub(crate) struct Breach {
    pub(crate) law: &'static str,
    pub(crate) what: String,
    pub(crate) at_ms: u64,
}

/// Where a batch is, as its sender knows it.
#[derive(Clone, Debug)]
pub(crate) struct Delivery {
    pub(crate) next_ms: u64,
    pub(crate) attempts: u32,
    pub(crate) waited: Duration,
    /// An attempt has begun and not ended: if the gateway is gone, its connection is, too.
    pub(crate) is_out: bool,
    pub(crate) end: Option<End>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Acknowledged,
    Backup,
}

pub(crate) struct World {
    pub(crate) plan: Plan,
    pub(crate) cargo: Cargo,
    pub(crate) receivers: Vec<Receiver>,
    pub(crate) deliveries: Mutex<Vec<Delivery>>,
    pub(crate) dice: Mutex<Dice>,
    breach: Mutex<Option<Breach>>,
    pub(crate) broken: Notify,
    /// Of everything that happened, in order.
    digest: Mutex<u64>,
    pub(crate) is_told: bool,
}

impl World {
    pub(crate) fn new(plan: Plan, is_told: bool) -> Self {
        let cargo = Cargo::of(&plan);
        let deliveries = cargo.batches.iter().map(|batch| Delivery {
            next_ms: batch.ready_ms,
            attempts: 0,
            waited: Duration::ZERO,
            is_out: false,
            end: None,
        });
        let receivers = plan.receivers.iter().enumerate();
        Self {
            deliveries: Mutex::new(deliveries.collect()),
            receivers: receivers.map(|(n, receiver)| Receiver::new(receiver, &plan, n)).collect(),
            dice: Mutex::new(Dice::of(plan.seed, 3, 0)),
            breach: Mutex::default(),
            broken: Notify::new(),
            digest: Mutex::default(),
            is_told,
            cargo,
            plan,
        }
    }

    pub(crate) fn below(&self, bound: u64) -> u64 {
        self.dice.lock().unwrap().below(bound)
    }

    pub(crate) fn percent(&self, chance: u64) -> bool {
        chance > 0 && self.below(100) < chance
    }

    pub(crate) fn deliveries(&self) -> MutexGuard<'_, Vec<Delivery>> {
        self.deliveries.lock().unwrap()
    }

    pub(crate) fn is_over(&self) -> bool {
        self.deliveries().iter().all(|delivery| delivery.end.is_some())
    }

    /// The first breach counts: what follows may follow from it.
    pub(crate) fn breach(&self, law: &'static str, at_ms: u64, what: String) {
        if self.is_told {
            eprintln!("{at_ms:>8} BREACH of {law}: {what}");
        }
        self.breach.lock().unwrap().get_or_insert(Breach { law, what, at_ms });
        self.broken.notify_one();
    }

    pub(crate) fn broken_law(&self) -> Option<Breach> {
        self.breach.lock().unwrap().clone()
    }

    /// Notes an event, for the digest and for who runs one seed alone.
    pub(crate) fn note(&self, at_ms: u64, kind: u64, number: u64, tell: impl FnOnce() -> String) {
        let mut digest = self.digest.lock().unwrap();
        for part in [at_ms, kind, number] {
            *digest = Dice::of(*digest, part, kind).bits();
        }
        drop(digest);
        if self.is_told {
            eprintln!("{at_ms:>8} {}", tell());
        }
    }

    pub(crate) fn digest(&self) -> u64 {
        *self.digest.lock().unwrap()
    }
}

/// Time within one life of the gateway, which goes on from the last one's. No two things that this
/// clock wakes happen in one millisecond, so that their order does not depend on chance.
pub(crate) struct Clock {
    begin_ms: u64,
    origin: Instant,
    taken: Mutex<BTreeSet<u64>>,
}

impl Clock {
    pub(crate) fn new(begin_ms: u64) -> Arc<Self> {
        Arc::new(Self { begin_ms, origin: Instant::now(), taken: Mutex::default() })
    }

    pub(crate) fn now_ms(&self) -> u64 {
        self.begin_ms + self.origin.elapsed().as_millis() as u64
    }

    pub(crate) async fn sleep_until(&self, at_ms: u64) {
        let at_ms = {
            let mut taken = self.taken.lock().unwrap();
            let now_ms = self.now_ms();
            *taken = taken.split_off(&now_ms);
            let mut at_ms = at_ms.max(now_ms + 1);
            while !taken.insert(at_ms) {
                at_ms += 1;
            }
            at_ms
        };
        sleep_until(self.origin + Duration::from_millis(at_ms - self.begin_ms)).await;
    }

    pub(crate) async fn sleep(&self, ms: u64) {
        self.sleep_until(self.now_ms() + ms).await;
    }
}

/// The turns of each sender's attempts.
pub(crate) fn turns(world: &World) -> Vec<Arc<Semaphore>> {
    world.plan.senders.iter().map(|sender| Arc::new(Semaphore::new(sender.in_flight))).collect()
}
