//! A CloudWatch metric with the finished series that each destination gets of it: one run of bytes.
//!
//! Taking a known data point reads its beginning, sending one the rest; nothing points anywhere else,
//! so a metric that has not been touched for a minute costs few cache misses. Numbers are little-endian.
//!
//! ```text
//! head       number of destinations, slots of each, length of the namespace, length of the key
//! sets       one per destination: what its samples have in common (see `known`)
//! namespace
//! key        what the identity is looked up by
//! series     destination by destination, slot by slot: hash, lane, end of the own labels
//! labels     destination by destination: the first series as it is sent (its head, the labels that all
//!            series begin with, its own, those that all end with), the others' own labels, and
//!            these others as they are sent (see `copies`)
//! ```

use std::sync::Arc;

use super::copies;
use super::known::{Alike, Known, KnownSet, NO_LANE, SERIES, SET};
use super::message::{SAMPLE_LEN, SeriesHead};

/// Bytes of the head: four numbers of 32 bits.
const HEAD: usize = 16;
/// Slots that a set's bits can name. CloudWatch's 25 statistics fit in.
const BITS: usize = u32::BITS as usize;
/// The two counters in front of what an `Arc` holds.
const COUNTERS: usize = 2 * size_of::<usize>();

/// A CloudWatch metric (account, region, namespace, name, dimensions, set of extended statistics)
/// with the finished series that each destination gets of it. Made once, cached, shared: a clone
/// costs a count.
#[derive(Clone)]
pub struct Identity(Arc<[u8]>);

/// The series that one destination gets of an identity, for the making of one.
#[derive(Clone, Debug, Default)]
pub struct SeriesSet<'a> {
    /// Encoded labels that all series begin with.
    pub first: &'a [u8],
    /// By slot (see [`super::slot`]): the series, or none if configuration or relabelling dropped it.
    pub series: Vec<Option<Series<'a>>>,
    /// Encoded labels that all series end with.
    pub last: &'a [u8],
}

/// One finished series: labels sorted, relabelled and encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Series<'a> {
    /// Hash of all labels, the name included: equal for equal series of a destination.
    pub hash: u64,
    /// Some function of the labels, the same for all series: equal series have equal stems. Worth
    /// most where an identity's series have one and other identities' have others.
    pub stem: u64,
    /// The lane, a function of the labels without the name; below `u32::MAX`.
    pub lane: u32,
    /// Encoded labels between those that all series have.
    pub own: &'a [u8],
}

impl Identity {
    /// Puts an identity together. The key's pieces are what [`Self::is_known_by`] compares.
    #[must_use]
    pub fn new(key: &[&[u8]], namespace: &str, sets: &[SeriesSet<'_>]) -> Self {
        let slots = sets.iter().map(|set| set.series.len()).max().unwrap_or(0);
        let key_bytes: usize = key.iter().map(|piece| piece.len()).sum();
        let copies: Vec<Vec<u8>> = sets.iter().map(copies_of).collect();
        let heads: Vec<SeriesHead> = sets.iter().map(head_of).collect();
        let labels = |set: &SeriesSet<'_>| {
            let own: usize = set.series.iter().flatten().map(|series| series.own.len()).sum();
            set.first.len() + own + set.last.len()
        };
        let series_at = HEAD + sets.len() * SET + namespace.len() + key_bytes;
        let mut at = series_at + sets.len() * slots * SERIES;
        let lengths =
            heads.iter().map(|head| head.bytes().len()).chain(copies.iter().map(Vec::len));
        let behind: usize = sets.iter().map(labels).chain(lengths).sum();
        let mut bytes = Vec::with_capacity(at + behind);
        let number = |bytes: &mut Vec<u8>, number: usize| {
            // What is longer than 4 GiB has been refused long before.
            bytes.extend_from_slice(&(number as u32).to_le_bytes());
        };
        for head in [sets.len(), slots, namespace.len(), key_bytes] {
            number(&mut bytes, head);
        }
        let mut places = Vec::with_capacity(sets.len());
        for (index, ((set, head), copies)) in sets.iter().zip(&heads).zip(&copies).enumerate() {
            let alike = alike(&set.series);
            bytes.extend_from_slice(&alike.stem.to_le_bytes());
            bytes.extend_from_slice(&alike.lane.to_le_bytes());
            bytes.extend_from_slice(&alike.slots.to_le_bytes());
            number(&mut bytes, series_at + index * slots * SERIES);
            let first = at + head.bytes().len();
            let first_end = first + set.first.len();
            let last = first_end + first_own(set).len();
            let last_end = last + set.last.len();
            let copies_at = first + labels(set);
            let copies_end = copies_at + copies.len();
            for place in [at, first, first_end, last, last_end, copies_at, copies_end] {
                number(&mut bytes, place);
            }
            places.push((first_end, last, last_end));
            at = copies_end;
        }
        bytes.extend_from_slice(namespace.as_bytes());
        for piece in key {
            bytes.extend_from_slice(piece);
        }
        for (set, (first_end, last, last_end)) in sets.iter().zip(places) {
            let (mut end, mut has_first) = (first_end, false);
            for slot in 0..slots {
                let series = set.series.get(slot).copied().flatten();
                if let Some(series) = series {
                    let start = if has_first && end == last { last_end } else { end };
                    end = start + series.own.len();
                    has_first = true;
                }
                bytes.extend_from_slice(&series.map_or(0, |series| series.hash).to_le_bytes());
                let lane = series.map_or(NO_LANE, |series| series.lane);
                bytes.extend_from_slice(&lane.to_le_bytes());
                number(&mut bytes, end);
            }
        }
        for ((set, head), copies) in sets.iter().zip(&heads).zip(&copies) {
            for piece in [head.bytes(), set.first, first_own(set), set.last] {
                bytes.extend_from_slice(piece);
            }
            for series in set.series.iter().flatten().skip(1) {
                bytes.extend_from_slice(series.own);
            }
            bytes.extend_from_slice(copies);
        }
        Self(bytes.into())
    }

