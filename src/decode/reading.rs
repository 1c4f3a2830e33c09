//! What decoding yields: data points that borrow from the record, and what was skipped.

use std::borrow::Cow;

/// The stream format in which a data point came; told from the bytes, never configured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// CloudWatch JSON, one object per data point.
    Json,
    /// OpenTelemetry 0.7: labels in field 1 of the data point.
    OpenTelemetry07,
    /// OpenTelemetry 1.0: attributes in field 7 of the data point.
    OpenTelemetry10,
}

impl Format {
    /// Every format.
    pub const ALL: [Self; 3] = [Self::Json, Self::OpenTelemetry07, Self::OpenTelemetry10];

    /// The name that CloudWatch's `OutputFormat` gives it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::OpenTelemetry07 => "opentelemetry0.7",
            Self::OpenTelemetry10 => "opentelemetry1.0",
        }
    }
}

/// One CloudWatch data point. All strings are valid UTF-8 and otherwise as they came.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading<'a> {
    /// How it came.
    pub format: Format,
    /// The account that the data point belongs to; empty if the record does not say.
    pub account: &'a str,
    /// The region that the data point belongs to; empty if the record does not say.
    pub region: &'a str,
    /// CloudWatch namespace, e.g. `AWS/EC2`; never empty.
    pub namespace: &'a str,
    /// CloudWatch metric name, e.g. `CPUUtilization`; never empty.
    pub metric: &'a str,
    /// CloudWatch `StandardUnit` name, e.g. `Percent`: OpenTelemetry codes are translated back, so
    /// that all formats agree. A unit that is not in the table is given as it came; empty if none.
    pub unit: &'a str,
    /// Dimensions in the order of the record.
    pub dimensions: &'a [(Cow<'a, str>, Cow<'a, str>)],
    /// Start of the period, milliseconds since 1970.
    pub start_ms: i64,
    /// End of the period, milliseconds since 1970. CloudWatch JSON has no end: start + 60 s.
    pub end_ms: i64,
    /// Number of values in the period.
    pub count: Option<f64>,
    /// Sum of the values.
    pub sum: Option<f64>,
    /// Smallest value.
    pub min: Option<f64>,
    /// Largest value.
    pub max: Option<f64>,
    /// Extended statistics under their CloudWatch names (`p99`, `p99.9`, `IQM`, `TM(10%:90%)`), in
    /// the order of the record. OpenTelemetry quantiles have their percentile name: 0.999 is `p99.9`.
    pub extended: &'a [(Cow<'a, str>, f64)],
}

/// A data point of which only the numbers have been read. What names it has been found, but not
/// looked into: whoever has seen the same bytes before knows what they say.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Glimpse<'a> {
    /// How it came.
    pub format: Format,
    /// The bytes that name it. Glimpses of one format whose pieces are equal, each by itself, are of
    /// data points with equal account, region, namespace, metric, unit, dimensions and names of
    /// extended statistics, in equal order. A piece that a format does not need is empty.
    pub identity: [&'a [u8]; 4],
    /// Start of the period, milliseconds since 1970.
    pub start_ms: i64,
    /// End of the period, milliseconds since 1970.
    pub end_ms: i64,
    /// Number of values in the period.
    pub count: Option<f64>,
    /// Sum of the values.
    pub sum: Option<f64>,
    /// Smallest value.
    pub min: Option<f64>,
    /// Largest value.
    pub max: Option<f64>,
    /// Values of the extended statistics, in the order of their names.
    pub extended: &'a [f64],
}

impl Glimpse<'_> {
    /// Whether the reading has the numbers that were glimpsed, each in its place.
    pub(super) fn is_of(&self, reading: &Reading<'_>) -> bool {
        let bits = |value: Option<f64>| value.map(f64::to_bits);
        let plain = [
            (self.count, reading.count),
            (self.sum, reading.sum),
            (self.min, reading.min),
            (self.max, reading.max),
        ];
        let mut extended = self.extended.iter().zip(reading.extended);
        self.format == reading.format
            && (self.start_ms, self.end_ms) == (reading.start_ms, reading.end_ms)
            && plain.iter().all(|(one, other)| bits(*one) == bits(*other))
            && self.extended.len() == reading.extended.len()
            && extended.all(|(one, (_, other))| one.to_bits() == other.to_bits())
    }
}

/// Why a piece of input was skipped. `name` is the `reason` label of
/// `sluicegate_records_skipped_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// A record's `data` is not standard base64.
    Base64,
    /// Neither a JSON object nor length-delimited OTLP.
    UnknownFormat,
    /// A gzip member inside the record (metric streams never do that).
    GzipRecord,
    /// A line that begins like JSON and is not.
    Json,
    /// JSON that is no metric stream data point (a console's demo data, a control message).
    ForeignJson,
    /// A field that every data point has is missing or has another type.
    Field,
    /// A length prefix is broken or longer than what follows.
    Frame,
    /// Protobuf that cannot be read.
    Protobuf,
    /// An OTLP metric that is not a summary.
    NotSummary,
    /// A data point with both 0.7 labels and 1.0 attributes, or with neither.
    Labels,
    /// A string is not valid UTF-8.
    Utf8,
    /// A timestamp is out of range.
    Timestamp,
    /// A quantile outside of 0..=1, or more statistics than a data point can have.
    Statistic,
}

impl Reason {
    /// Every reason.
    pub const ALL: [Self; 13] = [
        Self::Base64,
        Self::UnknownFormat,
        Self::GzipRecord,
        Self::Json,
        Self::ForeignJson,
        Self::Field,
        Self::Frame,
        Self::Protobuf,
        Self::NotSummary,
        Self::Labels,
        Self::Utf8,
        Self::Timestamp,
        Self::Statistic,
    ];

    /// The label value.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Base64 => "base64",
            Self::UnknownFormat => "unknown_format",
            Self::GzipRecord => "gzip_record",
            Self::Json => "json",
            Self::ForeignJson => "foreign_json",
            Self::Field => "field",
            Self::Frame => "frame",
            Self::Protobuf => "protobuf",
            Self::NotSummary => "not_summary",
            Self::Labels => "labels",
            Self::Utf8 => "utf8",
            Self::Timestamp => "timestamp",
            Self::Statistic => "statistic",
        }
    }
}

/// Takes what a record holds, in its order.
pub trait Visit {
    /// A data point.
    fn reading(&mut self, reading: &Reading<'_>);

    /// A data point before it is read in full. True if its identity is known, and the data point is
    /// done with by that; else it is read, and comes by [`Self::glimpsed`], by [`Self::reading`] or
    /// as [`Self::skipped`].
    fn glimpse(&mut self, glimpse: &Glimpse<'_>) -> bool {
        let _ = glimpse;
        false
    }

    /// The data point of the last glimpse, read in full: wherever the same identity is glimpsed
    /// again, it will be that of this reading.
    fn glimpsed(&mut self, reading: &Reading<'_>) {
        self.reading(reading);
    }

    /// A piece that could not be decoded: a whole record, a line, a frame or a data point. `piece`
    /// begins where the trouble does, for a short prefix in the log.
    fn skipped(&mut self, reason: Reason, piece: &[u8]);

    /// Whether the rest of the record is of no interest any more.
    fn is_over(&self) -> bool {
        false
    }
}
