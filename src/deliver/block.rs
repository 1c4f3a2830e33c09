//! A snappy block that is written piece by piece. A piece begins with what the compressor gets; behind that
//! stand copies that were made once and for all.
//!
//! Format: the length of everything, then elements: literals, and copies from before
//! (<https://github.com/google/snappy/blob/main/format_description.txt>).

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

use crate::sample::message::{varint_len, write_varint};
use crate::sample::{Copies, ROW_BYTES_MAX};

/// A piece is compressed as soon as it is full, while it is in the processor's caches. Nor does any
/// distance within it need more than 16 bits.
const PIECE_BYTES_MAX: usize = u16::MAX as usize;
const _: () = assert!(ROW_BYTES_MAX <= PIECE_BYTES_MAX);

/// Room ahead of the pieces for the length of everything.
const LENGTH_BYTES_MAX: usize = 5;

/// A block, and its memory, which is used again.
#[derive(Debug)]
pub(super) struct Block {
    /// The piece's beginning, for the compressor.
    plain: Vec<u8>,
    /// The elements behind it.
    copies: Vec<u8>,
    /// Bytes that these unpack to.
    copies_len: usize,
    gaps: Vec<Gap>,
    /// The finished pieces as far as `end`, behind room for the length.
    packed: Vec<u8>,
    end: usize,
    /// Bytes that these unpack to.
    packed_len: usize,
    /// Where `packed` comes back to once it has been sent.
    home: Arc<Mutex<Vec<u8>>>,
    snappy: snap::raw::Encoder,
    trouble: Option<snap::Error>,
}

/// A finished block on its way.
struct Sent {
    packed: Vec<u8>,
    range: Range<usize>,
    home: Arc<Mutex<Vec<u8>>>,
}

impl AsRef<[u8]> for Sent {
    fn as_ref(&self) -> &[u8] {
        self.packed.get(self.range.clone()).unwrap_or_default()
    }
}

impl Drop for Sent {
    fn drop(&mut self) {
        *self.home.lock().unwrap_or_else(PoisonError::into_inner) =
            std::mem::take(&mut self.packed);
    }
}

/// Elements that copy what stands in the piece's beginning. What comes to stand between is known once the
/// beginning is complete.
#[derive(Clone, Copy, Debug)]
struct Gap {
    from: usize,
    to: usize,
    /// Modulo 64 KiB: bytes of the copies before them, less those of the beginning when they came. With those
    /// of the complete beginning, that is what stands between the first series and its copies.
    bytes: u16,
}

impl Block {
    pub(super) fn new() -> Self {
        Self {
            plain: Vec::new(),
            copies: Vec::new(),
            copies_len: 0,
            gaps: Vec::new(),
            packed: Vec::new(),
            end: LENGTH_BYTES_MAX,
            packed_len: 0,
            home: Arc::default(),
            snappy: snap::raw::Encoder::new(),
            trouble: None,
        }
    }

    pub(super) fn clear(&mut self) {
        self.restart();
        if self.packed.is_empty() {
            self.packed =
                std::mem::take(&mut self.home.lock().unwrap_or_else(PoisonError::into_inner));
        }
    }

    fn restart(&mut self) {
        self.clear_piece();
        self.end = LENGTH_BYTES_MAX;
        self.packed_len = 0;
        self.trouble = None;
    }

