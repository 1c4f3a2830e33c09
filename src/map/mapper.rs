//! A request's readings in, a batch out.

use std::hash::BuildHasher;
use std::sync::Arc;

use hashbrown::HashTable;

use super::cache::{Cache, CacheStats};
use super::config::{LimitKind, Plan, Timestamp};
use super::encode::Hashes;
use super::labels::{Conflict, Conflicts, Label};
use super::repeats::{Repeats, scratch_bytes};
use super::series_limit::{KnownSeries, Limited};
use super::{key, render};
use crate::decode::{Format, Reading};
use crate::sample::{ABSENT, Batch, Family, Freshness, Identity, NORMAL_NAN, Row, SampleRef, slot};

/// Maps readings to series, as a plan says. One serves all requests at once.
pub struct Mapper {
    plan: Plan,
    cache: Cache,
    hashes: Hashes,
    /// If the number of series is limited.
    known_series: Option<KnownSeries>,
    /// Seeded anew in each process: keys come from outside.
    keys: foldhash::fast::RandomState,
}

impl std::fmt::Debug for Mapper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mapper").field("plan", &self.plan).finish_non_exhaustive()
    }
}

impl Mapper {
    /// A mapper that knows no identity yet.
    #[must_use]
    pub fn new(plan: Plan) -> Self {
        Self {
            cache: Cache::new(plan.config.series_cache),
            known_series: plan.config.series_limit.map(KnownSeries::new),
            plan,
            hashes: Hashes::default(),
            keys: foldhash::fast::RandomState::default(),
        }
    }

    /// A mapper with another plan in the place of an old one. It knows the series of the last hour,
    /// so that they pass as before, unless the size of the limit is another, or the plan makes other
    /// labels: then every series would be a new one, and it begins with none. What the old one has
    /// begun ends without a limit then.
    #[must_use]
    pub fn with_known_series_of(plan: Plan, old: &Self) -> Self {
        let known_series = match (plan.config.series_limit, &old.known_series) {
            (Some(limit), Some(known)) => Some(known.under(limit)),
            (limit, _) => limit.map(KnownSeries::new),
        };
        let is_labelled_alike = plan.labels_as(&old.plan);
        let mut mapper = Self {
            cache: Cache::new(plan.config.series_cache),
            known_series,
            plan,
            // Series are known by their hashes.
            hashes: old.hashes.clone(),
            keys: foldhash::fast::RandomState::default(),
        };
        if !is_labelled_alike {
            mapper.forget_series();
        }
        mapper
    }

    /// Begins the count of series anew: for when something changes their labels of which the plan
    /// knows nothing.
    pub fn forget_series(&mut self) {
        if let Some(known) = &mut self.known_series {
            known.forget();
        }
    }