    /// CloudWatch namespace, for the age histogram.
    #[must_use]
    #[inline]
    pub fn namespace(&self) -> &[u8] {
        let head = self.head();
        self.piece(head.namespace_at(), head.key_at())
    }

    /// Whether this is the identity of a key that stands in pieces.
    #[must_use]
    #[inline]
    pub fn is_known_by(&self, key: &[&[u8]]) -> bool {
        let head = self.head();
        let mut left = self.piece(head.key_at(), head.series_at());
        for piece in key {
            if piece.is_empty() {
                continue;
            }
            match left.split_at_checked(piece.len()) {
                Some((same, rest)) if is_equal(same, piece) => left = rest,
                _ => return false,
            }
        }
        left.is_empty()
    }

    /// What a destination's series have in common; none if that is too little.
    #[must_use]
    #[inline]
    pub fn alike(&self, destination: usize) -> Option<Alike> {
        self.set(destination)?.alike()
    }

    /// The series of a destination's slot, if it has one.
    #[must_use]
    #[inline]
    pub fn series(&self, destination: usize, slot: usize) -> Option<Known<'_>> {
        self.set(destination)?.series(slot)
    }

    /// The series that a destination gets, if there is such a destination: for looking at several.
    #[must_use]
    #[inline]
    pub fn set(&self, destination: usize) -> Option<KnownSet<'_>> {
        let head = self.head();
        if destination >= head.sets {
            return None;
        }
        let set = self.0.get(HEAD + destination * SET..)?.first_chunk()?;
        Some(KnownSet::new(set, head.slots, &self.0))
    }

    /// Number of slots: none beyond has a series.
    #[must_use]
    #[inline]
    pub fn slots(&self) -> usize {
        self.head().slots
    }

    /// Number of destinations.
    #[must_use]
    #[inline]
    pub fn sets(&self) -> usize {
        self.head().sets
    }

    /// Memory of this value with all that it owns, as the allocator rounds it up: in sizes of which
    /// four lie between a power of two and the next.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let bytes = COUNTERS + self.0.len();
        bytes.next_multiple_of((bytes.next_power_of_two() / 8).max(size_of::<usize>()))
    }

    /// Whether someone else holds it, too.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        Arc::strong_count(&self.0) > 1
    }

    /// Whether both are one value. Two that are not can still have the same series.
    #[must_use]
    #[inline]
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    #[inline]
    fn head(&self) -> Head {
        let head = self.0.first_chunk::<HEAD>().unwrap_or(&[0; HEAD]);
        let number = |at: usize| {
            let bytes = head.get(at..).and_then(<[u8]>::first_chunk);
            bytes.map_or(0, |bytes| u32::from_le_bytes(*bytes) as usize)
        };
        let [sets, slots, namespace_bytes, key_bytes] = [0, 4, 8, 12].map(number);
        Head { sets, slots, namespace_bytes, key_bytes }
    }

    #[inline]
    fn piece(&self, from: usize, to: usize) -> &[u8] {
        self.0.get(from..to).unwrap_or_default()
    }
}

