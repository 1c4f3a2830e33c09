//! OTLP metrics as CloudWatch sends them, 0.7 and 1.0 alike: one reader for both.
//!
//! Field numbers agree in both versions but for a data point's identity, which is what tells them
//! apart, point by point: field 1 (`StringKeyValue`) is 0.7, field 7 (`KeyValue`) is 1.0.
//! Fields may come in any order and messages in several pieces, as protobuf allows.
//!
//! Decisions where the sources are silent:
//! - Namespace and metric name come from the labels. The first of each counts; a further one is a
//!   dimension of that name, since dimensions and those two share one list in 0.7.
//! - 1.0 attributes other than `Namespace`, `MetricName` and `Dimensions` are dimensions, numbers and
//!   booleans as text; what cannot be text spoils the data point, lest two series become one.
//! - A data point that is flagged as having no recorded value is passed over without a trace.
//! - A data point without an end lasts a minute, as in JSON; one without a start is no data point.
//! - Zeros are omitted on the wire, so that count and sum are always there: 0 if they did not come.
//!
//! Source: opentelemetry-proto v0.7.0 and v1.0.0; the CloudWatch user guide's "Translations".

use std::borrow::Cow;

use super::{
    DIMENSIONS_MAX, Format, PERIOD_MS, Reading, Reason, Visit,
    any_value::{Any, Pair, Piece},
    otlp_glimpse::Glimpser,
    percentile, unit,
    wire::{Broken, Fields, Value},
};
use crate::sample::slot::EXTENDED_MAX;

/// The flag of a data point that says nothing.
pub(super) const NO_RECORDED_VALUE: u64 = 1;
const NS_PER_MS: u64 = 1_000_000;

/// What a frame holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content {
    /// At least one `ResourceMetrics`, be it empty.
    Metrics,
    /// Nothing, or fields that `ExportMetricsServiceRequest` does not have.
    Foreign,
}

/// Reads requests of one record; what it collects of a data point is used again for the next.
#[derive(Debug, Default)]
pub(super) struct Points<'a> {
    resource: Resource<'a>,
    /// The message that said so, if it came in one piece.
    resource_message: Option<&'a [u8]>,
    unit: &'a str,
    point: Point<'a>,
    glimpser: Glimpser,
}

/// Where a resource's data points belong.
#[derive(Debug, Default)]
struct Resource<'a> {
    account: Cow<'a, str>,
    region: Cow<'a, str>,
    /// Both in one, if both are UTF-8: the account's length in eight bytes stands first.
    place: Option<Vec<u8>>,
}

/// What has been read of one data point.
#[derive(Debug, Default)]
struct Point<'a> {
    labels: bool,
    attributes: bool,
    namespace: Option<Cow<'a, str>>,
    metric: Option<Cow<'a, str>>,
    dimensions: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    start_ns: u64,
    end_ns: u64,
    count: u64,
    sum: f64,
    min: Option<f64>,
    max: Option<f64>,
    extended: Vec<(Cow<'a, str>, f64)>,
    flags: u64,
    garbled: bool,
    bad_field: bool,
    bad_statistic: bool,
}

