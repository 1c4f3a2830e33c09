//! Bodies at the edges of what Firehose sends: the largest, the emptiest, and those with strangers
//! among their records.

use std::collections::HashSet;

use serde_json::json;
use sluicegate::demo::firehose::Outcome;
use sluicegate::demo::receiver::Receiver;
use sluicegate::demo::records::records;
use sluicegate::demo::stream::{Format, MetricStream};

use super::house::{Samples, Standing, assert_same, expected, flat, minute};

/// Raw bytes that Firehose puts into a request at most.
const RAW_BYTES_MAX: usize = 64 << 20;

/// Metrics of the large body, and how long each of its dimension values is. Long ones keep the
/// number of samples, and so a debug build's time, small.
const METRICS: usize = 2500;
const DIMENSIONS: usize = 8;
const VALUE_BYTES: usize = 500;

async fn house(server: &str, receiver: &Receiver, statistics: &str) -> Standing {
    let rest = format!(
        "cloudwatch: {{ statistics: {statistics} }}\nremote_write:\n  - {{ name: there, url: \"{}\" }}",
        receiver.url()
    );
    Standing::start(server, &rest).await
}

const ALL: &str = "[sum, minimum, maximum, sample_count, average, extended]";

/// One data point of a metric; its value is told from its number and time.
fn line(metric: usize, at_ms: i64) -> Vec<u8> {
    let text = |at: usize| {
        // Not all alike, so that packing has some work with it.
        let mut value = String::with_capacity(VALUE_BYTES);
        let mut bits = (metric * DIMENSIONS + at + 1) as u64;
        while value.len() < VALUE_BYTES {
            bits = bits
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            value.push_str(&format!("{:08x}/", bits >> 32));
        }
        value
    };
    let mut dimensions: serde_json::Map<_, _> =
        (0..DIMENSIONS).map(|at| (format!("d{at}"), text(at).into())).collect();
    dimensions.insert("metric".into(), metric.to_string().into());
    let sum = value(metric, at_ms);
    let line = json!({
        "metric_stream_name": "large", "account_id": "111122223333", "region": "eu-west-1",
        "namespace": "Bulk", "metric_name": "Tons", "dimensions": dimensions, "timestamp": at_ms,
        "value": { "count": 1.0, "sum": sum, "min": sum, "max": sum }, "unit": "None",
    });
    let mut line = line.to_string().into_bytes();
    line.push(b'\n');
    line
}

fn value(metric: usize, at_ms: i64) -> f64 {
    (metric as f64 + 0.1) * (at_ms / 60_000) as f64
}