    /// Begins the mapping of a request. Its extra labels (common attributes that the configuration
    /// lists) go to each of its series. `now_ms` (milliseconds since 1970) is the hour's end for the
    /// limit of series.
    #[must_use]
    pub fn begin(&self, extra_labels: &[(String, String)], now_ms: u64) -> Mapping<'_> {
        let mut key = Vec::new();
        key::begin(&mut key, extra_labels);
        let lanes = || self.plan.outlets.iter().map(|outlet| outlet.lanes.max(1) as usize);
        Mapping {
            mapper: self,
            extra_labels: extra_labels.to_vec(),
            extra_end: key.len(),
            key,
            slice: Slice::WHOLE,
            minute: minute(now_ms),
            limited: Limited::default(),
            batch: Batch {
                lanes: lanes().map(|lanes| vec![Vec::new(); lanes]).collect(),
                ..Batch::default()
            },
            hashes: lanes().map(|lanes| vec![Vec::new(); lanes]).collect(),
            made_bytes: 0,
            last_fresh: 0,
            fresh: HashTable::new(),
            families: HashTable::new(),
            family_bytes: 0,
            points_by_format: [0; 3],
            hits: 0,
            misses: 0,
            evictions: 0,
            conflicts: Conflicts::default(),
        }
    }

    /// What it was made from.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Gives its memory back: another mapper takes its place. Requests that have begun end with it.
    pub fn retire(&self) {
        self.cache.close();
    }

    /// Tells apart mappers that cut requests into different slices.
    #[must_use]
    pub fn slicing(&self) -> u64 {
        self.keys.hash_one("slicing")
    }

    /// The series cache's figures.
    #[must_use]
    pub fn cache_stats(&self) -> CacheStats {
        self.cache.stats()
    }

    /// The limits of series, in the order of [`LimitKind::ALL`]; none where not set.
    #[must_use]
    pub fn series_limits(&self) -> [(LimitKind, Option<u32>); 2] {
        let limit = self.plan.config.series_limit;
        LimitKind::ALL.map(|kind| {
            let most = match kind {
                LimitKind::PerHour => limit.map(|limit| limit.per_hour),
                LimitKind::PerNamespacePerHour => {
                    limit.and_then(|limit| limit.per_namespace_per_hour)
                }
            };
            (kind, most)
        })
    }

    /// Distinct series seen in the hour before a time, milliseconds since 1970; 0 if they are not
    /// limited, and so not counted.
    #[must_use]
    pub fn series_last_hour(&self, now_ms: u64) -> u64 {
        self.known_series.as_ref().map_or(0, |known| known.count(minute(now_ms)))
    }

    /// The namespaces with the most series of the last hour, at most so many, each with the number of
    /// its series. None if series are not limited.
    #[must_use]
    pub fn fullest_namespaces(&self, most: usize) -> Vec<(String, u32)> {
        self.known_series.as_ref().map_or_else(Vec::new, |known| known.fullest_namespaces(most))
    }
}

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
    extra_labels: Vec<Label>,
    /// The key of the reading at hand; the extra labels' part is written once.
    key: Vec<u8>,
    extra_end: usize,
    slice: Slice,
    /// Since 1970.
    minute: u32,
    limited: Limited,
    batch: Batch,
    /// Series hashes of the samples, as they stand in the batch's lanes: so the search for repeats
    /// reads memory in order.
    hashes: Vec<Vec<Vec<u64>>>,
    /// Memory of identities that were made here.
    made_bytes: usize,
    /// The entry of `batch.freshness` last counted in.
    last_fresh: usize,
    /// Indexes of `batch.freshness` and `batch.families`, by their content.
    fresh: HashTable<u32>,
    families: HashTable<u32>,
    /// Memory of the families' texts.
    family_bytes: usize,
    points_by_format: [u64; 3],
    hits: u64,
    misses: u64,
    evictions: u64,
    conflicts: Conflicts,
}

impl std::fmt::Debug for Mapping<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mapping").field("rows", &self.batch.rows.len()).finish_non_exhaustive()
    }
}