impl<'a> Points<'a> {
    /// Reads one `ExportMetricsServiceRequest`.
    pub(super) fn request(
        &mut self,
        frame: &'a [u8],
        visit: &mut impl Visit,
    ) -> Result<Content, Broken<'a>> {
        let mut content = Content::Foreign;
        let mut fields = Fields::new(frame);
        while let Some((number, value)) = fields.next()? {
            match (number, value) {
                (1, Value::Bytes(bytes)) => {
                    content = Content::Metrics;
                    self.resource_metrics(bytes, visit)?;
                }
                (1, _) => return Err(fields.broken()),
                _ => {}
            }
        }
        Ok(content)
    }

    /// The resource may stand behind the metrics, so it is looked for first.
    fn resource_metrics(
        &mut self,
        bytes: &'a [u8],
        visit: &mut impl Visit,
    ) -> Result<(), Broken<'a>> {
        let mut reader = ResourceReader::default();
        let mut pieces = 0u32;
        // The same resource as before, not read again.
        let mut same = None;
        let mut message = None;
        let mut fields = Fields::new(bytes);
        while let Some((number, value)) = fields.next()? {
            match (number, value) {
                (1, Value::Bytes(resource)) => {
                    pieces = pieces.saturating_add(1);
                    message = (pieces == 1).then_some(resource);
                    if message.is_some() && message == self.resource_message {
                        same = message;
                    } else {
                        if let Some(first) = same.take() {
                            reader.read(first)?;
                        }
                        reader.read(resource)?;
                    }
                }
                (2 | 3, Value::Bytes(_)) => {}
                (1..=3, _) => return Err(fields.broken()),
                _ => {}
            }
        }
        if same.is_none() {
            self.resource = reader.finish();
            self.resource_message = message;
        }
        each(bytes, 2, |scope| {
            let mut fields = Fields::new(scope);
            while let Some((number, value)) = fields.next()? {
                match (number, value) {
                    (2, Value::Bytes(_)) if visit.is_over() => return Ok(()),
                    (2, Value::Bytes(metric)) => self.metric(metric, visit)?,
                    (1..=3, Value::Bytes(_)) => {}
                    (1..=3, _) => return Err(fields.broken()),
                    _ => {}
                }
            }
            Ok(())
        })
    }

    fn metric(&mut self, bytes: &'a [u8], visit: &mut impl Visit) -> Result<(), Broken<'a>> {
        let mut code: &[u8] = b"";
        let mut summary = None;
        let mut other = false;
        let mut fields = Fields::new(bytes);
        loop {
            let here = fields.rest();
            let Some((number, value)) = fields.next()? else { break };
            match (number, value) {
                (3, Value::Bytes(unit)) => code = unit,
                // Of several kinds of data the last one stands; pieces of one kind are merged.
                (11, Value::Bytes(_)) => {
                    summary = summary.or(Some(here));
                    other = false;
                }
                (4..=10, Value::Bytes(_)) => {
                    summary = None;
                    other = true;
                }
                (1..=11, Value::Bytes(_)) => {}
                (1..=11, _) => return Err(fields.broken()),
                _ => {}
            }
        }
        if other {
            visit.skipped(Reason::NotSummary, bytes);
        }
        let Some(summaries) = summary else { return Ok(()) };
        each(summaries, 11, |summary| {
            let mut fields = Fields::new(summary);
            while let Some((number, value)) = fields.next()? {
                match (number, value) {
                    (1, Value::Bytes(_)) if visit.is_over() => return Ok(()),
                    (1, Value::Bytes(point)) => self.data_point(point, code, visit)?,
                    (1, _) => return Err(fields.broken()),
                    _ => {}
                }
            }
            Ok(())
        })
    }

    /// Tells of a data point whose unit has that code, if it has to be told of.
    #[inline]
    fn data_point(
        &mut self,
        bytes: &'a [u8],
        code: &'a [u8],
        visit: &mut impl Visit,
    ) -> Result<(), Broken<'a>> {
        let outline = self.glimpser.look(bytes);
        let glimpse = match (&outline, &self.resource.place) {
            (Some(outline), Some(place)) => self.glimpser.glimpse(outline, place, code),
            _ => None,
        };
        if let Some(glimpse) = &glimpse
            && visit.glimpse(glimpse)
        {
            return Ok(());
        }
        self.point.read(bytes)?;
        let code = std::str::from_utf8(code);
        self.unit = code.map_or("", |code| unit::standard(code).unwrap_or(code));
        self.point.garbled |= code.is_err() || self.resource.place.is_none();
        if self.point.flags & NO_RECORDED_VALUE != 0 {
            return Ok(());
        }
        match (self.reading(), glimpse) {
            (Ok(reading), Some(glimpse)) if glimpse.is_of(&reading) => visit.glimpsed(&reading),
            (Ok(reading), _) => visit.reading(&reading),
            (Err(reason), _) => visit.skipped(reason, bytes),
        }
        Ok(())
    }

    #[inline]
    fn reading(&self) -> Result<Reading<'_>, Reason> {
        let point = &self.point;
        let format = match (point.labels, point.attributes) {
            (true, false) => Format::OpenTelemetry07,
            (false, true) => Format::OpenTelemetry10,
            _ => return Err(Reason::Labels),
        };
        if point.garbled {
            return Err(Reason::Utf8);
        }
        let namespace = point.namespace.as_deref().unwrap_or_default();
        let metric = point.metric.as_deref().unwrap_or_default();
        if point.bad_field || namespace.is_empty() || metric.is_empty() {
            return Err(Reason::Field);
        }
        let (start_ms, end_ms) =
            period_ms(point.start_ns, point.end_ns).ok_or(Reason::Timestamp)?;
        if point.bad_statistic {
            return Err(Reason::Statistic);
        }
        Ok(Reading {
            format,
            account: &self.resource.account,
            region: &self.resource.region,
            namespace,
            metric,
            unit: self.unit,
            dimensions: &point.dimensions,
            start_ms,
            end_ms,
            count: Some(point.count as f64),
            sum: Some(point.sum),
            min: point.min,
            max: point.max,
            extended: &point.extended,
        })
    }
}

