//! The places of a listener's connections. When all are taken, a connection that rests makes room
//! for the next: nobody locks others out by opening connections and sending nothing.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use metrics::Gauge;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use super::activity::Activity;
use crate::seldom::Seldom;

/// A connection may rest that long whatever waits: an honest one needs it between its start and its
/// first request, and while a request of its client is on the way. Those that never were of use have
/// it once, from their start.
const GRACE: Duration = Duration::from_secs(1);
/// How long one may take to leave before another one is asked as well.
const PACE: Duration = Duration::from_millis(50);

#[derive(Debug, Default)]
pub(super) struct Places {
    taken: Mutex<Taken>,
    freed: Notify,
    log: Seldom,
}

#[derive(Debug, Default)]
struct Taken {
    next: u64,
    connections: HashMap<u64, Arc<Activity>>,
}

impl Places {
    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place among at most as many as `most` says by then, once there is one. To be called by one
    /// task at a time.
    pub(super) async fn take(self: &Arc<Self>, most: impl Fn() -> usize, open: &Gauge) -> Place {
        loop {
            if let Some(place) = self.try_take(most(), open) {
                return place;
            }
            let look_again = self.ask_one_to_leave();
            tokio::select! {
                () = self.freed.notified() => {}
                () = sleep_until(look_again) => {}
            }
        }
    }

    fn try_take(self: &Arc<Self>, most: usize, open: &Gauge) -> Option<Place> {
        let mut taken = self.taken();
        if taken.connections.len() >= most.max(1) {
            return None;
        }
        let number = taken.next;
        taken.next = taken.next.wrapping_add(1);
        let activity = Activity::new();
        taken.connections.insert(number, Arc::clone(&activity));
        open.increment(1.0);
        Some(Place { number, activity, places: Arc::clone(self), open: open.clone() })
    }

    /// Asks the one that can best be spared; tells when to look again. While there is one that never
    /// was of use, its grace and its leaving are waited for, and the others stay.
    fn ask_one_to_leave(&self) -> Instant {
        let now = Instant::now();
        let mut look_again = now + GRACE;
        let mut spared = None;
        let taken = self.taken();
        let are_all_of_use = taken.connections.values().all(|activity| activity.was_of_use());
        for activity in taken.connections.values() {
            let Some(rest) = activity.rest().filter(|rest| rest.was_of_use == are_all_of_use)
            else {
                continue;
            };
            let until = rest.since + GRACE;
            if until > now {
                look_again = look_again.min(until);
            } else if spared.as_ref().is_none_or(|(least, _)| rest < *least) {
                spared = Some((rest, activity));
            }
        }
        let Some((_, activity)) = spared else { return look_again };
        activity.ask_to_leave();
        if let Some(left_out) = self.log.due() {
            let connections = taken.connections.len();
            tracing::warn!(
                connections,
                left_out,
                "every connection is taken: one that can be spared is closed for the next"
            );
        }
        now + PACE
    }

    /// Waits until all have left.
    pub(super) async fn empty(&self) {
        while !self.taken().connections.is_empty() {
            self.freed.notified().await;
        }
    }
}

/// A connection's place among those that are open.
#[derive(Debug)]
pub(super) struct Place {
    number: u64,
    pub(super) activity: Arc<Activity>,
    places: Arc<Places>,
    open: Gauge,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.taken().connections.remove(&self.number);
        self.open.decrement(1.0);
        self.places.freed.notify_one();
    }
}
