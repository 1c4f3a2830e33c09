//! Frames of OTLP 0.7 and 1.0, held against prost and the documented rules.

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::metrics::v1::metric;
use prost::Message as _;
use sluicegate::decode::{DIMENSIONS_MAX, Reason};
use sluicegate::sample::slot::EXTENDED_MAX;

use super::collected::{self, Owned, Piece};
use super::otlp_model::{Any, AnyValue, Data, KeyValue, Metric, Point, Request, ResourceMetrics};

/// Decodes the bytes as a record, and behind a length prefix of their own.
pub fn run(data: &[u8]) {
    let pieces = collected::record(data);
    if let Some(expected) = record(data) {
        same(&pieces, &expected);
    }
    let mut framed = Vec::with_capacity(data.len() + 5);
    prost::encoding::encode_varint(data.len() as u64, &mut framed);
    framed.extend_from_slice(data);
    let pieces = collected::record(&framed);
    if let Some(expected) = record(&framed) {
        same(&pieces, &expected);
    }
    // The model is the published one, but for the labels of 0.7.
    if let (Ok(request), Ok(published)) =
        (Request::decode(data), ExportMetricsServiceRequest::decode(data))
    {
        assert_eq!(points(&request), published_points(&published));
    }
}

/// The sums of all data points.
fn points(request: &Request) -> Vec<u64> {
    let metrics = request.resources.iter().flat_map(|resource| &resource.scopes);
    let metrics = metrics.flat_map(|scope| &scope.metrics);
    let points = metrics.filter_map(|metric| match &metric.data {
        Some(Data::Summary(summary)) => Some(&summary.points),
        _ => None,
    });
    points.flatten().map(|point| point.sum.to_bits()).collect()
}

fn published_points(request: &ExportMetricsServiceRequest) -> Vec<u64> {
    let metrics = request.resource_metrics.iter().flat_map(|resource| &resource.scope_metrics);
    let metrics = metrics.flat_map(|scope| &scope.metrics);
    let points = metrics.filter_map(|metric| match &metric.data {
        Some(metric::Data::Summary(summary)) => Some(&summary.data_points),
        _ => None,
    });
    points.flatten().map(|point| point.sum.to_bits()).collect()
}

fn same(pieces: &[Piece], expected: &[Expected]) {
    assert_eq!(pieces.len(), expected.len(), "\n{pieces:?}\n{expected:?}");
    for (piece, expected) in pieces.iter().zip(expected) {
        match (piece, expected) {
            (Err(reason), Expected::Skipped(expected)) => assert_eq!(reason, expected),
            (Ok(reading), Expected::Reading(owned, point)) => {
                let bare = Owned { plain: [None; 4], extended: Vec::new(), ..reading.clone() };
                assert_eq!(bare, **owned);
                statistics(reading, point);
            }
            pair => panic!("{pair:?}"),
        }
    }
}

fn statistics(reading: &Owned, point: &Point) {
    let bits = |value: Option<f64>| value.map(f64::to_bits);
    let last = |wanted: f64| {
        let mut found = point.quantiles.iter().rev().filter(|q| q.quantile == wanted);
        bits(found.next().map(|quantile| quantile.value))
    };
    let [count, sum, min, max] = reading.plain.map(bits);
    assert_eq!(count, Some((point.count as f64).to_bits()));
    assert_eq!(sum, Some(point.sum.to_bits()));
    assert_eq!((min, max), (last(0.0), last(1.0)));
    let between: Vec<_> =
        point.quantiles.iter().filter(|q| q.quantile != 0.0 && q.quantile != 1.0).collect();
    let means = |name: &str, quantile: f64| {
        let percent: f64 =
            name.strip_prefix('p').and_then(|n| n.parse().ok()).expect("p and a number");
        (percent / 100.0 - quantile).abs() <= quantile * 1e-9
    };
    for (name, value) in &reading.extended {
        let mut those = between.iter().filter(|quantile| means(name, quantile.quantile));
        let is_there = those.any(|quantile| quantile.value.to_bits() == value.to_bits());
        assert!(is_there, "{name}={value}: {between:?}");
    }
    for quantile in &between {
        assert!(reading.extended.iter().any(|(name, _)| means(name, quantile.quantile)));
    }
    let mut names: Vec<_> = reading.extended.iter().map(|(name, _)| name).collect();
    names.sort();
    assert!(names.windows(2).all(|pair| pair[0] != pair[1]), "{names:?}");
}

