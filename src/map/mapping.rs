//! A request's readings in, a batch out.

use std::hash::BuildHasher;

use super::config::Timestamp;
use super::families::Families;
use super::fresh::Fresh;
use super::gathered::{Gathered, Point};
use super::labels::{Conflict, Conflicts, OwnedLabel};
use super::mapper::Mapper;
use super::series_limit::{Admitted, Limited};
use super::{key, render};
use crate::decode::{Format, Glimpse, Reading};
use crate::sample::{Batch, Identity};

/// What a request's readings became.
#[derive(Debug)]
pub struct Mapped {
    /// The samples.
    pub batch: Batch,
    /// Data points, in the order of [`Format::ALL`].
    pub points_by_format: [u64; 3],
    /// Data points whose identity was known.
    pub cache_hits: u64,
    /// Data points whose identity had to be made.
    pub cache_misses: u64,
    /// Identities that left the cache for newer ones.
    pub cache_evictions: u64,
    /// Labels renamed, changed or dropped, by kind; only kinds that occurred.
    pub conflicts: Vec<(Conflict, u64)>,
    /// By destination: samples replaced by a later one of the same series and timestamp.
    pub superseded: Vec<u64>,
    /// What the limit of series kept out.
    pub limited: Limited,
    /// By destination: samples in the batch.
    pub samples: Vec<u64>,
    /// Memory of the batch, and of the identities that were made for it.
    pub bytes: u64,
}

/// A part of a request's metrics: those whose account, region, namespace, name and dimensions hash to
/// `index` of `of`. All points of a metric are in one part, whatever the order of its dimensions, its
/// unit or its statistics in each of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slice {
    /// Which part.
    pub index: u32,
    /// Of how many; at least 1.
    pub of: u32,
}

impl Slice {
    /// Everything.
    const WHOLE: Self = Self { index: 0, of: 1 };

    #[inline]
    fn holds(self, keys: &impl BuildHasher, reading: &Reading<'_>) -> bool {
        if self.of <= 1 {
            return true;
        }
        let Reading { account, region, namespace, metric, dimensions, .. } = reading;
        let mut hash = keys.hash_one((account, region, namespace, metric));
        for dimension in *dimensions {
            hash = hash.wrapping_add(keys.hash_one(dimension));
        }
        (hash >> 32) as u32 % self.of == self.index
    }
}

/// The mapping of one request.
pub struct Mapping<'m> {
    mapper: &'m Mapper,
    extra_labels: Vec<OwnedLabel>,
    /// The key of the data point at hand; the extra labels' part is written once.
    key: Vec<u8>,
    extra_end: usize,
    /// The hash of the key, if it is that of a glimpse of which nothing is known.
    glimpsed: Option<u64>,
    slice: Slice,
    /// Since 1970.
    minute: u32,
    limited: Limited,
    gathered: Gathered,
    /// Memory of identities that were made here.
    made_bytes: usize,
    fresh: Fresh,
    families: Families,
    points_by_format: [u64; 3],
    hits: u64,
    misses: u64,
    evictions: u64,
    conflicts: Conflicts,
}

impl std::fmt::Debug for Mapping<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mapping").field("rows", &self.gathered.rows()).finish_non_exhaustive()
    }
}

impl<'m> Mapping<'m> {
    pub(super) fn new(mapper: &'m Mapper, extra_labels: &[OwnedLabel], minute: u32) -> Self {
        let mut key = Vec::new();
        key::begin(&mut key, extra_labels);
        Self {
            mapper,
            extra_labels: extra_labels.to_vec(),
            extra_end: key.len(),
            key,
            glimpsed: None,
            slice: Slice::WHOLE,
            minute,
            limited: Limited::default(),
            gathered: Gathered::new(mapper.plan.outlets.iter().map(|outlet| outlet.lanes)),
            made_bytes: 0,
            fresh: Fresh::default(),
            families: Families::default(),
            points_by_format: [0; 3],
            hits: 0,
            misses: 0,
            evictions: 0,
            conflicts: Conflicts::default(),
        }
    }

    /// Passes over the metrics of other slices. Series in which metrics of several names end are
    /// brought in order within a slice only.
    #[must_use]
    pub fn only(self, slice: Slice) -> Self {
        Self { slice, ..self }
    }

    /// Takes a data point.
    pub fn reading(&mut self, reading: &Reading<'_>) {
        self.glimpsed = None;
        if !self.slice.holds(&self.mapper.keys, reading) {
            return;
        }
        self.key.truncate(self.extra_end);
        key::reading(&mut self.key, reading);
        let key = [self.key.as_slice()];
        let hash = self.mapper.hash(&key);
        match self.mapper.cache.get(hash, &key) {
            Some((identity, admitted)) => {
                self.hits += 1;
                self.append(identity, admitted, hash, reading.format, Point::from_reading(reading));
            }
            None => self.unknown(hash, reading),
        }
    }

