//! Several destinations: none harms another, and what is routed to one reaches no other.

use std::time::Duration;

use sluicegate::demo::firehose::{Delivery, Outcome};
use sluicegate::demo::receiver::{Fault, Ledger, Receiver};
use sluicegate::demo::records::records;
use sluicegate::demo::stream::{Format, MetricStream};
use sluicegate::tasks::Tasks;
use tokio::net::TcpListener;
use tokio::time::Instant;

use super::house::{Samples, Standing, assert_same, expected, flat, minute};

const METRICS: usize = 200;
const DEADLINE: Duration = Duration::from_millis(1500);

fn entry(name: &str, url: &str, more: &str) -> String {
    format!(
        "  - {{ name: {name}, url: \"{url}\", queue_config: {{ max_shards: 2, min_backoff: 10ms, \
         max_backoff: 100ms }}{more} }}\n"
    )
}

fn stored(ledger: Ledger) -> Samples {
    assert_eq!((ledger.conflicts, ledger.malformed, ledger.mislabelled), (0, 0, 0));
    flat(ledger.series.into_iter().map(|(labels, series)| (labels, series.samples)))
}

/// Sends five minutes, one after the other; how it went, how long it took, and the samples.
async fn send(standing: &Standing, seed: u64) -> (Vec<Delivery>, Duration, Samples) {
    let stream = MetricStream::new(METRICS, seed);
    let firehose = standing.firehose_once();
    let (mut deliveries, mut all) = (Vec::new(), Samples::new());
    let begun = Instant::now();
    for ago in (1..=5).rev() {
        let points: Vec<_> = stream.points(minute(ago), 0..METRICS).collect();
        let format = Format::ALL[ago as usize % 3];
        deliveries.push(firehose.deliver(records(format, &points)).await);
        all.extend(expected(format, &points));
    }
    (deliveries, begun.elapsed(), all)
}

async fn house(destinations: &str) -> Standing {
    let server = format!("  request_deadline: {}ms", DEADLINE.as_millis());
    Standing::start(&server, &format!("remote_write:\n{destinations}")).await
}

