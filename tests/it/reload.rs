//! A new configuration for a running house.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sluicegate::demo::firehose::{Delivery, Firehose, Outcome};
use sluicegate::demo::receiver::{Fault, Ledger, Receiver};
use sluicegate::demo::records::records;
use sluicegate::demo::stream::{Format, MetricStream};
use sluicegate::secret::Secret;
use sluicegate::tasks::Tasks;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use super::house::{KEY, Samples, Standing, assert_same, expected, flat, minute};

const METRICS: usize = 40;

/// A destination's entry; `more` is more of its keys.
fn to(name: &str, url: &str, more: &str) -> String {
    format!("  - {{ name: {name}, url: \"{url}\"{more} }}\n")
}

const QUEUE: &str = ", queue_config: { max_shards: 2, min_backoff: 10ms, max_backoff: 100ms }";

fn destinations(entries: &[String]) -> String {
    format!("remote_write:\n{}", entries.concat())
}

fn stored(ledger: &Ledger) -> Samples {
    assert_eq!((ledger.conflicts, ledger.malformed, ledger.mislabelled), (0, 0, 0));
    flat(ledger.series.iter().map(|(labels, series)| (labels.clone(), series.samples.clone())))
}

/// Sends one minute's data points of a sender's own metrics in one attempt; what must come of them.
async fn send(firehose: &Firehose, sender: usize, ago: i64) -> (Delivery, Samples) {
    let stream = MetricStream::new(METRICS * (sender + 1), 1);
    let own = METRICS * sender..METRICS * (sender + 1);
    let points: Vec<_> = stream.points(minute(ago), own).collect();
    let format = Format::ALL[(sender + usize::try_from(ago).unwrap()) % 3];
    (firehose.deliver(records(format, &points)).await, expected(format, &points))
}

fn assert_taken(delivery: &Delivery, of: &str) {
    let good = (delivery.outcome, delivery.attempts, &delivery.breaches);
    assert_eq!(good, (Outcome::Delivered, 1, &Vec::new()), "{of}: {delivery:?}");
}

/// Senders that go on until they are told to stop.
struct Load {
    stop: Arc<AtomicBool>,
    senders: Vec<JoinHandle<Samples>>,
}

