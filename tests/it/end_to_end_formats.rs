//! Every format, compressed or not, alone or mixed in one request, into a real Prometheus and back
//! out of it to the bit.

use sluicegate::demo::firehose::Outcome;
use sluicegate::demo::receiver::Receiver;
use sluicegate::demo::records::records;
use sluicegate::demo::stream::{Format, MetricStream};

use super::house::{Samples, Standing, assert_same, expected, flat, minute};
use super::prometheus::{Options, Prometheus};

const METRICS: usize = 300;

fn destination(url: &str) -> String {
    format!("remote_write:\n  - {{ name: there, url: \"{url}\", remote_timeout: 10s }}")
}

#[tokio::test(flavor = "multi_thread")]
async fn prometheus_holds_what_was_sent_in_each_format() {
    // No late samples here: the order of the lanes must do without the out-of-order window.
    let server = Prometheus::start(Options::default()).await;
    let standing = Standing::start("", &destination(&server.remote_write_url())).await;
    let stream = MetricStream::new(METRICS, 7);
    let formats =
        [vec![Format::Json], vec![Format::OpenTelemetry07], vec![Format::OpenTelemetry10]];
    let cases = formats.into_iter().chain([Format::ALL.to_vec()]);
    let cases: Vec<_> =
        cases.flat_map(|formats| [false, true].map(|gzip| (formats.clone(), gzip))).collect();
    let first_ms = minute(20);
    let mut all = Samples::new();
    for ((formats, gzip), start_ms) in cases.into_iter().zip((first_ms..).step_by(60_000)) {
        let points: Vec<_> = stream.points(start_ms, 0..METRICS).collect();
        // Pieces of ten data points in turn: neighbours within a request differ in format.
        let (mut sent, mut due) = (Vec::new(), Samples::new());
        for (piece, format) in points.chunks(10).zip(formats.iter().copied().cycle()) {
            sent.extend(records(format, piece));
            due.extend(expected(format, piece));
        }
        let delivery = standing.firehose(gzip).deliver(sent).await;
        assert_eq!((delivery.outcome, delivery.attempts), (Outcome::Delivered, 1), "{delivery:?}");
        let export = server.query_export(r#"{__name__=~".+"}"#, start_ms, start_ms + 59_999).await;
        assert_same(&flat(export), &due, &format!("{formats:?}, gzip {gzip}"));
        all.extend(due);
    }
    let export = server.query_export(r#"{__name__=~".+"}"#, 0, minute(0)).await;
    assert_same(&flat(export), &all, "all that was sent");
    let figures = standing.rest().await;
    assert_eq!(figures.outcomes("there"), [all.len() as f64, 0.0, 0.0, 0.0, 0.0, 0.0]);
    // Each of the three was told from the bytes, also where they were mixed.
    for format in ["json", "opentelemetry0.7", "opentelemetry1.0"] {
        let points = figures.value("sluicegate_datapoints_total", &[("format", format)]);
        assert_eq!(points, (2 * METRICS + 2 * METRICS / 3) as f64, "{format}\n{}", figures.0);
    }
    standing.house.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_data_gives_the_same_series_in_each_format() {
    let stream = MetricStream::new(METRICS, 11);
    let points: Vec<_> = stream.points(minute(5), 0..METRICS).collect();
    let mut stored = Vec::new();
    for format in Format::ALL {
        let receiver = Receiver::start().await.unwrap();
        let standing = Standing::start("", &destination(&receiver.url())).await;
        let delivery = standing.firehose(true).deliver(records(format, &points)).await;
        assert_eq!(delivery.outcome, Outcome::Delivered, "{delivery:?}");
        standing.rest().await;
        standing.house.stop().await;
        let ledger = receiver.snapshot();
        assert_eq!((ledger.mislabelled, ledger.malformed, ledger.duplicates), (0, 0, 0));
        stored.push(flat(ledger.series.into_iter().map(|(k, v)| (k, v.samples))));
    }
    let [json, otlp07, otlp10] = stored.try_into().unwrap();
    assert_same(&otlp07, &otlp10, "0.7 and 1.0");
    assert_same(&json, &expected(Format::Json, &points), "JSON");
    // OpenTelemetry carries percentiles only: JSON's other statistics are beside the point.
    let mut shared = json.clone();
    shared.retain(|(labels, _), _| !labels["__name__"].contains("_tm_"));
    assert_same(&otlp10, &shared, "1.0 and JSON");
    assert!(json.len() > otlp10.len(), "JSON carried a trimmed mean");
}
