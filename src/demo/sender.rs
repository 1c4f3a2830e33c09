//! Hands a stream to Firehose, minute by minute, several deliveries at a time.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::books::{Plan, Tally};
use super::firehose::Firehose;
use super::records;
use crate::tasks::Tasks;

/// Deliveries at the same time. Firehose does not say how many it has; more than one it does have.
const DELIVERIES_MAX: usize = 64;

/// Hands the stream's minutes to Firehose, one after the other.
#[derive(Debug)]
pub struct Sender {
    /// What is sent.
    pub plan: Plan,
    firehose: Firehose,
    tally: Mutex<Tally>,
    room: Arc<Semaphore>,
    tasks: Tasks,
    enough: CancellationToken,
    stop: CancellationToken,
}

impl Sender {
    /// A sender that has not begun.
    #[must_use]
    pub fn new(plan: Plan, firehose: Firehose) -> Arc<Self> {
        Arc::new(Self {
            plan,
            firehose,
            tally: Mutex::default(),
            room: Arc::new(Semaphore::new(DELIVERIES_MAX)),
            tasks: Tasks::new(),
            enough: CancellationToken::new(),
            stop: CancellationToken::new(),
        })
    }

    /// What it knows so far.
    pub fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends a minute of the stream every `pace`, or when there is room, until all is sent or it is
    /// broken off; ends when every delivery has ended.
    pub async fn send(self: Arc<Self>, pace: Duration) {
        tokio::select! {
            () = self.enough.cancelled() => {}
            () = self.hand_out(pace) => {}
        }
        self.tasks.ended().await;
    }

    async fn hand_out(self: &Arc<Self>, pace: Duration) {
        let mut due = Instant::now();
        for index in 0..self.plan.minutes.len() {
            tokio::time::sleep_until(due).await;
            due += pace;
            for request in 0..self.plan.requests_per_minute() {
                let Ok(room) = Arc::clone(&self.room).acquire_owned().await else { return };
                let sender = Arc::clone(self);
                self.tasks.spawn(async move {
                    tokio::select! {
                        () = sender.stop.cancelled() => {}
                        () = sender.deliver((index, request)) => {}
                    }
                    drop(room);
                });
            }
        }
    }

    /// Sends no more; what is under way goes on.
    pub fn break_off(&self) {
        self.tally().broken_off = true;
        self.enough.cancel();
    }

    /// Ends what is still under way: it counts as not acknowledged.
    pub async fn stop(&self) {
        self.stop.cancel();
        self.tasks.ended().await;
    }

    async fn deliver(&self, request: (usize, usize)) {
        let (records, count) = {
            let points: Vec<_> = self.plan.points(request.0, request.1).collect();
            let format = self.plan.format(request.0, request.1);
            (records::records(format, &points), points.len())
        };
        self.tally().send(request, count);
        let delivery = self.firehose.deliver(records).await;
        self.tally().settle(request, count, delivery);
    }
}
