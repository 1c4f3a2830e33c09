//! The receiver and the books of the demo.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::HashMap;
use std::time::Duration;

use prost::Message as _;
use sluicegate::demo::books::{Balance, Plan, Tally, Thousands};
use sluicegate::demo::firehose::{Delivery, Outcome};
use sluicegate::demo::receiver::wire::{Label, Sample, TimeSeries, WriteRequest};
use sluicegate::demo::receiver::{Fault, Ledger, Receiver, Series, exposition};
use sluicegate::demo::stream::{Format, MetricStream};

fn series(labels: &[(&str, &str)], samples: &[(i64, f64)]) -> TimeSeries {
    let labels = labels.iter();
    let samples = samples.iter();
    TimeSeries {
        labels: labels
            .map(|(name, value)| Label { name: (*name).into(), value: (*value).into() })
            .collect(),
        samples: samples.map(|&(timestamp, value)| Sample { value, timestamp }).collect(),
    }
}

async fn send(receiver: &Receiver, timeseries: Vec<TimeSeries>) -> (u16, Option<String>) {
    let raw = WriteRequest { timeseries, metadata: Vec::new() }.encode_to_vec();
    let body = snap::raw::Encoder::new().compress_vec(&raw).unwrap();
    let answer = reqwest::Client::builder()
        .no_proxy()
        .build()
        .unwrap()
        .post(receiver.url())
        .header("content-encoding", "snappy")
        .header("content-type", "application/x-protobuf")
        .header("x-prometheus-remote-write-version", "0.1.0")
        .body(body)
        .send()
        .await;
    let Ok(answer) = answer else { return (0, None) };
    let after = answer.headers().get("retry-after").map(|v| v.to_str().unwrap().to_owned());
    (answer.status().as_u16(), after)
}

