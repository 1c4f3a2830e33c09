//! The identities that are known: bounded in bytes, shared by all mappings.
//!
//! A second-chance clock per shard decides who leaves. An identity that is in use elsewhere never
//! does, since its memory would outlive its place in the books. Nothing slow happens under a lock.
//!
//! Metrics come round by round, mostly once a minute each. Were there more of them than have room, and
//! everyone let in, each would leave just before it comes again, and none would ever be known. So while
//! the clock's hand finds that those within are asked for, only one newcomer in [`ODDS_MAX`] may try to
//! get in, and looks at [`PROBES_MAX`] places: while four times as many newcomers come as there are
//! identities within, the hand goes round once, and who was asked for in that time stays. Where the
//! hand finds that nobody asks any more, the door opens: most of an old population is gone after some
//! six times as many newcomers as have room.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::places::{Entry, Places};
use super::series_limit::Admitted;
use crate::sample::Identity;

/// Shards of a large cache. A small one has fewer, so that each has room for some identities.
const SHARDS_MAX: usize = 16;
const SHARD_BYTES_MIN: usize = 1 << 20;
/// Identities looked at to make room for one. Not to be cached costs less than a long search.
const PROBES_MAX: usize = 4;
/// One newcomer in so many may look, at worst.
const ODDS_MAX: u32 = 16;

/// The cache's figures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheStats {
    /// Memory in use.
    pub bytes: u64,
    /// Memory that may be used.
    pub limit_bytes: u64,
    /// Cached identities. One that comes in several formats or spellings counts several times.
    pub identities: u64,
}

pub(super) struct Cache {
    shards: Box<[Mutex<Shard>]>,
    limit: usize,
    shard_limit: usize,
    is_closed: AtomicBool,
}

/// What became of an identity that was to be cached.
pub(super) struct Put {
    /// The one to use: the cached one if another mapping was faster.
    pub(super) identity: Identity,
    /// How many had to leave.
    pub(super) evictions: u64,
}

impl Cache {
    pub(super) fn new(limit: u64) -> Self {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let shards = (limit / SHARD_BYTES_MIN).clamp(1, SHARDS_MAX);
        Self {
            shards: (0..shards).map(|_| Mutex::default()).collect(),
            limit,
            shard_limit: limit / shards,
            is_closed: AtomicBool::new(false),
        }
    }

    /// The identity of a key, and what is remembered of the limit of series.
    #[inline]
    pub(super) fn get(&self, hash: u64, key: &[&[u8]]) -> Option<(Identity, Admitted)> {
        self.shard(hash).get(hash, key)
    }

    /// Caches an identity under the key that it was made with.
    pub(super) fn put(&self, hash: u64, key: &[&[u8]], identity: Identity) -> Put {
        let mut shard = self.shard(hash);
        if let Some((identity, _)) = shard.get(hash, key) {
            return Put { identity, evictions: 0 };
        }
        if self.is_closed.load(Ordering::Acquire) {
            return Put { identity, evictions: 0 };
        }
        let (has_room, evictions) = shard.make_room(identity.bytes(), self.shard_limit);
        if has_room {
            shard.insert(hash, identity.clone());
            debug_assert!(shard.bytes() <= self.shard_limit, "the cache is over its limit");
        }
        Put { identity, evictions }
    }

    /// Remembers which series of an identity were admitted, if it is still cached.
    pub(super) fn remember(&self, hash: u64, identity: &Identity, admitted: Admitted) {
        let mut shard = self.shard(hash);
        if let Some(entry) = shard.places.find(hash, |found| found.is_same(identity)) {
            entry.admitted = admitted;
        }
    }

    /// Forgets everything, for good.
    pub(super) fn close(&self) {
        self.is_closed.store(true, Ordering::Release);
        for shard in &self.shards {
            let forgotten = std::mem::take(&mut *lock(shard));
            drop(forgotten);
        }
    }

    pub(super) fn stats(&self) -> CacheStats {
        let mut stats = CacheStats { bytes: 0, limit_bytes: self.limit as u64, identities: 0 };
        for shard in &self.shards {
            let shard = lock(shard);
            stats.bytes += shard.bytes() as u64;
            stats.identities += shard.places.len() as u64;
        }
        stats
    }