impl Mapping<'_> {
    /// Passes over the metrics of other slices. Series in which metrics of several names end are
    /// brought in order within a slice only.
    #[must_use]
    pub fn only(self, slice: Slice) -> Self {
        Self { slice, ..self }
    }

    /// Takes a data point.
    pub fn reading(&mut self, reading: &Reading<'_>) {
        if !self.slice.holds(&self.mapper.keys, reading) {
            return;
        }
        self.key.truncate(self.extra_end);
        key::reading(&mut self.key, reading);
        let hash = self.mapper.keys.hash_one(self.key.as_slice());
        self.points_by_format[match reading.format {
            Format::Json => 0,
            Format::OpenTelemetry07 => 1,
            Format::OpenTelemetry10 => 2,
        }] += 1;
        let identity = match self.mapper.cache.get(hash, &self.key) {
            Some(identity) => {
                self.hits += 1;
                identity
            }
            None => self.make(hash, reading),
        };
        self.append(identity, reading);
    }

    /// Memory held by what was built so far, and what [`Mapping::finish`] will take on top for a
    /// moment.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        let mut bytes = self.made_bytes
            + self.family_bytes
            + self.key.capacity()
            + batch_bytes(&self.batch)
            + self.fresh.allocation_size()
            + self.families.allocation_size();
        let longest = self.batch.lanes.iter().flatten().map(Vec::len).max().unwrap_or(0);
        bytes += self.hashes.iter().flatten().map(vec_bytes).sum::<usize>();
        // Half as much again: while a vector grows, its old place is held beside the new one, and an
        // allocator has not given back yet what the last request left.
        (bytes + bytes / 2 + scratch_bytes(longest)) as u64
    }

    /// Brings the samples in order and hands out everything.
    #[must_use]
    pub fn finish(mut self) -> Mapped {
        let mut lanes = std::mem::take(&mut self.batch.lanes);
        let batch = &self.batch;
        let mut repeats = Repeats::default();
        let mut superseded = Vec::with_capacity(lanes.len());
        let mut samples = Vec::with_capacity(lanes.len());
        for (destination, (lanes, hashes)) in lanes.iter_mut().zip(&self.hashes).enumerate() {
            let is_same = |a: SampleRef, b: SampleRef| {
                let (row_a, row_b) = (&batch.rows[a.row as usize], &batch.rows[b.row as usize]);
                // The usual repeat: one metric at several times.
                if a.slot == b.slot && Arc::ptr_eq(&row_a.identity, &row_b.identity) {
                    return true;
                }
                let (a, b) = (batch.sample(destination, a), batch.sample(destination, b));
                a.labels.iter().copied().flatten().eq(b.labels.iter().copied().flatten())
            };
            let time = |sample: SampleRef| batch.rows[sample.row as usize].timestamp_ms;
            let settled = lanes
                .iter_mut()
                .zip(hashes)
                .map(|(lane, hashes)| repeats.settle(lane, hashes, is_same, time));
            superseded.push(settled.sum());
            samples.push(lanes.iter().map(|lane| lane.len() as u64).sum());
        }
        self.batch.lanes = lanes;
        let bytes = (self.made_bytes + self.family_bytes + batch_bytes(&self.batch)) as u64;
        Mapped {
            bytes,
            batch: self.batch,
            points_by_format: self.points_by_format,
            cache_hits: self.hits,
            cache_misses: self.misses,
            cache_evictions: self.evictions,
            conflicts: self.conflicts.counted(),
            superseded,
            limited: self.limited,
            samples,
        }
    }

    /// An identity that is not known.
    #[cold]
    fn make(&mut self, hash: u64, reading: &Reading<'_>) -> Arc<Identity> {
        self.misses += 1;
        let Mapper { plan, cache, hashes, .. } = self.mapper;
        let is_too_long = render::is_too_long(self.key.len(), reading);
        let made = if is_too_long {
            render::nothing(plan, reading, &mut self.conflicts)
        } else {
            render::identity(plan, hashes, reading, &self.extra_labels, &mut self.conflicts)
        };
        for family in made.families {
            self.family(family);
        }
        let identity = Arc::new(made.identity);
        if is_too_long {
            return identity;
        }
        self.made_bytes += self.key.len() + identity.bytes;
        let put = cache.put(hash, &self.key, identity);
        self.evictions += put.evictions;
        // The next reading's key is most likely short again.
        self.key.shrink_to(8 << 10);
        put.identity
    }

    fn family(&mut self, family: Family) {
        let Self { families: index, batch: Batch { families, .. }, mapper, .. } = self;
        let hash = |family: &Family| {
            mapper.keys.hash_one((family.destination, &family.name, &family.unit))
        };
        let found = index.find(hash(&family), |at| families[*at as usize] == family);
        if found.is_none() {
            let at = families.len() as u32;
            index.insert_unique(hash(&family), at, |at| hash(&families[*at as usize]));
            self.family_bytes += family.name.capacity() + family.unit.capacity();
            families.push(family);
        }
    }

    /// Appends a row and its samples. A data point of which no destination wants a sample leaves
    /// nothing.
    #[inline]
    fn append(&mut self, identity: Arc<Identity>, reading: &Reading<'_>) {
        let Batch { rows, values, lanes, .. } = &mut self.batch;
        // A request's body is far too small for numbers beyond 32 bits.
        let (row, values_at) = (rows.len() as u32, values.len());
        push_values(values, reading);
        if let Some(known) = &self.mapper.known_series {
            let row_values = values.get_mut(values_at..).unwrap_or_default();
            known.strike(&identity, row_values, self.minute, &mut self.limited);
        }
        let mut has_sample = false;
        let row_values = &values[values_at..];
        for ((set, lanes), hashes) in identity.outlets.iter().zip(lanes).zip(&mut self.hashes) {
            for (slot, (series, value)) in set.series.iter().zip(row_values).enumerate() {
                if let Some(series) = series
                    && value.to_bits() != ABSENT
                    && let Some(lane) = lanes.get_mut(series.lane as usize)
                    && let Some(hashes) = hashes.get_mut(series.lane as usize)
                {
                    lane.push(SampleRef { row, slot: slot as u32 });
                    hashes.push(series.hash);
                    has_sample = true;
                }
            }
        }
        if !has_sample {
            values.truncate(values_at);
            return;
        }
        let timestamp_ms = match self.mapper.plan.config.timestamp {
            Timestamp::Start => reading.start_ms,
            Timestamp::End => reading.end_ms,
        };
        self.count_fresh(&identity.namespace, reading.end_ms);
        self.batch.rows.push(Row { identity, timestamp_ms, values_at: values_at as u32 });
    }

    #[inline]
    fn count_fresh(&mut self, namespace: &Arc<str>, end_ms: i64) {
        let freshness = &mut self.batch.freshness;
        if let Some(last) = freshness.get_mut(self.last_fresh)
            && last.end_ms == end_ms
            && (Arc::ptr_eq(&last.namespace, namespace) || last.namespace == *namespace)
        {
            last.points += 1;
            return;
        }
        let hash = |namespace: &str, end_ms: i64| self.mapper.keys.hash_one((namespace, end_ms));
        let found = self.fresh.find(hash(namespace, end_ms), |at| {
            let fresh = &freshness[*at as usize];
            fresh.end_ms == end_ms && fresh.namespace == *namespace
        });
        if let Some(at) = found {
            self.last_fresh = *at as usize;
            freshness[self.last_fresh].points += 1;
        } else {
            self.last_fresh = freshness.len();
            let at = self.last_fresh as u32;
            freshness.push(Freshness { namespace: Arc::clone(namespace), end_ms, points: 1 });
            self.fresh.insert_unique(hash(namespace, end_ms), at, |at| {
                let fresh = &freshness[*at as usize];
                hash(&fresh.namespace, fresh.end_ms)
            });
        }
    }
}