/// Whether both are the same bytes. Not left to the C library: musl's, in static builds, looks at one byte at
/// a time, and a key has hundreds.
#[inline]
fn is_equal(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    // What is left over is compared with what stands before it.
    match a.len() {
        // Many at once before a decision: a few wide instructions.
        32.. => steps_equal::<32>(a, b),
        8.. => steps_equal::<8>(a, b),
        _ => bytes_equal(a, b),
    }
}

/// Of at least `STEP` bytes each.
#[inline]
fn steps_equal<const STEP: usize>(a: &[u8], b: &[u8]) -> bool {
    let steps = a.as_chunks::<STEP>().0.iter().zip(b.as_chunks::<STEP>().0);
    let ends = a.last_chunk::<STEP>().into_iter().zip(b.last_chunk());
    steps.chain(ends).all(|(a, b)| bytes_equal(a, b))
}

#[inline]
fn bytes_equal(a: &[u8], b: &[u8]) -> bool {
    a.iter().zip(b).fold(0, |differ, (a, b)| differ | (a ^ b)) == 0
}

struct Head {
    sets: usize,
    slots: usize,
    namespace_bytes: usize,
    key_bytes: usize,
}

impl Head {
    #[inline]
    fn namespace_at(&self) -> usize {
        HEAD + self.sets * SET
    }

    #[inline]
    fn key_at(&self) -> usize {
        self.namespace_at() + self.namespace_bytes
    }

    #[inline]
    fn series_at(&self) -> usize {
        self.key_at() + self.key_bytes
    }
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let namespace = self.namespace().escape_ascii().to_string();
        f.debug_struct("Identity").field("namespace", &namespace).finish_non_exhaustive()
    }
}

/// The series of a set behind its first one.
fn copies_of(set: &SeriesSet<'_>) -> Vec<u8> {
    let own: Vec<_> = set.series.iter().flatten().map(|series| series.own).collect();
    copies::write(set.first, &own, set.last)
}

/// The head of the first series where it has one sample of [`SAMPLE_LEN`] bytes.
fn head_of(set: &SeriesSet<'_>) -> SeriesHead {
    SeriesHead::new(set.first.len() + first_own(set).len() + set.last.len() + SAMPLE_LEN)
}

/// The first series' own labels.
fn first_own<'a>(set: &SeriesSet<'a>) -> &'a [u8] {
    set.series.iter().flatten().next().map_or(&[], |series| series.own)
}

