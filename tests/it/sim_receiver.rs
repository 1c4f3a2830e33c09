//! Receivers of a simulated world: what they store and refuse, as Prometheus and Cortex do, and what
//! may happen to a request on its way there and back.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use sluicegate::deliver::courier::Transport;
use sluicegate::deliver::judge::{Lean, Verdict, judge};
use sluicegate::demo::dice::Dice;
use sluicegate::tasks::Tasks;
use tokio::sync::Notify;
use tokio::time::timeout;

use super::lane_kit::try_again;
use super::prompb::{series_text, unpack};
use super::sim_batches::Sample;
use super::sim_laws::Ledger;
use super::sim_plan::{self, Plan, Stores, Trouble};
use super::sim_world::{Clock, World};

/// One receiver; it outlives every gateway.
pub(crate) struct Receiver {
    pub(crate) plan: sim_plan::Receiver,
    number: usize,
    state: Mutex<State>,
    dice: Mutex<Dice>,
}

#[derive(Default)]
pub(crate) struct State {
    series: BTreeMap<u32, BTreeMap<i64, u64>>,
    /// What it has refused, sample by sample.
    refused: BTreeSet<Sample>,
}

/// What it answers.
struct Answer {
    status: u16,
    retry_after: Option<Duration>,
    body: String,
}

impl Answer {
    fn new(status: u16, body: impl Into<String>) -> Self {
        Self { status, retry_after: None, body: body.into() }
    }
}

impl Receiver {
    pub(crate) fn new(plan: &sim_plan::Receiver, world: &Plan, number: usize) -> Self {
        let dice = Mutex::new(Dice::of(world.seed, 4, number as u64));
        Self { plan: plan.clone(), number, state: Mutex::default(), dice }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub(crate) fn has_stored(&self, (series, at_ms, bits): Sample) -> bool {
        self.state().series.get(&series).and_then(|values| values.get(&at_ms)) == Some(&bits)
    }

    pub(crate) fn has_refused(&self, sample: &Sample) -> bool {
        self.state().refused.contains(sample)
    }

    pub(crate) fn is_too_old(&self, (_, at_ms, _): Sample) -> bool {
        self.plan.cutoff_ms.is_some_and(|cutoff_ms| at_ms < cutoff_ms)
    }

    /// Stores a request, or what its rules let it store of it.
    fn take(&self, samples: &[Sample]) -> Answer {
        if samples.len() > self.plan.samples_max {
            return Answer::new(413, "request entity too large");
        }
        let mut state = self.state();
        let mut store: BTreeMap<u32, BTreeMap<i64, u64>> = BTreeMap::new();
        let mut refusal = None;
        for sample in samples {
            let (series, at_ms, bits) = *sample;
            let stored = state.series.entry(series).or_default();
            let new = store.entry(series).or_default();
            let newest = stored.keys().chain(new.keys()).max().copied();
            let there = new.get(&at_ms).or_else(|| stored.get(&at_ms)).copied();
            let in_window = newest.is_none_or(|newest| at_ms >= newest - self.plan.window_ms);
            let fault = match there {
                // The newest sample once more changes nothing, whatever the window.
                Some(there) if there == bits && (in_window || newest == Some(at_ms)) => continue,
                Some(there) if there != bits && in_window => "duplicate sample for timestamp",
                None if in_window => {
                    new.insert(at_ms, bits);
                    continue;
                }
                _ => "out of order sample",
            };
            state.refused.insert(*sample);
            refusal.get_or_insert(fault);
        }
        let stores_all = refusal.is_none();
        if stores_all || self.plan.stores == Stores::TheRest {
            for (series, values) in store {
                state.series.entry(series).or_default().extend(values);
            }
        }
        match (refusal, self.plan.stores) {
            (None, _) => Answer::new(204, ""),
            (Some(fault), Stores::AllOrNothing) => Answer::new(400, format!("{fault}\n")),
            (Some(fault), Stores::TheRest) => Answer::new(400, format!("user=1: err: {fault}. x")),
        }
    }

    /// What happens to the request that comes now.
    fn trouble(&self, now_ms: u64) -> Option<Trouble> {
        let outage = |outage: &&sim_plan::Outage| (outage.from_ms..outage.to_ms).contains(&now_ms);
        if let Some(outage) = self.plan.outages.iter().find(outage) {
            return Some(outage.trouble);
        }
        let mut dice = self.dice.lock().unwrap();
        (dice.below(100) < self.plan.mishaps).then(|| Trouble::any(&mut dice))
    }

    /// Half of a way there and back.
    fn way_ms(&self) -> u64 {
        self.dice.lock().unwrap().below(self.plan.latency_ms)
    }
}

/// A gateway's way to a receiver. It ends with the gateway.
pub(crate) struct Link {
    pub(crate) world: Arc<World>,
    pub(crate) receiver: usize,
    pub(crate) clock: Arc<Clock>,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) network: Tasks,
    pub(crate) sends: Arc<Sends>,
}

