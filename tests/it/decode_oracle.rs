//! Generated input against independent decoders.
#![allow(clippy::unwrap_used, clippy::panic)]

use opentelemetry_proto::tonic::{
    collector::metrics::v1::ExportMetricsServiceRequest,
    common::v1::{AnyValue, KeyValue, KeyValueList, any_value::Value},
    metrics::v1::{
        Metric, ResourceMetrics, ScopeMetrics, Summary, SummaryDataPoint, metric::Data,
        summary_data_point::ValueAtQuantile,
    },
    resource::v1::Resource,
};
use proptest::prelude::*;
use prost::Message;
use sluicegate::decode::{self, envelope};

use crate::decode_fixtures::render;

/// A 0.7 data point, as far as it differs.
#[derive(Clone, PartialEq, Message)]
struct Point07 {
    #[prost(message, repeated, tag = "1")]
    labels: Vec<Label>,
    #[prost(fixed64, tag = "2")]
    start_ns: u64,
    #[prost(fixed64, tag = "3")]
    end_ns: u64,
    #[prost(fixed64, tag = "4")]
    count: u64,
    #[prost(double, tag = "5")]
    sum: f64,
    #[prost(message, repeated, tag = "6")]
    quantiles: Vec<ValueAtQuantile>,
}

#[derive(Clone, PartialEq, Message)]
struct Label {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(string, tag = "2")]
    value: String,
}

/// One data point of any format.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    account: String,
    region: String,
    namespace: String,
    metric: String,
    code: String,
    dimensions: Vec<(String, String)>,
    start_ms: u64,
    count: u32,
    sum: f64,
    quantiles: Vec<(f64, f64)>,
}

/// A plain data point with that unit.
pub(crate) fn sample(code: &str) -> Sample {
    Sample {
        account: "1".into(),
        region: "r".into(),
        namespace: "N".into(),
        metric: "M".into(),
        code: code.into(),
        dimensions: Vec::new(),
        start_ms: 60_000,
        count: 0,
        sum: 0.0,
        quantiles: vec![(0.0, 0.0), (1.0, 0.0)],
    }
}

fn text(value: &str) -> Option<AnyValue> {
    Some(AnyValue { value: Some(Value::StringValue(value.into())) })
}

fn pair(key: &str, value: Option<AnyValue>) -> KeyValue {
    KeyValue { key: key.into(), value, ..KeyValue::default() }
}

fn request(sample: &Sample) -> ExportMetricsServiceRequest {
    let dimensions = sample.dimensions.iter().map(|(name, value)| pair(name, text(value)));
    let list = Value::KvlistValue(KeyValueList { values: dimensions.collect() });
    let point = SummaryDataPoint {
        attributes: vec![
            pair("Namespace", text(&sample.namespace)),
            pair("MetricName", text(&sample.metric)),
            pair("Dimensions", Some(AnyValue { value: Some(list) })),
        ],
        start_time_unix_nano: sample.start_ms * 1_000_000,
        time_unix_nano: (sample.start_ms + 60_000) * 1_000_000,
        count: u64::from(sample.count),
        sum: sample.sum,
        quantile_values: quantiles(sample),
        flags: 0,
    };
    ExportMetricsServiceRequest {
        resource_metrics: vec![ResourceMetrics {
            resource: Some(Resource {
                attributes: vec![
                    pair("cloud.account.id", text(&sample.account)),
                    pair("cloud.region", text(&sample.region)),
                ],
                ..Resource::default()
            }),
            scope_metrics: vec![ScopeMetrics {
                metrics: vec![Metric {
                    name: format!("amazonaws.com/{}/{}", sample.namespace, sample.metric),
                    unit: sample.code.clone(),
                    data: Some(Data::Summary(Summary { data_points: vec![point] })),
                    ..Metric::default()
                }],
                ..ScopeMetrics::default()
            }],
            ..ResourceMetrics::default()
        }],
    }
}

fn quantiles(sample: &Sample) -> Vec<ValueAtQuantile> {
    let quantiles = sample.quantiles.iter();
    quantiles.map(|&(quantile, value)| ValueAtQuantile { quantile, value }).collect()
}

pub(crate) fn framed(sample: &Sample) -> Vec<u8> {
    request(sample).encode_length_delimited_to_vec()
}

