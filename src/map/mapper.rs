//! What all mappings share: the plan, the identities that are known, the series that are counted.

use std::hash::{BuildHasher, Hasher};

use super::cache::{Cache, CacheStats};
use super::config::{LimitKind, Plan};
use super::encode::Hashes;
use super::gathered::Usual;
use super::mapping::Mapping;
use super::series_limit::KnownSeries;

/// Maps readings to series, as a plan says. One serves all requests at once.
pub struct Mapper {
    pub(super) plan: Plan,
    pub(super) cache: Cache,
    pub(super) hashes: Hashes,
    /// If the number of series is limited.
    pub(super) known_series: Option<KnownSeries>,
    /// Seeded anew in each process: keys come from outside.
    pub(super) keys: foldhash::quality::RandomState,
    /// How large batches are.
    pub(super) usual: Usual,
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
            keys: foldhash::quality::RandomState::default(),
            usual: Usual::default(),
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
            keys: foldhash::quality::RandomState::default(),
            usual: Usual::default(),
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
        Mapping::new(self, extra_labels, minute(now_ms))
    }

    /// The hash of a key in pieces. They count as they are cut.
    #[inline]
    pub(super) fn hash(&self, key: &[&[u8]]) -> u64 {
        let mut hasher = self.keys.build_hasher();
        for piece in key {
            if !piece.is_empty() {
                hasher.write(piece);
            }
        }
        hasher.finish()
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

fn minute(now_ms: u64) -> u32 {
    u32::try_from(now_ms / 60_000).unwrap_or(u32::MAX)
}
