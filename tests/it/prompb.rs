//! Remote write 1.0 as prost messages, declared by hand from prometheus/prompb: what the encoder is
//! held against.

use std::collections::BTreeMap;

use prost::Message;

#[derive(Clone, PartialEq, Message)]
pub(crate) struct WriteRequest {
    #[prost(message, repeated, tag = "1")]
    pub(crate) timeseries: Vec<TimeSeries>,
    #[prost(message, repeated, tag = "3")]
    pub(crate) metadata: Vec<MetricMetadata>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct TimeSeries {
    #[prost(message, repeated, tag = "1")]
    pub(crate) labels: Vec<Label>,
    #[prost(message, repeated, tag = "2")]
    pub(crate) samples: Vec<Sample>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Label {
    #[prost(string, tag = "1")]
    pub(crate) name: String,
    #[prost(string, tag = "2")]
    pub(crate) value: String,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Sample {
    #[prost(double, tag = "1")]
    pub(crate) value: f64,
    #[prost(int64, tag = "2")]
    pub(crate) timestamp: i64,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct MetricMetadata {
    #[prost(int32, tag = "1")]
    pub(crate) kind: i32,
    #[prost(string, tag = "2")]
    pub(crate) metric_family_name: String,
    #[prost(string, tag = "4")]
    pub(crate) help: String,
    #[prost(string, tag = "5")]
    pub(crate) unit: String,
}

/// What stands in a snappy block.
pub(crate) fn unpack(block: &[u8]) -> WriteRequest {
    let raw = snap::raw::Decoder::new().decompress_vec(block).expect("a snappy block");
    WriteRequest::decode(raw.as_slice()).expect("a write request")
}

/// `name{label="value"}` of a series.
pub(crate) fn series_text(series: &TimeSeries) -> String {
    let labels: BTreeMap<&str, &str> =
        series.labels.iter().map(|label| (label.name.as_str(), label.value.as_str())).collect();
    let name = labels.get("__name__").copied().unwrap_or_default();
    let others: Vec<String> = labels
        .iter()
        .filter(|(name, _)| **name != "__name__")
        .map(|(name, value)| format!("{name}={value:?}"))
        .collect();
    format!("{name}{{{}}}", others.join(","))
}