/// What series have in common. Without any, there is a lane all the same: no sample looks for it.
/// Where two may be one series, the stem does not tell a row that repeats itself.
fn alike(series: &[Option<Series<'_>>]) -> Alike {
    let mut all = series.iter().flatten();
    let Some(first) = all.next() else { return Alike { stem: 0, lane: 0, slots: 0 } };
    let is_alike = |other: &Series<'_>| (other.lane, other.stem) == (first.lane, first.stem);
    let is_alike = series.len() <= BITS && all.all(is_alike) && differ(series);
    let lane = if is_alike { first.lane } else { NO_LANE };
    let bits = series.iter().enumerate().filter(|(_, series)| series.is_some());
    let slots = bits.filter(|(slot, _)| *slot < BITS).fold(0, |bits, (slot, _)| bits | 1 << slot);
    Alike { stem: first.stem, lane, slots }
}

/// Whether no two have one hash. Asked of few only.
fn differ(series: &[Option<Series<'_>>]) -> bool {
    let mut rest = series;
    while let [one, others @ ..] = rest {
        if let Some(one) = one
            && others.iter().flatten().any(|other| other.hash == one.hash)
        {
            return false;
        }
        rest = others;
    }
    true
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use proptest::prelude::*;

    type Owned = (Vec<u8>, Vec<Option<(u64, u64, u32, Vec<u8>)>>, Vec<u8>);

    fn sets() -> impl Strategy<Value = Vec<Owned>> {
        let bytes = || prop::collection::vec(any::<u8>(), 0..20);
        let hash = prop_oneof![9 => any::<u64>(), 1 => 0u64..4];
        let series = prop::option::of((hash, 0u64..2, 0u32..2, bytes()));
        let few = prop_oneof![0..4usize, 0..40usize];
        let series = few.prop_flat_map(move |len| prop::collection::vec(series.clone(), len));
        prop::collection::vec((bytes(), series, bytes()), 0..4)
    }

    #[test]
    fn every_byte_of_a_key_counts() {
        for len in 0..150_u8 {
            let key: Vec<u8> = (0..len).collect();
            assert!(is_equal(&key, &key.clone()) && !is_equal(&key, &[&key[..], b"x"].concat()));
            for at in 0..usize::from(len) {
                let mut other = key.clone();
                other[at] ^= 1 << (at % 8);
                assert!(!is_equal(&key, &other), "{at} of {len}");
            }
        }
    }

    proptest! {
        #[test]
        fn what_goes_in_comes_out(
            sets in sets(),
            namespace in "\\PC{0,10}",
            key in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..20), 0..5),
        ) {
            let lent: Vec<_> = sets
                .iter()
                .map(|(first, series, last)| SeriesSet {
                    first,
                    series: series
                        .iter()
                        .map(|series| {
                            let (hash, stem, lane, own) = series.as_ref()?;
                            Some(Series { hash: *hash, stem: *stem, lane: *lane, own })
                        })
                        .collect(),
                    last,
                })
                .collect();
            let key: Vec<_> = key.iter().map(Vec::as_slice).collect();
            let identity = Identity::new(&key, &namespace, &lent);

            prop_assert_eq!(identity.namespace(), namespace.as_bytes());
            prop_assert_eq!(identity.sets(), sets.len());
            let whole = key.concat();
            prop_assert!(identity.is_known_by(&key) && identity.is_known_by(&[&whole]));
            prop_assert!(!identity.is_known_by(&[&whole, b"x"]));
            prop_assert!(whole.is_empty() || !identity.is_known_by(&[&whole[1..]]));
            prop_assert!(identity.bytes() >= COUNTERS + identity.0.len());
            prop_assert!(identity.bytes() <= (COUNTERS + identity.0.len()) * 5 / 4);
            for (destination, set) in lent.iter().enumerate() {
                for slot in 0..45 {
                    let wanted = set.series.get(slot).copied().flatten();
                    let found = identity.series(destination, slot);
                    prop_assert_eq!(found, wanted.map(|series| Known {
                        hash: series.hash,
                        lane: series.lane,
                        labels: [set.first, series.own, set.last],
                    }));
                }
                let slots = (0..).zip(&set.series).filter(|(_, series)| series.is_some());
                let slots: Vec<u32> = slots.map(|(slot, _)| slot).collect();
                let whole = identity.set(destination).unwrap().whole(slots.iter().copied());
                prop_assert_eq!(whole.is_some(), slots.len() > 1);
                if let Some(whole) = whole {
                    let head = head_of(set);
                    let plain = [head.bytes(), set.first, first_own(set), set.last];
                    prop_assert_eq!(whole.plain, plain.concat());
                }
                let all: Vec<_> = set.series.iter().flatten().collect();
                let hashes: BTreeSet<_> = all.iter().map(|series| series.hash).collect();
                let is_alike = set.series.len() <= 32
                    && hashes.len() == all.len()
                    && all.iter().all(|s| (s.lane, s.stem) == (all[0].lane, all[0].stem));
                let alike = identity.alike(destination);
                prop_assert_eq!(alike.is_some(), is_alike);
                if let (Some(alike), Some(first)) = (alike, all.first()) {
                    prop_assert_eq!((alike.lane, alike.stem), (first.lane, first.stem));
                    for slot in 0..32 {
                        let has = set.series.get(slot).copied().flatten().is_some();
                        prop_assert_eq!(alike.slots >> slot & 1 == 1, has);
                    }
                }
            }
            prop_assert_eq!(identity.series(sets.len(), 0), None);
            prop_assert_eq!(identity.alike(sets.len()), None);
        }
    }
}
