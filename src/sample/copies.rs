//! The series of an identity behind its first one, as a request in a snappy block holds them: made once,
//! sent every minute with other values.
//!
//! They share all labels but the name, and their timestamp, with the series before. So most of what
//! they are is copies of it: elements that say how far back, and how much
//! (<https://github.com/google/snappy/blob/main/format_description.txt>). How far holds where the series
//! stand one behind the other. Where there is something between the first and the second, all
//! distances of the second are longer by that.
//!
//! ```text
//! head       number of series, bytes that all of it unpacks to, end of the second series' elements
//! values     where each series' value stands in the elements
//! elements
//! ```

use super::message::{SAMPLE_LEN, SeriesHead, TIMESTAMP_AT, VALUE_AT};

/// All series of an identity together take at most this, or there are no copies. Below 64 KiB, so
/// that distances have two bytes.
pub const ROW_BYTES_MAX: usize = 32 << 10;

/// Bytes of the head: three numbers of 32 bits.
const HEAD: usize = 12;
/// Bytes of a value's place.
const PLACE: usize = 4;
/// What an element with a tag of one byte can hold.
const LITERAL_BYTES_MAX: usize = 60;
const COPY_BYTES_MAX: usize = 64;
/// Fewer equal bytes are left in the literal that they interrupt.
const COPY_BYTES_MIN: usize = 4;

/// Further series as they stand in an identity.
#[derive(Clone, Copy, Debug)]
pub struct Copies<'a> {
    /// Bytes that the elements unpack to.
    pub unpacked_len: usize,
    /// Where the elements of the second series end.
    pub second_end: usize,
    /// The elements, with zeros for the values. Each has a tag of one byte, and those of the second series
    /// that copy have distances of two bytes, little-endian.
    pub elements: &'a [u8],
    values: &'a [u8],
}

impl<'a> Copies<'a> {
    /// How many series are in what [`write`] wrote, the first one included; 0 if that was nothing.
    #[inline]
    pub(super) fn series(bytes: &[u8]) -> usize {
        bytes.first_chunk().map_or(0, |series| u32::from_le_bytes(*series) as usize)
    }

    /// Reads what [`write`] wrote. None if that was nothing.
    #[inline]
    pub(super) fn read(bytes: &'a [u8]) -> Option<Self> {
        let (head, rest) = bytes.split_first_chunk::<HEAD>()?;
        let number = |at: usize| {
            let bytes = head.get(at..).and_then(<[u8]>::first_chunk);
            bytes.map_or(0, |bytes| u32::from_le_bytes(*bytes) as usize)
        };
        let [series, unpacked_len, second_end] = [0, 4, 8].map(number);
        let (values, elements) = rest.split_at_checked(series.checked_sub(1)? * PLACE)?;
        Some(Self { unpacked_len, second_end, elements, values })
    }

    /// Where each series' value stands in the elements: eight bytes, little-endian.
    #[inline]
    pub fn values(&self) -> impl Iterator<Item = usize> {
        let places = self.values.as_chunks::<PLACE>().0;
        places.iter().map(|place| u32::from_le_bytes(*place) as usize)
    }
}

/// Writes the further series of an identity, each with one sample of [`SAMPLE_LEN`] bytes: encoded labels
/// that all begin with, each one's own, those of the first series included, and labels that all end with.
/// Nothing if there are no further ones, or they are too long.
pub(super) fn write(first: &[u8], own: &[&[u8]], last: &[u8]) -> Vec<u8> {
    let body = |own: &[u8]| first.len() + own.len() + last.len() + SAMPLE_LEN;
    let whole = |own: &&[u8]| SeriesHead::new(body(own)).bytes().len() + body(own);
    let all: usize = own.iter().map(whole).sum();
    if own.len() < 2 || all > ROW_BYTES_MAX {
        return Vec::new();
    }
    let (mut values, mut second_end) = (Vec::new(), 0);
    let mut elements = Elements::default();
    for (before, own) in own.iter().zip(own.iter().skip(1)) {
        // One byte for a distance, with three bits of the tag, where nobody will make it longer.
        elements.may_shorten = !values.is_empty();
        let head = SeriesHead::new(body(own));
        let head = head.bytes();
        elements.put(head);
        // Up to what differs in length, and behind it.
        let distance = body(before) + head.len();
        elements.copy(first.len(), distance);
        elements.put_like(own, before, distance);
        let distance = body(own) + head.len();
        elements.copy(last.len() + VALUE_AT, distance);
        elements.end_literal();
        values.push(elements.bytes.len() + 1);
        elements.put(&[0; TIMESTAMP_AT - VALUE_AT]);
        elements.copy(SAMPLE_LEN - TIMESTAMP_AT, distance);
        if values.len() == 1 {
            second_end = elements.bytes.len();
        }
    }
    let first_len = own.first().map_or(0, whole);
    // None of these is above 4 GiB.
    let numbers = [own.len(), all - first_len, second_end].into_iter().chain(values);
    let mut bytes: Vec<u8> = numbers.flat_map(|number| (number as u32).to_le_bytes()).collect();
    bytes.extend_from_slice(&elements.bytes);
    bytes
}

/// Elements that are being written.
#[derive(Default)]
struct Elements {
    bytes: Vec<u8>,
    /// What has no element yet.
    literal: Vec<u8>,
    /// Whether distances may take one byte.
    may_shorten: bool,
}

impl Elements {
    fn put(&mut self, bytes: &[u8]) {
        self.literal.extend_from_slice(bytes);
    }

    fn end_literal(&mut self) {
        for piece in self.literal.chunks(LITERAL_BYTES_MAX) {
            self.bytes.push((piece.len() as u8 - 1) << 2);
            self.bytes.extend_from_slice(piece);
        }
        self.literal.clear();
    }

    fn copy(&mut self, bytes: usize, distance: usize) {
        if bytes > 0 {
            self.end_literal();
        }
        let mut left = bytes;
        while left > 0 {
            let len = left.min(COPY_BYTES_MAX);
            let [low, high] = (distance as u16).to_le_bytes();
            if self.may_shorten && (4..12).contains(&len) && high < 8 {
                self.bytes.extend_from_slice(&[high << 5 | (len as u8 - 4) << 2 | 1, low]);
            } else {
                self.bytes.extend_from_slice(&[(len as u8 - 1) << 2 | 2, low, high]);
            }
            left -= len;
        }
    }

    /// Puts what is mostly like something else, place by place.
    fn put_like(&mut self, bytes: &[u8], like: &[u8], distance: usize) {
        let mut rest = bytes;
        while !rest.is_empty() {
            let at = bytes.len() - rest.len();
            let pairs = rest.iter().zip(like.get(at..).unwrap_or_default());
            let same = pairs.take_while(|(a, b)| a == b).count();
            let taken = if same < COPY_BYTES_MIN { (same + 1).min(rest.len()) } else { same };
            let (piece, left) = rest.split_at(taken);
            if same < COPY_BYTES_MIN {
                self.put(piece);
            } else {
                self.copy(same, distance);
            }
            rest = left;
        }
    }
}