/// The same as 0.7, in the order of fields that is least convenient: the resource and the unit last.
pub(crate) fn framed07(sample: &Sample) -> Vec<u8> {
    let label = |(key, value): (&str, &str)| Label { key: key.into(), value: value.into() };
    let point = Point07 {
        labels: [("Namespace", sample.namespace.as_str()), ("MetricName", &sample.metric)]
            .into_iter()
            .chain(sample.dimensions.iter().map(|(name, value)| (name.as_str(), value.as_str())))
            .map(label)
            .collect(),
        start_ns: sample.start_ms * 1_000_000,
        end_ns: (sample.start_ms + 60_000) * 1_000_000,
        count: u64::from(sample.count),
        sum: sample.sum,
        quantiles: quantiles(sample),
    };
    let metric =
        [nested(11, &nested(1, &point.encode_to_vec())), nested(3, sample.code.as_bytes())];
    let resource = request(sample).resource_metrics[0].resource.clone().unwrap().encode_to_vec();
    // Unknown fields, a group among them, are passed over.
    let unknown = [0xa3, 0x06, 0x08, 0x01, 0xa4, 0x06, 0xad, 0x06, 1, 2, 3, 4];
    let scope = nested(2, &nested(2, &metric.concat()));
    let request = nested(1, &[scope.as_slice(), &unknown, &nested(1, &resource)].concat());
    let mut framed = Vec::new();
    prost::encoding::encode_varint(request.len() as u64, &mut framed);
    framed.extend(request);
    framed
}

pub(crate) fn nested(field: u32, message: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    prost::encoding::bytes::encode(field, &message.to_vec(), &mut out);
    if message.is_empty() {
        out = vec![(field << 3 | 2) as u8, 0];
    }
    out
}

/// In CloudWatch's own order of keys.
pub(crate) fn cloudwatch_line(sample: &Sample) -> String {
    let all = json_value(sample, "Megabits");
    let keys = ["account_id", "region", "namespace", "metric_name", "dimensions", "timestamp"];
    let keys = keys.into_iter().chain(["value", "unit"]);
    let fields: serde_json::Map<_, _> =
        keys.map(|key| (key.to_owned(), all[key].clone())).collect();
    serde_json::Value::from(fields).to_string()
}

/// The numbers and times of another data point.
pub(crate) fn renumbered(sample: &Sample, other: &Sample) -> Sample {
    let mut values = other.quantiles.iter().map(|(_, value)| *value).cycle();
    let quantiles = sample.quantiles.iter();
    Sample {
        start_ms: other.start_ms,
        count: other.count,
        sum: other.sum,
        quantiles: quantiles.map(|(q, value)| (*q, values.next().unwrap_or(*value))).collect(),
        ..sample.clone()
    }
}

fn json_line(sample: &Sample, unit: &str) -> String {
    json_value(sample, unit).to_string()
}

fn json_value(sample: &Sample, unit: &str) -> serde_json::Value {
    let mut value = serde_json::Map::new();
    for (quantile, number) in &sample.quantiles {
        let name = match *quantile {
            0.0 => "min".to_owned(),
            1.0 => "max".to_owned(),
            other => format!("p{}", (other * 1000.0).round() / 10.0),
        };
        value.insert(name, serde_json::json!(number));
    }
    value.insert("count".into(), serde_json::json!(sample.count));
    value.insert("sum".into(), serde_json::json!(sample.sum));
    let dimensions: serde_json::Map<_, _> = sample
        .dimensions
        .iter()
        .map(|(name, value)| (name.clone(), value.as_str().into()))
        .collect();
    serde_json::json!({
        "account_id": sample.account, "region": sample.region, "namespace": sample.namespace,
        "metric_name": sample.metric, "unit": unit, "timestamp": sample.start_ms,
        "dimensions": dimensions, "value": value,
    })
}

pub(crate) fn samples() -> impl Strategy<Value = Sample> {
    let name = "[A-Za-z/ %\"\\\\é😀{}]{1,20}";
    let dimensions = prop::collection::btree_map(name, "\\PC{0,20}", 0..5);
    let quantiles = prop::collection::btree_map(0..=1000u32, -1e9..1e9, 0..8);
    let identity = ("[0-9]{1,12}", name, name, name, dimensions);
    (identity, 1..4_000_000_000u64, any::<u32>(), -1e12..1e12, quantiles).prop_map(
        |((account, region, namespace, metric, dimensions), start_ms, count, sum, quantiles)| {
            Sample {
                account,
                region,
                namespace,
                metric,
                code: "MBit".into(),
                dimensions: dimensions.into_iter().collect(),
                start_ms,
                count,
                sum,
                quantiles: quantiles.into_iter().map(|(q, v)| (f64::from(q) / 1000.0, v)).collect(),
            }
        },
    )
}

/// The line without the format's name.
fn meaning(record: &[u8]) -> Vec<String> {
    let rest = |line: String| line.split_once(' ').unwrap().1.to_owned();
    render(record).into_iter().map(rest).collect()
}

