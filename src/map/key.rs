//! What an identity is looked up by: everything that its series depend on, as one run of bytes.
//!
//! There are keys of two kinds. One is made of a reading, and is the same however the data point was
//! spelled. The other is made of the bytes that named it, so that nothing has to be read. Both begin
//! with the request's extra labels, which say their own length; the byte after them tells the kind
//! and the format of the bytes, so that no key of one kind can be one of another.

use crate::decode::{Format, Glimpse, Reading};

/// The kind of a key made of a reading; those of glimpses count on from it.
const READ: u8 = 0;

/// Appends the request's extra labels: the part of the key that its data points share.
pub(super) fn begin(key: &mut Vec<u8>, extra_labels: &[(String, String)]) {
    number(key, extra_labels.len());
    for (name, value) in extra_labels {
        text(key, name);
        text(key, value);
    }
}

/// Appends a reading's part. Every text has its length in front, so that no two identities can have
/// the same bytes.
pub(super) fn reading(key: &mut Vec<u8>, reading: &Reading<'_>) {
    key.push(READ);
    for part in [reading.account, reading.region, reading.namespace, reading.metric, reading.unit] {
        text(key, part);
    }
    number(key, reading.dimensions.len());
    for (name, value) in reading.dimensions {
        text(key, name);
        text(key, value);
    }
    for (name, _) in reading.extended {
        text(key, name);
    }
}

/// The length of a reading's part.
pub(super) fn reading_bytes(reading: &Reading<'_>) -> usize {
    let text = |text: &str| number_bytes(text.len()) + text.len();
    let parts = [reading.account, reading.region, reading.namespace, reading.metric, reading.unit];
    let parts: usize = parts.into_iter().map(text).sum();
    let dimensions = reading.dimensions.iter().map(|(name, value)| text(name) + text(value));
    let extended = reading.extended.iter().map(|(name, _)| text(name));
    1 + parts
        + number_bytes(reading.dimensions.len())
        + dimensions.sum::<usize>()
        + extended.sum::<usize>()
}

/// A glimpse's part: its pieces behind their lengths.
pub(super) struct Glimpsed<'a> {
    /// The kind, then the lengths of all pieces but the last.
    head: [u8; 13],
    pieces: [&'a [u8]; 4],
}

impl<'a> Glimpsed<'a> {
    #[inline]
    pub(super) fn new(glimpse: &Glimpse<'a>) -> Self {
        let kind = READ
            + match glimpse.format {
                Format::Json => 1,
                Format::OpenTelemetry07 => 2,
                Format::OpenTelemetry10 => 3,
            };
        let pieces = glimpse.identity;
        // Keys are never so long that a length would be cut.
        let [a, b, c] = [0, 1, 2].map(|index: usize| (pieces[index].len() as u32).to_le_bytes());
        let head = [kind, a[0], a[1], a[2], a[3], b[0], b[1], b[2], b[3], c[0], c[1], c[2], c[3]];
        Self { head, pieces }
    }

    /// The length of this part.
    #[inline]
    pub(super) fn bytes(&self) -> usize {
        self.head.len() + self.pieces.iter().map(|piece| piece.len()).sum::<usize>()
    }

    /// Appends this part.
    pub(super) fn append(&self, key: &mut Vec<u8>) {
        key.extend_from_slice(&self.head);
        for piece in self.pieces {
            key.extend_from_slice(piece);
        }
    }

    /// The whole key, behind the part that the request's data points share.
    #[inline]
    pub(super) fn behind<'k>(&'k self, begun: &'k [u8]) -> [&'k [u8]; 6] {
        let [a, b, c, d] = self.pieces;
        [begun, &self.head, a, b, c, d]
    }
}

#[inline]
fn text(key: &mut Vec<u8>, text: &str) {
    number(key, text.len());
    key.extend_from_slice(text.as_bytes());
}

/// A number in a byte, or in nine if it is large: most lengths are short, and the key is hashed and
/// compared for every data point.
#[inline]
fn number(key: &mut Vec<u8>, number: usize) {
    match u8::try_from(number) {
        Ok(short) if short < u8::MAX => key.push(short),
        _ => {
            key.push(u8::MAX);
            key.extend_from_slice(&(number as u64).to_le_bytes());
        }
    }
}

fn number_bytes(number: usize) -> usize {
    if number < usize::from(u8::MAX) { 1 } else { 9 }
}
