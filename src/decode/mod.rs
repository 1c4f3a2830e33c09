//! BYTES TO READINGS. Pure: no clock, no lock, no I/O, no await, no log line.
//!
//! Decoding cannot fail as a whole: it yields readings and what was skipped, each in its place.
//! Only an envelope that cannot be opened fails a request.
//!
//! The way of the bytes: [`envelope::open`] finds the records of a request, [`envelope::Data::decode`]
//! undoes the base64 of one, and [`record`] tells its format from its bytes and reads it. Nothing is
//! copied on that way but strings with JSON escapes.
//!
//! A data point in the shape that CloudWatch gives it is first glimpsed: one scan finds its numbers and
//! the bytes that name it. Only what the visitor does not know by these bytes is read in full. Any
//! other shape is read in full at once; what comes of it is the same.

use memchr::memmem;

pub mod envelope;
// The two families of formats, and each one's short way to what is known.
mod json;
mod json_glimpse;
mod otlp;
mod otlp_glimpse;
// What they are made of.
mod any_value;
mod escape;
mod frames;
mod number;
mod percentile;
pub mod reading;
mod scan;
mod unit;
mod wire;

pub use reading::{Format, Glimpse, Reading, Reason, Visit};

/// Dimensions that one data point can have. CloudWatch allows 30 (API `PutMetricData`).
pub const DIMENSIONS_MAX: usize = 64;

/// Possible beginnings of a line that are tried in a record that begins with neither format.
const BEGINNINGS_MAX: usize = 16;

/// What may name a data point that is glimpsed; those of CloudWatch have a few hundred bytes. Whoever
/// remembers identities can count on it.
pub const IDENTITY_BYTES_MAX: usize = 4 << 10;

/// What a period lasts whose end is not said: all known ones last a minute. JSON never says it.
const PERIOD_MS: i64 = 60_000;

/// Decodes one Firehose record: every data point and every skipped piece goes to `visit`, in the
/// order of the record. A record without any content yields neither.
///
/// What damage costs: in JSON a bad line costs that line. In OTLP a frame that cannot be read on
/// costs the rest of that frame, one `skipped` with what was read before it already visited; the
/// frames after it are read, as long as the length prefixes lead to them.
pub fn record(bytes: &[u8], visit: &mut impl Visit) {
    match shape(bytes) {
        Shape::Nothing => {}
        Shape::Lines => json::lines(bytes, visit),
        Shape::Frames => frames::read(bytes, visit),
        Shape::Gzip => visit.skipped(Reason::GzipRecord, bytes),
        Shape::Unknown => visit.skipped(Reason::UnknownFormat, bytes),
    }
}

/// What a record looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    Nothing,
    Lines,
    Frames,
    Gzip,
    Unknown,
}

/// Tells formats apart by what the bytes parse as; no single byte could. `{` is the length prefix of
/// a frame of 123 bytes, and such a frame goes on with the tag 0x0A, which in JSON is a line feed.
fn shape(bytes: &[u8]) -> Shape {
    let text = bytes.trim_ascii_start();
    if text.is_empty() {
        return Shape::Nothing;
    }
    // No JSON begins like this: below the three outer levels of OTLP all tags are control bytes that
    // JSON has nowhere, or whitespace that as a length does not fit into what is around it.
    if frames::begins_well(bytes) {
        return Shape::Frames;
    }
    if let Some(inner) = text.strip_prefix(b"{")
        && matches!(inner.trim_ascii_start().first(), Some(b'"' | b'}'))
    {
        return Shape::Lines;
    }
    if bytes.starts_with(&[0x1f, 0x8b, 0x08]) {
        return Shape::Gzip;
    }
    // A first line that lost its beginning does not take the others with it. The bytes alone prove
    // nothing: in frames they are a text of ten bytes that begins with a brace.
    let beginnings = memmem::find_iter(bytes, b"\n{\"").take(BEGINNINGS_MAX);
    if beginnings.map(|at| bytes.get(at + 1..).unwrap_or_default()).any(begins_with_object) {
        return Shape::Lines;
    }
    let binary = |byte: &u8| *byte < b' ' && !byte.is_ascii_whitespace() || *byte == 0x0c;
    if bytes.iter().any(binary) || std::str::from_utf8(bytes).is_err() {
        return Shape::Frames;
    }
    if text.first() == Some(&b'{') { Shape::Lines } else { Shape::Unknown }
}

/// Whether a JSON object stands at the beginning.
fn begins_with_object(bytes: &[u8]) -> bool {
    let mut values =
        serde_json::Deserializer::from_slice(bytes).into_iter::<serde::de::IgnoredAny>();
    matches!(values.next(), Some(Ok(_)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ambiguous_beginnings_are_told_apart_by_what_they_parse_as() {
        // A frame of 123 bytes: one ResourceMetrics of 121, or two of 34 (a quote in ASCII) and 85.
        let mut one = vec![0x7b, 0x0a, 0x79, 0x12, 0x77];
        one.extend([0x0a, 0x75].iter().chain(&[b'x'; 0x75]));
        let mut two = vec![0x7b, 0x0a, 0x22, 0x12, 0x20, 0x0a, 0x1e];
        two.extend([b'x'; 0x1e]);
        two.extend([0x0a, 0x55, 0x1a, 0x53]);
        two.extend([b'x'; 0x53]);
        assert_eq!((one.len(), two.len()), (124, 124));
        // A frame of 10 bytes, which is a line feed, and one of 32, which is a space.
        let ten = [0x0a, 0x0a, 0x08, 0x12, 0x06, 0x0a, 0x04, b'{', b'"', b'"', b'}'];
        let mut blank = vec![0x20, 0x0a, 0x1e, 0x12, 0x1c, 0x0a, 0x1a];
        blank.extend([b'{'; 0x1a]);
        for (bytes, expected) in [
            (one.as_slice(), Shape::Frames),
            (one.get(..60).unwrap_or_default(), Shape::Frames),
            (two.as_slice(), Shape::Frames),
            (&ten, Shape::Frames),
            (&blank, Shape::Frames),
            (b"", Shape::Nothing),
            (b" \r\n\t", Shape::Nothing),
            (b"{}", Shape::Lines),
            (b"{\n}", Shape::Lines),
            (b"{\n\"a\":1}", Shape::Lines),
            (b"{\n\n\"a\":1}", Shape::Lines),
            (b"{\n \"a\":1}", Shape::Lines),
            (b"{\r\n\t\"a\":1}", Shape::Lines),
            (b"\n\n{\"a\":1}", Shape::Lines),
            (b" \n{\"a\":\"\x01\"}", Shape::Lines),
            (b"{broken", Shape::Lines),
            (b"\xff\x01\":1}\n{\"a\":1}", Shape::Lines),
            (b"\x01\x02\x0a\x0a{\"name\": \x1a", Shape::Frames),
            (b"hello, world", Shape::Unknown),
            (b"[{\"a\":1}]", Shape::Unknown),
            (b"\x80", Shape::Frames),
            (b"\x00", Shape::Frames),
            (b"\x1f\x8b\x08\x00", Shape::Gzip),
        ] {
            assert_eq!(shape(bytes), expected, "{:?}", bytes.escape_ascii().to_string());
        }
    }
}
