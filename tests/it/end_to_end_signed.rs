//! A front of Amazon Managed Service for Prometheus that verifies signatures by itself takes every
//! request, the repeated ones and the metadata included.

use std::collections::BTreeSet;

use sluicegate::demo::firehose::Outcome;
use sluicegate::demo::records::records;
use sluicegate::demo::stream::{Format, MetricStream};

use super::amp_front::{AmpFront, Answer, Guard, Key};
use super::house::{Samples, Standing, assert_same, expected, flat, minute};

const METRICS: usize = 300;
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";

async fn front(secret: &str) -> AmpFront {
    let key = Key { id: "AKIDEXAMPLE".into(), secret: secret.into(), token: None };
    let (region, service) = ("eu-west-1".to_owned(), "aps".to_owned());
    AmpFront::start(Guard::Sigv4 { region, service, keys: vec![key] }).await
}

async fn house(front: &AmpFront, server: &str) -> Standing {
    let rest = format!(
        "remote_write:\n  - name: amp\n    url: \"{}\"\n    sigv4: {{ region: eu-west-1, \
         access_key: AKIDEXAMPLE, secret_key: {SECRET} }}\n    queue_config: {{ max_shards: 4, \
         max_samples_per_send: 100, min_backoff: 10ms, max_backoff: 100ms }}\n    \
         metadata_config: {{ send_interval: 1s }}",
        front.url("/workspaces/ws-x/api/v1/remote_write")
    );
    Standing::start(server, &rest).await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_request_is_accepted_and_repeated_ones_are_signed_again() {
    let front = front(SECRET).await;
    let standing = house(&front, "").await;
    // Troubles of every kind that is tried again, in the middle of the run.
    let troubles = [429, 503, 403, 500, 429, 403].map(|status| {
        let answer = Answer::new(status, "not now");
        // A second is the grain of a signature's time: what is sent later is signed anew.
        if status == 429 { answer.header("retry-after", "1") } else { answer }
    });
    front.script(troubles);
    let stream = MetricStream::new(METRICS, 1);
    let mut all = Samples::new();
    for (ago, format) in (1..=3).rev().zip(Format::ALL) {
        let points: Vec<_> = stream.points(minute(ago), 0..METRICS).collect();
        let delivery = standing.firehose(true).deliver(records(format, &points)).await;
        assert_eq!((delivery.outcome, delivery.attempts), (Outcome::Delivered, 1), "{delivery:?}");
        all.extend(expected(format, &points));
    }
    while front.metadata().is_empty() {
        let count = front.received().len();
        front.requests(count + 1).await;
    }
    standing.rest().await;
    standing.house.stop().await;
    assert_eq!(front.faults(), Vec::<String>::new());
    let series = front.samples().into_iter().map(|(labels, samples)| {
        (labels, samples.into_iter().map(|(at, v)| (at, v.to_bits())).collect::<Vec<_>>())
    });
    assert_same(&flat(series), &all, "signed");
    let received = front.received();
    assert!(received.iter().all(|one| one.uri == "/workspaces/ws-x/api/v1/remote_write"));
    // The same body went out again under another signature.
    for refused in received.iter().filter(|one| one.status == 429) {
        let signature = |headers: &hyper::HeaderMap| headers["authorization"].clone();
        let sent: Vec<_> = received.iter().filter(|one| one.body == refused.body).collect();
        let signatures: BTreeSet<_> =
            sent.iter().map(|one| signature(&one.headers).as_bytes().to_vec()).collect();
        assert!(sent.len() > 1 && signatures.len() > 1, "sent {} times", sent.len());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_secret_is_503_and_does_not_show() {
    let front = front("another secret").await;
    let standing = house(&front, "  request_deadline: 1s").await;
    let stream = MetricStream::new(20, 2);
    let points: Vec<_> = stream.points(minute(1), 0..20).collect();
    let delivery = standing.firehose_once().deliver(records(Format::Json, &points)).await;
    assert_eq!(delivery.statuses, [503], "{delivery:?}");
    let (_, message) = delivery.last_error.unwrap();
    assert!(message.contains("amp") && message.contains("403"), "{message}");
    assert!(!message.contains(SECRET), "{message}");
    assert!(front.samples().is_empty());
    standing.rest().await;
    standing.house.stop().await;
}
