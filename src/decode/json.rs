//! CloudWatch's JSON: one object per data point, line by line.
//!
//! Objects may also follow each other without a line feed, or span lines. What is not JSON costs the
//! line on which it begins: reading goes on after the next line feed, wherever the trouble showed, so
//! that a line that was cut off cannot swallow the next one. Nesting and what may follow an object's
//! first line are bounded, so that lines without end cost no more than a few times their length.
//!
//! Of equal keys the last counts, and `null` counts as missing; dimensions of equal name are all given.
//!
//! Source: the CloudWatch user guide, "Metric streams JSON format".

use std::borrow::Cow;

use super::{
    DIMENSIONS_MAX, Format, PERIOD_MS, Reading, Reason, Visit,
    json_glimpse::Glimpser,
    scan::{Broken, Cursor, Text},
};
use crate::sample::slot::EXTENDED_MAX;

/// From 1, since zero says nothing, to the last millisecond of the year 9999.
pub(super) const TIMESTAMPS_MS: std::ops::RangeInclusive<f64> = 1.0..=253_402_300_799_999.0;

/// Reads all data points of a record.
pub(super) fn lines(record: &[u8], visit: &mut impl Visit) {
    let mut cursor = Cursor::lines(record);
    let mut datum = Datum::default();
    let mut glimpser = Glimpser::default();
    while !visit.is_over() {
        cursor.blank();
        let from = cursor.at();
        let piece = cursor.rest();
        match piece.first() {
            None => return,
            Some(b'{') => {
                let outline = glimpser.look(record, from);
                let glimpse = outline.as_ref().map(|outline| glimpser.glimpse(outline));
                let end = outline.as_ref().map(|outline| outline.end);
                if let (Some(glimpse), Some(end)) = (&glimpse, end)
                    && visit.glimpse(glimpse)
                {
                    cursor.jump(end);
                    continue;
                }
                datum.clear();
                cursor.begin(end);
                if datum.read(&mut cursor).is_ok() {
                    let is_whole = end == Some(cursor.at()) && cursor.is_on_one_line();
                    match datum.reading(cursor.garbled.is_some()) {
                        Ok(reading) => match glimpse {
                            Some(glimpse) if is_whole && glimpse.is_of(&reading) => {
                                visit.glimpsed(&reading);
                            }
                            _ => visit.reading(&reading),
                        },
                        Err(reason) => {
                            let length = cursor.at() - from;
                            visit.skipped(reason, piece.get(..length).unwrap_or_default());
                        }
                    }
                    continue;
                }
            }
            Some(_) => {}
        }
        let length = memchr::memchr(b'\n', piece).unwrap_or(piece.len());
        visit.skipped(Reason::Json, piece.get(..length).unwrap_or_default());
        cursor.jump(from + length);
    }
}

/// A field of a data point.
#[derive(Debug, Default)]
enum Field<T> {
    #[default]
    Missing,
    /// Of another type than it must.
    Wrong,
    Given(T),
}

/// What has been read of one data point.
#[derive(Debug, Default)]
struct Datum<'a> {
    account: Field<Cow<'a, str>>,
    region: Field<Cow<'a, str>>,
    namespace: Field<Cow<'a, str>>,
    metric: Field<Cow<'a, str>>,
    unit: Field<Cow<'a, str>>,
    start_ms: Field<f64>,
    /// `Given` says that `dimensions` are good.
    has_dimensions: Field<()>,
    dimensions: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    /// `Given` says that the statistics are good.
    has_value: Field<()>,
    too_many: bool,
    count: Option<f64>,
    sum: Option<f64>,
    min: Option<f64>,
    max: Option<f64>,
    extended: Vec<(Cow<'a, str>, f64)>,
}

impl<'a> Datum<'a> {
    fn clear(&mut self) {
        let mut dimensions = std::mem::take(&mut self.dimensions);
        let mut extended = std::mem::take(&mut self.extended);
        dimensions.clear();
        extended.clear();
        *self = Self { dimensions, extended, ..Self::default() };
    }

    /// Reads one object to its end.
    fn read(&mut self, cursor: &mut Cursor<'a>) -> Result<(), Broken> {
        let mut more = cursor.enter(b'{', b'}')?;
        while more {
            let key = cursor.key()?;
            if key.escaped {
                self.field(&key.name(), cursor)?;
            } else {
                self.field(key.raw, cursor)?;
            }
            more = cursor.more(b'}')?;
        }
        Ok(())
    }

    #[inline]
    fn field(&mut self, key: &[u8], cursor: &mut Cursor<'a>) -> Result<(), Broken> {
        match key {
            b"account_id" => self.account = text(cursor)?,
            b"region" => self.region = text(cursor)?,
            b"namespace" => self.namespace = text(cursor)?,
            b"metric_name" => self.metric = text(cursor)?,
            b"unit" => self.unit = text(cursor)?,
            b"dimensions" => self.read_dimensions(cursor)?,
            b"timestamp" => self.start_ms = number(cursor)?,
            b"value" => self.read_value(cursor)?,
            _ => cursor.skip()?,
        }
        Ok(())
    }