/// Start and end in milliseconds; none without a start, or if it ends before it.
#[inline]
pub(super) fn period_ms(start_ns: u64, end_ns: u64) -> Option<(i64, i64)> {
    if start_ns == 0 || (1..start_ns).contains(&end_ns) {
        return None;
    }
    let start_ms = (start_ns / NS_PER_MS).cast_signed();
    let end_ms = match end_ns {
        0 => start_ms + PERIOD_MS,
        end_ns => (end_ns / NS_PER_MS).cast_signed(),
    };
    Some((start_ms, end_ms))
}

impl<'a> Point<'a> {
    fn clear(&mut self) {
        let mut dimensions = std::mem::take(&mut self.dimensions);
        let mut extended = std::mem::take(&mut self.extended);
        dimensions.clear();
        extended.clear();
        *self = Self { dimensions, extended, ..Self::default() };
    }

    /// Reads one `SummaryDataPoint` in place of the last.
    fn read(&mut self, bytes: &'a [u8]) -> Result<(), Broken<'a>> {
        self.clear();
        let mut fields = Fields::new(bytes);
        while let Some((number, value)) = fields.next()? {
            match (number, value) {
                (1, Value::Bytes(label)) => self.label(label)?,
                (2, Value::Fixed64(ns)) => self.start_ns = ns,
                (3, Value::Fixed64(ns)) => self.end_ns = ns,
                (4, Value::Fixed64(count)) => self.count = count,
                (5, Value::Fixed64(bits)) => self.sum = f64::from_bits(bits),
                (6, Value::Bytes(quantile)) => self.quantile(quantile)?,
                (7, Value::Bytes(attribute)) => self.attribute(attribute)?,
                (8, Value::Varint(flags)) => self.flags = flags,
                (1..=8, _) => return Err(fields.broken()),
                _ => {}
            }
        }
        Ok(())
    }

    /// A 0.7 `StringKeyValue`.
    fn label(&mut self, bytes: &'a [u8]) -> Result<(), Broken<'a>> {
        self.labels = true;
        let (mut key, mut text): (&[u8], &[u8]) = (b"", b"");
        let mut fields = Fields::new(bytes);
        while let Some((number, value)) = fields.next()? {
            match (number, value) {
                (1, Value::Bytes(bytes)) => key = bytes,
                (2, Value::Bytes(bytes)) => text = bytes,
                (1 | 2, _) => return Err(fields.broken()),
                _ => {}
            }
        }
        self.name(key, Cow::Borrowed(text));
        Ok(())
    }

    /// A 1.0 `KeyValue`.
    fn attribute(&mut self, bytes: &'a [u8]) -> Result<(), Broken<'a>> {
        self.attributes = true;
        let pair = Pair::read(bytes)?;
        if pair.key != b"Dimensions" {
            return self.pair(&pair, Self::name);
        }
        let (before, bad_field, garbled) = (self.dimensions.len(), self.bad_field, self.garbled);
        let any = pair.value(|piece| match piece {
            Piece::Restart => {
                self.dimensions.truncate(before);
                (self.bad_field, self.garbled) = (bad_field, garbled);
                Ok(())
            }
            Piece::Pair(bytes) => self.pair(&Pair::read(bytes)?, Self::dimension),
        })?;
        match any {
            Any::Nothing | Any::Pairs => Ok(()),
            _ => self.pair(&pair, Self::dimension),
        }
    }

    fn pair(
        &mut self,
        pair: &Pair<'a>,
        take: impl FnOnce(&mut Self, &'a [u8], Cow<'a, [u8]>),
    ) -> Result<(), Broken<'a>> {
        match pair.text()? {
            Some(text) => take(self, pair.key, text),
            None => self.bad_field = true,
        }
        Ok(())
    }

    fn name(&mut self, key: &'a [u8], text: Cow<'a, [u8]>) {
        match key {
            b"Namespace" if self.namespace.is_none() => {
                self.namespace = utf8(text, &mut self.garbled);
            }
            b"MetricName" if self.metric.is_none() => self.metric = utf8(text, &mut self.garbled),
            _ => self.dimension(key, text),
        }
    }

    fn dimension(&mut self, key: &'a [u8], text: Cow<'a, [u8]>) {
        let name = utf8(Cow::Borrowed(key), &mut self.garbled);
        let value = utf8(text, &mut self.garbled);
        if self.dimensions.len() == DIMENSIONS_MAX {
            self.bad_field = true;
        } else if let (Some(name), Some(value)) = (name, value) {
            self.dimensions.push((name, value));
        }
    }

    /// A `ValueAtQuantile`. An empty one is quantile 0 with value 0: the minimum is 0.
    fn quantile(&mut self, bytes: &'a [u8]) -> Result<(), Broken<'a>> {
        let (mut quantile, mut number) = (0.0, 0.0);
        let mut fields = Fields::new(bytes);
        while let Some((field, value)) = fields.next()? {
            match (field, value) {
                (1, Value::Fixed64(bits)) => quantile = f64::from_bits(bits),
                (2, Value::Fixed64(bits)) => number = f64::from_bits(bits),
                (1 | 2, _) => return Err(fields.broken()),
                _ => {}
            }
        }
        if quantile == 0.0 {
            self.min = Some(number);
        } else if quantile == 1.0 {
            self.max = Some(number);
        } else if let Some(name) = percentile::name(quantile) {
            self.extended.retain(|(known, _)| *known != name);
            if self.extended.len() == EXTENDED_MAX {
                self.bad_statistic = true;
            } else {
                self.extended.push((name, number));
            }
        } else {
            self.bad_statistic = true;
        }
        Ok(())
    }
}

/// Collects a resource, which may come in pieces; of an attribute that comes twice the last counts.
#[derive(Debug, Default)]
struct ResourceReader<'a> {
    account: Option<Cow<'a, [u8]>>,
    region: Option<Cow<'a, [u8]>>,
    /// `arn:aws:cloudwatch:REGION:ACCOUNT:metric-stream/NAME`: who sends, if it is not said whose it is.
    exporter: Option<Cow<'a, [u8]>>,
}

impl<'a> ResourceReader<'a> {
    fn read(&mut self, resource: &'a [u8]) -> Result<(), Broken<'a>> {
        let mut fields = Fields::new(resource);
        while let Some((number, value)) = fields.next()? {
            match (number, value) {
                (1, Value::Bytes(attribute)) => {
                    let pair = Pair::read(attribute)?;
                    match pair.key {
                        b"cloud.account.id" => self.account = pair.text()?,
                        b"cloud.region" => self.region = pair.text()?,
                        b"aws.exporter.arn" => self.exporter = pair.text()?,
                        _ => {}
                    }
                }
                (1, _) => return Err(fields.broken()),
                _ => {}
            }
        }
        Ok(())
    }

    fn finish(self) -> Resource<'a> {
        let part = |index| {
            let text = self.exporter.as_deref().unwrap_or_default();
            let part =
                text.strip_prefix(b"arn:").and_then(|_| text.split(|b| *b == b':').nth(index));
            part.map(|part| Cow::Owned(part.to_vec()))
        };
        let said = |text: Option<Cow<'a, [u8]>>| text.filter(|text| !text.is_empty());
        let account = said(self.account).or_else(|| part(4)).unwrap_or_default();
        let region = said(self.region).or_else(|| part(3)).unwrap_or_default();
        let mut garbled = false;
        let account = utf8(account, &mut garbled).unwrap_or_default();
        let region = utf8(region, &mut garbled).unwrap_or_default();
        let place = (!garbled).then(|| {
            let length = (account.len() as u64).to_le_bytes();
            [&length[..], account.as_bytes(), region.as_bytes()].concat()
        });
        Resource { account, region, place }
    }
}

/// Every length-delimited field of that number.
fn each<'a>(
    message: &'a [u8],
    wanted: u32,
    mut take: impl FnMut(&'a [u8]) -> Result<(), Broken<'a>>,
) -> Result<(), Broken<'a>> {
    let mut fields = Fields::new(message);
    while let Some((number, value)) = fields.next()? {
        if let Value::Bytes(bytes) = value
            && number == wanted
        {
            take(bytes)?;
        }
    }
    Ok(())
}

#[inline]
fn utf8<'a>(bytes: Cow<'a, [u8]>, garbled: &mut bool) -> Option<Cow<'a, str>> {
    let text = match bytes {
        Cow::Borrowed(bytes) => std::str::from_utf8(bytes).ok().map(Cow::Borrowed),
        Cow::Owned(bytes) => String::from_utf8(bytes).ok().map(Cow::Owned),
    };
    *garbled |= text.is_none();
    text
}
