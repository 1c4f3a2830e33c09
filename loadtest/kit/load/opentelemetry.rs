//! Data points in OpenTelemetry 0.7 and 1.0: the metrics are encoded beforehand, by the formats' own
//! definitions, and their times and values, which have a fixed size, are written over.

use std::ops::Range;

use prost::Message as _;
use prost::encoding::{encode_varint, encoded_len_varint};
use sluicegate::demo::stream::Format;

use super::Clock;
use super::metrics::{Metric, Population, STREAM};

/// Data points of one message.
const POINTS_PER_MESSAGE: usize = 10;

/// Stands where a time or a value is to be written, encoded first: no text has these bytes.
const START: u64 = 0xf0f1_f2f3_f4f5_f6f7;

/// All metrics, encoded.
pub(super) struct Messages {
    /// Each as an element of its list.
    bytes: Vec<u8>,
    /// Where each ends.
    ends: Vec<usize>,
    /// Where in each the start stands; all else follows at fixed distances.
    starts: Vec<usize>,
    /// Index of its resource, for each.
    resources: Vec<usize>,
    /// Encoded resources, each as a field.
    encoded: Vec<Vec<u8>>,
    /// Quantiles besides the least and the greatest.
    quantiles: usize,
    bytes_max: usize,
}

mod fields {
    //! The fields of a message that CloudWatch sets, of both versions: 0.7 has labels, 1.0 has
    //! attributes.
    use prost::Message;

    #[derive(Clone, PartialEq, Message)]
    pub(super) struct Metric {
        #[prost(string, tag = "1")]
        pub(super) name: String,
        #[prost(string, tag = "3")]
        pub(super) unit: String,
        #[prost(message, optional, tag = "11")]
        pub(super) summary: Option<Summary>,
    }

    #[derive(Clone, PartialEq, Message)]
    pub(super) struct Summary {
        #[prost(message, repeated, tag = "1")]
        pub(super) points: Vec<Point>,
    }

    #[derive(Clone, PartialEq, Message)]
    pub(super) struct Point {
        #[prost(message, repeated, tag = "1")]
        pub(super) labels: Vec<Label>,
        #[prost(fixed64, tag = "2")]
        pub(super) start_ns: u64,
        #[prost(fixed64, tag = "3")]
        pub(super) end_ns: u64,
        #[prost(fixed64, tag = "4")]
        pub(super) count: u64,
        #[prost(double, tag = "5")]
        pub(super) sum: f64,
        #[prost(message, repeated, tag = "6")]
        pub(super) quantiles: Vec<Quantile>,
        #[prost(message, repeated, tag = "7")]
        pub(super) attributes: Vec<Attribute>,
    }

    #[derive(Clone, PartialEq, Message)]
    pub(super) struct Quantile {
        #[prost(double, tag = "1")]
        pub(super) quantile: f64,
        #[prost(double, tag = "2")]
        pub(super) value: f64,
    }

    #[derive(Clone, PartialEq, Message)]
    pub(super) struct Label {
        #[prost(string, tag = "1")]
        pub(super) key: String,
        #[prost(string, tag = "2")]
        pub(super) value: String,
    }

    #[derive(Clone, PartialEq, Message)]
    pub(super) struct Attribute {
        #[prost(string, tag = "1")]
        pub(super) key: String,
        #[prost(message, optional, tag = "2")]
        pub(super) value: Option<Value>,
    }

    #[derive(Clone, PartialEq, Message)]
    pub(super) struct Value {
        #[prost(oneof = "Kind", tags = "1, 6")]
        pub(super) kind: Option<Kind>,
    }

    #[derive(Clone, PartialEq, prost::Oneof)]
    pub(super) enum Kind {
        #[prost(string, tag = "1")]
        Text(String),
        #[prost(message, tag = "6")]
        List(Attributes),
    }

    /// A list of attributes, and a resource.
    #[derive(Clone, PartialEq, Message)]
    pub(super) struct Attributes {
        #[prost(message, repeated, tag = "1")]
        pub(super) attributes: Vec<Attribute>,
    }
}
use fields::{Attribute, Attributes, Kind, Label, Point, Quantile, Summary, Value};

// Distances from the start's value to the others, each past a tag.
const END_AT: usize = 9;
const SUM_AT: usize = 27;
/// The least: its quantile, 0, is left out. Tag, length and the value's tag stand before it.
const MIN_AT: usize = 38;
/// The first of those with a quantile: tag, length, the quantile with its tag, the value's tag.
const QUANTILES_AT: usize = MIN_AT + 8 + 12;
const QUANTILE_BYTES: usize = 20;

/// Tag of a length-delimited field.
const fn tag(field: u8) -> u8 {
    field << 3 | 2
}

impl Messages {
    pub(super) fn of(population: &Population, format: Format) -> Self {
        let others: Vec<_> = population.extended.iter().filter_map(|one| one.quantile).collect();
        let (mut bytes, mut ends, mut starts) = (Vec::new(), Vec::new(), Vec::new());
        let (mut resources, mut encoded) = (Vec::new(), Vec::new());
        for metric in &population.metrics {
            let from = bytes.len();
            let message = fields_of(metric, format, &others).encode_to_vec();
            put(tag(2), &message, &mut bytes);
            let piece = bytes.get(from..).unwrap_or_default();
            starts.push(memchr::memmem::find(piece, &START.to_le_bytes()).unwrap_or_default());
            ends.push(bytes.len());
            let mut resource = Vec::new();
            put(tag(1), &resource_of(metric).encode_to_vec(), &mut resource);
            let known = encoded.iter().position(|known| *known == resource);
            resources.push(known.unwrap_or(encoded.len()));
            if known.is_none() {
                encoded.push(resource);
            }
        }
        let longest = ends.iter().zip([0].iter().chain(&ends)).map(|(end, from)| end - from).max();
        let around = encoded.iter().map(Vec::len).max().unwrap_or_default() + 32;
        let bytes_max = longest.unwrap_or_default() + around;
        Self { bytes, ends, starts, resources, encoded, quantiles: others.len(), bytes_max }
    }

