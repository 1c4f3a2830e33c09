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
/// Fewer equal bytes are left in the literal that they interrupt, unless they make a copy longer.
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
        let [head_before, head] = [before, own].map(|own| SeriesHead::new(body(own)));
        // Up to what differs in length, and behind it.
        let distance = body(before) + head.bytes().len();
        let begin = [head.bytes(), first, own].concat();
        if head.bytes().len() == head_before.bytes().len() {
            let like = [head_before.bytes(), first, before].concat();
            elements.put_like(&begin, &like, distance);
        } else {
            elements.put(&begin);
        }
        let distance = body(own) + head.bytes().len();
        elements.copy(last.len() + VALUE_AT, distance);
        elements.end();
        values.push(elements.bytes.len() + 1);
        elements.put(&[0; TIMESTAMP_AT - VALUE_AT]);
        elements.copy(SAMPLE_LEN - TIMESTAMP_AT, distance);
        if values.len() == 1 {
            elements.end();
            second_end = elements.bytes.len();
            // From here on nobody will make a distance longer: one byte may do, with three bits of the tag.
            elements.may_shorten = true;
        }
    }
    elements.end();
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
    /// What has no element yet: either bytes of their own, or a copy's length and distance.
    literal: Vec<u8>,
    copy: Option<(usize, usize)>,
    /// Whether distances may take one byte.
    may_shorten: bool,
}

impl Elements {
    fn put(&mut self, bytes: &[u8]) {
        self.end_copy();
        self.literal.extend_from_slice(bytes);
    }

    fn copy(&mut self, bytes: usize, distance: usize) {
        if let Some((len, before)) = &mut self.copy
            && *before == distance
        {
            *len += bytes;
        } else if bytes > 0 {
            self.end();
            self.copy = Some((bytes, distance));
        }
    }

    /// Puts what is mostly like something else, place by place.
    fn put_like(&mut self, bytes: &[u8], like: &[u8], distance: usize) {
        let mut rest = bytes;
        while !rest.is_empty() {
            let at = bytes.len() - rest.len();
            let pairs = rest.iter().zip(like.get(at..).unwrap_or_default());
            let same = pairs.take_while(|(a, b)| a == b).count();
            let goes_on = self.copy.is_some_and(|(_, before)| before == distance);
            let is_copy = same >= COPY_BYTES_MIN || same > 0 && goes_on;
            let taken = if is_copy { same } else { (same + 1).min(rest.len()) };
            let (piece, left) = rest.split_at(taken);
            if is_copy {
                self.copy(same, distance);
            } else {
                self.put(piece);
            }
            rest = left;
        }
    }

    fn end(&mut self) {
        self.end_literal();
        self.end_copy();
    }

    fn end_literal(&mut self) {
        for piece in self.literal.chunks(LITERAL_BYTES_MAX) {
            self.bytes.push((piece.len() as u8 - 1) << 2);
            self.bytes.extend_from_slice(piece);
        }
        self.literal.clear();
    }

    fn end_copy(&mut self) {
        let (mut left, distance) = self.copy.take().unwrap_or_default();
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
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Length of each element, and whether it copies.
    fn elements(mut bytes: &[u8]) -> Vec<(usize, bool)> {
        let mut all = Vec::new();
        while let [tag, rest @ ..] = bytes {
            let (len, behind) = match tag & 3 {
                0 => (usize::from(tag >> 2) + 1, usize::from(tag >> 2) + 1),
                1 => (usize::from(tag >> 2 & 7) + 4, 1),
                _ => (usize::from(tag >> 2) + 1, 2),
            };
            all.push((len, tag & 3 != 0));
            bytes = &rest[behind..];
        }
        all
    }

    #[test]
    fn a_copy_goes_on_until_something_differs() {
        let own: [&[u8]; 4] = [b"cpu_sum", b"cpu_minimum", b"cpu_maximum", b"cpu_average"];
        let bytes = write(b"12345", &own, &[b'x'; 50]);
        let copies = Copies::read(&bytes).unwrap();
        let (second, others) = copies.elements.split_at(copies.second_end);
        // Head, what all begin with and the stem; what differs; what all end with; value; timestamp.
        let alike = [(50 + VALUE_AT, true), (8, false)];
        let second_is = [&[(2, false), (9, true), (7, false)], &alike[..], &[(7, true)]].concat();
        assert_eq!(elements(second), second_is);
        // As long as the one before: all the way from its head to its value but for two letters, and from
        // its timestamp into the last one's name.
        let third_is = [&[(12, true), (2, false), (4 + 50 + VALUE_AT, true), (8, false)][..]];
        let fourth_is = [&[(7 + 11, true), (7, false)], &alike[..], &[(7, true)]];
        assert_eq!(elements(others), [third_is.concat(), fourth_is.concat()].concat());
    }
}