fn minute(now_ms: u64) -> u32 {
    u32::try_from(now_ms / 60_000).unwrap_or(u32::MAX)
}

/// A reading's values by slot.
#[inline]
fn push_values(values: &mut Vec<f64>, reading: &Reading<'_>) {
    let average = match (reading.sum, reading.count) {
        (Some(sum), Some(count)) if count > 0.0 => Some(sum / count),
        _ => None,
    };
    // In the order of the slots.
    let plain = [reading.sum, reading.min, reading.max, reading.count, average];
    values.extend(plain.map(|value| value.map_or(f64::from_bits(ABSENT), ordinary)));
    let extended = reading.extended.iter().take(slot::EXTENDED_MAX);
    values.extend(extended.map(|(_, value)| ordinary(*value)));
}

/// Any NaN as the ordinary one: other bits mean something to Prometheus, or to us.
#[inline]
fn ordinary(value: f64) -> f64 {
    if value.is_nan() { f64::from_bits(NORMAL_NAN) } else { value }
}

fn batch_bytes(batch: &Batch) -> usize {
    let tables = vec_bytes(&batch.rows)
        + vec_bytes(&batch.values)
        + vec_bytes(&batch.freshness)
        + vec_bytes(&batch.families);
    tables + batch.lanes.iter().flatten().map(vec_bytes).sum::<usize>()
}

fn vec_bytes<T>(vec: &Vec<T>) -> usize {
    vec.capacity() * size_of::<T>()
}
