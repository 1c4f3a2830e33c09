//! What comes again is not sent again: counted where it matters, at the receivers.

use std::time::Duration;

use sluicegate::demo::receiver::{Fault, Receiver};
use sluicegate::demo::records::records;
use sluicegate::demo::stream::{Format, MetricStream};

use super::house::{KEY, Standing, assert_same, expected, flat, minute};
use super::receive_door::{envelope, gzip};

const IDS: [&str; 3] = [
    "0f7d9b0e-6c8e-4d7e-9f0a-3b8f2f6d0001",
    "0f7d9b0e-6c8e-4d7e-9f0a-3b8f2f6d0002",
    "0f7d9b0e-6c8e-4d7e-9f0a-3b8f2f6d0003",
];

async fn post(url: &str, id: &str, body: Vec<u8>, packed: bool) -> u16 {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let request = client
        .post(url)
        .header("content-type", "application/json")
        .header("x-amz-firehose-protocol-version", "1.0")
        .header("x-amz-firehose-request-id", id)
        .header("x-amz-firehose-access-key", KEY);
    let request = match packed {
        true => request.header("content-encoding", "gzip").body(gzip(&body)),
        false => request.body(body),
    };
    request.send().await.unwrap().status().as_u16()
}

#[tokio::test(flavor = "multi_thread")]
async fn receivers_get_each_request_once() {
    let (a, b) = (Receiver::start().await.unwrap(), Receiver::start().await.unwrap());
    let entry = |name: &str, url: String| {
        format!(
            "  - {{ name: {name}, url: \"{url}\", metadata_config: {{ send: false }}, \
             queue_config: {{ min_backoff: 10ms, max_backoff: 100ms }} }}\n"
        )
    };
    let rest = format!("remote_write:\n{}{}", entry("a", a.url()), entry("b", b.url()));
    let standing = Standing::start("  request_deadline: 1500ms", &rest).await;
    let url = standing.ingest_url("/firehose");
    let requests = || [&a, &b].map(|receiver| receiver.read(|ledger| ledger.requests));

    // One metric is one series but for its name, so it is one remote-write request.
    let stream = MetricStream::new(3, 11);
    let points: Vec<_> = stream.points(minute(2), 0..3).collect();
    let bodies: Vec<Vec<u8>> = (0..3)
        .map(|metric| {
            let records = records(Format::OpenTelemetry10, &points[metric..=metric]);
            let records: Vec<&[u8]> = records.iter().map(Vec::as_slice).collect();
            envelope(IDS[metric], &records)
        })
        .collect();

    let send = |packed| post(&url, IDS[0], bodies[0].clone(), packed);
    let at_once = tokio::join!(send(false), send(true), send(false), send(true));
    assert_eq!(at_once, (200, 200, 200, 200));
    assert_eq!(requests(), [1, 1]);
    assert_eq!(send(true).await, 200);
    assert_eq!(requests(), [1, 1]);

    // One fails until the deadline; the retry comes at once, and the other one is left alone.
    b.set_fault(Fault::Outage);
    assert_eq!(post(&url, IDS[1], bodies[1].clone(), false).await, 503);
    assert_eq!(requests(), [2, 1]);
    b.set_fault(Fault::None);
    assert_eq!(post(&url, IDS[1], bodies[1].clone(), true).await, 200);
    assert_eq!(requests(), [2, 2]);

    // A client gives up early; its retry joins what is under way.
    b.set_fault(Fault::Outage);
    let hasty = post(&url, IDS[2], bodies[2].clone(), false);
    assert!(tokio::time::timeout(Duration::from_millis(300), hasty).await.is_err());
    let retry = post(&url, IDS[2], bodies[2].clone(), false);
    let recover = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        b.set_fault(Fault::None);
    };
    let (status, ()) = tokio::join!(retry, recover);
    assert_eq!(status, 200);
    assert_eq!(requests(), [3, 3]);

    let figures = standing.rest().await;
    let repeated = |outcome| {
        let labels = [("outcome", outcome)];
        figures.value("sluicegate_firehose_requests_repeated_total", &labels)
    };
    assert_eq!((repeated("joined") + repeated("settled"), repeated("resumed")), (5.0, 1.0));
    for receiver in [a, b] {
        let ledger = receiver.snapshot();
        assert_eq!((ledger.duplicates, ledger.conflicts), (0, 0));
        let stored =
            flat(ledger.series.into_iter().map(|(labels, series)| (labels, series.samples)));
        assert_same(&stored, &expected(Format::OpenTelemetry10, &points), "stored");
    }
    standing.house.stop().await;
}