    #[inline]
    fn shard(&self, hash: u64) -> MutexGuard<'_, Shard> {
        // The places take the lower half.
        let index = ((hash >> 32) * self.shards.len() as u64) >> 32;
        lock(&self.shards[index as usize])
    }
}

/// A panic under the lock leaves the shard usable: nothing in it is half done when code of others
/// runs.
#[inline]
fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

#[derive(Default)]
struct Shard {
    places: Places,
    /// The clock's hand: the next place to be looked at.
    hand: usize,
    /// Memory of the identities.
    held: usize,
    /// One newcomer in so many may look for room; 0 is as good as 1.
    odds: u32,
    /// Newcomers since the last that might.
    turned_away: u32,
}

impl Shard {
    #[inline]
    fn get(&mut self, hash: u64, key: &[&[u8]]) -> Option<(Identity, Admitted)> {
        let entry = self.places.find(hash, |identity| identity.is_known_by(key))?;
        entry.admitted.be_recent();
        Some((entry.identity.clone(), entry.admitted))
    }

    /// All memory of the shard.
    fn bytes(&self) -> usize {
        self.held + self.places.bytes()
    }

    /// Whether there is room for so many bytes, and how many identities left for that.
    fn make_room(&mut self, bytes: usize, limit: usize) -> (bool, u64) {
        let mut evictions = 0;
        let mut probes = 0;
        loop {
            let needed = bytes.saturating_add(self.places.growth_bytes());
            if self.bytes().saturating_add(needed) <= limit {
                return (true, evictions);
            }
            if probes == PROBES_MAX || self.places.len() == 0 || bytes > limit / 4 {
                return (false, evictions);
            }
            if probes == 0 && evictions == 0 {
                self.turned_away += 1;
                if self.turned_away < self.odds {
                    return (false, 0);
                }
                self.turned_away = 0;
            }
            let (at, entry) = match self.places.next_from(self.hand) {
                Some(next) => next,
                None => return (false, evictions),
            };
            let was_recent = entry.admitted.take_recent();
            let is_shared = entry.identity.is_shared();
            if !is_shared && !was_recent {
                // Falls more slowly than it rises: where half are asked for, the door is shut.
                self.odds = self.odds * 3 / 4;
                self.held -= entry.identity.bytes();
                // Another may move to its place, and is the next to be looked at.
                self.places.remove(at);
                self.hand = at;
                evictions += 1;
            } else {
                if was_recent {
                    self.odds = (self.odds.max(1) * 2).min(ODDS_MAX);
                }
                self.hand = at + 1;
                probes += 1;
            }
        }
    }