    fn read_dimensions(&mut self, cursor: &mut Cursor<'a>) -> Result<(), Broken> {
        self.dimensions.clear();
        if cursor.peek() != Some(b'{') {
            self.has_dimensions = other(cursor)?;
            return Ok(());
        }
        self.has_dimensions = Field::Given(());
        let mut more = cursor.enter(b'{', b'}')?;
        while more {
            let key = cursor.key()?;
            match text(cursor)? {
                Field::Given(value) if self.dimensions.len() < DIMENSIONS_MAX => {
                    self.dimensions.push((cursor.content(&key), value));
                }
                _ => self.has_dimensions = Field::Wrong,
            }
            more = cursor.more(b'}')?;
        }
        Ok(())
    }

    fn read_value(&mut self, cursor: &mut Cursor<'a>) -> Result<(), Broken> {
        (self.count, self.sum, self.min, self.max) = (None, None, None, None);
        self.extended.clear();
        self.too_many = false;
        if cursor.peek() != Some(b'{') {
            self.has_value = other(cursor)?;
            return Ok(());
        }
        self.has_value = Field::Given(());
        let mut more = cursor.enter(b'{', b'}')?;
        while more {
            let key = cursor.key()?;
            let value = match number(cursor)? {
                Field::Given(value) if value.is_finite() => Some(value),
                Field::Missing => None,
                _ => {
                    self.has_value = Field::Wrong;
                    None
                }
            };
            match key.raw {
                b"count" => self.count = value,
                b"sum" => self.sum = value,
                b"min" => self.min = value,
                b"max" => self.max = value,
                _ => self.statistic(&key, value, cursor),
            }
            more = cursor.more(b'}')?;
        }
        Ok(())
    }

    fn statistic(&mut self, key: &Text<'a>, value: Option<f64>, cursor: &mut Cursor<'a>) {
        let name = cursor.content(key);
        match name.as_ref() {
            "count" => self.count = value,
            "sum" => self.sum = value,
            "min" => self.min = value,
            "max" => self.max = value,
            _ => {
                self.extended.retain(|(known, _)| *known != name);
                match value {
                    Some(_) if self.extended.len() == EXTENDED_MAX => self.too_many = true,
                    Some(value) => self.extended.push((name, value)),
                    None => {}
                }
            }
        }
    }

    #[inline]
    fn reading(&self, garbled: bool) -> Result<Reading<'_>, Reason> {
        use Field::{Given, Missing};
        if garbled {
            return Err(Reason::Utf8);
        }
        if let (Missing, Missing, Missing) = (&self.namespace, &self.metric, &self.has_value) {
            return Err(Reason::ForeignJson);
        }
        let (Given(namespace), Given(metric), Given(()), Given(start_ms), Missing | Given(())) =
            (&self.namespace, &self.metric, &self.has_value, &self.start_ms, &self.has_dimensions)
        else {
            return Err(Reason::Field);
        };
        let none = self.count.or(self.sum).or(self.min).or(self.max).is_none();
        if namespace.is_empty() || metric.is_empty() || none && self.extended.is_empty() {
            return Err(Reason::Field);
        }
        let (account, region, unit) =
            (optional(&self.account)?, optional(&self.region)?, optional(&self.unit)?);
        if start_ms.fract() != 0.0 || !TIMESTAMPS_MS.contains(start_ms) {
            return Err(Reason::Timestamp);
        }
        if self.too_many {
            return Err(Reason::Statistic);
        }
        let start_ms = *start_ms as i64;
        Ok(Reading {
            format: Format::Json,
            account,
            region,
            namespace,
            metric,
            unit,
            dimensions: &self.dimensions,
            start_ms,
            end_ms: start_ms + PERIOD_MS,
            count: self.count,
            sum: self.sum,
            min: self.min,
            max: self.max,
            extended: &self.extended,
        })
    }
}

fn optional<'a>(field: &'a Field<Cow<'_, str>>) -> Result<&'a str, Reason> {
    match field {
        Field::Missing => Ok(""),
        Field::Wrong => Err(Reason::Field),
        Field::Given(text) => Ok(text),
    }
}

#[inline]
fn text<'a>(cursor: &mut Cursor<'a>) -> Result<Field<Cow<'a, str>>, Broken> {
    if cursor.peek() == Some(b'"') {
        let text = cursor.string()?;
        return Ok(Field::Given(cursor.content(&text)));
    }
    other(cursor)
}

#[inline]
fn number(cursor: &mut Cursor<'_>) -> Result<Field<f64>, Broken> {
    if let Some(b'-' | b'0'..=b'9') = cursor.peek() {
        return cursor.number().map(Field::Given);
    }
    other(cursor)
}

/// A value that is not of the type it must be, or `null`.
#[cold]
fn other<T>(cursor: &mut Cursor<'_>) -> Result<Field<T>, Broken> {
    let null = cursor.peek() == Some(b'n');
    cursor.skip()?;
    Ok(if null { Field::Missing } else { Field::Wrong })
}
