//! Data points as CloudWatch writes them into Firehose records, in its three formats.
//!
//! Nothing here is shared with the decoder: JSON is serde_json's, OpenTelemetry 1.0 is built from
//! its own published types, and 0.7, which no crate has any more, from messages declared here.

use std::io;

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{
    AnyValue, KeyValue, KeyValueList, any_value::Value as Any,
};
use opentelemetry_proto::tonic::metrics::v1::{
    Metric as Metric10, ResourceMetrics, ScopeMetrics, Summary, SummaryDataPoint, metric::Data,
    summary_data_point::ValueAtQuantile,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message as _;
use serde::Serialize as _;
use serde_json::json;

use super::stream::{Format, Point};

/// Where a record is full. Firehose bills records in steps of 5 KB, so CloudWatch fills them to it.
pub const RECORD_BYTES: usize = 5_000;

/// Data points of one OpenTelemetry message.
const POINTS_PER_MESSAGE: usize = 10;

/// The stream's name in the records.
const STREAM: &str = "demo";

/// Writes data points into records.
#[must_use]
pub fn records(format: Format, points: &[Point<'_>]) -> Vec<Vec<u8>> {
    let mut records: Vec<Vec<u8>> = Vec::new();
    let mut put = |piece: Vec<u8>| match records.last_mut() {
        Some(record) if record.len() + piece.len() <= RECORD_BYTES => record.extend(piece),
        _ => records.push(piece),
    };
    match format {
        Format::Json => points.iter().for_each(|point| put(line(point))),
        Format::OpenTelemetry07 => {
            points.chunks(POINTS_PER_MESSAGE).for_each(|some| put(message07(some)));
        }
        Format::OpenTelemetry10 => {
            points.chunks(POINTS_PER_MESSAGE).for_each(|some| put(message10(some)));
        }
    }
    records
}

/// Writes numbers as Java's `Double.toString` does, which is what comes over the wire: `5.0`,
/// `8.77130197E8`, `1.0E-4`.
struct JavaNumbers;

impl serde_json::ser::Formatter for JavaNumbers {
    fn write_f64<W: ?Sized + io::Write>(&mut self, writer: &mut W, value: f64) -> io::Result<()> {
        if value == 0.0 || (1e-3..1e7).contains(&value.abs()) {
            return write!(writer, "{value:?}");
        }
        let text = format!("{value:e}");
        match text.split_once('e') {
            Some((digits, power)) if digits.contains('.') => write!(writer, "{digits}E{power}"),
            Some((digits, power)) => write!(writer, "{digits}.0E{power}"),
            None => writer.write_all(text.as_bytes()),
        }
    }
}

fn line(point: &Point<'_>) -> Vec<u8> {
    let metric = point.metric;
    let mut value = json!({
        "max": point.max,
        "min": point.min,
        "sum": point.sum,
        "count": f64::from(point.count),
    });
    if let Some(value) = value.as_object_mut() {
        value.extend(point.extended.iter().map(|(stat, v)| (stat.name.to_owned(), (*v).into())));
    }
    let dimensions: serde_json::Map<_, _> =
        metric.dimensions().map(|(name, value)| (name.to_owned(), value.into())).collect();
    let object = json!({
        "metric_stream_name": STREAM,
        "account_id": metric.account,
        "region": metric.region,
        "namespace": metric.template.namespace,
        "metric_name": metric.template.name,
        "dimensions": dimensions,
        "timestamp": point.start_ms,
        "value": value,
        "unit": metric.template.unit.0,
    });
    let mut text = Vec::new();
    let mut serializer = serde_json::Serializer::with_formatter(&mut text, JavaNumbers);
    // Writing to memory cannot fail.
    let _ = object.serialize(&mut serializer);
    text.push(b'\n');
    text
}

/// Points of the same account and region, which share a resource.
fn by_resource<'a, 'b>(
    points: &'a [Point<'b>],
) -> impl Iterator<Item = (&'static str, &'static str, &'a [Point<'b>])> {
    points
        .chunk_by(|one, other| {
            (one.metric.account, one.metric.region) == (other.metric.account, other.metric.region)
        })
        .filter_map(|some| some.first().map(|one| (one.metric.account, one.metric.region, some)))
}

fn resource(account: &str, region: &str) -> Resource {
    Resource {
        attributes: vec![
            text("cloud.provider", "aws"),
            text("cloud.account.id", account),
            text("cloud.region", region),
            text(
                "aws.exporter.arn",
                &format!("arn:aws:cloudwatch:{region}:{account}:metric-stream/{STREAM}"),
            ),
        ],
        ..Resource::default()
    }
}

fn attribute(key: &str, value: Any) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { value: Some(value) }),
        ..KeyValue::default()
    }
}

fn text(key: &str, value: &str) -> KeyValue {
    attribute(key, Any::StringValue(value.to_owned()))
}

fn metric_name(point: &Point<'_>) -> String {
    format!("amazonaws.com/{}/{}", point.metric.template.namespace, point.metric.template.name)
}

/// Start and end of a point's period in nanoseconds.
fn period_ns(point: &Point<'_>) -> (u64, u64) {
    let start_ms = point.start_ms.unsigned_abs();
    (start_ms.saturating_mul(1_000_000), start_ms.saturating_add(60_000).saturating_mul(1_000_000))
}