    /// Bytes of one data point at most, what is around it included.
    pub(super) fn bytes_max(&self) -> usize {
        self.bytes_max
    }

    fn metric(&self, metric: usize) -> &[u8] {
        let from = metric.checked_sub(1).and_then(|before| self.ends.get(before));
        let end = self.ends.get(metric).copied().unwrap_or_default();
        self.bytes.get(from.copied().unwrap_or_default()..end).unwrap_or_default()
    }

    pub(super) fn write(
        &self,
        points: Range<u64>,
        metrics: u64,
        clock: &mut Clock,
        out: &mut Vec<u8>,
    ) {
        let mut points = points.peekable();
        let of = |point: u64| usize::try_from(point % metrics).unwrap_or_default();
        while let Some(first) = points.next() {
            let resource = self.resources.get(of(first)).copied().unwrap_or_default();
            let mut all = [first; POINTS_PER_MESSAGE];
            let mut count = 1;
            for place in all.iter_mut().skip(1) {
                let same = |point: &u64| self.resources.get(of(*point)) == Some(&resource);
                let Some(point) = points.next_if(same) else { break };
                *place = point;
                count += 1;
            }
            let all = all.get(..count).unwrap_or_default();
            let resource = self.encoded.get(resource).map(Vec::as_slice).unwrap_or_default();
            let scope = all.iter().map(|point| self.metric(of(*point)).len()).sum::<usize>();
            let inner = resource.len() + 1 + length(scope) + scope;
            let message = 1 + length(inner) + inner;
            encode_varint(message as u64, out);
            out.push(tag(1));
            encode_varint(inner as u64, out);
            out.extend_from_slice(resource);
            out.push(tag(2));
            encode_varint(scope as u64, out);
            for point in all {
                let metric = of(*point);
                let start_ms = clock.at(metric as u64);
                let start = self.starts.get(metric).copied().unwrap_or_default() + out.len();
                out.extend_from_slice(self.metric(metric));
                self.fill(out.get_mut(start..).unwrap_or_default(), *point, start_ms);
            }
        }
    }

    /// Writes times and values over what follows the start's tag.
    fn fill(&self, out: &mut [u8], point: u64, start_ms: u64) {
        let value = (point as f64).to_le_bytes();
        let mut put = |at: usize, bytes: [u8; 8]| {
            if let Some(place) = out.get_mut(at..at + 8) {
                place.copy_from_slice(&bytes);
            }
        };
        put(0, (start_ms * 1_000_000).to_le_bytes());
        put(END_AT, ((start_ms + super::PERIOD_MS) * 1_000_000).to_le_bytes());
        put(SUM_AT, value);
        put(MIN_AT, value);
        for index in 0..=self.quantiles {
            put(QUANTILES_AT + index * QUANTILE_BYTES, value);
        }
    }
}

fn length(bytes: usize) -> usize {
    encoded_len_varint(bytes as u64)
}

fn put(tag: u8, message: &[u8], out: &mut Vec<u8>) {
    out.push(tag);
    encode_varint(message.len() as u64, out);
    out.extend_from_slice(message);
}

fn attribute(key: &str, kind: Kind) -> Attribute {
    Attribute { key: key.to_owned(), value: Some(Value { kind: Some(kind) }) }
}

fn text(key: &str, value: &str) -> Attribute {
    attribute(key, Kind::Text(value.to_owned()))
}

fn fields_of(metric: &Metric, format: Format, others: &[f64]) -> fields::Metric {
    let dimensions = || metric.dimensions.iter().map(|(key, value)| (key.as_str(), value.as_str()));
    let (mut labels, mut attributes) = (Vec::new(), Vec::new());
    let names = [("Namespace", metric.namespace.as_str()), ("MetricName", metric.name)];
    if format == Format::OpenTelemetry07 {
        let all = names.into_iter().chain(dimensions());
        labels
            .extend(all.map(|(key, value)| Label { key: key.to_owned(), value: value.to_owned() }));
    } else {
        attributes.extend(names.into_iter().map(|(key, value)| text(key, value)));
        let list = dimensions().map(|(key, value)| text(key, value)).collect();
        attributes.push(attribute("Dimensions", Kind::List(Attributes { attributes: list })));
    }
    // No value is 0, or it would be left out.
    let value = 1.0;
    let quantiles = [0.0, 1.0].iter().chain(others);
    let quantiles = quantiles.map(|quantile| Quantile { quantile: *quantile, value }).collect();
    let point =
        Point { labels, start_ns: START, end_ns: 1, count: 1, sum: value, quantiles, attributes };
    fields::Metric {
        name: format!("amazonaws.com/{}/{}", metric.namespace, metric.name),
        unit: metric.unit.1.to_owned(),
        summary: Some(Summary { points: vec![point] }),
    }
}

fn resource_of(metric: &Metric) -> Attributes {
    let (account, region) = (metric.account, metric.region);
    let arn = format!("arn:aws:cloudwatch:{region}:{account}:metric-stream/{STREAM}");
    Attributes {
        attributes: vec![
            text("cloud.provider", "aws"),
            text("cloud.account.id", account),
            text("cloud.region", region),
            text("aws.exporter.arn", &arn),
        ],
    }
}