/// Takes connections and never answers.
async fn silent() -> (String, Tasks) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/write", listener.local_addr().unwrap());
    let tasks = Tasks::new();
    tasks.spawn(async move {
        let mut held = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            held.push(stream);
        }
    });
    (url, tasks)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_best_effort_destination_changes_neither_status_nor_latency() {
    let good = Receiver::start().await.unwrap();
    let alone = house(&entry("good", &good.url(), "")).await;
    let (_, usual, _) = send(&alone, 1).await;
    alone.house.stop().await;

    let down = Receiver::start().await.unwrap();
    down.set_fault(Fault::Outage);
    let (slow_url, _tasks) = silent().await;
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let closed_url = format!("http://{}/write", closed.local_addr().unwrap());
    drop(closed);
    for (row, url) in [("down", down.url()), ("slow", slow_url), ("closed", closed_url)] {
        let good = Receiver::start().await.unwrap();
        let bad = entry("bad", &url, ", required: false");
        let standing = house(&(bad + &entry("good", &good.url(), ""))).await;
        let (deliveries, took, samples) = send(&standing, 2).await;
        for delivery in &deliveries {
            assert_eq!(delivery.statuses, [200], "{row}: {delivery:?}");
        }
        // One wait for the bad one would be its backoff or the deadline, five times.
        assert!(took < usual * 4 + Duration::from_millis(400), "{row}: {took:?}, usual {usual:?}");
        assert_same(&stored(good.snapshot()), &samples, row);
        let count = samples.len() as f64;
        let figures = standing.figures().await;
        assert_eq!(figures.outcomes("good"), [count, 0.0, 0.0, 0.0, 0.0, 0.0], "{row}");
        let figures = standing.rest().await;
        assert_eq!(figures.outcomes("bad"), [0.0, 0.0, 0.0, 0.0, count, 0.0], "{row}");
        standing.house.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_required_destination_is_503_and_nothing_is_missing_after_its_recovery() {
    let (good, bad) = (Receiver::start().await.unwrap(), Receiver::start().await.unwrap());
    bad.set_fault(Fault::HangUp);
    let destinations = entry("good", &good.url(), "") + &entry("bad", &bad.url(), "");
    let standing = house(&destinations).await;
    let stream = MetricStream::new(METRICS, 3);
    let points: Vec<_> = stream.points(minute(10), 0..METRICS).collect();
    let (format, samples) = (Format::Json, expected(Format::Json, &points));
    let begun = Instant::now();
    let delivery = standing.firehose_once().deliver(records(format, &points)).await;
    assert!(begun.elapsed() < DEADLINE + Duration::from_millis(700), "{:?}", begun.elapsed());
    assert_eq!((delivery.outcome, &delivery.statuses[..]), (Outcome::Backup, &[503][..]));
    let (_, message) = delivery.last_error.unwrap();
    assert!(message.contains("bad") && !message.contains("good"), "{message}");
    let figures = standing.rest().await;
    let count = samples.len() as f64;
    assert_eq!(figures.outcomes("good"), [count, 0.0, 0.0, 0.0, 0.0, 0.0]);
    assert_eq!(figures.outcomes("bad"), [0.0, 0.0, 0.0, 0.0, 0.0, count]);

    // It recovers while Firehose tries again.
    let firehose = standing.firehose(true);
    let again = firehose.deliver(records(format, &points));
    let recover = async {
        bad_requests(&bad, 4).await;
        bad.set_fault(Fault::None);
    };
    let (delivery, ()) = tokio::join!(again, recover);
    assert_eq!(delivery.outcome, Outcome::Delivered, "{delivery:?}");
    let (deliveries, _, mut all) = send(&standing, 4).await;
    assert!(deliveries.iter().all(|delivery| delivery.statuses == [200]), "{deliveries:?}");
    all.extend(samples);
    standing.rest().await;
    for (name, receiver) in [("good", good), ("bad", bad)] {
        assert_same(&stored(receiver.snapshot()), &all, name);
    }
    standing.house.stop().await;
}

/// Waits until a receiver has refused so many requests more.
async fn bad_requests(receiver: &Receiver, count: u64) {
    let refused = || receiver.read(|ledger| ledger.refused);
    let before = refused();
    while refused() < before + count {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_blames_the_destination_that_is_to_blame() {
    let down = Receiver::start().await.unwrap();
    down.set_fault(Fault::Outage);
    let (url, _tasks) = silent().await;
    // The best-effort one fails loudly all the time; the required one is the one that is missed.
    let destinations = entry("loud", &down.url(), ", required: false")
        + &entry("mute", &url, ", remote_timeout: 1s");
    let standing = house(&destinations).await;
    for seed in 6..9 {
        let stream = MetricStream::new(METRICS, seed);
        let points: Vec<_> = stream.points(minute(2), 0..METRICS).collect();
        let firehose = standing.firehose_once();
        let delivery = firehose.deliver(records(Format::Json, &points)).await;
        assert_eq!(delivery.statuses, [503], "{delivery:?}");
        let (_, message) = delivery.last_error.unwrap();
        assert!(message.contains("`mute`") && message.contains("no answer"), "{message}");
        assert!(!message.contains("loud") && !message.contains("out of order"), "{message}");
    }
    standing.rest().await;
    standing.house.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn relabelling_routes_namespaces_and_accounts() {
    let (compute, rest, all) = (
        Receiver::start().await.unwrap(),
        Receiver::start().await.unwrap(),
        Receiver::start().await.unwrap(),
    );
    let rule = |action| {
        format!(
            ", write_relabel_configs: [{{ source_labels: [namespace], \
             regex: \"AWS/EC2|AWS/Lambda\", action: {action} }}]"
        )
    };
    let destinations = entry("compute", &compute.url(), &rule("keep"))
        + &entry("rest", &rest.url(), &rule("drop"))
        + &entry("all", &all.url(), "");
    let standing = house(&destinations).await;
    let (deliveries, _, samples) = send(&standing, 5).await;
    assert!(deliveries.iter().all(|delivery| delivery.statuses == [200]), "{deliveries:?}");
    let figures = standing.rest().await;
    let routed = |is: bool| {
        let mut some = samples.clone();
        some.retain(|(labels, _), _| {
            ["AWS/EC2", "AWS/Lambda"].contains(&labels["namespace"].as_str()) == is
        });
        some
    };
    for (name, receiver, due) in
        [("compute", compute, routed(true)), ("rest", rest, routed(false)), ("all", all, samples)]
    {
        assert_same(&stored(receiver.snapshot()), &due, name);
        assert_eq!(figures.outcomes(name)[0], due.len() as f64, "{name}");
    }
    standing.house.stop().await;
}
