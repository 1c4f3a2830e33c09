//! Every metric of the house, in one table, and the handle by which the rooms count.
//!
//! A `Meters` belongs to one house (no global recorder), so several houses can live in one
//! process, as in the tests.

mod table;
mod weighted;

use std::sync::Arc;

use metrics::{Counter, Gauge, Histogram, Key, Label, Level, Recorder as _};
use metrics_exporter_prometheus::{
    Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder,
};

pub use table::*;
pub use weighted::Weighted;
use weighted::WeightedSet;

/// What a metric is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts into buckets with these upper bounds.
    Histogram(&'static [f64]),
}

/// One metric: what `/metrics` and the README say of it.
#[derive(Debug)]
pub struct Metric {
    /// The full name, unit last.
    pub name: &'static str,
    /// What it is.
    pub kind: Kind,
    /// Its label names, in order.
    pub labels: &'static [&'static str],
    /// The HELP text.
    pub help: &'static str,
}

/// The house's registry: hands out counters, gauges and histograms, and renders them.
#[derive(Clone)]
pub struct Meters {
    recorder: Arc<PrometheusRecorder>,
    handle: PrometheusHandle,
    weighted: WeightedSet,
}

impl std::fmt::Debug for Meters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Meters")
    }
}

impl Default for Meters {
    fn default() -> Self {
        Self::new()
    }
}

impl Meters {
    /// An empty registry that knows every metric of [`ALL`].
    #[must_use]
    pub fn new() -> Self {
        let mut builder = PrometheusBuilder::new();
        for metric in ALL {
            if let Kind::Histogram(buckets) = metric.kind {
                let matcher = Matcher::Full(metric.name.to_owned());
                builder = builder.set_buckets_for_metric(matcher, buckets).expect("buckets");
            }
        }
        let recorder = builder.build_recorder();
        for metric in ALL {
            let (name, help) = (metric.name.into(), metric.help.into());
            match metric.kind {
                Kind::Counter => recorder.describe_counter(name, None, help),
                Kind::Gauge => recorder.describe_gauge(name, None, help),
                Kind::Histogram(_) => recorder.describe_histogram(name, None, help),
            }
        }
        let handle = recorder.handle();
        Self { recorder: Arc::new(recorder), handle, weighted: WeightedSet::default() }
    }

    /// The counter with these label values, in the order of the metric's label names.
    pub fn counter(&self, metric: &'static Metric, values: &[&str]) -> Counter {
        debug_assert_eq!(metric.kind, Kind::Counter, "{}", metric.name);
        self.recorder.register_counter(&key(metric, values), &METADATA)
    }

    /// The gauge with these label values.
    pub fn gauge(&self, metric: &'static Metric, values: &[&str]) -> Gauge {
        debug_assert_eq!(metric.kind, Kind::Gauge, "{}", metric.name);
        self.recorder.register_gauge(&key(metric, values), &METADATA)
    }

    /// The histogram with these label values.
    pub fn histogram(&self, metric: &'static Metric, values: &[&str]) -> Histogram {
        debug_assert!(matches!(metric.kind, Kind::Histogram(_)), "{}", metric.name);
        self.recorder.register_histogram(&key(metric, values), &METADATA)
    }

    /// The histogram with these label values, for values that come in large numbers.
    #[must_use]
    pub fn weighted(&self, metric: &'static Metric, values: &[&str]) -> Arc<Weighted> {
        debug_assert_eq!(metric.labels.len(), values.len(), "labels of {}", metric.name);
        self.weighted.get(metric, values)
    }

    /// Runs a function whose `metrics` macros count here.
    pub fn with<T>(&self, count: impl FnOnce() -> T) -> T {
        metrics::with_local_recorder(&*self.recorder, count)
    }

    /// The Prometheus text format of everything counted so far.
    #[must_use]
    pub fn render(&self) -> String {
        let mut text = self.handle.render();
        self.weighted.render(&mut text);
        text
    }

    /// Folds recorded histogram values into their buckets; to be called every few seconds, since
    /// values are kept one by one until then.
    pub fn fold(&self) {
        self.handle.run_upkeep();
    }
}

static METADATA: metrics::Metadata<'static> =
    metrics::Metadata::new("sluicegate", Level::INFO, Some("sluicegate"));

fn key(metric: &'static Metric, values: &[&str]) -> Key {
    debug_assert_eq!(metric.labels.len(), values.len(), "labels of {}", metric.name);
    let labels: Vec<Label> = metric
        .labels
        .iter()
        .zip(values)
        .map(|(name, value)| Label::new(*name, (*value).to_owned()))
        .collect();
    Key::from_parts(metric.name, labels)
}
