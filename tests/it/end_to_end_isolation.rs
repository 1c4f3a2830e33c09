//! A real Prometheus without an out-of-order window rolls a whole request back for one bad sample.
//! The good ones are stored nevertheless, and each bad one is counted with its reason.

use sluicegate::demo::firehose::Outcome;
use sluicegate::demo::records::records;
use sluicegate::demo::stream::{Format, MetricStream, Point};

use super::house::{Samples, Standing, assert_same, expected, flat, minute};
use super::prometheus::{Options, Prometheus};

const METRICS: usize = 1000;

/// What is wrong with some of a request's data points.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Wrong {
    /// Prometheus has newer samples of the series.
    Late,
    /// Older than all that Prometheus's head still takes.
    Ancient,
    /// The same time is stored with another value.
    Changed,
}

impl Wrong {
    const fn reason(self) -> &'static str {
        match self {
            Self::Late => "out_of_order",
            Self::Ancient => "too_old",
            Self::Changed => "duplicate",
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_bad_sample_among_a_thousand_costs_no_other() {
    let cases: [(Wrong, &[usize], Format); 8] = [
        (Wrong::Late, &[500], Format::Json),
        (Wrong::Late, &[0], Format::OpenTelemetry10),
        (Wrong::Late, &[999], Format::OpenTelemetry07),
        (Wrong::Late, &[1, 499, 998], Format::Json),
        (Wrong::Changed, &[0], Format::OpenTelemetry10),
        (Wrong::Changed, &[333, 334, 999], Format::Json),
        (Wrong::Ancient, &[500], Format::Json),
        (Wrong::Ancient, &[0, 1, 999], Format::OpenTelemetry10),
    ];
    let server = Prometheus::start(Options::default()).await;
    for (number, (wrong, bad, format)) in cases.into_iter().enumerate() {
        let case = format!("{wrong:?} {bad:?} {format}");
        // One lane, so that the samples come in the order of the data points; then several.
        let lanes = if number % 3 == 2 { 4 } else { 1 };
        let rest = format!(
            "cloudwatch: {{ statistics: [sum] }}\nremote_write:\n  - {{ name: there, url: \"{}\", \
             queue_config: {{ max_shards: {lanes}, max_samples_per_send: 1000 }}, \
             metadata_config: {{ send: false }} }}",
            server.remote_write_url()
        );
        let standing = Standing::start("", &rest).await;
        let firehose = standing.firehose(true);
        // Roll-ups have no identity of their own in the stream: leave them out, case by case apart.
        let stream = MetricStream::new(METRICS + 100, 100 + number as u64);
        let at_ms = minute(30);
        let metrics = 100..METRICS + 100;
        let mut points: Vec<Point<'_>> = stream.points(at_ms, metrics).collect();

        // What Prometheus has before.
        let before: Vec<Point<'_>> = bad
            .iter()
            .map(|index| {
                let point = points[*index].clone();
                match wrong {
                    Wrong::Late => Point { start_ms: at_ms + 60_000, ..point },
                    Wrong::Changed => Point { sum: point.sum + 1.0, ..point },
                    Wrong::Ancient => Point { start_ms: minute(0), ..point },
                }
            })
            .collect();
        if wrong == Wrong::Ancient {
            for index in bad {
                points[*index].start_ms = at_ms - 4 * 3_600_000;
            }
        }
        let delivery = firehose.deliver(records(format, &before)).await;
        assert_eq!(delivery.outcome, Outcome::Delivered, "{case}: {delivery:?}");

        let delivery = firehose.deliver(records(format, &points)).await;
        assert_eq!((delivery.outcome, delivery.attempts), (Outcome::Delivered, 1), "{case}");

        let figures = standing.rest().await;
        let (stored, refused) = ((METRICS - bad.len() + before.len()) as f64, bad.len() as f64);
        let outcomes = figures.outcomes("there");
        assert_eq!(outcomes, [stored, 0.0, refused, 0.0, 0.0, 0.0], "{case}");
        let refusals = figures.value("sluicegate_samples_refused_total", &[]);
        assert_eq!(refusals, refused, "{case}\n{}", figures.0);
        // An old sample of a series that has newer ones is out of order and too old at once.
        let reasons = figures.refused("there", wrong.reason());
        assert_eq!(reasons, refused, "{case}\n{}", figures.0);
        let extra = figures.value("sluicegate_remote_write_isolation_requests_total", &[]);
        assert!(extra <= 24.0 * refused, "{case}: {extra} extra requests");

        let mut due: Samples = sums(format, &before);
        due.extend(sums(
            format,
            points.iter().enumerate().filter(|(i, _)| !bad.contains(i)).map(|(_, p)| p),
        ));
        let export = server.query_export(r#"{__name__=~".+"}"#, 0, minute(0)).await;
        let mut stored = flat(export);
        stored.retain(|key, _| due.contains_key(key));
        assert_same(&stored, &due, &case);
        let mut whole = sums(format, &points);
        whole.retain(|key, _| !due.contains_key(key));
        let export = flat(server.query_export(r#"{__name__=~".+"}"#, 0, minute(0)).await);
        assert!(whole.keys().all(|key| !export.contains_key(key)), "{case}: a bad one is stored");
        standing.house.stop().await;
    }
}

fn sums<'a, 'b: 'a>(format: Format, points: impl IntoIterator<Item = &'a Point<'b>>) -> Samples {
    let points: Vec<_> = points.into_iter().cloned().collect();
    let mut samples = expected(format, &points);
    samples.retain(|(labels, _), _| labels["__name__"].ends_with("_sum"));
    samples
}