#[tokio::test(flavor = "multi_thread")]
async fn the_largest_legal_body_is_taken_plain_and_packed() {
    let receiver = Receiver::start().await.unwrap();
    let standing = house("", &receiver, "[sum]").await;
    let mut due = HashSet::new();
    for (gzip, begin_ms) in [(false, minute(50)), (true, minute(25))] {
        let (mut records, mut raw_bytes) = (Vec::new(), 0);
        'full: for at_ms in (begin_ms..).step_by(60_000) {
            for metric in 0..METRICS {
                let line = line(metric, at_ms);
                if raw_bytes + line.len() > RAW_BYTES_MAX {
                    break 'full;
                }
                raw_bytes += line.len();
                due.insert((metric, at_ms));
                records.push(line);
            }
        }
        // At most 10,000 records fit into a request.
        let records: Vec<_> = records.chunks(2).map(<[_]>::concat).collect();
        assert!(records.len() <= 10_000 && raw_bytes > RAW_BYTES_MAX - 8000);
        let delivery = standing.firehose_with(|config| {
            config.gzip = gzip;
            config.retry_duration = std::time::Duration::ZERO;
        });
        let delivery = delivery.deliver(records).await;
        assert_eq!(delivery.outcome, Outcome::Delivered, "gzip {gzip}: {delivery:?}");
    }
    let figures = standing.rest().await;
    assert_eq!(figures.outcomes("there"), [due.len() as f64, 0.0, 0.0, 0.0, 0.0, 0.0]);
    let largest = figures.value("sluicegate_firehose_request_body_bytes_sum", &[]);
    assert!(largest > 2.0 * 85e6, "{largest} bytes in two bodies");
    standing.house.stop().await;
    let ledger = receiver.snapshot();
    assert_eq!((ledger.stored, ledger.duplicates, ledger.conflicts), (due.len() as u64, 0, 0));
    assert_eq!((ledger.malformed, ledger.mislabelled, ledger.late), (0, 0, 0));
    assert_eq!(ledger.series.len(), METRICS);
    for (labels, series) in ledger.series {
        let metric = labels.iter().find(|(name, _)| name == "dimension_metric").unwrap();
        let metric = metric.1.parse().unwrap();
        let long = labels.iter().filter(|(_, value)| value.len() >= VALUE_BYTES).count();
        assert_eq!(long, DIMENSIONS, "of metric {metric}");
        for (at_ms, bits) in series.samples {
            assert!(due.remove(&(metric, at_ms)), "{metric} at {at_ms} was not sent");
            assert_eq!(bits, value(metric, at_ms).to_bits(), "{metric} at {at_ms}");
        }
    }
    assert!(due.is_empty(), "{} are missing", due.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn empty_records_are_nothing_to_object_to() {
    let receiver = Receiver::start().await.unwrap();
    for server in ["  on_undecodable: skip", "  on_undecodable: reject"] {
        let standing = house(server, &receiver, ALL).await;
        for gzip in [false, true] {
            let delivery = standing.firehose(gzip).deliver(vec![Vec::new(); 10_000]).await;
            assert_eq!(delivery.statuses, [200], "{server}, gzip {gzip}: {delivery:?}");
        }
        let figures = standing.rest().await;
        assert_eq!(figures.value("sluicegate_records_total", &[]), 20_000.0, "{server}");
        assert_eq!(figures.value("sluicegate_records_skipped_total", &[]), 0.0, "{server}");
        standing.house.stop().await;
    }
    assert_eq!(receiver.read(|ledger| ledger.stored), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_among_the_records_cost_nobody_else() {
    let stream = MetricStream::new(90, 5);
    let points: Vec<_> = stream.points(minute(2), 0..90).collect();
    // A message that was cut off.
    let mut cut = records(Format::OpenTelemetry10, &points[..1]).concat();
    cut.truncate(cut.len() - 3);
    let strangers: [(&str, &[u8]); 8] = [
        ("frame", &cut),
        ("foreign_json", b"{\"level\":\"info\",\"message\":\"hello\"}\n"),
        ("json", b"{\"namespace\":\"AWS/EC2\",\"metric_name\":\n"),
        ("field", b"{\"namespace\":\"N\",\"metric_name\":\"M\",\"timestamp\":\"soon\",\"value\":{\"count\":1}}\n"),
        ("unknown_format", b"<14>1 a line of syslog\n"),
        ("gzip_record", b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\x03\x00\x00\x00\x00\x00\x00\x00\x00\x00"),
        ("protobuf", b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"),
        ("utf8", b"{\"namespace\":\"N\xff\",\"metric_name\":\"M\",\"timestamp\":60000,\"value\":{\"count\":1.0}}\n"),
    ];
    for (policy, status) in [("skip", 200), ("reject", 400)] {
        let receiver = Receiver::start().await.unwrap();
        let standing = house(&format!("  on_undecodable: {policy}"), &receiver, ALL).await;
        let (mut sent, mut due) = (Vec::new(), Samples::new());
        for (number, piece) in points.chunks(10).enumerate() {
            let format = Format::ALL[number % 3];
            sent.extend(records(format, piece));
            due.extend(expected(format, piece));
            if let Some((_, stranger)) = strangers.get(number) {
                sent.push(stranger.to_vec());
            }
        }
        let delivery = standing.firehose_once().deliver(sent).await;
        assert_eq!(delivery.statuses, [status], "{policy}: {delivery:?}");
        assert!(delivery.breaches.is_empty(), "{policy}: {delivery:?}");
        let figures = standing.rest().await;
        for (reason, piece) in strangers {
            let skipped = figures.value("sluicegate_records_skipped_total", &[("reason", reason)]);
            assert_eq!(skipped, 1.0, "{policy}: {reason}: {}", piece.escape_ascii());
            if let Some((_, message)) = &delivery.last_error {
                assert!(message.contains(reason), "{policy}: `{reason}` is not in: {message}");
            }
        }
        let skipped = figures.value("sluicegate_records_skipped_total", &[]);
        assert_eq!(skipped, strangers.len() as f64, "{policy}");
        standing.house.stop().await;
        let series = receiver.snapshot().series.into_iter();
        assert_same(&flat(series.map(|(labels, series)| (labels, series.samples))), &due, policy);
    }
}
