//! How many distinct series an hour may have. A receiver's quota of active series, once passed,
//! costs the whole workspace new series; this limit costs only those beyond it.
//!
//! A table holds the hash of each series of the last hour, when it was last seen, and its namespace:
//! of a fixed size, taken at once, searched under one lock. An identity remembers which of its series
//! were admitted this minute, so that a steady stream takes the lock once per metric and minute.

use std::hash::BuildHasher;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::config::{LimitKind, SeriesLimit};
use super::known_table::{KnownTable, Namespace};
use crate::sample::{ABSENT, Identity};

/// What the limit kept out of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Limited {
    /// Samples left out, in the order of [`LimitKind::ALL`]: each once per attempt,
    /// whatever the number of destinations.
    pub samples: [u64; 2],
    /// The namespace of the first of them, in the same order.
    pub namespaces: [Option<Arc<str>>; 2],
}

impl Limited {
    fn count(&mut self, kind: LimitKind, namespace: &str) {
        let index = kind as usize;
        if let (Some(samples), Some(first)) =
            (self.samples.get_mut(index), self.namespaces.get_mut(index))
        {
            *samples += 1;
            first.get_or_insert_with(|| namespace.into());
        }
    }
}

/// Which series of an identity were admitted in a minute, by slot: they need not be looked up again
/// in it. Slots beyond the 31st are never remembered; CloudWatch's 25 statistics fit in. What two
/// threads remember at once may be forgotten, but is never made up.
///
/// The bit that is left says whether a cached identity was asked for lately.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Admitted {
    /// Since 1970.
    minute: u32,
    marks: u32,
}

impl Admitted {
    const RECENT: u32 = 1 << 31;

    /// The slots admitted in a minute, as bits.
    #[inline]
    fn slots(self, minute: u32) -> u32 {
        if self.minute == minute { self.marks & !Self::RECENT } else { 0 }
    }

    /// This with the slots of a minute in the place of others.
    fn with(self, minute: u32, slots: u32) -> Self {
        Self { minute, marks: self.marks & Self::RECENT | slots & !Self::RECENT }
    }

    #[inline]
    pub(super) fn be_recent(&mut self) {
        self.marks |= Self::RECENT;
    }

    /// Whether it was recent; it is not any more.
    pub(super) fn take_recent(&mut self) -> bool {
        let was_recent = self.marks & Self::RECENT != 0;
        self.marks &= !Self::RECENT;
        was_recent
    }

    /// The bit of a slot; none if it is not remembered.
    #[inline]
    fn bit(slot: usize) -> u32 {
        let bit = u32::try_from(slot).ok().and_then(|slot| 1u32.checked_shl(slot)).unwrap_or(0);
        bit & !Self::RECENT
    }
}

/// The series of the last hour. Mappers that follow one another share it while its size stays.
#[derive(Clone, Debug)]
pub(super) struct KnownSeries {
    table: Arc<Mutex<KnownTable>>,
    /// That of the table while its series are this mapper's.
    generation: u32,
    namespace_hashes: foldhash::quality::RandomState,
}

impl KnownSeries {
    pub(super) fn new(limit: SeriesLimit) -> Self {
        Self {
            table: Arc::new(Mutex::new(KnownTable::new(limit))),
            generation: 0,
            namespace_hashes: foldhash::quality::RandomState::default(),
        }
    }

    /// The series that are known already, from now on under another limit. Only one of the same
    /// size can share the table.
    pub(super) fn under(&self, limit: SeriesLimit) -> Self {
        let mut table = self.lock();
        if table.per_hour() != limit.per_hour {
            return Self::new(limit);
        }
        table.limit_namespaces(limit.per_namespace_per_hour);
        self.clone()
    }

    /// Begins anew. What shares the table with this goes on without a limit: requests that have
    /// begun, whose series are not those of later ones.
    pub(super) fn forget(&mut self) {
        let mut table = self.lock();
        table.forget();
        let generation = table.generation();
        drop(table);
        self.generation = generation;
    }

    /// How many series were seen in the hour before a minute.
    pub(super) fn count(&self, minute: u32) -> u64 {
        let pieces = self.lock().sweep_pieces();
        for _ in 0..pieces {
            // Mapping goes on between the pieces.
            let mut table = self.lock();
            if table.is_swept(minute) {
                break;
            }
            table.sweep_on(minute);
        }
        self.lock().len() as u64
    }

    /// The namespaces with the most series.
    pub(super) fn fullest_namespaces(&self, most: usize) -> Vec<(String, u32)> {
        self.lock().fullest_namespaces(most)
    }

    /// Takes the values of series that are beyond the limit out of a row, and counts them. Returns
    /// what is to be remembered, if that is news.
    #[inline]
    pub(super) fn strike(
        &self,
        identity: &Identity,
        admitted: Admitted,
        values: &mut [f64],
        minute: u32,
        limited: &mut Limited,
    ) -> Option<Admitted> {
        let slots = admitted.slots(minute);
        let is_open = |(slot, value): (usize, &f64)| {
            value.to_bits() != ABSENT && slots & Admitted::bit(slot) == 0
        };
        if !values.iter().enumerate().any(is_open) {
            return None;
        }
        let looked_up = self.look_up(identity, values, minute, slots, limited);
        (looked_up != slots).then(|| admitted.with(minute, looked_up))
    }

    /// The slots that are admitted after this.
    fn look_up(
        &self,
        identity: &Identity,
        values: &mut [f64],
        minute: u32,
        mut slots: u32,
        limited: &mut Limited,
    ) -> u32 {
        let name = String::from_utf8_lossy(identity.namespace());
        let name = name.as_ref();
        let namespace = Namespace { hash: self.namespace_hashes.hash_one(name), name };
        let mut known = self.lock();
        if known.generation() != self.generation {
            return slots;
        }
        for (slot, value) in values.iter_mut().enumerate() {
            if value.to_bits() == ABSENT || slots & Admitted::bit(slot) != 0 {
                continue;
            }
            // Destinations may relabel differently: the first that keeps the series stands for all.
            let series = (0..identity.sets()).find_map(|set| identity.series(set, slot));
            let outcome =
                series.map_or(Ok(()), |series| known.admit(series.hash, namespace, minute));
            match outcome {
                Ok(()) => slots |= Admitted::bit(slot),
                Err(kind) => {
                    *value = f64::from_bits(ABSENT);
                    limited.count(kind, name);
                }
            }
        }
        slots
    }

    /// A panic under the lock leaves the table usable, if one series short.
    fn lock(&self) -> MutexGuard<'_, KnownTable> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
