//! The demo's records, read back without the gateway's decoder.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeMap;

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value as Any};
use opentelemetry_proto::tonic::metrics::v1::{SummaryDataPoint, metric::Data};
use prost::Message;
use sluicegate::demo::records::{RECORD_BYTES, records};
use sluicegate::demo::stream::{Format, MetricStream, Point};

const START_MS: i64 = 1_760_000_040_000;
const METRICS: usize = 300;

/// A data point in a form that every format can be brought to; numbers as bits.
#[derive(Debug, PartialEq)]
struct Plain {
    account: String,
    region: String,
    namespace: String,
    name: String,
    unit: String,
    dimensions: BTreeMap<String, String>,
    start_ms: u64,
    count: f64,
    figures: BTreeMap<String, u64>,
}

fn plain(point: &Point<'_>, format: Format) -> Plain {
    let json = format == Format::Json;
    let template = point.metric.template;
    let key = |name: &str, quantile: Option<f64>| match quantile {
        Some(quantile) if !json => format!("q{quantile}"),
        _ => name.to_owned(),
    };
    let mut figures = BTreeMap::from([
        ("sum".to_owned(), point.sum.to_bits()),
        (key("min", Some(0.0)), point.min.to_bits()),
        (key("max", Some(1.0)), point.max.to_bits()),
    ]);
    let extended = point.extended.iter().filter(|(stat, _)| json || stat.quantile.is_some());
    figures.extend(extended.map(|(stat, value)| (key(stat.name, stat.quantile), value.to_bits())));
    Plain {
        account: point.metric.account.to_owned(),
        region: point.metric.region.to_owned(),
        namespace: template.namespace.to_owned(),
        name: template.name.to_owned(),
        unit: if json { template.unit.0 } else { template.unit.1 }.to_owned(),
        dimensions: owned(point.metric.dimensions()),
        start_ms: point.start_ms as u64,
        count: f64::from(point.count),
        figures,
    }
}