impl Load {
    /// Each sender goes from minute to minute, so that the order of its series can be checked.
    fn start(standing: &Standing, senders: usize) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let tasks = Tasks::new();
        let senders = (0..senders).map(|sender| {
            let (stop, firehose) = (Arc::clone(&stop), standing.firehose_once());
            tasks.spawn(async move {
                let mut all = Samples::new();
                for ago in (1..1_000).rev() {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    let (delivery, samples) = send(&firehose, sender, ago).await;
                    assert_taken(&delivery, "under reloads");
                    all.extend(samples);
                }
                all
            })
        });
        let senders = senders.collect();
        Self { stop, senders }
    }

    async fn end(self) -> Samples {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Samples::new();
        for sender in self.senders {
            all.extend(sender.await.unwrap());
        }
        all
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn reloads_under_load_refuse_and_lose_nothing() {
    let (one, other, best) = (
        Receiver::start().await.unwrap(),
        Receiver::start().await.unwrap(),
        Receiver::start().await.unwrap(),
    );
    // Trouble of its own, so that lanes hold something when the orders change.
    one.set_fault(Fault::Throttle { one_in: 7, retry_after: None });
    let queue = |lanes: u32, samples: u32| {
        format!(
            ", queue_config: {{ max_shards: {lanes}, max_samples_per_send: {samples}, \
             min_backoff: 5ms, max_backoff: 20ms }}"
        )
    };
    let one_to = |lanes, samples| to("one", &one.url(), &queue(lanes, samples));
    let plans = [
        destinations(&[one_to(2, 2000)]),
        // Other settings, the same lanes.
        destinations(&[one_to(2, 50)]),
        // Another number of lanes.
        destinations(&[one_to(5, 2000)]),
        // One more destination, and one that nobody waits for, before the old one.
        destinations(&[
            to("best", &best.url(), ", required: false"),
            to("other", &other.url(), QUEUE),
            one_to(5, 2000),
        ]),
        // What is sent stays the same, what it is made by does not.
        format!("cloudwatch: {{ series_cache: 1MiB }}\n{}", destinations(&[one_to(5, 2000)])),
        destinations(&[one_to(5, 2000), to("other", &other.url(), QUEUE)]),
    ];
    let standing = Standing::start("", &plans[0]).await;
    let load = Load::start(&standing, 4);
    for round in 0..24_u32 {
        // Some requests end and some begin under each plan.
        until(&standing, "sluicegate_firehose_requests_total", f64::from(round * 4 + 2)).await;
        let server = if round % 2 == 0 { "  read_timeout: 30s" } else { "" };
        standing.reload(server, &plans[round as usize % plans.len()]).await.unwrap();
    }
    let all = load.end().await;
    let figures = standing.rest().await;
    standing.house.stop().await;
    assert_same(&stored(&one.snapshot()), &all, "kept through every reload");
    assert!(other.read(|ledger| ledger.stored) > 0);
    for name in ["one", "other"] {
        let outcomes = figures.outcomes(name);
        assert_eq!(outcomes[1..], [0.0; 5], "{name}: {outcomes:?}");
    }
    assert_eq!(figures.value("sluicegate_config_last_reload_successful", &[]), 1.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_a_wrong_setting_goes_out_once_it_is_mended() {
    let receiver = Receiver::start().await.unwrap();
    let wrong = "http://127.0.0.1:9/api/v1/write";
    let waits = ", queue_config: { min_backoff: 20s, max_backoff: 20s }";
    let standing = Standing::start("", &destinations(&[to("there", wrong, waits)])).await;
    let firehose = standing.firehose_once();
    let tasks = Tasks::new();
    let begun = Instant::now();
    let waiting = tasks.spawn(async move { send(&firehose, 1, 1).await });
    until(&standing, "sluicegate_remote_write_retries_total", 1.0).await;
    standing.reload("", &destinations(&[to("there", &receiver.url(), waits)])).await.unwrap();
    let (delivery, samples) = waiting.await.unwrap();
    assert_taken(&delivery, "mended");
    assert!(begun.elapsed() < Duration::from_secs(15), "it does not wait for the old backoff");
    assert_same(&stored(&receiver.snapshot()), &samples, "mended");
    standing.house.stop().await;
}

/// Waits until a metric of the house has been so large.
async fn until(standing: &Standing, metric: &str, at_least: f64) {
    let begun = Instant::now();
    while standing.figures().await.value(metric, &[]) < at_least {
        assert!(begun.elapsed() < Duration::from_secs(10), "{metric}");
        sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_number_of_lanes_does_not_let_newer_samples_overtake() {
    let receiver = Receiver::start().await.unwrap();
    let lanes = |number: u32| {
        let queue = format!(
            ", queue_config: {{ max_shards: {number}, min_backoff: 700ms, max_backoff: 700ms }}"
        );
        destinations(&[to("there", &receiver.url(), &queue)])
    };
    let standing = Standing::start("", &lanes(2)).await;
    let tasks = Tasks::new();
    let start = |ago: i64| {
        let firehose = standing.firehose_once();
        tasks.spawn(async move { send(&firehose, 0, ago).await })
    };
    receiver.set_fault(Fault::Outage);
    let older = start(9);
    let failed = "sluicegate_remote_write_retries_total";
    until(&standing, failed, 2.0).await;
    standing.reload("", &lanes(5)).await.unwrap();
    until(&standing, failed, 4.0).await;
    receiver.set_fault(Fault::None);
    let newer = start(8);
    for delivery in [older, newer] {
        assert_taken(&delivery.await.unwrap().0, "with other lanes");
    }
    let ledger = receiver.snapshot();
    assert!(ledger.stored > 0);
    assert_eq!(ledger.late, 0, "newer samples were stored before older ones");
    standing.house.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lanes_that_run_out_hear_of_the_next_reload_too() {
    let receiver = Receiver::start().await.unwrap();
    let wrong = "http://127.0.0.1:9/api/v1/write";
    let there = |url: &str, lanes: u32| {
        let queue = format!(
            ", queue_config: {{ max_shards: {lanes}, min_backoff: 20s, max_backoff: 20s }}"
        );
        destinations(&[to("there", url, &queue)])
    };
    let standing = Standing::start("", &there(wrong, 2)).await;
    let firehose = standing.firehose_once();
    let waiting = Tasks::new().spawn(async move { send(&firehose, 0, 1).await });
    let begun = Instant::now();
    until(&standing, "sluicegate_remote_write_retries_total", 1.0).await;
    standing.reload("", &there(wrong, 5)).await.unwrap();
    standing.reload("", &there(&receiver.url(), 5)).await.unwrap();
    let (delivery, samples) = waiting.await.unwrap();
    assert_taken(&delivery, "mended by the second reload");
    assert!(begun.elapsed() < Duration::from_secs(15), "it does not wait for the old backoff");
    assert_same(&stored(&receiver.snapshot()), &samples, "mended by the second reload");
    standing.house.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn new_requests_follow_at_once() {
    let (one, other) = (Receiver::start().await.unwrap(), Receiver::start().await.unwrap());
    let one_to = to("one", &one.url(), QUEUE);
    let standing = Standing::start("", &destinations(std::slice::from_ref(&one_to))).await;
    let firehose = standing.firehose_once();
    let names = |receiver: &Receiver| -> Vec<String> {
        let ledger = receiver.snapshot();
        let names = ledger.series.keys().flatten();
        let mut names: Vec<_> =
            names.filter(|(name, _)| name == "__name__").map(|(_, value)| value.clone()).collect();
        names.sort();
        names.dedup();
        names
    };
    let (delivery, _) = send(&firehose, 1, 9).await;
    assert_taken(&delivery, "at first");
    assert!(names(&one).iter().any(|name| name.ends_with("_maximum")));

    // Naming, statistics, relabelling and external labels, and a second destination.
    let rest = format!(
        "cloudwatch: {{ naming: telegraf, statistics: [sum] }}\nglobal: {{ external_labels: {{ \
         replica: b }} }}\nrelabel_configs: [{{ target_label: tag, replacement: t }}]\n{}",
        destinations(&[one_to, to("other", &other.url(), QUEUE)])
    );
    standing.reload("", &rest).await.unwrap();
    let (delivery, _) = send(&firehose, 1, 8).await;
    assert_taken(&delivery, "then");
    let now = names(&other);
    assert!(!now.is_empty() && now.iter().all(|name| name.ends_with("_sum")), "{now:?}");
    let labelled = |ledger: &Ledger| {
        let has = |labels: &[(String, String)], name: &str, value: &str| {
            labels.iter().any(|(n, v)| n == name && v == value)
        };
        ledger.series.keys().all(|labels| has(labels, "replica", "b") && has(labels, "tag", "t"))
    };
    assert!(other.read(labelled));

    // One destination goes; the other one's settings are left alone.
    let before = one.read(|ledger| ledger.requests);
    standing.reload("", &destinations(&[to("other", &other.url(), QUEUE)])).await.unwrap();
    let (delivery, _) = send(&firehose, 1, 7).await;
    assert_taken(&delivery, "at last");
    assert_eq!(one.read(|ledger| ledger.requests), before, "it is out of the configuration");
    let (_, shown) = standing.page(&standing.telemetry_url("/config")).await;
    assert!(shown.contains("name: other") && !shown.contains("name: one"), "{shown}");
    standing.rest().await;
    standing.house.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_change_with_the_configuration() {
    let receiver = Receiver::start().await.unwrap();
    let rest = destinations(&[to("there", &receiver.url(), QUEUE)]);
    let standing = Standing::start("", &rest).await;
    let with = |key: &str| {
        let key = Some(Secret::new(key));
        standing.firehose_with(|config| {
            config.access_key = key;
            config.retry_duration = Duration::ZERO;
        })
    };
    let house = |keys: &str| {
        let text = format!(
            "server: {{ access_keys: [{keys}], budget: 256MiB, shutdown_delay: 0s }}\n{rest}"
        );
        use sluicegate::config::{Source, load_within};
        load_within(Source::Content(&text), &|_| None, None)
    };
    let (old, new) = (format!("{{ name: test, key: {KEY} }}"), "{ name: next, key: another }");
    for (keys, old_is_good, new_is_good) in [
        (format!("{old}, {new}"), true, true),
        (new.to_owned(), false, true),
        (old.clone(), true, false),
    ] {
        standing.house.reload(house(&keys)).await.unwrap();
        for (key, is_good) in [(KEY, old_is_good), ("another", new_is_good)] {
            let (delivery, _) = send(&with(key), 1, 1).await;
            let status = if is_good { 200 } else { 401 };
            assert_eq!(delivery.statuses, [status], "{keys} {key}");
        }
    }
    let used = [("key", "next")];
    let figures = standing.figures().await;
    let last_used = figures.value("sluicegate_access_key_last_used_timestamp_seconds", &used);
    assert!(last_used > 0.0, "a reload does not forget");
    standing.house.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_change_is_refused_with_everything_else_that_is_wrong() {
    let receiver = Receiver::start().await.unwrap();
    let rest = destinations(&[to("there", &receiver.url(), QUEUE)]);
    let standing = Standing::start("", &rest).await;
    let firehose = standing.firehose_once();
    let bad_certificate =
        destinations(&[to("there", &receiver.url(), ", tls_config: { ca_file: /nowhere.pem }")]);
    for (server, rest, faults) in [
        (
            "  listen_address: 127.0.0.1:1\n  max_connections: 9",
            &rest,
            &["server.listen_address"][..],
        ),
        ("", &format!("telemetry: {{ enable_lifecycle: true }}\n{rest}"), &["telemetry.enable"]),
        ("", &format!("log: {{ format: text }}\n{rest}"), &["log.format"]),
        ("", &format!("cloudwatch: {{ namig: otel }}\n{rest}"), &["namig"]),
        ("  path: /other\n  idle_timeout: never", &bad_certificate, &["idle_timeout"]),
        ("  path: /other", &bad_certificate, &["/nowhere.pem"]),
    ] {
        let rejected = standing.reload(server, rest).await.unwrap_err().to_string();
        for fault in faults {
            assert!(rejected.contains(fault), "{rejected}");
        }
        let figures = standing.figures().await;
        assert_eq!(figures.value("sluicegate_config_last_reload_successful", &[]), 0.0);
        let (delivery, _) = send(&firehose, 1, 1).await;
        assert_taken(&delivery, "the old configuration stays in force");
    }
    standing.reload("  path: /firehose", &rest).await.unwrap();
    let figures = standing.figures().await;
    assert_eq!(figures.value("sluicegate_config_last_reload_successful", &[]), 1.0);
    standing.house.stop().await;
}
