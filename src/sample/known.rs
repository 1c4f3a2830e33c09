//! The series of one destination as they stand in an identity, and what they have in common.

use super::copies::Copies;

/// Bytes of a set: the stem (64 bits), the lane, the slots that have a series (as bits), and what
/// [`Place`] names.
pub(super) const SET: usize = 48;
/// Bytes of a series: hash (64 bits), lane, end of its own labels.
pub(super) const SERIES: usize = 16;
/// In the place of a lane: there is none, or more than one.
pub(super) const NO_LANE: u32 = u32::MAX;

/// Where something of a set begins, or ends: the place of that number in the set.
#[derive(Clone, Copy)]
enum Place {
    /// [`SERIES`] bytes for each slot.
    Series = 16,
    /// The first series, as it is sent with one sample of [`SAMPLE_LEN`](super::message::SAMPLE_LEN) bytes.
    Plain = 20,
    /// What all series begin with.
    First = 24,
    FirstEnd = 28,
    /// What all series end with: behind the first one's own labels, and before the others'.
    Last = 32,
    LastEnd = 36,
    Copies = 40,
    CopiesEnd = 44,
}

/// A series as it stands in an identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known<'a> {
    /// Hash of all labels, the name included.
    pub hash: u64,
    /// The lane.
    pub lane: u32,
    /// The encoded labels, `Label` messages as field 1 of `TimeSeries`, in three pieces.
    pub labels: [&'a [u8]; 3],
}

/// The series of one destination as they stand in an identity.
#[derive(Clone, Copy, Debug)]
pub struct KnownSet<'a> {
    set: &'a [u8; SET],
    slots: usize,
    /// The whole identity.
    bytes: &'a [u8],
}

/// All series of a set, one sample each, as they are sent.
#[derive(Clone, Copy, Debug)]
pub struct Whole<'a> {
    /// The first one as a field of its request: all of it but its sample, which has
    /// [`SAMPLE_LEN`](super::message::SAMPLE_LEN) bytes.
    pub plain: &'a [u8],
    /// The others.
    pub copies: Copies<'a>,
}

impl<'a> KnownSet<'a> {
    /// A set of an identity with so many slots, and all bytes of that.
    #[inline]
    pub(super) fn new(set: &'a [u8; SET], slots: usize, bytes: &'a [u8]) -> Self {
        Self { set, slots, bytes }
    }

    /// What the series have in common; none if that is too little.
    #[inline]
    pub(super) fn alike(&self) -> Option<Alike> {
        let (stem, slots_lane) = (long(self.set, 0), long(self.set, 8));
        let (lane, slots) = (slots_lane as u32, (slots_lane >> 32) as u32);
        (lane != NO_LANE).then_some(Alike { stem, lane, slots })
    }

    /// The series of a slot, if it has one.
    #[must_use]
    #[inline]
    pub fn series(&self, slot: usize) -> Option<Known<'a>> {
        if slot >= self.slots {
            return None;
        }
        let at = self.place(Place::Series) + slot * SERIES;
        let series = self.bytes.get(at..)?.first_chunk::<SERIES>()?;
        let [hash, end_lane] = [long(series, 0), long(series, 8)];
        let (lane, own_end) = (end_lane as u32, (end_lane >> 32) as usize);
        if lane == NO_LANE {
            return None;
        }
        // Its own labels begin where those of the slot before end, the second one's behind all of the first.
        let own = if slot == 0 {
            self.place(Place::FirstEnd)
        } else {
            let before = (long(self.bytes, at - SERIES + 8) >> 32) as usize;
            if before == self.place(Place::Last) { self.place(Place::LastEnd) } else { before }
        };
        let own = self.bytes.get(own..own_end).unwrap_or_default();
        let first = self.piece(Place::First, Place::FirstEnd);
        Some(Known { hash, lane, labels: [first, own, self.piece(Place::Last, Place::LastEnd)] })
    }

    /// All series as they are sent, if these slots, in order, are all that have one.
    #[inline]
    pub(super) fn whole(&self, slots: impl ExactSizeIterator<Item = u32>) -> Option<Whole<'a>> {
        let copies = self.piece(Place::Copies, Place::CopiesEnd);
        if slots.len() != Copies::series(copies) || !slots.is_sorted_by(|one, next| one < next) {
            return None;
        }
        let plain = self.piece(Place::Plain, Place::LastEnd);
        Some(Whole { plain, copies: Copies::read(copies)? })
    }

    /// Whether the series of this slot and that one of another set are one. Tells by what was read before,
    /// where it can.
    #[inline]
    pub(super) fn is_same(&self, slot: u32, other: &Self, other_slot: u32) -> bool {
        if let (Some(one), Some(another)) = (self.alike(), other.alike())
            && one.stem != another.stem
        {
            return false;
        }
        let hash = |set: &Self, slot: u32| set.series(slot as usize).map(|series| series.hash);
        hash(self, slot) == hash(other, other_slot)
    }

    #[inline]
    fn place(&self, place: Place) -> usize {
        let number = self.set.get(place as usize..).and_then(<[u8]>::first_chunk);
        number.map_or(0, |number| u32::from_le_bytes(*number) as usize)
    }

    #[inline]
    fn piece(&self, from: Place, to: Place) -> &'a [u8] {
        self.bytes.get(self.place(from)..self.place(to)).unwrap_or_default()
    }
}

/// What the series of one destination have in common: one lane and one stem, and few slots. No two of
/// them are one series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Alike {
    /// The stem of all of them.
    pub stem: u64,
    /// The lane of all of them.
    pub lane: u32,
    /// The slots that have a series, as bits.
    pub slots: u32,
}

/// Eight bytes as a number.
#[inline]
fn long(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |long| u64::from_le_bytes(*long))
}