proptest! {
    #[test]
    fn three_formats_say_the_same(sample in samples()) {
        let json = json_line(&sample, "Megabits");
        let expected = meaning(json.as_bytes());
        prop_assert_eq!(expected.len(), 1);
        prop_assert!(expected[0].contains(&format!("{}+60000", sample.start_ms)), "{:?}", expected);
        prop_assert_eq!(&meaning(&framed(&sample)), &expected);
        let old = framed07(&sample);
        prop_assert!(render(&old)[0].starts_with("opentelemetry0.7 "));
        prop_assert_eq!(&meaning(&old), &expected);
        let pretty = json_value(&sample, "Megabits");
        prop_assert_eq!(&meaning(serde_json::to_string_pretty(&pretty).unwrap().as_bytes()), &expected);
    }

    #[test]
    fn what_stands_before_damage_survives(
        first in samples(), second in samples(), at in any::<prop::sample::Index>(), byte in any::<u8>(),
    ) {
        let expected = render(&framed(&first));
        let mut damaged = framed(&second);
        let index = at.index(damaged.len());
        damaged[index] ^= byte;
        let rendered = render(&[framed(&first), damaged].concat());
        prop_assert_eq!(&rendered[..1], &expected[..]);

        let line = json_line(&first, "");
        let expected = render(line.as_bytes()).remove(0);
        let mut damaged = json_line(&second, "").into_bytes();
        let index = at.index(damaged.len());
        damaged[index] ^= byte;
        let record = [line.as_bytes(), &damaged, line.as_bytes()].join(&b'\n');
        let rendered = render(&record);
        prop_assert_eq!(rendered.first(), Some(&expected));
        prop_assert_eq!(rendered.last(), Some(&expected));
    }

    #[test]
    fn any_bytes_end(
        noise in prop::collection::vec(any::<u8>(), 0..200), sample in samples(),
        cut in any::<prop::sample::Index>(),
    ) {
        render(&noise);
        let _ = envelope::open(&noise);
        for record in [framed(&sample), framed07(&sample), json_line(&sample, "").into_bytes()] {
            render(&record[..cut.index(record.len())]);
            let at = cut.index(record.len());
            render(&[&record[..at], &noise, &record[at..]].concat());
        }
    }

    #[test]
    fn envelopes_are_read_as_serde_json_reads_them(
        id in "\\PC{0,30}", datas in prop::collection::vec("[A-Za-z0-9+/\"\\\\é]{0,40}", 0..8),
        pretty in any::<bool>(), at in any::<prop::sample::Index>(), byte in any::<u8>(),
    ) {
        let records: Vec<_> = datas.iter().map(|data| serde_json::json!({"data": data})).collect();
        let value = serde_json::json!({
            "x": [null, true, 1.5e-7, {"y": {}}], "requestId": id, "records": records, "timestamp": 7,
        });
        let body = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) };
        let mut body = body.unwrap().into_bytes();
        for damage in [0, byte] {
            let index = at.index(body.len());
            body[index] ^= damage;
            let oracle = serde_json::from_slice::<serde_json::Value>(&body).ok();
            let opened = envelope::open(&body);
            let fields = oracle.as_ref().and_then(|value| {
                Some((value.get("requestId")?.as_str()?, value.get("records")?.as_array()?))
            });
            match (fields, opened) {
                (Some((id, records)), Ok(envelope)) => {
                    prop_assert_eq!(envelope.request_id, id);
                    prop_assert_eq!(envelope.records.len(), records.len());
                    let mut scratch = Vec::new();
                    for (data, record) in envelope.records.iter().zip(records) {
                        let text = record.get("data").and_then(serde_json::Value::as_str);
                        let expected = text.and_then(|text| {
                            base64_simd::STANDARD.decode_to_vec(text).ok()
                        });
                        prop_assert_eq!(data.decode(&mut scratch).ok(), expected.as_deref());
                    }
                }
                (None, Err(_)) => {}
                (fields, opened) => prop_assert!(false, "{:?} {:?}", fields, opened),
            }
        }
    }
}

#[test]
fn a_damaged_frame_costs_its_own_rest_only() {
    let good = framed(&sample("s"));
    let line = render(&good).remove(0);
    let broken = [&[3, 0x0a, 0x05, 0x00][..], &good].concat();
    assert_eq!(render(&[&good[..], &broken].concat()), [&line, "skipped protobuf", &line]);
    let mut visit = crate::decode_fixtures::Rendered::default();
    decode::record(&[good.as_slice(), b"\x80"].concat(), &mut visit);
    assert_eq!(visit.0, [&line, "skipped frame"]);
}
