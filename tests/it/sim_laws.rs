//! The laws of the house, watched during one life of the gateway: at every request that a receiver
//! gets, at every answer, at every rest.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::{Arc, Mutex, MutexGuard};

use sluicegate::deliver::judge::Verdict;
use sluicegate::queue::{Budget, REQUEST_CHARGE_MIN};

use super::sim_batches::{Envelope, Sample};
use super::sim_plan::Receiver;
use super::sim_world::{Clock, World};

pub(crate) const STORED: &str = "what is answered 200 is stored";
pub(crate) const BOUNDED: &str = "bytes held fit the budget";
pub(crate) const ORDERED: &str = "series stay in order";
pub(crate) const CANCELLED: &str = "nothing is sent after its request's deadline";
pub(crate) const ONCE: &str = "what is settled is not sent again";
pub(crate) const APART: &str = "a best-effort destination harms nobody";
pub(crate) const ANSWERED: &str = "every answer is in time and in contract";

/// One request of a sender to the gateway.
#[derive(Clone, Debug)]
pub(crate) struct Attempt {
    pub(crate) batch: usize,
    pub(crate) started_ms: u64,
    /// Decoded where it was read, in the order in which it came.
    pub(crate) is_instant: bool,
    pub(crate) is_gone: bool,
    pub(crate) status: Option<u16>,
}

/// What is known of one receiver.
#[derive(Default)]
struct View {
    /// Series in requests that it has at hand.
    at_hand: BTreeSet<u32>,
    /// By series: the first sample of the last request with it, if that decided nothing.
    undecided: BTreeMap<u32, Sample>,
    seen: HashSet<Sample>,
    decided: Decided,
}

/// Samples by the verdicts on their requests.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Decided {
    pub(crate) accepted: u64,
    pub(crate) partial: u64,
    pub(crate) refused_alone: u64,
}

/// An attempt whose sample was passed over. That is right only if it was given up then.
struct Suspicion {
    attempt: usize,
    at_ms: u64,
    what: String,
}

#[derive(Default)]
struct State {
    attempts: Vec<Attempt>,
    /// Neither answered nor gone.
    open: BTreeSet<usize>,
    views: Vec<View>,
    /// Batches that receivers have at hand.
    at_hand: BTreeMap<usize, u32>,
    suspicions: Vec<Suspicion>,
    /// By receiver: acknowledged samples that it has neither stored nor refused.
    unexplained: Vec<u64>,
}

/// The books of one life, kept from outside.
pub(crate) struct Ledger {
    pub(crate) world: Arc<World>,
    pub(crate) clock: Arc<Clock>,
    pub(crate) budget: Arc<Budget>,
    state: Mutex<State>,
}

/// A request at a receiver.
pub(crate) struct Visit<'a> {
    ledger: &'a Ledger,
    receiver: usize,
    pub(crate) samples: Vec<Sample>,
    batches: BTreeSet<usize>,
}

