//! What the door counts. Label values that come from outside are bounded.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use metrics::{Counter, Gauge, Histogram};
use tracing::error;

use super::reply::now_ms;
use super::skips::Skips;
use crate::decode::{Format, Reason};
use crate::map::{LimitKind, Limited, Mapper};
use crate::meters::{self, Meters, Weighted};
use crate::sample::Freshness;
use crate::seldom::Seldom;

/// Delivery streams with a gauge of their own.
const STREAMS_MAX: usize = 1_000;
/// Namespaces with a histogram of their own.
const NAMESPACES_MAX: usize = 100;
/// Namespaces that are named when a limit is met: those with the most series.
const NAMESPACES_NAMED: usize = 3;
/// The label value of those beyond.
const OTHER: &str = "other";
/// Statuses that can be answered on the Firehose path, shown from the start.
const CODES: [&str; 7] = ["200", "400", "401", "403", "405", "500", "503"];

/// The door's metrics.
#[derive(Debug)]
pub(super) struct Books {
    meters: Meters,
    requests: [Counter; CODES.len()],
    pub(super) joined: Counter,
    pub(super) remembered: Counter,
    pub(super) resumed: Counter,
    duration: Histogram,
    wire_bytes: Histogram,
    body_bytes: Histogram,
    pub(super) panics: Counter,
    records: Counter,
    skipped: Vec<Counter>,
    datapoints: [Counter; 3],
    hits: Counter,
    misses: Counter,
    evictions: Counter,
    limited: [(Counter, Seldom); LimitKind::ALL.len()],
    streams: Bounded<Gauge>,
    stream_points: Bounded<Counter>,
    ages: Bounded<Arc<Weighted>>,
}

/// What decoding a request yielded, in numbers.
#[derive(Debug, Default)]
pub(super) struct Yield {
    pub(super) records: u64,
    /// Once per request, however many batches it makes.
    pub(super) body_bytes: Option<u64>,
    pub(super) points_by_format: [u64; 3],
    pub(super) hits: u64,
    pub(super) misses: u64,
    pub(super) evictions: u64,
    pub(super) conflicts: Vec<(&'static str, u64)>,
    /// By destination.
    pub(super) superseded: Vec<u64>,
    pub(super) limited: Limited,
}

impl Books {
    pub(super) fn new(meters: &Meters) -> Self {
        let skipped = |reason: Reason| meters.counter(&meters::RECORDS_SKIPPED, &[reason.name()]);
        let repeated = |outcome| meters.counter(&meters::FIREHOSE_REQUESTS_REPEATED, &[outcome]);
        Self {
            joined: repeated("joined"),
            remembered: repeated("settled"),
            resumed: repeated("resumed"),
            requests: CODES.map(|code| meters.counter(&meters::FIREHOSE_REQUESTS, &[code])),
            duration: meters.histogram(&meters::FIREHOSE_REQUEST_DURATION, &[]),
            wire_bytes: meters.histogram(&meters::FIREHOSE_REQUEST_WIRE, &[]),
            body_bytes: meters.histogram(&meters::FIREHOSE_REQUEST_BODY, &[]),
            panics: meters.counter(&meters::PANICS, &[]),
            records: meters.counter(&meters::RECORDS, &[]),
            skipped: Reason::ALL.map(skipped).to_vec(),
            datapoints: Format::ALL
                .map(|format| meters.counter(&meters::DATAPOINTS, &[format.name()])),
            hits: meters.counter(&meters::SERIES_CACHE_HITS, &[]),
            misses: meters.counter(&meters::SERIES_CACHE_MISSES, &[]),
            evictions: meters.counter(&meters::SERIES_CACHE_EVICTIONS, &[]),
            limited: LimitKind::ALL.map(|kind| {
                let counter = meters.counter(&meters::SERIES_LIMITED, &[kind.name()]);
                (counter, Seldom::default())
            }),
            streams: Bounded::new(STREAMS_MAX),
            stream_points: Bounded::new(STREAMS_MAX),
            ages: Bounded::new(NAMESPACES_MAX),
            meters: meters.clone(),
        }
    }

    /// A request was answered.
    pub(super) fn answered(&self, status: u16, took: Duration) {
        let code = CODES.iter().position(|code| code.parse() == Ok(status));
        if let Some(counter) = code.and_then(|code| self.requests.get(code)) {
            counter.increment(1);
        }
        self.duration.record(took.as_secs_f64());
    }

    /// A body was read.
    pub(super) fn read(&self, wire_bytes: usize) {
        self.wire_bytes.record(wire_bytes as f64);
    }

