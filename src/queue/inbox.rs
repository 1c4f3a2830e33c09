//! A destination's lanes between those who fill them and those who empty them. Each lane is emptied by one at a
//! time, so that it has one request in flight. Who takes a lane takes along others, as long as there are no more
//! samples than a request may have: what is little goes out together, what is much side by side.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::lanes::Part;

/// Room for waiting parts that an empty lane keeps.
const IDLE_PARTS_MAX: usize = 16;

/// The lanes of a destination, empty: the end that fills them, and as many that empty them.
pub(super) fn lanes(count: usize) -> (Arc<Feed>, Vec<Inbox>) {
    let state = State {
        lanes: (0..count).map(|_| Lane::default()).collect(),
        turn: 0,
        preferred_max: usize::MAX,
        is_closed: false,
        has_ended: false,
    };
    let shared = Arc::new(Shared { state: Mutex::new(state), arrived: Notify::new() });
    let end = Arc::new(End(Arc::clone(&shared)));
    let inbox = || Inbox { shared: Arc::clone(&shared), _end: Arc::clone(&end) };
    let inboxes = (0..count).map(|_| inbox()).collect();
    (Arc::new(Feed(shared)), inboxes)
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    /// Something has come, or the last has gone.
    arrived: Notify,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug)]
struct State {
    lanes: Vec<Lane>,
    /// The lane to be looked at first.
    turn: usize,
    /// No part is added that would make more samples than that.
    preferred_max: usize,
    /// Nothing comes any more.
    is_closed: bool,
    /// Nobody takes any more.
    has_ended: bool,
}

impl State {
    /// Whether a lane can be taken.
    fn has_ready(&self) -> bool {
        self.lanes.iter().any(Lane::is_ready)
    }
}

/// What waits. Each part holds some of the budget, which bounds how many there are.
#[derive(Debug, Default)]
struct Lane {
    parts: VecDeque<Part>,
    samples: usize,
    is_taken: bool,
}

impl Lane {
    fn is_ready(&self) -> bool {
        !self.is_taken && !self.parts.is_empty()
    }

    fn push(&mut self, part: Part) {
        self.samples += part.samples().len();
        self.parts.push_back(part);
    }

    /// Samples of the part that waits longest.
    fn next_samples(&self) -> usize {
        self.parts.front().map_or(0, |part| part.samples().len())
    }

    fn pop(&mut self) -> Option<Part> {
        let part = self.parts.pop_front()?;
        self.samples -= part.samples().len();
        if self.parts.is_empty() {
            self.parts.shrink_to(IDLE_PARTS_MAX);
        }
        Some(part)
    }
}

/// The filling end. The lanes are closed when it is dropped.
#[derive(Debug)]
pub(super) struct Feed(Arc<Shared>);

impl Feed {
    /// How many lanes there are.
    pub(super) fn lanes(&self) -> usize {
        self.0.state().lanes.len()
    }

    /// Puts parts into their lanes. Those that nobody takes any more are lost.
    pub(super) fn put(&self, parts: Vec<(usize, Part)>) {
        if parts.is_empty() {
            return;
        }
        let mut refused = Vec::new();
        let mut state = self.0.state();
        let has_ended = state.has_ended;
        for (lane, part) in parts {
            match state.lanes.get_mut(lane) {
                Some(lane) if !has_ended => lane.push(part),
                _ => refused.push(part),
            }
        }
        let has_ready = state.has_ready();
        drop(state);
        if has_ready {
            // The one who has just gone to rest has what it needs at hand.
            self.0.arrived.notify_last();
        }
        give_back(refused);
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.0.state().is_closed = true;
        self.0.arrived.notify_one();
    }
}

fn give_back(parts: Vec<Part>) {
    for mut part in parts {
        part.lost_because = Some("its lanes have ended".to_owned());
        drop(part);
    }
}

/// Shared by all emptying ends: without them, what waits is lost.
#[derive(Debug)]
struct End(Arc<Shared>);

impl Drop for End {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.has_ended = true;
        let parts = state.lanes.iter_mut().flat_map(|lane| std::mem::take(&mut lane.parts));
        let parts = parts.collect();
        drop(state);
        give_back(parts);
    }
}

/// An emptying end of a destination's lanes: any of them takes from any lane.
#[derive(Debug)]
pub struct Inbox {
    shared: Arc<Shared>,
    _end: Arc<End>,
}

impl Inbox {
    /// Waits until something can be taken. False if nothing can come any more.
    pub async fn ready(&self) -> bool {
        loop {
            {
                let state = self.shared.state();
                if state.has_ready() {
                    return true;
                }
                if state.is_closed && state.lanes.iter().all(|lane| lane.parts.is_empty()) {
                    // The next one learns it from this one.
                    self.shared.arrived.notify_one();
                    return false;
                }
            }
            self.shared.arrived.notified().await;
        }
    }

    /// From now on no part is taken, by whomever, that would make more samples than that. The first one always is.
    pub fn prefer(&self, samples_max: usize) {
        self.shared.state().preferred_max = samples_max;
    }

    /// Takes the oldest parts of a lane until there are `samples_max` samples or more, and with them all that
    /// waits in other lanes, as long as there are no more than that. See [`Self::prefer`], too.
    pub fn take(&mut self, samples_max: usize) -> Option<Taken> {
        let mut state = self.shared.state();
        let State { lanes, turn, preferred_max, .. } = &mut *state;
        let along_max = samples_max.min(*preferred_max);
        let count = lanes.len();
        let (mut taken, mut parts, mut samples) = (Vec::new(), Vec::new(), 0);
        for index in (*turn..count).chain(0..*turn) {
            let Some(lane) = lanes.get_mut(index).filter(|lane| lane.is_ready()) else { continue };
            let is_first = taken.is_empty();
            if !is_first && samples + lane.samples > along_max {
                continue;
            }
            while samples < samples_max.max(1)
                && (samples == 0 || samples + lane.next_samples() <= *preferred_max)
                && let Some(part) = lane.pop()
            {
                samples += part.samples().len();
                parts.push(part);
            }
            lane.is_taken = true;
            taken.push(index);
            if is_first {
                *turn = (index + 1) % count;
            }
        }
        let has_ready = state.has_ready();
        drop(state);
        if has_ready {
            self.shared.arrived.notify_last();
        }
        let held = Held { shared: Arc::clone(&self.shared), lanes: taken };
        (!parts.is_empty()).then_some(Taken { parts, held })
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        // What it was told is for another one now.
        self.shared.arrived.notify_one();
    }
}

/// What was taken.
#[derive(Debug)]
pub struct Taken {
    /// The parts, each lane's in order.
    pub parts: Vec<Part>,
    /// Nobody else takes from their lanes until this is dropped.
    pub held: Held,
}

/// Lanes that are being emptied. Who has held them is expected to look again.
#[derive(Debug)]
pub struct Held {
    shared: Arc<Shared>,
    lanes: Vec<usize>,
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut state = self.shared.state();
        for index in &self.lanes {
            if let Some(lane) = state.lanes.get_mut(*index) {
                lane.is_taken = false;
            }
        }
    }
}
