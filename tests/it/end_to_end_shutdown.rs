//! Stopped under load: every request is answered in contract shape or its connection is closed, and
//! nothing acknowledged is missing.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use sluicegate::demo::firehose::{Delivery, Outcome};
use sluicegate::demo::receiver::{Fault, Receiver};
use sluicegate::demo::records::records;
use sluicegate::demo::stream::{Format, MetricStream};
use sluicegate::tasks::Tasks;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::amp_front::{AmpFront, Guard};
use super::house::{Samples, Standing, assert_same, expected, flat, minute};

const METRICS: usize = 50;
const SENDERS: u64 = 8;

fn destination(url: &str) -> String {
    format!(
        "remote_write:\n  - {{ name: there, url: \"{url}\", metadata_config: {{ send: false }}, \
         queue_config: {{ max_shards: 2, min_backoff: 10ms, max_backoff: 100ms }} }}"
    )
}

/// What the senders saw.
#[derive(Default)]
struct Log {
    deliveries: Vec<Delivery>,
    acknowledged: Samples,
    sent: Samples,
}

/// Senders that send one batch after the other, each once, until told to end.
struct Load {
    tasks: Tasks,
    stop: CancellationToken,
    log: Arc<Mutex<Log>>,
}

impl Load {
    fn start(standing: &Standing) -> Self {
        let (tasks, stop, log) = (Tasks::new(), CancellationToken::new(), Arc::default());
        let newest_ms = minute(10);
        for sender in 0..SENDERS {
            let firehose = standing.firehose_once();
            // Roll-ups are shared by streams of any seed: each sender has minutes of its own.
            let (stop, log) = (stop.clone(), Arc::<Mutex<Log>>::clone(&log));
            let stream = MetricStream::new(METRICS, sender);
            tasks.spawn(async move {
                for number in 0..5_000 {
                    if stop.is_cancelled() {
                        return;
                    }
                    let start_ms = newest_ms - (number * 8 + sender as i64) * 60_000;
                    let format = Format::ALL[number as usize % 3];
                    let points: Vec<_> = stream.points(start_ms, 0..METRICS).collect();
                    let samples = expected(format, &points);
                    log.lock().unwrap().sent.extend(samples.clone());
                    let records = records(format, &points);
                    drop(points);
                    let delivery = firehose.deliver(records).await;
                    let mut log = log.lock().unwrap();
                    if delivery.outcome == Outcome::Delivered {
                        log.acknowledged.extend(samples);
                    }
                    log.deliveries.push(delivery);
                }
            });
        }
        Self { tasks, stop, log }
    }

    /// Ends the senders once their last answers are in.
    async fn end(self) -> Log {
        self.stop.cancel();
        self.tasks.ended().await;
        std::mem::take(&mut *self.log.lock().unwrap())
    }
}

/// In contract shape, or no answer at all.
fn assert_fair(deliveries: &[Delivery]) {
    for delivery in deliveries {
        assert!(delivery.breaches.is_empty(), "{delivery:?}");
        assert!([[200], [503], [0]].contains(&[delivery.statuses[0]]), "{delivery:?}");
    }
}

/// All that was acknowledged is there, and nothing that was not sent.
fn assert_kept(stored: &Samples, log: &Log) {
    let strange = stored.iter().find(|(key, value)| log.sent.get(*key) != Some(*value));
    assert_eq!(strange, None, "not sent");
    let mut kept = stored.clone();
    kept.retain(|key, _| log.acknowledged.contains_key(key));
    assert_same(&kept, &log.acknowledged, "acknowledged");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_under_load_loses_nothing_acknowledged_and_is_quick() {
    let receiver = Receiver::start().await.unwrap();
    let standing = Standing::start("  request_deadline: 10s", &destination(&receiver.url())).await;
    let load = Load::start(&standing);
    while load.log.lock().unwrap().deliveries.len() < 40 {
        sleep(Duration::from_millis(5)).await;
    }
    let begun = Instant::now();
    standing.house.stop().await;
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(3), "{took:?}");
    let log = load.end().await;
    assert_fair(&log.deliveries);
    assert!(log.deliveries.iter().any(|delivery| delivery.statuses == [0]), "it did not close");
    let series = receiver.snapshot().series.into_iter();
    assert_kept(&flat(series.map(|(labels, series)| (labels, series.samples))), &log);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_in_flight_is_settled_before_the_end() {
    let receiver = Receiver::start().await.unwrap();
    receiver.set_fault(Fault::Outage);
    let standing = Standing::start("  request_deadline: 20s", &destination(&receiver.url())).await;
    let load = Load::start(&standing);
    while receiver.read(|ledger| ledger.refused) < 10 {
        sleep(Duration::from_millis(5)).await;
    }
    load.stop.cancel();
    let recovery = async {
        sleep(Duration::from_millis(500)).await;
        receiver.set_fault(Fault::None);
        Instant::now()
    };
    let (ended, recovered) = tokio::join!(
        async {
            standing.house.stop().await;
            Instant::now()
        },
        recovery
    );
    assert!(ended > recovered, "it stopped before all was settled");
    assert!(ended - recovered < Duration::from_secs(3), "{:?}", ended - recovered);
    let log = load.end().await;
    assert!(log.deliveries.iter().all(|one| one.statuses == [200]), "{:?}", log.deliveries);
    let series = receiver.snapshot().series.into_iter();
    let stored = flat(series.map(|(labels, series)| (labels, series.samples)));
    assert_same(&stored, &log.sent, "settled while stopping");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stuck_receiver_does_not_keep_the_house_beyond_its_drain_deadline() {
    // Bound, but nobody accepts: connections hang.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let stuck = AmpFront::unbound(Guard::Open, listener.local_addr().unwrap());
    let drain = Duration::from_millis(1500);
    let server = format!("  request_deadline: 20s\n  drain_deadline: {}ms", drain.as_millis());
    let standing = Standing::start(&server, &destination(&stuck.url("/write"))).await;
    let load = Load::start(&standing);
    // Every sender has a request at work.
    while standing.figures().await.value("sluicegate_request_memory_entries", &[]) < SENDERS as f64
    {
        sleep(Duration::from_millis(5)).await;
    }
    load.stop.cancel();
    let begun = Instant::now();
    standing.house.stop().await;
    let took = begun.elapsed();
    assert!(took >= drain && took < drain + Duration::from_secs(2), "{took:?}");
    let log = load.end().await;
    assert_eq!(log.deliveries.len() as u64, SENDERS);
    for delivery in &log.deliveries {
        assert_eq!(delivery.statuses, [503], "{delivery:?}");
        assert!(delivery.breaches.is_empty(), "{delivery:?}");
    }
    assert!(log.acknowledged.is_empty());
}
