//! A histogram for values that come by the thousand: recording one value many times costs one
//! addition, and takes no memory. (The exporter's own keeps every value until it is folded.)

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::{Kind, Metric};

/// Counts by bucket.
#[derive(Debug)]
pub struct Weighted {
    bounds: &'static [f64],
    /// One per bound, and one for what is above the last.
    counts: Box<[AtomicU64]>,
    /// The bits of the sum.
    sum: AtomicU64,
}

impl Weighted {
    fn new(bounds: &'static [f64]) -> Self {
        let counts = (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect();
        Self { bounds, counts, sum: AtomicU64::new(0f64.to_bits()) }
    }

    /// Records a value so many times.
    pub fn record(&self, value: f64, times: u64) {
        let bucket = self.bounds.partition_point(|bound| *bound < value);
        if let Some(count) = self.counts.get(bucket) {
            count.fetch_add(times, Ordering::Relaxed);
        }
        let more = value * times as f64;
        let add = |sum: u64| Some((f64::from_bits(sum) + more).to_bits());
        // Never fails: the closure never says no.
        let _ = self.sum.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
    }
}

/// All weighted histograms of a house.
#[derive(Clone, Debug, Default)]
pub(super) struct WeightedSet(Arc<Mutex<Families>>);

/// By metric name: the metric, and its histograms by label values.
type Families = BTreeMap<&'static str, (&'static Metric, BTreeMap<Vec<String>, Arc<Weighted>>)>;

impl WeightedSet {
    pub(super) fn get(&self, metric: &'static Metric, values: &[&str]) -> Arc<Weighted> {
        let Kind::Histogram(bounds) = metric.kind else { return Arc::new(Weighted::new(&[])) };
        let values = values.iter().map(|value| (*value).to_owned()).collect();
        let mut families = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (_, family) = families.entry(metric.name).or_insert_with(|| (metric, BTreeMap::new()));
        Arc::clone(family.entry(values).or_insert_with(|| Arc::new(Weighted::new(bounds))))
    }

    /// Appends the Prometheus text format of all of them.
    pub(super) fn render(&self, text: &mut String) {
        let families = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (name, (metric, family)) in families.iter() {
            let _ = writeln!(text, "# HELP {name} {}\n# TYPE {name} histogram", metric.help);
            for (values, histogram) in family {
                let labels: Vec<String> = metric
                    .labels
                    .iter()
                    .zip(values)
                    .map(|(label, value)| format!("{label}=\"{}\"", escaped(value)))
                    .collect();
                histogram.render(name, &labels.join(","), text);
            }
            text.push('\n');
        }
    }
}

impl Weighted {
    fn render(&self, name: &str, labels: &str, text: &mut String) {
        let mut total = 0;
        for (index, count) in self.counts.iter().enumerate() {
            total += count.load(Ordering::Relaxed);
            let bound = self.bounds.get(index).map_or("+Inf".to_owned(), f64::to_string);
            let _ = writeln!(text, "{name}_bucket{{{labels},le=\"{bound}\"}} {total}");
        }
        let sum = f64::from_bits(self.sum.load(Ordering::Relaxed));
        let _ = writeln!(text, "{name}_sum{{{labels}}} {sum}\n{name}_count{{{labels}}} {total}");
    }
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_counted_with_their_weight() {
        static METRIC: Metric = Metric {
            name: "age_seconds",
            kind: Kind::Histogram(&[1.0, 2.5]),
            labels: &["namespace"],
            help: "Age.",
        };
        let set = WeightedSet::default();
        let histogram = set.get(&METRIC, &["a\"b"]);
        histogram.record(1.0, 3);
        histogram.record(2.0, 10);
        set.get(&METRIC, &["a\"b"]).record(9.0, 1);
        let mut text = String::new();
        set.render(&mut text);
        let expected = "# HELP age_seconds Age.\n# TYPE age_seconds histogram\n\
            age_seconds_bucket{namespace=\"a\\\"b\",le=\"1\"} 3\n\
            age_seconds_bucket{namespace=\"a\\\"b\",le=\"2.5\"} 13\n\
            age_seconds_bucket{namespace=\"a\\\"b\",le=\"+Inf\"} 14\n\
            age_seconds_sum{namespace=\"a\\\"b\"} 32\n\
            age_seconds_count{namespace=\"a\\\"b\"} 14\n\n";
        assert_eq!(text, expected);
    }
}