    fn insert(&mut self, hash: u64, identity: Identity) {
        self.held += identity.bytes();
        // It was asked for just now.
        let mut admitted = Admitted::default();
        admitted.be_recent();
        self.places.insert(Entry { identity, hash, admitted });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::SeriesSet;

    /// An identity of a number, of somewhat more than so many bytes.
    fn identity(number: u64, bytes: usize) -> Identity {
        let set = SeriesSet { first: &vec![0; bytes], series: Vec::new(), last: &[] };
        Identity::new(&[&number.to_le_bytes()], "n", &[set])
    }

    fn put(cache: &Cache, number: u64) -> u64 {
        // Few distinct hashes: keys must be told apart by their bytes.
        put_bytes(cache, number % 7, number, 900).evictions
    }

    fn put_bytes(cache: &Cache, hash: u64, number: u64, bytes: usize) -> Put {
        cache.put(hash, &[&number.to_le_bytes()], identity(number, bytes))
    }

    fn get(cache: &Cache, number: u64) -> Option<Identity> {
        cache.get(number % 7, &[&number.to_le_bytes()]).map(|(identity, _)| identity)
    }

    #[test]
    fn the_limit_holds_and_the_unused_leave() {
        let cache = Cache::new(100_000);
        let mut evictions = 0;
        for number in 0..10_000 {
            evictions += put(&cache, number);
            let stats = cache.stats();
            assert!(stats.bytes <= stats.limit_bytes, "{stats:?}");
        }
        let stats = cache.stats();
        assert!((80..=100).contains(&stats.identities), "{stats:?}");
        assert!(evictions > 100, "{evictions}");
        let found = (0..10_000u64).filter(|n| get(&cache, *n).is_some());
        assert_eq!(found.count() as u64, stats.identities);
    }

    #[test]
    fn what_is_in_use_stays_and_what_is_asked_for_gets_a_second_chance() {
        let cache = Cache::new(100_000);
        for number in 0..80 {
            put(&cache, number);
        }
        let held: Vec<_> = (0..10u64).filter_map(|n| get(&cache, n)).collect();
        assert_eq!(held.len(), 10);
        for number in 100..5_000u64 {
            put(&cache, number);
            get(&cache, 42);
        }
        for number in (0..10).chain([42]) {
            assert!(get(&cache, number).is_some(), "{number}");
        }
        let gone = (43..80u64).filter(|n| get(&cache, *n).is_none());
        assert!(gone.count() > 30);
    }

    /// Asks for each number once, as the mapping does. Returns how many were known.
    fn cycle(cache: &Cache, numbers: std::ops::Range<u64>) -> f64 {
        let known = numbers.filter(|number| {
            let hash = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let found = cache.get(hash, &[&number.to_le_bytes()]);
            if found.is_none() {
                put_bytes(cache, hash, *number, 900);
            }
            let stats = cache.stats();
            assert!(stats.bytes <= stats.limit_bytes, "{stats:?}");
            found.is_some()
        });
        known.count() as f64
    }

    #[test]
    fn of_more_than_have_room_those_within_stay() {
        for (times, hoped) in [(2, 0.9), (4, 0.9), (8, 0.25)] {
            let cache = Cache::new(300_000);
            cycle(&cache, 0..1_000);
            let room = cache.stats().identities;
            let cache = Cache::new(300_000);
            for round in 0..40 {
                let known = cycle(&cache, 0..room * times);
                let wanted = if round < 5 { 0.0 } else { hoped * room as f64 };
                assert!(known >= wanted, "{known} of {room}, round {round} of {times}");
            }
        }
    }

    #[test]
    fn a_new_population_takes_the_place_of_an_old_one() {
        for (times, rounds) in [(1, 8), (2, 4), (4, 3)] {
            let cache = Cache::new(300_000);
            cycle(&cache, 0..1_000);
            let room = cache.stats().identities;
            for _ in 0..40 {
                cycle(&cache, 0..room * times);
            }
            let new = 100_000..100_000 + room * times;
            for _ in 0..rounds {
                cycle(&cache, new.clone());
            }
            let known = cycle(&cache, new);
            assert!(known >= 0.5 * room as f64, "{known} of {room} at {times}");
        }
    }

    #[test]
    fn nothing_leaves_for_what_cannot_stay() {
        let cache = Cache::new(100_000);
        for number in 0..50 {
            put(&cache, number);
        }
        let before = cache.stats();
        let put = put_bytes(&cache, 1, 99, 90_000);
        assert_eq!((put.evictions, cache.stats()), (0, before));
        let tiny = Cache::new(0);
        assert_eq!(put_bytes(&tiny, 1, 1, 10).evictions, 0);
        assert_eq!(tiny.stats(), CacheStats { bytes: 0, limit_bytes: 0, identities: 0 });
    }

    #[test]
    fn where_everything_is_in_use_the_newcomer_is_not_cached() {
        let cache = Cache::new(20_000);
        let held: Vec<_> = (0..100u64)
            .map(|n| put_bytes(&cache, n, n, 900))
            .inspect(|put| assert_eq!(put.evictions, 0))
            .map(|put| put.identity)
            .collect();
        let stats = cache.stats();
        assert!((10..20).contains(&stats.identities), "{stats:?}");
        assert_eq!(held.len(), 100);
    }

    #[test]
    fn the_first_of_two_is_kept() {
        let cache = Cache::new(100_000);
        let first = put_bytes(&cache, 1, 1, 10).identity;
        let second = put_bytes(&cache, 1, 1, 10).identity;
        assert!(first.is_same(&second));
    }
}
