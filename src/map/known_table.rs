//! The series of the last hour: the hash of each, when it was last seen, and its namespace, in a table
//! of a fixed size that is taken at once.

use hashbrown::HashTable;

use super::config::{LimitKind, SeriesLimit};

/// A series is known for so many minutes after the one in which it was last seen, so that no hour,
/// wherever it begins, sees more than the limit.
const KNOWN_MINUTES: u32 = 60;
/// Requests overlap, so that minutes come in slightly out of order. What lies further ahead was
/// written before the clock was set back.
const MINUTES_AHEAD_MAX: u32 = 5;
/// Namespaces that are counted apart; those beyond share one count.
const NAMESPACES_MAX: usize = 4096;
/// The place of those beyond, and what logs call them.
const OTHERS: u32 = 0;
const OTHERS_NAME: &str = "others";
/// Of a namespace's name, which comes from outside, so much is kept: CloudWatch's own limit.
const NAME_CHARS_MAX: usize = 255;
/// Places looked at before a sweep stops to see whether there is room. Few in unit tests, so that
/// small tables have sweeps of several pieces.
const SWEPT_AT_ONCE: usize = if cfg!(test) { 5 } else { 1 << 16 };

/// One series: its hash, and behind it the minute in which it was last seen and its namespace. All
/// zeros where there is none, so that a fresh table takes memory only as it fills.
type Entry = [u64; 2];

const EMPTY: Entry = [0; 2];

fn entry(hash: u64, minute: u32, namespace: u32) -> Entry {
    [hash, u64::from(minute) << 32 | u64::from(namespace)]
}

fn minute_of(entry: Entry) -> u32 {
    (entry[1] >> 32) as u32
}

fn namespace_of(entry: Entry) -> u32 {
    entry[1] as u32
}

/// A namespace: its name, and that name's hash.
#[derive(Clone, Copy, Debug)]
pub(super) struct Namespace<'a> {
    pub(super) hash: u64,
    pub(super) name: &'a str,
}

/// The table: open addressing, no growth, entries moved together where one leaves.
#[derive(Debug)]
pub(super) struct KnownTable {
    limit: SeriesLimit,
    entries: Box<[Entry]>,
    /// Entries taken, those included that are too old and not yet swept; never above the limit.
    len: usize,
    namespaces: Namespaces,
    /// The minute of the last sweep.
    swept: u32,
    /// Where that sweep goes on; the table's end if it is through.
    hand: usize,
    /// How often everything was forgotten.
    generation: u32,
}

impl KnownTable {
    pub(super) fn new(limit: SeriesLimit) -> Self {
        let entries = vec![EMPTY; limit.table_entries()].into_boxed_slice();
        Self {
            limit,
            entries,
            len: 0,
            namespaces: Namespaces::new(),
            swept: 0,
            hand: 0,
            generation: 0,
        }
    }

    /// How many series there may be in all.
    pub(super) fn per_hour(&self) -> u32 {
        self.limit.per_hour
    }

    /// How many there may be of a namespace from now on. Those that are known stay.
    pub(super) fn limit_namespaces(&mut self, per_namespace_per_hour: Option<u32>) {
        self.limit.per_namespace_per_hour = per_namespace_per_hour;
    }

    /// Forgets everything. Never holds two tables' memory.
    pub(super) fn forget(&mut self) {
        let Self { limit, generation, .. } = *self;
        self.entries = Box::default();
        *self = Self { generation: generation.wrapping_add(1), ..Self::new(limit) };
    }

    pub(super) fn generation(&self) -> u32 {
        self.generation
    }

    /// Series known; exact once the minute's sweep is through.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The namespaces with the most series, at most so many, each with the number of its series.
    pub(super) fn fullest_namespaces(&self, most: usize) -> Vec<(String, u32)> {
        self.namespaces.fullest(most)
    }

    /// Takes note of a series, unless it is a new one beyond the limit.
    pub(super) fn admit(
        &mut self,
        hash: u64,
        namespace: Namespace<'_>,
        minute: u32,
    ) -> Result<(), LimitKind> {
        // 0 is an empty place.
        let hash = hash.max(1);
        if let Ok(place) = self.find(hash) {
            let [_, seen] = &mut self.entries[place];
            let before = (*seen >> 32) as u32;
            let is_ahead = before > minute.saturating_add(MINUTES_AHEAD_MAX);
            let minute = if is_ahead { minute } else { minute.max(before) };
            *seen = u64::from(minute) << 32 | (*seen & u64::from(u32::MAX));
            return Ok(());
        }
        while let Some(kind) = self.fullness(namespace) {
            if self.is_swept(minute) {
                return Err(kind);
            }
            self.sweep_on(minute);
        }
        if let Err(place) = self.find(hash) {
            let namespace = self.namespaces.id(namespace);
            self.namespaces.add(namespace);
            self.entries[place] = entry(hash, minute, namespace);
            self.len += 1;
        }
        Ok(())
    }