#[tokio::test]
async fn the_receiver_counts_each_sample_once_and_everything_odd() {
    let receiver = Receiver::start().await.unwrap();
    let one = [("__name__", "a"), ("job", "x")];
    for (samples, what) in [
        (&[(1_000, 1.0), (3_000, 0.1)][..], "two new ones"),
        (&[(1_000, 1.0)], "the same again"),
        (&[(3_000, 0.1_f64.next_up())], "another value, if only by one bit"),
        (&[(2_000, f64::NAN)], "a late one"),
    ] {
        assert_eq!(send(&receiver, vec![series(&one, samples)]).await.0, 200, "{what}");
    }
    send(&receiver, vec![series(&[("job", "x"), ("__name__", "a")], &[(1_000, 5.0)])]).await;
    send(&receiver, vec![series(&[("__name__", "b"), ("job", "")], &[])]).await;
    let ledger = receiver.snapshot();
    let (stored, duplicates, conflicts) = (ledger.stored, ledger.duplicates, ledger.conflicts);
    assert_eq!((stored, duplicates, conflicts, ledger.late), (4, 1, 1, 1));
    assert_eq!((ledger.requests, ledger.mislabelled), (6, 2));
    let labels: Vec<_> = one.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let held = &ledger.series[&labels];
    assert_eq!(held.at(1_000), Some(1.0_f64.to_bits()));
    assert_eq!(held.at(3_000), Some(0.1_f64.to_bits()), "the first value is kept");
    assert_eq!(held.at(4_000), None);
    assert_eq!(exposition(&labels), r#"a{job="x"}"#);

    let plain = reqwest::Client::builder().no_proxy().build().unwrap();
    let answer = plain.post(receiver.url()).body("hello").send().await.unwrap();
    assert_eq!(answer.status(), 400);
    assert_eq!(receiver.snapshot().malformed, 1);
}

#[tokio::test]
async fn a_connection_that_is_hung_up_on_is_reset() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let receiver = Receiver::start().await.unwrap();
    receiver.set_fault(Fault::HangUp);
    let url = receiver.url();
    let address = url.strip_prefix("http://").unwrap().split('/').next().unwrap();
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let request = b"POST /api/v1/write HTTP/1.1\r\nhost: there\r\ncontent-length: 0\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let end = stream.read(&mut [0; 100]).await.unwrap_err();
    assert_eq!(end.kind(), std::io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn faults_refuse_or_lose_their_answers() {
    let receiver = Receiver::start().await.unwrap();
    let one = || vec![series(&[("__name__", "a")], &[(1_000, 1.0)])];
    receiver.set_fault(Fault::Outage);
    assert_eq!(send(&receiver, one()).await, (503, None));
    receiver.set_fault(Fault::HangUp);
    assert_eq!(send(&receiver, one()).await, (0, None));
    let retry_after = Some(Duration::from_secs(3));
    receiver.set_fault(Fault::Throttle { one_in: 2, retry_after });
    assert_eq!(receiver.snapshot().stored, 0);
    assert_eq!(send(&receiver, one()).await, (200, None));
    assert_eq!(send(&receiver, one()).await, (429, Some("3".to_owned())));
    receiver.ensure_fault(Fault::Throttle { one_in: 2, retry_after });
    assert_eq!(send(&receiver, one()).await.0, 200);
    assert_eq!(send(&receiver, one()).await.0, 429, "an ensured fault goes on where it was");
    receiver.ensure_fault(Fault::None);
    assert_eq!(send(&receiver, one()).await.0, 200);
    receiver.set_fault(Fault::Hang);
    let hung = tokio::time::timeout(Duration::from_millis(300), send(&receiver, one())).await;
    assert!(hung.is_err(), "it answered {hung:?}");
    let ledger = receiver.snapshot();
    assert_eq!((ledger.refused, ledger.requests, ledger.duplicates), (5, 3, 2));
    receiver.set_fault(Fault::LoseAnswers);
    assert_eq!(send(&receiver, one()).await, (0, None));
    let ledger = receiver.snapshot();
    assert_eq!((ledger.refused, ledger.requests, ledger.unanswered), (5, 4, 1));
}

fn delivery(outcome: Outcome) -> Delivery {
    Delivery {
        outcome,
        attempts: 2,
        statuses: Vec::new(),
        breaches: Vec::new(),
        latency: Duration::from_millis(5),
        request_id: String::new(),
        last_error: None,
    }
}

/// A plan of two minutes with three requests each, all sent and acknowledged, and the ledger that
/// must come of it.
fn all_well() -> (Plan, Tally, Ledger) {
    let plan = Plan {
        stream: MetricStream::new(250, 11),
        minutes: vec![60_000, 120_000],
        points_per_request: 100,
        formats: vec![Format::Json, Format::OpenTelemetry10],
    };
    let mut tally = Tally::default();
    let mut ledger = Ledger::default();
    assert_eq!(plan.requests_per_minute(), 3);
    for minute in 0..plan.minutes.len() {
        for request in 0..plan.requests_per_minute() {
            let format = plan.format(minute, request);
            let points: Vec<_> = plan.points(minute, request).collect();
            tally.send((minute, request), points.len());
            assert_eq!(tally.in_flight(), 1);
            tally.settle((minute, request), points.len(), delivery(Outcome::Delivered));
            for point in points {
                for (suffix, value) in point.samples(format) {
                    let series = ledger.series.entry(point.metric.labels(suffix)).or_default();
                    series.samples.push((point.start_ms, value.to_bits()));
                    ledger.stored += 1;
                }
            }
        }
    }
    (plan, tally, ledger)
}

#[test]
fn books_of_a_stream_that_went_well_balance() {
    let (plan, tally, ledger) = all_well();
    let balance = Balance::of(&plan, &tally, &ledger);
    assert_eq!((balance.missing, balance.wrong, balance.unexpected), (0, 0, 0));
    assert_eq!(balance.owed, ledger.stored);
    assert!(balance.owed > 2 * 250 * 4, "at least four samples of a data point");
    assert_eq!((tally.sent, tally.acknowledged, tally.retries), (500, 500, 6));
    assert_eq!((tally.attempts, balance.points_stored), (12, 500));
    assert_eq!(tally.latency(0.99), Duration::from_millis(5));
}

#[test]
fn books_find_every_sample_that_does_not_fit() {
    let balance_with = |spoil: fn(&mut HashMap<_, Series>)| {
        let (plan, tally, mut ledger) = all_well();
        spoil(&mut ledger.series);
        ledger.stored = ledger.series.values().map(|series| series.samples.len() as u64).sum();
        let balance = Balance::of(&plan, &tally, &ledger);
        let whole = balance.missing == 0 && balance.wrong == 0;
        assert_eq!(balance.points_stored == 500, whole, "{balance:?}");
        (balance.missing, balance.wrong, balance.unexpected)
    };
    fn first(series: &mut HashMap<Vec<(String, String)>, Series>) -> &mut Series {
        series.values_mut().next().unwrap()
    }
    assert_eq!(balance_with(|all| _ = first(all).samples.pop()), (1, 0, 0));
    assert_eq!(balance_with(|all| first(all).samples[0].1 ^= 1), (0, 1, 0));
    assert_eq!(balance_with(|all| first(all).samples.push((180_000, 0))), (0, 0, 1));
    let astray = |all: &mut HashMap<Vec<(String, String)>, Series>| {
        let mut labels = all.keys().find(|l| l.iter().any(|l| l.1 == "us-east-1")).unwrap().clone();
        let series = all.remove(&labels).unwrap();
        labels.iter_mut().find(|label| label.1 == "us-east-1").unwrap().1 = "us-west-1".to_owned();
        all.insert(labels, series);
    };
    let (missing, wrong, unexpected) = balance_with(astray);
    assert!(missing > 0 && missing == unexpected && wrong == 0, "{missing} {wrong} {unexpected}");
}

#[test]
fn what_is_not_acknowledged_is_not_owed_but_may_be_stored() {
    let (plan, mut tally, mut ledger) = all_well();
    assert!(tally.acknowledged_requests.remove(&(1, 2)));
    let balance = Balance::of(&plan, &tally, &ledger);
    assert_eq!((balance.missing, balance.wrong, balance.unexpected), (0, 0, 0));
    assert!(balance.owed < ledger.stored);
    // Metric 249 is in the request that was not acknowledged.
    let labels = plan.stream.metrics()[249].labels("sum");
    ledger.series.get_mut(&labels).unwrap().samples.pop();
    ledger.stored -= 1;
    assert_eq!(Balance::of(&plan, &tally, &ledger).missing, 0);
    tally.settle((1, 2), 50, delivery(Outcome::Backup));
    assert_eq!((tally.given_up, tally.in_flight()), (1, 0));
}

#[test]
fn thousands_are_set_apart() {
    for (number, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567")] {
        assert_eq!(Thousands(number).to_string(), text);
    }
    assert_eq!(format!("{:>6}|", Thousands(1_000)), " 1,000|");
}
