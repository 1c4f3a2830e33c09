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
use crate::sample::{ABSENT, Admitted, Identity};

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
    fn count(&mut self, kind: LimitKind, namespace: &Arc<str>) {
        let index = kind as usize;
        if let (Some(samples), Some(first)) =
            (self.samples.get_mut(index), self.namespaces.get_mut(index))
        {
            *samples += 1;
            first.get_or_insert_with(|| Arc::clone(namespace));
        }
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

    /// Takes the values of series that are beyond the limit out of a row, and counts them.
    #[inline]
    pub(super) fn strike(
        &self,
        identity: &Identity,
        values: &mut [f64],
        minute: u32,
        limited: &mut Limited,
    ) {
        let admitted = identity.admitted.slots(minute);
        let is_open = |(slot, value): (usize, &f64)| {
            value.to_bits() != ABSENT && !Admitted::holds(admitted, slot)
        };
        if values.iter().enumerate().any(is_open) {
            self.look_up(identity, values, minute, admitted, limited);
        }
    }

    fn look_up(
        &self,
        identity: &Identity,
        values: &mut [f64],
        minute: u32,
        mut admitted: u32,
        limited: &mut Limited,
    ) {
        let name = &*identity.namespace;
        let namespace = Namespace { hash: self.namespace_hashes.hash_one(name), name };
        let mut known = self.lock();
        if known.generation() != self.generation {
            return;
        }
        for (slot, value) in values.iter_mut().enumerate() {
            if value.to_bits() == ABSENT || Admitted::holds(admitted, slot) {
                continue;
            }
            // Destinations may relabel differently: the first that keeps the series stands for all.
            let series = identity.outlets.iter().find_map(|set| set.series.get(slot)?.as_ref());
            let outcome =
                series.map_or(Ok(()), |series| known.admit(series.hash, namespace, minute));
            match outcome {
                Ok(()) => admitted |= Admitted::bit(slot),
                Err(kind) => {
                    *value = f64::from_bits(ABSENT);
                    limited.count(kind, &identity.namespace);
                }
            }
        }
        drop(known);
        identity.admitted.remember(minute, admitted);
    }

    /// A panic under the lock leaves the table usable, if one series short.
    fn lock(&self) -> MutexGuard<'_, KnownTable> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