fn owned<'a, 'b>(pairs: impl Iterator<Item = (&'a str, &'b str)>) -> BTreeMap<String, String> {
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// The figures of a line by the standard library's parser, since serde_json's may be a bit off.
fn figures(line: &str) -> BTreeMap<String, u64> {
    let (_, value) = line.split_once(r#""value":{"#).unwrap();
    let (value, _) = value.split_once('}').unwrap();
    let pairs = value.split(',').map(|pair| pair.rsplit_once(':').unwrap());
    pairs
        .map(|(name, number)| {
            (name.trim_matches('"').to_owned(), number.parse::<f64>().unwrap().to_bits())
        })
        .collect()
}

fn from_json(record: &[u8]) -> Vec<Plain> {
    assert_eq!(record.last(), Some(&b'\n'));
    let text = std::str::from_utf8(record).unwrap();
    let lines = text.lines().map(|line| {
        let object: serde_json::Value = serde_json::from_str(line).unwrap();
        let word = |name: &str| object[name].as_str().unwrap().to_owned();
        let mut figures = figures(line);
        let count = figures.remove("count").unwrap();
        assert_eq!(figures.len() + 1, object["value"].as_object().unwrap().len());
        let dimensions = object["dimensions"].as_object().unwrap();
        assert!(object["timestamp"].is_u64(), "{line}");
        Plain {
            account: word("account_id"),
            region: word("region"),
            namespace: word("namespace"),
            name: word("metric_name"),
            unit: word("unit"),
            dimensions: owned(dimensions.iter().map(|(k, v)| (k.as_str(), v.as_str().unwrap()))),
            start_ms: object["timestamp"].as_u64().unwrap(),
            count: f64::from_bits(count),
            figures,
        }
    });
    lines.collect()
}

/// The data points of a record, with the 0.7 labels (field 1) that the 1.0 types leave out.
#[derive(Clone, PartialEq, Message)]
struct Labels {
    #[prost(message, repeated, tag = "1")]
    labels: Vec<Pair>,
}

#[derive(Clone, PartialEq, Message)]
struct Pair {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(string, tag = "2")]
    value: String,
}

/// The same path as in 1.0, with only what holds the labels declared.
#[derive(Clone, PartialEq, Message)]
struct Level<T: Message + Default + std::fmt::Debug> {
    #[prost(message, repeated, tag = "1")]
    first: Vec<T>,
}

#[derive(Clone, PartialEq, Message)]
struct Second<T: Message + Default + std::fmt::Debug> {
    #[prost(message, repeated, tag = "2")]
    second: Vec<T>,
}

#[derive(Clone, PartialEq, Message)]
struct Eleventh<T: Message + Default + std::fmt::Debug> {
    #[prost(message, optional, tag = "11")]
    eleventh: Option<T>,
}

type OldRequest = Level<Second<Second<Eleventh<Level<Labels>>>>>;

fn text(value: &KeyValue) -> &str {
    match value.value.as_ref().and_then(|any| any.value.as_ref()) {
        Some(Any::StringValue(text)) => text,
        other => panic!("{other:?}"),
    }
}

fn from_otlp(mut record: &[u8], format: Format) -> Vec<Plain> {
    let mut all = Vec::new();
    while !record.is_empty() {
        let old = OldRequest::decode_length_delimited(record).unwrap();
        let mut labels = old
            .first
            .into_iter()
            .flat_map(|resource| resource.second)
            .flat_map(|library| library.second)
            .flat_map(|metric| metric.eleventh.unwrap().first)
            .map(|point| point.labels);
        let request = ExportMetricsServiceRequest::decode_length_delimited(&mut record).unwrap();
        for resource in request.resource_metrics {
            let told = resource.resource.unwrap().attributes;
            let of = |key: &str| text(told.iter().find(|told| told.key == key).unwrap()).to_owned();
            assert_eq!(of("cloud.provider"), "aws");
            assert!(of("aws.exporter.arn").ends_with(":metric-stream/demo"));
            for metric in resource.scope_metrics.into_iter().flat_map(|scope| scope.metrics) {
                let Some(Data::Summary(summary)) = metric.data else { panic!("no summary") };
                for point in summary.data_points {
                    let labels = labels.next().unwrap();
                    let (namespace, name, dimensions) = identity(&point, &labels, format);
                    assert_eq!(metric.name, format!("amazonaws.com/{namespace}/{name}"));
                    assert_eq!(point.time_unix_nano - point.start_time_unix_nano, 60_000_000_000);
                    let quantiles = point.quantile_values.iter();
                    let quantiles =
                        quantiles.map(|q| (format!("q{}", q.quantile), q.value.to_bits()));
                    all.push(Plain {
                        account: of("cloud.account.id"),
                        region: of("cloud.region"),
                        namespace,
                        name,
                        unit: metric.unit.clone(),
                        dimensions,
                        start_ms: point.start_time_unix_nano / 1_000_000,
                        count: point.count as f64,
                        figures: quantiles
                            .chain([("sum".to_owned(), point.sum.to_bits())])
                            .collect(),
                    });
                }
            }
        }
    }
    all
}

/// Namespace, name and dimensions as the format has them, and nothing as the other has them.
fn identity(
    point: &SummaryDataPoint,
    labels: &[Pair],
    format: Format,
) -> (String, String, BTreeMap<String, String>) {
    let mut pairs = match format {
        Format::OpenTelemetry07 => {
            assert!(point.attributes.is_empty());
            owned(labels.iter().map(|pair| (pair.key.as_str(), pair.value.as_str())))
        }
        _ => {
            assert!(labels.is_empty());
            let (nested, flat): (Vec<_>, Vec<_>) =
                point.attributes.iter().partition(|a| a.key == "Dimensions");
            let mut pairs = owned(flat.iter().map(|a| (a.key.as_str(), text(a))));
            assert_eq!(pairs.len(), 2);
            for list in nested {
                match list.value.as_ref().and_then(|any| any.value.as_ref()) {
                    Some(Any::KvlistValue(list)) => pairs
                        .extend(owned(list.values.iter().map(|kv| (kv.key.as_str(), text(kv))))),
                    other => panic!("{other:?}"),
                }
            }
            pairs
        }
    };
    (pairs.remove("Namespace").unwrap(), pairs.remove("MetricName").unwrap(), pairs)
}

#[test]
fn every_format_holds_the_same_data_points_to_the_bit() {
    for seed in 0..20 {
        let stream = MetricStream::new(METRICS, seed);
        let points: Vec<_> = stream.points(START_MS, 0..METRICS).collect();
        for format in Format::ALL {
            let records = records(format, &points);
            assert!(records.len() > 1);
            assert!(records.iter().all(|record| record.len() <= RECORD_BYTES), "{format}");
            let read: Vec<_> = records
                .iter()
                .flat_map(|record| match format {
                    Format::Json => from_json(record),
                    _ => from_otlp(record, format),
                })
                .collect();
            let sent: Vec<_> = points.iter().map(|point| plain(point, format)).collect();
            assert_eq!(read.len(), sent.len(), "{format}, seed {seed}");
            for (read, sent) in read.iter().zip(&sent) {
                assert_eq!(read, sent, "{format}, seed {seed}");
            }
        }
    }
}

#[test]
fn json_numbers_are_written_as_java_doubles() {
    let stream = MetricStream::new(METRICS, 1);
    let points: Vec<_> = stream.points(START_MS, 0..METRICS).collect();
    let text = String::from_utf8(records(Format::Json, &points).concat()).unwrap();
    assert!(text.contains(r#""count":5.0"#));
    assert!(text.contains(r#""sum":0.0"#));
    let exponent =
        |three: &[u8]| three[0].is_ascii_digit() && three[1] == b'E' && three[2].is_ascii_digit();
    assert!(text.as_bytes().windows(3).any(exponent), "large numbers have an exponent");
    assert!(!text.contains("E+"));
}

#[test]
fn a_population_has_what_production_has() {
    let stream = MetricStream::new(2000, 3);
    let points: Vec<_> = stream.points(START_MS, 0..2000).collect();
    let share = |what: &dyn Fn(&Point<'_>) -> bool| points.iter().filter(|p| what(p)).count();
    assert!(share(&|p| p.sum == 0.0 && p.count > 0) > 100, "zeros");
    assert!(share(&|p| p.count == 0) > 0, "minutes without values");
    assert!(share(&|p| p.metric.dimensions.is_empty()) > 0, "roll-ups");
    assert!(share(&|p| !p.extended.is_empty()) > 100, "percentiles");
    assert!(
        share(&|p| p.metric.template.extended.len() > p.extended.len()) > 0,
        "now and then not"
    );
    for point in &points {
        assert!(point.min <= point.max);
        let mean = point.sum / f64::from(point.count.max(1));
        assert!(point.min <= mean * (1.0 + 1e-12) && mean <= point.max * (1.0 + 1e-12));
    }
    let mut names: Vec<_> = stream.metrics().iter().map(|metric| metric.labels("sum")).collect();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), 2000, "every metric is its own series");
    let again: Vec<_> = stream.points(START_MS, 700..710).map(|point| point.sum).collect();
    let before: Vec<_> = points[700..710].iter().map(|point| point.sum).collect();
    assert_eq!(again, before, "the same minute has the same points");
}