    /// A body of a stream was decoded.
    pub(super) fn decoded(&self, stream: &str, numbers: &Yield, skips: &Skips) {
        if let Some(body_bytes) = numbers.body_bytes {
            self.body_bytes.record(body_bytes as f64);
        }
        self.records.increment(numbers.records);
        for (reason, pieces) in skips.counts() {
            let place = Reason::ALL.iter().position(|known| *known == reason);
            if let Some(counter) = place.and_then(|place| self.skipped.get(place)) {
                counter.increment(pieces);
            }
        }
        for (counter, points) in self.datapoints.iter().zip(numbers.points_by_format) {
            counter.increment(points);
        }
        let counter = |name: &str| self.meters.counter(&meters::STREAM_DATAPOINTS, &[name]);
        let points = numbers.points_by_format.iter().sum();
        self.stream_points.with(stream, counter, |counter| counter.increment(points));
        self.hits.increment(numbers.hits);
        self.misses.increment(numbers.misses);
        self.evictions.increment(numbers.evictions);
        for (conflict, times) in &numbers.conflicts {
            self.meters.counter(&meters::LABEL_CONFLICTS, &[conflict]).increment(*times);
        }
    }

    /// Samples that are about to be handed to the lanes lack these.
    pub(super) fn limited(&self, limited: &Limited, mapper: impl Fn() -> Arc<Mapper>) {
        let kinds = LimitKind::ALL.into_iter().zip(&self.limited);
        for ((kind, (counter, seldom)), (samples, namespace)) in
            kinds.zip(limited.samples.iter().zip(&limited.namespaces))
        {
            counter.increment(*samples);
            if let Some(namespace) = namespace.as_deref()
                && let Some(unsaid) = seldom.due()
            {
                let limit = kind.name();
                let fullest = mapper().fullest_namespaces(NAMESPACES_NAMED);
                let fullest = fullest.iter().map(|(name, series)| format!("{name}: {series}"));
                let most_series = fullest.collect::<Vec<_>>().join(", ");
                error!(
                    limit,
                    namespace,
                    samples,
                    unsaid,
                    most_series = most_series.as_str(),
                    "samples of series beyond the limit left out"
                );
            }
        }
    }

    /// A request of a stream is about to be answered 200.
    pub(super) fn succeeded(&self, stream: &str) {
        let gauge = |name: &str| self.meters.gauge(&meters::STREAM_LAST_SUCCESS, &[name]);
        self.streams.with(stream, gauge, |gauge| gauge.set(now_ms() as f64 / 1000.0));
    }

    /// Data points were delivered.
    pub(super) fn delivered(&self, freshness: &[Freshness]) {
        let now = i64::try_from(now_ms()).unwrap_or(i64::MAX);
        let histogram = |name: &str| self.meters.weighted(&meters::DATAPOINT_AGE, &[name]);
        for fresh in freshness {
            let age = now.saturating_sub(fresh.end_ms).max(0) as f64 / 1000.0;
            self.ages.with(&fresh.namespace, histogram, |ages| ages.record(age, fresh.points));
        }
    }
}

/// One metric per label value, up to a number of them; the others share [`OTHER`].
#[derive(Debug)]
struct Bounded<M> {
    known: Mutex<HashMap<String, M>>,
    values_max: usize,
}

impl<M: Clone> Bounded<M> {
    fn new(values_max: usize) -> Self {
        Self { known: Mutex::default(), values_max }
    }

    fn with(&self, value: &str, make: impl Fn(&str) -> M, then: impl FnOnce(&M)) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let full = known.len() >= self.values_max && !known.contains_key(value);
        let value = if full { OTHER } else { value };
        let metric = known.entry(value.to_owned()).or_insert_with(|| make(value)).clone();
        drop(known);
        then(&metric);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn label_values_are_bounded() {
        let books = Books::new(&Meters::new());
        for stream in 0..STREAMS_MAX + 50 {
            books.succeeded(&format!("s{stream}"));
            let numbers = Yield { points_by_format: [1, 0, 2], ..Yield::default() };
            books.decoded(&format!("s{stream}"), &numbers, &Skips::default());
        }
        let text = books.meters.render();
        for metric in [&meters::STREAM_LAST_SUCCESS, &meters::STREAM_DATAPOINTS] {
            let lines = text.lines().filter(|line| line.starts_with(metric.name));
            assert_eq!(lines.count(), STREAMS_MAX + 1, "{}", metric.name);
        }
        assert!(text.contains("sluicegate_stream_datapoints_total{stream=\"s7\"} 3\n"));
        assert!(text.contains("sluicegate_stream_datapoints_total{stream=\"other\"} 150\n"));
        assert!(text.contains("stream=\"other\""));
    }
}
