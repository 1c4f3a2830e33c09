//! A JSON data point's numbers and the bytes that name it, found in one scan.
//!
//! The shape is CloudWatch's own: an object that ends in
//! `,"timestamp":1,"value":{"max":1.0,…},"unit":"…"}` without whitespace. What stands before that, the
//! unit and the names of the extended statistics are the identity.
//!
//! Why equal identities mean equal names, once the full reading of one ended where the glimpse did:
//! that reading stood between two members of the outermost object where the timestamp begins, for
//! inside a string the quote before `timestamp` would be out of place, and inside anything else one
//! brace would be missing. Whatever it knew by then it knew from the prefix alone. What follows sets
//! timestamp, value and unit anew, whatever the prefix said of them, and holds no line feed, so that
//! with none in the prefix nothing depends on how long the object is.

use std::sync::LazyLock;

use memchr::memmem::Finder;

use super::{Format, Glimpse, IDENTITY_BYTES_MAX, PERIOD_MS, json::TIMESTAMPS_MS, scan::Cursor};
use crate::sample::slot::EXTENDED_MAX;

/// Where the prefix ends.
const MARK: &[u8] = b",\"timestamp\":";
static MARKS: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(MARK));

/// Digits of the last millisecond of the year 9999.
const TIMESTAMP_DIGITS_MAX: usize = 15;

/// Looks for data points of a record, from front to back.
#[derive(Debug, Default)]
pub(super) struct Glimpser {
    /// Before this there is no mark that has not been looked at. None is looked at twice, be it that
    /// it was found across lines that have none: so a record is searched but once.
    marked_until: usize,
    /// Names of extended statistics, each behind a quote, which no name has.
    names: Vec<u8>,
    extended: Vec<f64>,
}

/// What a glimpse is made of, and where it ends.
#[derive(Debug)]
pub(super) struct Outline<'a> {
    pub(super) end: usize,
    prefix: &'a [u8],
    unit: &'a [u8],
    start_ms: i64,
    count: Option<f64>,
    sum: Option<f64>,
    min: Option<f64>,
    max: Option<f64>,
}

impl Glimpser {
    /// Looks at the object that begins there; none if it has another shape.
    pub(super) fn look<'a>(&mut self, record: &'a [u8], from: usize) -> Option<Outline<'a>> {
        if from < self.marked_until {
            return None;
        }
        let object = record.get(from..)?;
        let Some(length) = MARKS.find(object) else {
            self.marked_until = usize::MAX;
            return None;
        };
        self.marked_until = from + length + 1;
        let mut cursor = Cursor::new(record);
        cursor.jump(from + length + MARK.len());
        self.outline(object.get(..length)?, &mut cursor)
    }

    /// Reads from behind the mark to the object's end.
    #[inline]
    fn outline<'a>(&mut self, prefix: &'a [u8], cursor: &mut Cursor<'a>) -> Option<Outline<'a>> {
        let start_ms = timestamp_ms(cursor)?;
        cursor.pass(b",\"value\":{")?;
        let (mut count, mut sum, mut min, mut max) = (None, None, None, None);
        self.names.clear();
        self.extended.clear();
        loop {
            // Of equal keys the last counts; extended ones are compared with what is read in full.
            let slot = match cursor.rest() {
                [b'"', b'm', b'a', b'x', b'"', b':', ..] => pass(cursor, 6, &mut max),
                [b'"', b'm', b'i', b'n', b'"', b':', ..] => pass(cursor, 6, &mut min),
                [b'"', b's', b'u', b'm', b'"', b':', ..] => pass(cursor, 6, &mut sum),
                [b'"', b'c', b'o', b'u', b'n', b't', b'"', b':', ..] => pass(cursor, 8, &mut count),
                _ => {
                    self.names.push(b'"');
                    self.names.extend_from_slice(text(cursor)?);
                    cursor.pass(b":")?;
                    None
                }
            };
            let value = cursor.number().ok().filter(|value| value.is_finite())?;
            match slot {
                Some(slot) => *slot = Some(value),
                None if self.extended.len() == EXTENDED_MAX => return None,
                None => self.extended.push(value),
            }
            if cursor.pass(b",").is_none() {
                break;
            }
        }
        cursor.pass(b"},\"unit\":")?;
        let unit = text(cursor)?;
        cursor.pass(b"}")?;
        let is_short = prefix.len() + unit.len() + self.names.len() <= IDENTITY_BYTES_MAX;
        let end = cursor.at();
        is_short.then_some(Outline { end, prefix, unit, start_ms, count, sum, min, max })
    }

    /// The data point that was looked at last.
    pub(super) fn glimpse<'s>(&'s self, outline: &Outline<'s>) -> Glimpse<'s> {
        Glimpse {
            format: Format::Json,
            identity: [outline.prefix, outline.unit, &self.names, &[]],
            start_ms: outline.start_ms,
            end_ms: outline.start_ms + PERIOD_MS,
            count: outline.count,
            sum: outline.sum,
            min: outline.min,
            max: outline.max,
            extended: &self.extended,
        }
    }
}

/// Passes a key; where its value belongs.
#[inline]
fn pass<'s>(
    cursor: &mut Cursor<'_>,
    length: usize,
    slot: &'s mut Option<f64>,
) -> Option<&'s mut Option<f64>> {
    cursor.jump(cursor.at() + length);
    Some(slot)
}

/// A string without escapes, and without what no string may have.
#[inline]
fn text<'a>(cursor: &mut Cursor<'a>) -> Option<&'a [u8]> {
    let rest = cursor.rest().strip_prefix(b"\"")?;
    let special = |byte: &u8| *byte == b'"' || *byte == b'\\' || *byte < b' ';
    let length = rest.iter().take(IDENTITY_BYTES_MAX).position(special)?;
    if rest.get(length) != Some(&b'"') {
        return None;
    }
    cursor.jump(cursor.at() + length + 2);
    rest.get(..length)
}

/// A whole number as CloudWatch writes it.
#[inline]
fn timestamp_ms(cursor: &mut Cursor<'_>) -> Option<i64> {
    let is_led_by_zero = cursor.peek() == Some(b'0');
    let mut value = 0;
    let digits = cursor.digits(&mut value);
    let is_whole = !is_led_by_zero && (1..=TIMESTAMP_DIGITS_MAX).contains(&digits);
    (is_whole && TIMESTAMPS_MS.contains(&(value as f64))).then(|| value.cast_signed())
}