#[derive(Debug)]
enum Expected {
    Skipped(Reason),
    /// A reading without its statistics, and the point that has them.
    Reading(Box<Owned>, Point),
}

/// What has to come of a record; none if it is no sequence of whole frames that prost takes, or could
/// be something else as well.
fn record(record: &[u8]) -> Option<Vec<Expected>> {
    let mut expected = Vec::new();
    let mut rest = record;
    if !is_plain(record) {
        return None;
    }
    while !rest.is_empty() {
        let before = rest.len();
        let length = prost::encoding::decode_varint(&mut rest).ok()?;
        let length = usize::try_from(length).ok()?;
        // The length is a varint of 32 bits; prost's may be one of 64.
        if before - rest.len() > 5 {
            return None;
        }
        let (frame, after) = rest.split_at_checked(length)?;
        rest = after;
        let request = Request::decode(frame).ok()?;
        for resource in &request.resources {
            resource_metrics(resource, &mut expected);
        }
        if request.resources.is_empty() && !frame.is_empty() {
            expected.push(Expected::Skipped(Reason::UnknownFormat));
        }
    }
    Some(expected)
}

/// Whether a record has bytes that no text has, and nothing of JSON or gzip.
fn is_plain(record: &[u8]) -> bool {
    let binary = |byte: &u8| *byte < b' ' && !byte.is_ascii_whitespace();
    record.iter().any(binary)
        && record.trim_ascii_start().first() != Some(&b'{')
        && !record.starts_with(&[0x1f, 0x8b])
        && !record.windows(3).any(|three| three == b"\n{\"")
}

fn resource_metrics(metrics: &ResourceMetrics, expected: &mut Vec<Expected>) {
    let attributes = metrics.resource.iter().flat_map(|resource| &resource.attributes);
    let last = |wanted: &str| {
        let mut found = attributes.clone().filter(|pair| pair.key == wanted.as_bytes());
        let text = found.next_back().and_then(text_of);
        text.filter(|text| !text.is_empty())
    };
    let arn = last("aws.exporter.arn").filter(|arn| arn.starts_with(b"arn:")).unwrap_or_default();
    let part = |at: usize| arn.split(|byte| *byte == b':').nth(at).map(<[u8]>::to_vec);
    let account = last("cloud.account.id").or_else(|| part(4)).unwrap_or_default();
    let region = last("cloud.region").or_else(|| part(3)).unwrap_or_default();
    for metric in metrics.scopes.iter().flat_map(|scope| &scope.metrics) {
        match &metric.data {
            None => {}
            Some(Data::Summary(summary)) => {
                for point in summary.points.iter().filter(|point| point.flags & 1 == 0) {
                    let reading = reading(&account, &region, metric, point);
                    expected.push(match reading {
                        Ok(owned) => Expected::Reading(Box::new(owned), point.clone()),
                        Err(reason) => Expected::Skipped(reason),
                    });
                }
            }
            Some(_) => expected.push(Expected::Skipped(Reason::NotSummary)),
        }
    }
}

fn text_of(pair: &KeyValue) -> Option<Vec<u8>> {
    match pair.value.as_ref().and_then(|value| value.value.as_ref()) {
        None => Some(Vec::new()),
        Some(Any::Text(text)) => Some(text.clone()),
        Some(Any::Bool(value)) => Some(value.to_string().into_bytes()),
        Some(Any::Int(value)) => Some(value.to_string().into_bytes()),
        Some(Any::Double(value)) => Some(value.to_string().into_bytes()),
        Some(Any::Array(_) | Any::Pairs(_) | Any::Bytes(_)) => None,
    }
}