    /// Bytes that it unpacks to.
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.packed_len + self.piece_len()
    }

    /// Makes sure that the next so many bytes come into one piece: a new one is begun if they do not fit.
    #[inline]
    pub(super) fn begin(&mut self, bytes: usize) {
        if self.piece_len() + bytes > PIECE_BYTES_MAX {
            self.pack();
        }
    }

    /// Adds bytes at the end of the piece's beginning.
    #[inline]
    pub(super) fn put(&mut self, bytes: &[u8]) {
        self.plain.extend_from_slice(bytes);
    }

    /// Adds copies of the series that has just been put, with these values.
    #[inline]
    pub(super) fn put_copies(&mut self, copies: &Copies<'_>, values: impl Iterator<Item = f64>) {
        let from = self.copies.len();
        self.copies.extend_from_slice(copies.elements);
        let added = self.copies.get_mut(from..).unwrap_or_default();
        for (at, value) in copies.values().zip(values) {
            if let Some(place) = added.get_mut(at..).and_then(<[u8]>::first_chunk_mut) {
                *place = value.to_bits().to_le_bytes();
            }
        }
        // Modulo 64 KiB, like all that is added to it.
        let bytes = (self.copies_len as u16).wrapping_sub(self.plain.len() as u16);
        self.gaps.push(Gap { from, to: from + copies.second_end, bytes });
        self.copies_len += copies.unpacked_len;
    }

    /// Ends the piece: what comes after it copies nothing of it.
    pub(super) fn pack(&mut self) {
        debug_assert!(self.gaps.is_empty() || self.piece_len() <= PIECE_BYTES_MAX);
        self.pack_plain();
        for Gap { from, to, bytes } in self.gaps.drain(..) {
            let bytes = bytes.wrapping_add(self.plain.len() as u16);
            widen(self.copies.get_mut(from..to).unwrap_or_default(), bytes);
        }
        let end = self.end + self.copies.len();
        self.make_room(end);
        if let Some(place) = self.packed.get_mut(self.end..end) {
            place.copy_from_slice(&self.copies);
        }
        self.end = end;
        self.packed_len += self.piece_len();
        self.clear_piece();
    }

    /// All of it, once. An error means that a series of it is above 4 GiB.
    pub(super) fn finish(&mut self) -> Result<Bytes, snap::Error> {
        self.pack();
        if let Some(error) = self.trouble.take() {
            return Err(error);
        }
        let mut packed = std::mem::take(&mut self.packed);
        let mut length = [0; 10];
        let length_len = write_varint(self.packed_len as u64, &mut length);
        let start = LENGTH_BYTES_MAX.saturating_sub(length_len);
        for (place, byte) in packed.iter_mut().take(LENGTH_BYTES_MAX).skip(start).zip(length) {
            *place = byte;
        }
        let (range, home) = (start..self.end, Arc::clone(&self.home));
        self.restart();
        Ok(Bytes::from_owner(Sent { packed, range, home }))
    }

    fn piece_len(&self) -> usize {
        self.plain.len() + self.copies_len
    }

    fn clear_piece(&mut self) {
        self.plain.clear();
        self.copies.clear();
        self.copies_len = 0;
        self.gaps.clear();
    }

    /// No more than is needed: the memory stays.
    fn make_room(&mut self, len: usize) {
        let more = len.saturating_sub(self.packed.len());
        if more > 0 {
            self.packed.reserve_exact(more);
            self.packed.resize(len, 0);
        }
    }

    fn pack_plain(&mut self) {
        if self.plain.is_empty() {
            return;
        }
        // What is compressed comes with its own length ahead, which is not wanted: it goes where the piece
        // before ends, and that end is put back.
        let start = self.end - varint_len(self.plain.len() as u64);
        let room = start + snap::raw::max_compress_len(self.plain.len());
        self.make_room(room);
        let place = self.packed.get_mut(start..).unwrap_or_default();
        let kept = place.first_chunk::<LENGTH_BYTES_MAX>().copied().unwrap_or_default();
        match self.snappy.compress(&self.plain, place) {
            Ok(len) => {
                let length = self.end - start;
                for (byte, kept) in place.iter_mut().zip(kept).take(length) {
                    *byte = kept;
                }
                self.end = start + len;
            }
            Err(error) => self.trouble = Some(error),
        }
    }
}

/// Adds to the distances of the elements that copy.
fn widen(elements: &mut [u8], bytes: u16) {
    let mut rest = elements;
    while let [tag, behind @ ..] = rest {
        let is_literal = *tag & 3 == 0;
        let len = if is_literal { usize::from(*tag >> 2) + 1 } else { 2 };
        let Some((element, next)) = behind.split_at_mut_checked(len) else { return };
        if let (false, [low, high]) = (is_literal, element) {
            let distance = u16::from_le_bytes([*low, *high]).wrapping_add(bytes);
            [*low, *high] = distance.to_le_bytes();
        }
        rest = next;
    }
}