    /// Which limit has no room for another series of a namespace.
    fn fullness(&self, namespace: Namespace<'_>) -> Option<LimitKind> {
        let most = self.limit.per_namespace_per_hour.unwrap_or(u32::MAX);
        if self.namespaces.count(namespace.hash) >= most {
            Some(LimitKind::PerNamespacePerHour)
        } else if self.len >= self.limit.per_hour as usize {
            Some(LimitKind::PerHour)
        } else {
            None
        }
    }

    /// Where a series stands, or the empty place where it would. There is always an empty place.
    fn find(&self, hash: u64) -> Result<usize, usize> {
        let mut at = self.home(hash);
        loop {
            match self.entries[at][0] {
                0 => return Err(at),
                found if found == hash => return Ok(at),
                _ => at = self.next(at),
            }
        }
    }

    fn home(&self, hash: u64) -> usize {
        ((u128::from(hash) * self.entries.len() as u128) >> 64) as usize
    }

    fn next(&self, at: usize) -> usize {
        if at + 1 == self.entries.len() { 0 } else { at + 1 }
    }

    /// How many calls of [`Self::sweep_on`] a sweep takes.
    pub(super) fn sweep_pieces(&self) -> usize {
        self.entries.len().div_ceil(SWEPT_AT_ONCE)
    }

    /// Whether a minute's sweep is through. There is one a minute at most.
    pub(super) fn is_swept(&self, minute: u32) -> bool {
        !self.is_sweep_due(minute) && self.hand >= self.entries.len()
    }

    fn is_sweep_due(&self, minute: u32) -> bool {
        let was_set_back = self.swept > minute.saturating_add(MINUTES_AHEAD_MAX);
        minute > self.swept || was_set_back
    }

    /// Forgets what was not seen for an hour, in the next piece of the table.
    pub(super) fn sweep_on(&mut self, minute: u32) {
        if self.is_sweep_due(minute) {
            (self.swept, self.hand) = (minute, 0);
        }
        let minute = self.swept;
        let end = self.entries.len().min(self.hand + SWEPT_AT_ONCE);
        while self.hand < end {
            let at = self.hand;
            let found = self.entries[at];
            let seen = minute_of(found);
            if found == EMPTY || minute.saturating_sub(seen) <= KNOWN_MINUTES {
                if seen > minute.saturating_add(MINUTES_AHEAD_MAX) {
                    self.entries[at] = entry(found[0], minute, namespace_of(found));
                }
                self.hand += 1;
                continue;
            }
            self.namespaces.remove(namespace_of(found));
            self.len -= 1;
            // What moves to this place is looked at next. Nothing moves from behind the hand to
            // before it: it would have to pass every empty place.
            self.take_out(at);
        }
        if self.hand >= self.entries.len() {
            self.namespaces.forget_unused();
        }
    }

    /// Empties a place, and moves up what would not be found behind it.
    fn take_out(&mut self, mut hole: usize) {
        let mut at = hole;
        loop {
            at = self.next(at);
            let found = self.entries[at];
            if found == EMPTY {
                break;
            }
            let home = self.home(found[0]);
            // Whether it stands, going round, behind the hole with its home not between the two.
            let stays =
                if hole < at { hole < home && home <= at } else { hole < home || home <= at };
            if !stays {
                self.entries[hole] = found;
                hole = at;
            }
        }
        self.entries[hole] = EMPTY;
    }
}

/// The number of series of each namespace. Namespaces are known by their hashes.
#[derive(Debug)]
struct Namespaces {
    ids: HashTable<(u64, u32)>,
    /// By id.
    counts: Vec<u32>,
    /// By id; for logs.
    names: Vec<Box<str>>,
    free: Vec<u32>,
}

impl Namespaces {
    fn new() -> Self {
        Self {
            ids: HashTable::new(),
            counts: vec![0],
            names: vec![OTHERS_NAME.into()],
            free: Vec::new(),
        }
    }

