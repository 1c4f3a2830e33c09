//! How many distinct series an hour may have. A receiver's quota of active series, once passed,
//! costs the whole workspace new series; this limit costs only those beyond it.
//!
//! A table holds the hash of each series of the last hour, when it was last seen, and its namespace:
//! of a fixed size, taken at once, searched under one lock. An identity remembers which of its series
//! were admitted this minute, so that a steady stream takes the lock once per metric and minute.

use std::hash::BuildHasher;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::config::SeriesLimit;
use super::known_series::Known;
use crate::sample::{ABSENT, Admitted, Identity};

/// Which limit kept a series out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LimitKind {
    /// That of all series.
    PerHour,
    /// That of the series of a namespace.
    PerNamespacePerHour,
}

impl LimitKind {
    /// All kinds, in the order of [`Limited::samples`].
    pub const ALL: [Self; 2] = [Self::PerHour, Self::PerNamespacePerHour];

    /// As metrics and logs name it: the setting's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::PerHour => "per_hour",
            Self::PerNamespacePerHour => "per_namespace_per_hour",
        }
    }
}

/// What the limit kept out of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Limited {
    /// Samples left out, in the order of [`LimitKind::ALL`]: each once, whatever the number of
    /// destinations.
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

/// The series of the last hour. Mappers that follow one another share it while its limit stays.
#[derive(Clone, Debug)]
pub(super) struct KnownSeries {
    limit: SeriesLimit,
    known: Arc<Mutex<Known>>,
    namespace_hashes: foldhash::quality::RandomState,
}

impl KnownSeries {
    pub(super) fn new(limit: SeriesLimit) -> Self {
        let known = Arc::new(Mutex::new(Known::new(limit)));
        Self { limit, known, namespace_hashes: foldhash::quality::RandomState::default() }
    }

    /// The series that are known already, under another limit: if that is lower, those seen last.
    pub(super) fn under(&self, limit: SeriesLimit) -> Self {
        if limit == self.limit {
            return self.clone();
        }
        let known = Arc::new(Mutex::new(self.lock().under(limit)));
        Self { limit, known, namespace_hashes: self.namespace_hashes.clone() }
    }

    /// How many series were seen in the hour before a minute.
    pub(super) fn count(&self, minute: u32) -> u64 {
        let mut known = self.lock();
        known.sweep(minute);
        known.len as u64
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
        let namespace = self.namespace_hashes.hash_one(&*identity.namespace);
        let mut known = self.lock();
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
    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn limit(per_hour: u32, per_namespace_per_hour: Option<u32>) -> SeriesLimit {
        SeriesLimit { per_hour, per_namespace_per_hour }
    }

    #[test]
    fn a_lower_limit_keeps_those_seen_last() {
        let old = KnownSeries::new(limit(100, None));
        assert!((1..=100).all(|n| old.lock().admit(n, n % 5, 1_000 + n as u32 % 50).is_ok()));
        assert!(Arc::ptr_eq(&old.known, &old.under(old.limit).known));
        let new = old.under(limit(10, Some(2)));
        let mut new = new.lock();
        assert_eq!((new.len, new.namespaces.counts.iter().sum::<u32>()), (10, 10));
        for n in 1..=100 {
            let is_last = n % 50 >= 45;
            assert_eq!(new.admit(n, n % 5, 1_049).is_ok(), is_last, "{n}");
        }
        let wider = old.under(limit(200, None));
        assert!((1..=100).all(|n| wider.lock().find(n).is_ok()));
    }
}