/// What labels or attributes say of a data point.
#[derive(Default)]
struct Identity {
    namespace: Option<String>,
    metric: Option<String>,
    dimensions: Vec<(String, String)>,
    garbled: bool,
    bad: bool,
}

impl Identity {
    fn utf8(&mut self, bytes: &[u8]) -> String {
        self.garbled |= std::str::from_utf8(bytes).is_err();
        String::from_utf8_lossy(bytes).into_owned()
    }

    fn name(&mut self, key: &[u8], value: &[u8]) {
        match key {
            b"Namespace" if self.namespace.is_none() => self.namespace = Some(self.utf8(value)),
            b"MetricName" if self.metric.is_none() => self.metric = Some(self.utf8(value)),
            _ => self.dimension(key, value),
        }
    }

    fn dimension(&mut self, key: &[u8], value: &[u8]) {
        self.bad |= self.dimensions.len() >= DIMENSIONS_MAX;
        let pair = (self.utf8(key), self.utf8(value));
        self.dimensions.push(pair);
    }

    fn attribute(&mut self, pair: &KeyValue) {
        match &pair.value {
            Some(AnyValue { value: Some(Any::Pairs(pairs)) }) if pair.key == b"Dimensions" => {
                for pair in &pairs.values {
                    match text_of(pair) {
                        Some(text) => self.dimension(&pair.key, &text),
                        None => self.bad = true,
                    }
                }
            }
            None | Some(AnyValue { value: None }) if pair.key == b"Dimensions" => {}
            _ => match text_of(pair) {
                Some(text) => self.name(&pair.key, &text),
                None => self.bad = true,
            },
        }
    }
}

fn reading(account: &[u8], region: &[u8], metric: &Metric, point: &Point) -> Result<Owned, Reason> {
    let mut identity = Identity::default();
    let format = match (point.labels.is_empty(), point.attributes.is_empty()) {
        (false, true) => "opentelemetry0.7",
        (true, false) => "opentelemetry1.0",
        _ => return Err(Reason::Labels),
    };
    point.labels.iter().for_each(|label| identity.name(&label.key, &label.value));
    point.attributes.iter().for_each(|pair| identity.attribute(pair));
    let [account, region, unit] = [account, region, &metric.unit].map(|text| identity.utf8(text));
    if identity.garbled {
        return Err(Reason::Utf8);
    }
    let namespace = identity.namespace.unwrap_or_default();
    let name = identity.metric.unwrap_or_default();
    if identity.bad || namespace.is_empty() || name.is_empty() {
        return Err(Reason::Field);
    }
    if point.start_ns == 0 || point.end_ns != 0 && point.end_ns < point.start_ns {
        return Err(Reason::Timestamp);
    }
    let mut between: Vec<f64> = point.quantiles.iter().map(|q| q.quantile).collect();
    between.retain(|quantile| *quantile != 0.0 && *quantile != 1.0);
    if between.iter().any(|quantile| !(0.0..=1.0).contains(quantile)) {
        return Err(Reason::Statistic);
    }
    between.sort_by(f64::total_cmp);
    between.dedup_by(|a, b| (*a - *b).abs() < 1e-9);
    if between.len() > EXTENDED_MAX {
        return Err(Reason::Statistic);
    }
    let start_ms = (point.start_ns / 1_000_000) as i64;
    let end_ms = (point.end_ns / 1_000_000) as i64;
    Ok(Owned {
        format,
        account,
        region,
        namespace,
        metric: name,
        unit: units(&unit).to_owned(),
        dimensions: identity.dimensions,
        start_ms,
        end_ms: if point.end_ns == 0 { start_ms + 60_000 } else { end_ms },
        plain: [None; 4],
        extended: Vec::new(),
    })
}

/// The table of `tests/fixtures/decode/units.txt`: a code, and CloudWatch's name.
fn units(code: &str) -> &str {
    const TABLE: &str = include_str!("../../../tests/fixtures/decode/units.txt");
    let mut known = TABLE.lines().filter_map(|line| line.split_once(' '));
    known.find(|(known, _)| *known == code).map_or(code, |(_, name)| name)
}