    fn find(&self, hash: u64) -> Option<u32> {
        self.ids.find(hash, |(known, _)| *known == hash).map(|(_, id)| *id)
    }

    fn has_room(&self) -> bool {
        !self.free.is_empty() || self.counts.len() < NAMESPACES_MAX
    }

    fn count(&self, hash: u64) -> u32 {
        let id = self.find(hash).or_else(|| (!self.has_room()).then_some(OTHERS));
        id.map_or(0, |id| self.counts[id as usize])
    }

    fn id(&mut self, Namespace { hash, name }: Namespace<'_>) -> u32 {
        if let Some(id) = self.find(hash) {
            return id;
        }
        if !self.has_room() {
            return OTHERS;
        }
        let id = self.free.pop().unwrap_or_else(|| {
            self.counts.push(0);
            self.names.push(Box::default());
            self.counts.len() as u32 - 1
        });
        self.names[id as usize] = name.chars().take(NAME_CHARS_MAX).collect();
        self.ids.insert_unique(hash, (hash, id), |(hash, _)| *hash);
        id
    }

    fn add(&mut self, id: u32) {
        self.counts[id as usize] += 1;
    }

    fn remove(&mut self, id: u32) {
        self.counts[id as usize] -= 1;
    }

    fn fullest(&self, most: usize) -> Vec<(String, u32)> {
        let mut found: Vec<_> = self.counts.iter().copied().zip(&self.names).collect();
        found.retain(|(count, _)| *count > 0);
        // Equal counts by name, so that log lines can be compared.
        found.sort_by(|(a, a_name), (b, b_name)| b.cmp(a).then_with(|| a_name.cmp(b_name)));
        found.truncate(most);
        found.into_iter().map(|(count, name)| (name.to_string(), count)).collect()
    }

    fn forget_unused(&mut self) {
        let Self { ids, counts, free, .. } = self;
        ids.retain(|(_, id)| {
            let is_used = counts[*id as usize] > 0;
            if !is_used {
                free.push(*id);
            }
            is_used
        });
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    const fn limit(per_hour: u32, per_namespace_per_hour: Option<u32>) -> SeriesLimit {
        SeriesLimit { per_hour, per_namespace_per_hour }
    }

    const ONE: Namespace<'_> = Namespace { hash: 1, name: "One" };

    fn namespace(hash: u64) -> Namespace<'static> {
        Namespace { hash, name: "N" }
    }

    /// Homes at the beginning, in the middle and at the end, so that searches meet and go round.
    fn hash(series: u64) -> u64 {
        match series % 3 {
            0 => series,
            1 => (1 << 63) + series,
            _ => u64::MAX - series,
        }
    }

    proptest! {
        /// Against a plain model: steps of (minutes passed, series); a series has one namespace.
        #[test]
        fn the_table_admits_what_the_model_admits(
            per_hour in 1u32..14,
            per_namespace in prop::option::of(1u32..8),
            steps in prop::collection::vec((prop_oneof![4 => Just(0u32), 2 => 0u32..20, 1 => 50u32..70], 0u64..40), 0..300),
        ) {
            let mut known = KnownTable::new(limit(per_hour, per_namespace));
            let mut model: HashMap<u64, u32> = HashMap::new();
            let mut minute = 1_000_000;
            for (passed, series) in steps {
                minute += passed;
                model.retain(|_, seen| minute - *seen <= 60);
                let of_namespace = model.keys().filter(|other| *other % 4 == series % 4).count();
                let expected = if model.contains_key(&series) {
                    Ok(())
                } else if per_namespace.is_some_and(|most| of_namespace >= most as usize) {
                    Err(LimitKind::PerNamespacePerHour)
                } else if model.len() >= per_hour as usize {
                    Err(LimitKind::PerHour)
                } else {
                    Ok(())
                };
                if expected.is_ok() {
                    model.insert(series, minute);
                }
                prop_assert_eq!(known.admit(hash(series), namespace(series % 4), minute), expected);
                prop_assert!(known.len <= per_hour as usize);
                for other in model.keys() {
                    prop_assert!(known.find(hash(*other).max(1)).is_ok(), "{} is not found", other);
                }
            }
            while !known.is_swept(minute + 1) {
                known.sweep_on(minute + 1);
            }
            model.retain(|_, seen| minute + 1 - *seen <= 60);
            prop_assert_eq!(known.len, model.len());
            let taken = known.entries.iter().filter(|entry| **entry != EMPTY).count();
            prop_assert_eq!(taken, model.len());
            prop_assert_eq!(known.namespaces.counts.iter().sum::<u32>() as usize, model.len());
        }

        /// The limit that fits is the highest that does.
        #[test]
        fn the_table_takes_what_it_says(bytes in 0u64..1 << 22) {
            let most = SeriesLimit::most_within(bytes);
            prop_assert!(most == 0 || limit(most, None).table_bytes() <= bytes);
            prop_assert!(limit(most + 2, None).table_bytes() > bytes);
            let known = KnownTable::new(limit(most, None));
            prop_assert_eq!(size_of_val(&*known.entries) as u64, known.limit.table_bytes());
        }
    }

