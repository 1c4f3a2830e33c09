//! Senders that go on while something is replaced, each of which wants every request taken at its
//! first attempt.

#![allow(clippy::unwrap_used, clippy::panic)] // A test may end so.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use sluicegate::demo::firehose::{Firehose, FirehoseConfig, Outcome};
use sluicegate::demo::records::records;
use sluicegate::demo::stream::{Format, MetricStream};
use sluicegate::secret::Secret;
use sluicegate::tasks::Tasks;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use crate::house::minute;

const METRICS: usize = 10;
const SENDERS: usize = 3;
/// So that several houses may be under load at once on a small machine.
const PAUSE: Duration = Duration::from_millis(20);
/// For what should take a second or two.
const PATIENCE: Duration = Duration::from_secs(30);

/// A Firehose stream that gives up after its first attempt.
pub(crate) fn once(endpoint: &str, key: &str) -> Firehose {
    let url = format!("{endpoint}/firehose");
    let config = FirehoseConfig::new(url, Some(Secret::new(key)));
    Firehose::new(FirehoseConfig { retry_duration: Duration::ZERO, ..config }).unwrap()
}

/// A minute that no batch of this run of the tests was about: one that comes again is not sent again.
pub(crate) fn fresh_minute() -> i64 {
    static AGO: AtomicI64 = AtomicI64::new(200_000);
    minute(AGO.fetch_sub(1, Ordering::Relaxed))
}

/// Parallel senders with series of their own.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    senders: Vec<JoinHandle<usize>>,
}

impl Load {
    /// Starts senders; `of` is what the test calls this.
    pub(crate) fn start(of: &str, firehose: impl Fn() -> Firehose) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let tasks = Tasks::new();
        let senders = (0..SENDERS).map(|sender| {
            let (stop, firehose, of) = (Arc::clone(&stop), firehose(), of.to_owned());
            tasks.spawn(async move {
                let stream = MetricStream::new(METRICS * SENDERS, 1);
                let own = METRICS * sender..METRICS * (sender + 1);
                let mut sent = 0;
                while !stop.load(Ordering::Relaxed) {
                    let points: Vec<_> = stream.points(fresh_minute(), own.clone()).collect();
                    let format = Format::ALL[sender % Format::ALL.len()];
                    let delivery = firehose.deliver(records(format, &points)).await;
                    let good = (delivery.outcome, &delivery.statuses[..], &delivery.breaches[..]);
                    assert_eq!(
                        good,
                        (Outcome::Delivered, &[200][..], &[][..]),
                        "{of}: {delivery:?}"
                    );
                    sent += 1;
                    sleep(PAUSE).await;
                }
                sent
            })
        });
        let senders = senders.collect();
        Self { stop, senders }
    }

    /// Ends the senders; how many requests were taken, each at its first attempt.
    pub(crate) async fn end(self) -> usize {
        self.stop.store(true, Ordering::Relaxed);
        let mut sent = 0;
        for sender in self.senders {
            sent += sender.await.unwrap();
        }
        sent
    }
}

/// Waits until it is so.
pub(crate) async fn until(what: &str, is_so: impl AsyncFn() -> bool) {
    let begun = Instant::now();
    while !is_so().await {
        assert!(begun.elapsed() < PATIENCE, "{what}: not within {PATIENCE:?}");
        sleep(Duration::from_millis(10)).await;
    }
}