/// Remote-write requests of one life.
#[derive(Default)]
pub(crate) struct Sends {
    pub(crate) count: AtomicU64,
    pub(crate) more: Notify,
}

impl Transport for Link {
    async fn send(&self, block: Bytes, patience: Duration) -> Verdict {
        let now_ms = self.clock.now_ms();
        let Some(samples) = self.samples(&block) else {
            let what = format!("{} is sent what nobody sent", self.receiver().plan.name);
            self.world.breach("nothing is made up", now_ms, what);
            return Verdict::Accepted;
        };
        self.sends.count.fetch_add(1, Ordering::Relaxed);
        self.sends.more.notify_one();
        let visit = self.ledger.enter(self.receiver, samples);
        let answer = timeout(patience, self.exchange(&visit.samples)).await;
        let verdict = match answer {
            Ok(Ok(Answer { status, retry_after, body })) => {
                judge(status, retry_after, &body, Lean::Told)
            }
            Ok(Err(trouble)) => try_again(trouble),
            Err(_) => try_again("no answer in time"),
        };
        visit.leave(&verdict);
        verdict
    }
}

impl Link {
    fn receiver(&self) -> &Receiver {
        &self.world.receivers[self.receiver]
    }

    /// The samples of a block; none if one of them was never sent.
    fn samples(&self, block: &[u8]) -> Option<Vec<Sample>> {
        let mut samples = Vec::new();
        for series in &unpack(block).timeseries {
            let number = self.world.cargo.series(&series_text(series))?;
            for sample in &series.samples {
                let sample = (number, sample.timestamp, sample.value.to_bits());
                if self.world.cargo.owners(&sample).is_empty() {
                    return None;
                }
                samples.push(sample);
            }
        }
        Some(samples)
    }

    /// The way there, the answer, and the way back, with whatever comes in between.
    async fn exchange(&self, samples: &[Sample]) -> Result<Answer, &'static str> {
        let receiver = self.receiver();
        let now_ms = self.clock.now_ms();
        let trouble = receiver.trouble(now_ms);
        self.world.note(now_ms, 10 + receiver.number as u64, samples.len() as u64, || {
            format!("{} gets {samples:?} {trouble:?}", receiver.plan.name)
        });
        if trouble == Some(Trouble::Closed) {
            self.clock.sleep(1).await;
            return Err("connection refused");
        }
        self.clock.sleep(receiver.way_ms()).await;
        let answer = match trouble {
            None | Some(Trouble::Closed) => receiver.take(samples),
            Some(Trouble::Unavailable) => Answer::new(503, "not now"),
            Some(Trouble::Throttled(after)) => {
                let retry_after = after.map(Duration::from_secs);
                Answer { retry_after, ..Answer::new(429, "too many requests") }
            }
            Some(Trouble::Forbidden) => Answer::new(403, "the security token is invalid"),
            Some(Trouble::WrongPath) => Answer::new(404, "no such workspace"),
            Some(Trouble::ResetBefore) => return Err("connection reset"),
            Some(Trouble::ResetAfter) => {
                let _ = receiver.take(samples);
                return Err("connection reset");
            }
            Some(Trouble::Hangs) => std::future::pending().await,
            Some(Trouble::HangsAndStores) => {
                let wait_ms = self.world.below(90_000);
                let (world, number) = (Arc::clone(&self.world), self.receiver);
                let (clock, samples) = (Arc::clone(&self.clock), samples.to_vec());
                self.network.spawn(async move {
                    clock.sleep(wait_ms).await;
                    let _ = world.receivers[number].take(&samples);
                });
                std::future::pending().await
            }
            Some(Trouble::Crawls) => {
                let answer = receiver.take(samples);
                self.clock.sleep(self.world.below(20_000)).await;
                answer
            }
        };
        self.clock.sleep(receiver.way_ms()).await;
        self.world.note(
            self.clock.now_ms(),
            20 + receiver.number as u64,
            answer.status.into(),
            || format!("{} answers {} {}", receiver.plan.name, answer.status, answer.body.trim()),
        );
        Ok(answer)
    }
}