/// Minimum and maximum are the quantiles 0 and 1; further statistics only where they are quantiles.
fn quantiles(point: &Point<'_>) -> Vec<(f64, f64)> {
    let extended = point.extended.iter();
    let extended = extended.filter_map(|(stat, value)| stat.quantile.map(|q| (q, *value)));
    [(0.0, point.min), (1.0, point.max)].into_iter().chain(extended).collect()
}

fn message10(points: &[Point<'_>]) -> Vec<u8> {
    let resource_metrics = by_resource(points).map(|(account, region, points)| ResourceMetrics {
        resource: Some(resource(account, region)),
        scope_metrics: vec![ScopeMetrics {
            metrics: points.iter().map(metric10).collect(),
            ..ScopeMetrics::default()
        }],
        ..ResourceMetrics::default()
    });
    ExportMetricsServiceRequest { resource_metrics: resource_metrics.collect() }
        .encode_length_delimited_to_vec()
}

fn metric10(point: &Point<'_>) -> Metric10 {
    let (start, end) = period_ns(point);
    let mut attributes = vec![
        text("Namespace", point.metric.template.namespace),
        text("MetricName", point.metric.template.name),
    ];
    let dimensions: Vec<_> =
        point.metric.dimensions().map(|(name, value)| text(name, value)).collect();
    if !dimensions.is_empty() {
        let list = Any::KvlistValue(KeyValueList { values: dimensions });
        attributes.push(attribute("Dimensions", list));
    }
    let values = quantiles(point).into_iter();
    Metric10 {
        name: metric_name(point),
        unit: point.metric.template.unit.1.to_owned(),
        data: Some(Data::Summary(Summary {
            data_points: vec![SummaryDataPoint {
                attributes,
                start_time_unix_nano: start,
                time_unix_nano: end,
                count: u64::from(point.count),
                sum: point.sum,
                quantile_values: values
                    .map(|(quantile, value)| ValueAtQuantile { quantile, value })
                    .collect(),
                ..SummaryDataPoint::default()
            }],
        })),
        ..Metric10::default()
    }
}

/// The messages of OpenTelemetry 0.7 in which it differs from 1.0.
/// <https://github.com/open-telemetry/opentelemetry-proto/tree/v0.7.0>
mod v07 {
    use opentelemetry_proto::tonic::metrics::v1::summary_data_point::ValueAtQuantile;
    use opentelemetry_proto::tonic::resource::v1::Resource;

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Request {
        #[prost(message, repeated, tag = "1")]
        pub(super) resource_metrics: Vec<ResourceMetrics>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct ResourceMetrics {
        #[prost(message, optional, tag = "1")]
        pub(super) resource: Option<Resource>,
        #[prost(message, repeated, tag = "2")]
        pub(super) libraries: Vec<LibraryMetrics>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct LibraryMetrics {
        #[prost(message, repeated, tag = "2")]
        pub(super) metrics: Vec<Metric>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Metric {
        #[prost(string, tag = "1")]
        pub(super) name: String,
        #[prost(string, tag = "3")]
        pub(super) unit: String,
        #[prost(message, optional, tag = "11")]
        pub(super) double_summary: Option<DoubleSummary>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct DoubleSummary {
        #[prost(message, repeated, tag = "1")]
        pub(super) data_points: Vec<DataPoint>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct DataPoint {
        #[prost(message, repeated, tag = "1")]
        pub(super) labels: Vec<StringKeyValue>,
        #[prost(fixed64, tag = "2")]
        pub(super) start_time_unix_nano: u64,
        #[prost(fixed64, tag = "3")]
        pub(super) time_unix_nano: u64,
        #[prost(fixed64, tag = "4")]
        pub(super) count: u64,
        #[prost(double, tag = "5")]
        pub(super) sum: f64,
        #[prost(message, repeated, tag = "6")]
        pub(super) quantile_values: Vec<ValueAtQuantile>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct StringKeyValue {
        #[prost(string, tag = "1")]
        pub(super) key: String,
        #[prost(string, tag = "2")]
        pub(super) value: String,
    }
}

fn message07(points: &[Point<'_>]) -> Vec<u8> {
    let resource_metrics = by_resource(points).map(|(account, region, points)| {
        let metrics = points.iter().map(metric07).collect();
        v07::ResourceMetrics {
            resource: Some(resource(account, region)),
            libraries: vec![v07::LibraryMetrics { metrics }],
        }
    });
    v07::Request { resource_metrics: resource_metrics.collect() }.encode_length_delimited_to_vec()
}

fn metric07(point: &Point<'_>) -> v07::Metric {
    let (start_time_unix_nano, time_unix_nano) = period_ns(point);
    let template = point.metric.template;
    let labels = [("Namespace", template.namespace), ("MetricName", template.name)]
        .into_iter()
        .chain(point.metric.dimensions())
        .map(|(key, value)| v07::StringKeyValue { key: key.to_owned(), value: value.to_owned() });
    let values = quantiles(point).into_iter();
    v07::Metric {
        name: metric_name(point),
        unit: template.unit.1.to_owned(),
        double_summary: Some(v07::DoubleSummary {
            data_points: vec![v07::DataPoint {
                labels: labels.collect(),
                start_time_unix_nano,
                time_unix_nano,
                count: u64::from(point.count),
                sum: point.sum,
                quantile_values: values
                    .map(|(quantile, value)| ValueAtQuantile { quantile, value })
                    .collect(),
            }],
        }),
    }
}