    /// Takes a data point if what names it is known. If not, it may come by [`Self::glimpsed`].
    ///
    /// In a slice nothing is taken: what names a data point does not say in which slice it is.
    #[inline]
    pub fn glimpse(&mut self, glimpse: &Glimpse<'_>) -> bool {
        self.glimpsed = None;
        let part = key::Glimpsed::new(glimpse);
        let begun = self.key.get(..self.extra_end).unwrap_or_default();
        if self.slice != Slice::WHOLE || begun.len() + part.bytes() > render::KEY_BYTES_MAX {
            return false;
        }
        let key = part.behind(begun);
        let hash = self.mapper.hash(&key);
        let Some((identity, admitted)) = self.mapper.cache.get(hash, &key) else {
            self.key.truncate(self.extra_end);
            part.append(&mut self.key);
            self.glimpsed = Some(hash);
            return false;
        };
        self.hits += 1;
        self.append(identity, admitted, hash, glimpse.format, Point::from_glimpse(glimpse));
        true
    }

    /// Takes the data point of the last glimpse, which was not known. It will be.
    pub fn glimpsed(&mut self, reading: &Reading<'_>) {
        match self.glimpsed.take() {
            Some(hash) => self.unknown(hash, reading),
            None => self.reading(reading),
        }
    }

    /// Memory held by what was built so far, and what [`Mapping::finish`] will take on top for a
    /// moment.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        let bytes = self.kept_bytes()
            + self.key.capacity()
            + self.gathered.stem_bytes()
            + self.fresh.index_bytes()
            + self.families.index_bytes();
        // Half as much again: while a vector grows, its old place is held beside the new one, and an
        // allocator has not given back yet what the last request left.
        (bytes + bytes / 2 + self.gathered.scratch_bytes()) as u64
    }

    /// Brings the samples in order and hands out everything.
    #[must_use]
    pub fn finish(mut self) -> Mapped {
        if self.slice == Slice::WHOLE {
            self.mapper.usual.learn(&self.gathered);
        }
        let superseded = self.gathered.settle();
        self.gathered.shrink();
        let bytes = self.kept_bytes() as u64;
        let batch = Batch {
            freshness: self.fresh.points,
            families: self.families.met,
            ..self.gathered.batch()
        };
        let samples = |lanes: &Vec<Vec<_>>| lanes.iter().map(|lane| lane.len() as u64).sum();
        Mapped {
            bytes,
            samples: batch.lanes.iter().map(samples).collect(),
            batch,
            points_by_format: self.points_by_format,
            cache_hits: self.hits,
            cache_misses: self.misses,
            cache_evictions: self.evictions,
            conflicts: self.conflicts.counted(),
            superseded,
            limited: self.limited,
        }
    }

    /// What remains once the mapping is finished.
    fn kept_bytes(&self) -> usize {
        self.made_bytes + self.families.bytes() + self.fresh.bytes() + self.gathered.bytes()
    }

    /// Takes a data point whose identity is not known. Its key stands ready.
    #[cold]
    fn unknown(&mut self, hash: u64, reading: &Reading<'_>) {
        self.misses += 1;
        let Mapper { plan, cache, hashes, keys, .. } = self.mapper;
        // A glimpse's key does not decide what becomes of the data point.
        let key_bytes = self.extra_end + key::reading_bytes(reading);
        let is_too_long = render::is_too_long(key_bytes, reading);
        let mut identity = if is_too_long {
            render::nothing(plan, reading, &mut self.conflicts)
        } else {
            let (extra, families) = (&self.extra_labels, &mut self.families);
            let mut met = |destination, name: &str| {
                families.meet(keys, destination, name, reading.unit);
            };
            let conflicts = &mut self.conflicts;
            render::identity(plan, hashes, &self.key, reading, extra, conflicts, &mut met)
        };
        if !is_too_long {
            self.made_bytes += identity.bytes();
            let put = cache.put(hash, &[&self.key], identity);
            self.evictions += put.evictions;
            identity = put.identity;
            // The next data point's key is most likely short again.
            self.key.shrink_to(8 << 10);
        }
        self.append(
            identity,
            Admitted::default(),
            hash,
            reading.format,
            Point::from_reading(reading),
        );
    }

    /// Appends a row and its samples. A data point of which no destination wants a sample leaves
    /// nothing. `hash` is that of the key that the identity is known by.
    #[inline]
    fn append<E: Iterator<Item = f64>>(
        &mut self,
        identity: Identity,
        admitted: Admitted,
        hash: u64,
        format: Format,
        point: Point<E>,
    ) {
        let Mapper { plan, known_series, cache, usual, keys, .. } = self.mapper;
        self.points_by_format[match format {
            Format::Json => 0,
            Format::OpenTelemetry07 => 1,
            Format::OpenTelemetry10 => 2,
        }] += 1;
        let timestamp_ms = match plan.config.timestamp {
            Timestamp::Start => point.start_ms,
            Timestamp::End => point.end_ms,
        };
        let end_ms = point.end_ms;
        let mut row = self.gathered.begin_row(point, usual);
        if let Some(known) = known_series {
            let values = row.values();
            let news = known.strike(&identity, admitted, values, self.minute, &mut self.limited);
            if let Some(news) = news {
                cache.remember(hash, &identity, news);
            }
            row.look_again();
        }
        if row.has_sample(&identity) {
            self.fresh.count(identity.namespace(), end_ms, keys);
            row.end(identity, timestamp_ms);
        }
    }
}
