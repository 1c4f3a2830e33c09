//! What the tests of the mapping share: owned data points, and batches read back as text.

use std::borrow::Cow;
use std::collections::BTreeMap;

use prost::Message;
use sluicegate::decode::{Format, Reading};
use sluicegate::map::{Config, Mapper, Outlet, Plan};
use sluicegate::sample::Batch;

/// Field 1 of `TimeSeries`, as remote write declares it.
#[derive(Clone, PartialEq, Message)]
struct TimeSeries {
    #[prost(message, repeated, tag = "1")]
    labels: Vec<Label>,
}

#[derive(Clone, PartialEq, Message)]
struct Label {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    value: String,
}

/// A data point that owns what it says.
#[derive(Clone, Debug)]
pub(crate) struct Point {
    pub(crate) format: Format,
    pub(crate) account: String,
    pub(crate) region: String,
    pub(crate) namespace: String,
    pub(crate) metric: String,
    pub(crate) unit: String,
    pub(crate) dimensions: Vec<(String, String)>,
    pub(crate) start_ms: i64,
    pub(crate) count: Option<f64>,
    pub(crate) sum: Option<f64>,
    pub(crate) min: Option<f64>,
    pub(crate) max: Option<f64>,
    pub(crate) extended: Vec<(String, f64)>,
}

impl Point {
    /// CPU utilization of an instance, with the four plain statistics.
    pub(crate) fn new(instance: &str, start_ms: i64) -> Self {
        Self {
            format: Format::Json,
            account: "111122223333".to_owned(),
            region: "eu-west-1".to_owned(),
            namespace: "AWS/EC2".to_owned(),
            metric: "CPUUtilization".to_owned(),
            unit: "Percent".to_owned(),
            dimensions: vec![("InstanceId".to_owned(), instance.to_owned())],
            start_ms,
            count: Some(2.0),
            sum: Some(3.0),
            min: Some(1.0),
            max: Some(2.0),
            extended: Vec::new(),
        }
    }

    /// Lends the point as a reading.
    pub(crate) fn read<T>(&self, take: impl FnOnce(&Reading<'_>) -> T) -> T {
        let dimensions: Vec<_> = self
            .dimensions
            .iter()
            .map(|(name, value)| (Cow::from(name.as_str()), Cow::from(value.as_str())))
            .collect();
        let extended: Vec<_> =
            self.extended.iter().map(|(name, value)| (Cow::from(name.as_str()), *value)).collect();
        take(&Reading {
            format: self.format,
            account: &self.account,
            region: &self.region,
            namespace: &self.namespace,
            metric: &self.metric,
            unit: &self.unit,
            dimensions: &dimensions,
            start_ms: self.start_ms,
            end_ms: self.start_ms + 60_000,
            count: self.count,
            sum: self.sum,
            min: self.min,
            max: self.max,
            extended: &extended,
        })
    }
}

/// A mapper with one destination per number of lanes.
pub(crate) fn mapper(config: Config, lanes: &[u32]) -> Mapper {
    let outlets = lanes.iter().map(|lanes| Outlet { lanes: *lanes, write_relabel: Vec::new() });
    Mapper::new(Plan {
        config,
        external_labels: Vec::new(),
        relabel: Vec::new(),
        outlets: outlets.collect(),
    })
}

/// Maps points as one request.
pub(crate) fn map(mapper: &Mapper, points: &[Point]) -> sluicegate::map::Mapped {
    let mut mapping = mapper.begin(&[], 0);
    for point in points {
        point.read(|reading| mapping.reading(reading));
    }
    mapping.finish()
}

/// A series' labels, decoded.
pub(crate) fn labels(pieces: [&[u8]; 3]) -> Vec<(String, String)> {
    let series = TimeSeries::decode(pieces.concat().as_slice()).unwrap();
    series.labels.into_iter().map(|label| (label.name, label.value)).collect()
}

/// A series in the exposition format's notation.
pub(crate) fn text(pieces: [&[u8]; 3]) -> String {
    let mut labels: BTreeMap<_, _> = labels(pieces).into_iter().collect();
    let name = labels.remove("__name__").unwrap();
    let labels: Vec<_> = labels.iter().map(|(name, value)| format!("{name}=\"{value}\"")).collect();
    format!("{name}{{{}}}", labels.join(","))
}

/// All samples of a destination, lane by lane: series, timestamp, value.
pub(crate) fn samples(batch: &Batch, destination: usize) -> Vec<(String, i64, f64)> {
    let samples = batch.lanes[destination].iter().flatten();
    samples
        .map(|at| {
            let sample = batch.sample(destination, *at);
            (text(sample.labels), sample.timestamp_ms, sample.value)
        })
        .collect()
}