    #[test]
    fn a_place_is_free_when_no_sliding_hour_holds_its_series() {
        let mut known = KnownTable::new(limit(1, None));
        assert_eq!(known.admit(1, ONE, 1_000), Ok(()));
        assert_eq!(known.admit(2, ONE, 1_060), Err(LimitKind::PerHour));
        assert_eq!(known.admit(2, ONE, 1_061), Ok(()));
        assert_eq!(known.admit(1, ONE, 1_061), Err(LimitKind::PerHour));
    }

    #[test]
    fn a_clock_that_was_set_back_holds_no_place_for_ever() {
        let mut known = KnownTable::new(limit(2, None));
        assert_eq!(known.admit(1, ONE, 9_000), Ok(()));
        assert_eq!(known.admit(2, ONE, 9_000), Ok(()));
        assert_eq!(known.admit(3, ONE, 1_000), Err(LimitKind::PerHour));
        assert_eq!(known.admit(1, ONE, 1_030), Ok(()));
        assert_eq!(known.admit(3, ONE, 1_061), Ok(()));
        assert_eq!(known.admit(2, ONE, 1_061), Err(LimitKind::PerHour));
    }

    #[test]
    fn namespaces_beyond_those_counted_apart_share_a_count() {
        let mut known = KnownTable::new(limit(10_000, Some(1)));
        let most = NAMESPACES_MAX as u64;
        let mut admit = |name: u64, minute| known.admit(name, namespace(name), minute);
        // One id is that of all others.
        assert!((1..most).all(|namespace| admit(namespace, 1_000).is_ok()));
        assert_eq!(admit(most, 1_000), Ok(()));
        assert_eq!(admit(most + 1, 1_000), Err(LimitKind::PerNamespacePerHour));
        assert!((most + 1..2 * most).all(|namespace| admit(namespace, 1_061).is_ok()));
    }

    #[test]
    fn the_fullest_namespaces_are_named() {
        let mut known = KnownTable::new(limit(10_000, None));
        let long = "x".repeat(1_000);
        for (hash, name, series) in [(1, "Few", 2), (2, "Many", 5), (3, &*long, 4), (4, "Also", 4)]
        {
            for n in 0..series {
                assert_eq!(known.admit(hash << 32 | n, Namespace { hash, name }, 1_000), Ok(()));
            }
        }
        let cut = "x".repeat(NAME_CHARS_MAX);
        let expected = [("Many", 5), ("Also", 4), (&*cut, 4)];
        assert_eq!(known.fullest_namespaces(3), expected.map(|(name, n)| (name.to_owned(), n)));
        known.forget();
        assert_eq!((known.fullest_namespaces(3), known.len()), (Vec::new(), 0));
        // The beyond ones have one name.
        for n in 1..NAMESPACES_MAX as u64 + 7 {
            assert_eq!(known.admit(n, namespace(n), 1_000), Ok(()));
        }
        assert_eq!(known.fullest_namespaces(1), [(OTHERS_NAME.to_owned(), 7)]);
    }

    #[test]
    fn another_limit_of_namespaces_holds_at_once_and_what_is_known_stays() {
        let mut known = KnownTable::new(limit(100, None));
        assert!((1..=10).all(|series| known.admit(series, ONE, 1_000).is_ok()));
        known.limit_namespaces(Some(5));
        assert!((1..=10).all(|series| known.admit(series, ONE, 1_000).is_ok()));
        assert_eq!(known.admit(11, ONE, 1_000), Err(LimitKind::PerNamespacePerHour));
        known.limit_namespaces(Some(11));
        assert_eq!(known.admit(11, ONE, 1_000), Ok(()));
    }
}
