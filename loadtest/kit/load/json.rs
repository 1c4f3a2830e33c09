//! Data points in JSON: the lines are written beforehand but for times and values.

use std::ops::Range;

use serde_json::json;

use super::Clock;
use super::decimal::Decimal;
use super::metrics::{Metric, Population, STREAM};

/// The lines of all metrics.
pub(super) struct Lines {
    /// Beginnings and ends, one after the other.
    text: Vec<u8>,
    /// Where the beginning ends in it, and the end, for each metric.
    ends: Vec<(usize, usize)>,
    /// What stands before each value but the first.
    between: Vec<Vec<u8>>,
    bytes_max: usize,
    time: (u64, Decimal),
}

/// What a value has at most.
const VALUE_BYTES_MAX: usize = 24;

impl Lines {
    pub(super) fn of(population: &Population) -> Self {
        let (mut text, mut ends) = (Vec::new(), Vec::new());
        let mut longest = 0;
        for metric in &population.metrics {
            let from = text.len();
            text.extend_from_slice(beginning(metric).as_bytes());
            let middle = text.len();
            let unit = metric.unit.0;
            text.extend_from_slice(
                format!(",\"count\":1.0}},\"unit\":{}}}\n", json!(unit)).as_bytes(),
            );
            ends.push((middle, text.len()));
            longest = longest.max(text.len() - from);
        }
        let names = ["min", "sum"].into_iter();
        let names =
            names.chain(population.extended.iter().map(|statistic| statistic.name.as_str()));
        let between: Vec<_> = names.map(|name| format!(",{}:", json!(name)).into_bytes()).collect();
        let values = between.iter().map(|text| text.len() + VALUE_BYTES_MAX).sum::<usize>();
        let bytes_max = longest + values + 3 * VALUE_BYTES_MAX;
        Self { text, ends, between, bytes_max, time: (0, Decimal::whole(0)) }
    }

    /// Bytes of one data point at most.
    pub(super) fn bytes_max(&self) -> usize {
        self.bytes_max
    }

    pub(super) fn write(
        &mut self,
        points: Range<u64>,
        metrics: u64,
        clock: &mut Clock,
        out: &mut Vec<u8>,
    ) {
        for point in points {
            let metric = point % metrics;
            let start_ms = clock.at(metric);
            if self.time.0 != start_ms {
                self.time = (start_ms, Decimal::whole(start_ms));
            }
            let metric = usize::try_from(metric).unwrap_or_default();
            let from = metric.checked_sub(1).and_then(|before| self.ends.get(before));
            let from = from.map_or(0, |(_, end)| *end);
            let (middle, end) = self.ends.get(metric).copied().unwrap_or_default();
            let value = Decimal::double(point);
            out.extend_from_slice(self.text.get(from..middle).unwrap_or_default());
            out.extend_from_slice(self.time.1.as_bytes());
            out.extend_from_slice(b",\"value\":{\"max\":");
            out.extend_from_slice(value.as_bytes());
            for between in &self.between {
                out.extend_from_slice(between);
                out.extend_from_slice(value.as_bytes());
            }
            out.extend_from_slice(self.text.get(middle..end).unwrap_or_default());
        }
    }
}

/// A line up to its time.
fn beginning(metric: &Metric) -> String {
    let dimensions: serde_json::Map<_, _> =
        metric.dimensions.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
    let mut text = json!({
        "metric_stream_name": STREAM,
        "account_id": metric.account,
        "region": metric.region,
        "namespace": metric.namespace,
        "metric_name": metric.name,
        "dimensions": dimensions,
    })
    .to_string();
    text.pop();
    text.push_str(",\"timestamp\":");
    text
}