impl Ledger {
    pub(crate) fn new(world: &Arc<World>, clock: &Arc<Clock>, budget: &Arc<Budget>) -> Arc<Self> {
        let state = State {
            views: world.receivers.iter().map(|_| View::default()).collect(),
            unexplained: vec![0; world.receivers.len()],
            ..State::default()
        };
        Arc::new(Self {
            world: Arc::clone(world),
            clock: Arc::clone(clock),
            budget: Arc::clone(budget),
            state: Mutex::new(state),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub(crate) fn breach(&self, law: &'static str, what: String) {
        self.world.breach(law, self.clock.now_ms(), what);
    }

    pub(crate) fn attempts(&self) -> Vec<Attempt> {
        self.state().attempts.clone()
    }

    pub(crate) fn decided(&self, receiver: usize) -> Decided {
        self.state().views[receiver].decided
    }

    pub(crate) fn unexplained(&self, receiver: usize) -> u64 {
        self.state().unexplained[receiver]
    }

    /// A sender begins an attempt.
    pub(crate) fn begin(&self, batch: usize, is_instant: bool) -> usize {
        let mut state = self.state();
        let number = state.attempts.len();
        let started_ms = self.clock.now_ms();
        state.attempts.push(Attempt {
            batch,
            started_ms,
            is_instant,
            is_gone: false,
            status: None,
        });
        state.open.insert(number);
        number
    }

    /// The sender hung up.
    pub(crate) fn gone(&self, attempt: usize) {
        let mut state = self.state();
        state.attempts[attempt].is_gone = true;
        state.open.remove(&attempt);
        state.suspicions.retain(|suspicion| suspicion.attempt != attempt);
    }

    /// The gateway answered.
    pub(crate) fn answered(&self, attempt: usize, status: u16, error: &str) {
        let optional = self.world.plan.receivers.iter().filter(|receiver| !receiver.required);
        for Receiver { name, .. } in optional {
            if error.contains(&format!("`{name}`")) {
                self.breach(APART, format!("a request was answered {status}: {error}"));
            }
        }
        let now_ms = self.clock.now_ms();
        let mut state = self.state();
        state.attempts[attempt].status = Some(status);
        state.open.remove(&attempt);
        let Attempt { batch, started_ms, .. } = state.attempts[attempt];
        state.suspicions.retain(|suspicion| {
            let passed_over =
                suspicion.attempt == attempt && (status == 200 || now_ms > suspicion.at_ms);
            if passed_over {
                self.breach(ORDERED, format!("{} (answered {status})", suspicion.what));
            }
            suspicion.attempt != attempt
        });
        if now_ms > started_ms + self.deadline_ms() + 5 {
            let late_ms = now_ms - started_ms;
            self.breach(ANSWERED, format!("batch {batch} waited {late_ms} ms"));
        }
        let envelope = self.world.cargo.batches[batch].envelope;
        let is_right = match envelope {
            Envelope::Good => matches!(status, 200 | 503),
            Envelope::NotJson | Envelope::OtherId => matches!(status, 400 | 503),
        };
        if !is_right {
            self.breach(ANSWERED, format!("batch {batch} ({envelope:?}) was answered {status}"));
        }
        if status == 200 {
            self.acknowledged(&mut state, batch);
        }
    }

    /// At this moment a promise has been given.
    fn acknowledged(&self, state: &mut State, batch: usize) {
        for (number, receiver) in self.world.receivers.iter().enumerate() {
            if !receiver.plan.required {
                continue;
            }
            for sample in self.world.cargo.batches[batch].samples() {
                let is_settled = receiver.has_stored(sample)
                    || receiver.has_refused(&sample)
                    || receiver.is_too_old(sample);
                if is_settled {
                    continue;
                }
                if receiver.plan.may_stop_isolating() {
                    // The meters say how many those are.
                    state.unexplained[number] += 1;
                    continue;
                }
                let name = &receiver.plan.name;
                self.breach(STORED, format!("batch {batch}: {name} lacks {}", self.show(sample)));
                return;
            }
        }
    }

    fn deadline_ms(&self) -> u64 {
        self.world.plan.server.deadline.as_millis() as u64
    }

    pub(crate) fn show(&self, (series, at_ms, bits): Sample) -> String {
        format!("{}@{at_ms}={}", self.world.cargo.name(series), f64::from_bits(bits))
    }

    /// A request has left the gateway for a receiver.
    pub(crate) fn enter(&self, receiver: usize, samples: Vec<Sample>) -> Visit<'_> {
        let mut state = self.state();
        let mut batches = BTreeSet::new();
        for sample in &samples {
            // A sample of two batches stands for neither.
            if let [batch] = self.world.cargo.owners(sample) {
                batches.insert(*batch);
            }
            if self.world.receivers[receiver].is_too_old(*sample) {
                self.breach(ORDERED, format!("{} should have aged out", self.show(*sample)));
            }
        }
        let now_ms = self.clock.now_ms();
        let deadline_ms = self.deadline_ms();
        for batch in &batches {
            *state.at_hand.entry(*batch).or_default() += 1;
            let own = state.attempts.iter().filter(|attempt| attempt.batch == *batch);
            let last_ms = own.clone().map(|attempt| attempt.started_ms).max();
            let is_settled = own.clone().any(|attempt| attempt.status == Some(200));
            if is_settled && self.world.receivers[receiver].plan.required {
                let name = &self.world.receivers[receiver].plan.name;
                self.breach(ONCE, format!("batch {batch} goes to {name} after its 200"));
            }
            if last_ms.is_none_or(|last_ms| last_ms + deadline_ms < now_ms) {
                self.breach(CANCELLED, format!("batch {batch} was last begun at {last_ms:?} ms"));
            }
        }
        // Each of them is charged that much at least, until it is settled everywhere.
        let least = state.at_hand.len() as u64 * REQUEST_CHARGE_MIN;
        let used = self.budget.used();
        if used < least || used > self.budget.limit() {
            let held = state.at_hand.len();
            let limit = self.budget.limit();
            self.breach(BOUNDED, format!("{used} of {limit} bytes with {held} requests at hand"));
        }
        self.hold_order(&mut state, receiver, &samples);
        drop(state);
        Visit { ledger: self, receiver, samples, batches }
    }

    fn hold_order(&self, state: &mut State, receiver: usize, samples: &[Sample]) {
        let now_ms = self.clock.now_ms();
        let plan = &self.world.receivers[receiver].plan;
        let is_watched = plan.required && !plan.may_stop_isolating();
        let mut first_of: BTreeMap<u32, Sample> = BTreeMap::new();
        for sample in samples {
            first_of.entry(sample.0).or_insert(*sample);
        }
        for (series, first) in &first_of {
            if !state.views[receiver].at_hand.insert(*series) {
                let what = format!("{} has two requests with {}", plan.name, self.show(*first));
                self.breach(ORDERED, what);
            }
            let undecided = state.views[receiver].undecided.remove(series);
            if let Some(undecided) = undecided.filter(|undecided| undecided != first && is_watched)
            {
                let what = format!("{} before {}", self.show(*first), self.show(undecided));
                let what = format!("{}: {what}, which is undecided", plan.name);
                self.suspect(state, undecided, now_ms, what);
            }
        }
        for sample in samples {
            if state.views[receiver].seen.insert(*sample) && is_watched {
                self.hold_turn(state, receiver, *sample, now_ms);
            }
        }
    }

    /// A sample comes for the first time: those of its series that the door took before have come.
    fn hold_turn(&self, state: &mut State, receiver: usize, sample: Sample, now_ms: u64) {
        let [batch] = self.world.cargo.owners(&sample) else { return };
        let Some(own) = only_attempt(state, *batch) else { return };
        let started_ms = state.attempts[own].started_ms;
        let to = &self.world.receivers[receiver];
        let mut passed_over = None;
        for earlier in state.open.range(..own) {
            let attempt = &state.attempts[*earlier];
            if !attempt.is_instant || attempt.started_ms >= started_ms {
                continue;
            }
            let batch = &self.world.cargo.batches[attempt.batch];
            let Some(values) = batch.samples.get(&sample.0) else { continue };
            let waiting = values
                .iter()
                .map(|(at_ms, bits)| (sample.0, *at_ms, *bits))
                .find(|s| !state.views[receiver].seen.contains(s) && !to.is_too_old(*s));
            if let Some(waiting) = waiting {
                passed_over = Some(waiting);
                break;
            }
        }
        if let Some(waiting) = passed_over {
            let what = format!("{} before {}", self.show(sample), self.show(waiting));
            let what = format!("{}: {what}, which came earlier", to.plan.name);
            self.suspect(state, waiting, now_ms, what);
        }
    }

    /// Notes that a sample was passed over, if its request still waits for it.
    fn suspect(&self, state: &mut State, sample: Sample, at_ms: u64, what: String) {
        let [batch] = self.world.cargo.owners(&sample) else { return };
        // With several attempts it is not known which of them a sample came with.
        let Some(attempt) = only_attempt(state, *batch) else { return };
        if state.open.contains(&attempt) {
            state.suspicions.push(Suspicion { attempt, at_ms, what });
        }
    }
}

/// The only attempt of a batch in this life.
fn only_attempt(state: &State, batch: usize) -> Option<usize> {
    let mut own = state.attempts.iter().enumerate().filter(|(_, attempt)| attempt.batch == batch);
    let (number, _) = own.next()?;
    own.next().is_none().then_some(number)
}

impl Visit<'_> {
    /// The gateway learns the verdict.
    pub(crate) fn leave(self, verdict: &Verdict) {
        let mut state = self.ledger.state();
        let view = &mut state.views[self.receiver];
        let total = self.samples.len() as u64;
        let is_decided = match verdict {
            Verdict::Accepted => {
                view.decided.accepted += total;
                true
            }
            Verdict::Partial(_) => {
                view.decided.partial += total;
                true
            }
            Verdict::Refused(_) | Verdict::Isolate(_) if total == 1 => {
                view.decided.refused_alone += total;
                true
            }
            _ => false,
        };
        if !is_decided {
            for sample in self.samples.iter().rev() {
                view.undecided.insert(sample.0, *sample);
            }
        }
    }
}

impl Drop for Visit<'_> {
    fn drop(&mut self) {
        let mut state = self.ledger.state();
        for sample in &self.samples {
            state.views[self.receiver].at_hand.remove(&sample.0);
        }
        for batch in &self.batches {
            if let Some(times) = state.at_hand.get_mut(batch) {
                *times -= 1;
                if *times == 0 {
                    state.at_hand.remove(batch);
                }
            }
        }
    }
}
