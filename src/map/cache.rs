//! The identities that are known: bounded in bytes, shared by all mappings.
//!
//! A second-chance clock per shard decides who leaves. An identity that is in use elsewhere never
//! does, since its memory would outlive its place in the books. Nothing slow happens under a lock.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hashbrown::HashTable;

use crate::sample::Identity;

/// Shards of a large cache. A small one has fewer, so that each has room for some identities.
const SHARDS_MAX: usize = 16;
const SHARD_BYTES_MIN: usize = 1 << 20;
/// Identities looked at to make room for one. Not to be cached costs less than a long search.
const PROBES_MAX: usize = 16;

/// The cache's figures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheStats {
    /// Memory in use.
    pub bytes: u64,
    /// Memory that may be used.
    pub limit_bytes: u64,
    /// Cached identities.
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
    pub(super) identity: Arc<Identity>,
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

    #[inline]
    pub(super) fn get(&self, hash: u64, key: &[u8]) -> Option<Arc<Identity>> {
        self.shard(hash).get(hash, key)
    }

    pub(super) fn put(&self, hash: u64, key: &[u8], identity: Arc<Identity>) -> Put {
        let held = key.len() + identity.bytes;
        let mut shard = self.shard(hash);
        if let Some(identity) = shard.get(hash, key) {
            return Put { identity, evictions: 0 };
        }
        if self.is_closed.load(Ordering::Acquire) {
            return Put { identity, evictions: 0 };
        }
        let (has_room, evictions) = shard.make_room(held, self.shard_limit);
        if has_room {
            shard.insert(hash, key, Arc::clone(&identity));
            debug_assert!(shard.bytes() <= self.shard_limit, "the cache is over its limit");
        }
        Put { identity, evictions }
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
            stats.identities += shard.entries.len() as u64;
        }
        stats
    }

    fn shard(&self, hash: u64) -> MutexGuard<'_, Shard> {
        // The table takes the lowest and the highest bits.
        let index = (hash >> 32) as usize % self.shards.len();
        lock(&self.shards[index])
    }
}

/// A panic under the lock leaves the shard usable: nothing in it is half done when code of others
/// runs.
fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Entry {
    hash: u64,
    key: Box<[u8]>,
    identity: Arc<Identity>,
    /// Asked for since the hand last came by.
    is_recent: bool,
}

#[derive(Default)]
struct Shard {
    /// Indexes of the entries.
    table: HashTable<u32>,
    entries: Vec<Entry>,
    /// The clock's hand: the next entry to be looked at.
    hand: usize,
    /// Memory of keys and identities.
    held: usize,
}

impl Shard {
    #[inline]
    fn get(&mut self, hash: u64, key: &[u8]) -> Option<Arc<Identity>> {
        let entries = &mut self.entries;
        let at = *self.table.find(hash, |at| {
            let entry = &entries[*at as usize];
            entry.hash == hash && *entry.key == *key
        })?;
        let entry = &mut entries[at as usize];
        entry.is_recent = true;
        Some(Arc::clone(&entry.identity))
    }

    /// All memory of the shard.
    fn bytes(&self) -> usize {
        self.held + self.entries.capacity() * size_of::<Entry>() + self.table.allocation_size()
    }

    /// Entries that the next growth makes room for.
    fn entries_growth(&self) -> usize {
        if self.entries.len() < self.entries.capacity() {
            0
        } else {
            (self.entries.len() / 8).max(8)
        }
    }

    /// Memory that one more entry costs in tables.
    fn growth_bytes(&self) -> usize {
        let table = if self.table.len() < self.table.capacity() {
            0
        } else {
            self.table.allocation_size() + 128
        };
        table + self.entries_growth() * size_of::<Entry>()
    }

    /// Whether there is room for so many bytes, and how many identities left for that.
    fn make_room(&mut self, bytes: usize, limit: usize) -> (bool, u64) {
        let mut evictions = 0;
        let mut probes = 0;
        loop {
            let needed = bytes.saturating_add(self.growth_bytes());
            if self.bytes().saturating_add(needed) <= limit {
                return (true, evictions);
            }
            if probes == PROBES_MAX || self.entries.is_empty() || bytes > limit / 4 {
                return (false, evictions);
            }
            if self.hand >= self.entries.len() {
                self.hand = 0;
            }
            let entry = &mut self.entries[self.hand];
            if Arc::strong_count(&entry.identity) == 1 && !entry.is_recent {
                // What moves to its place is the newest: its turn comes last.
                self.evict(self.hand);
                self.hand += 1;
                evictions += 1;
            } else {
                entry.is_recent = false;
                self.hand += 1;
                probes += 1;
            }
        }
    }

    fn insert(&mut self, hash: u64, key: &[u8], identity: Arc<Identity>) {
        let Ok(at) = u32::try_from(self.entries.len()) else { return };
        self.entries.reserve_exact(self.entries_growth());
        self.held += key.len() + identity.bytes;
        self.entries.push(Entry { hash, key: key.into(), identity, is_recent: false });
        let entries = &self.entries;
        self.table.insert_unique(hash, at, |at| entries[*at as usize].hash);
    }

    /// Takes an entry out; the last one moves to its place.
    fn evict(&mut self, at: usize) {
        let last = self.entries.len() - 1;
        let last_hash = self.entries[last].hash;
        let gone = self.entries.swap_remove(at);
        self.held -= gone.key.len() + gone.identity.bytes;
        if let Ok(found) = self.table.find_entry(gone.hash, |index| *index as usize == at) {
            found.remove();
        }
        if at != last
            && let Some(index) = self.table.find_mut(last_hash, |index| *index as usize == last)
        {
            *index = at as u32;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(bytes: usize) -> Arc<Identity> {
        let (namespace, admitted) = ("n".into(), crate::sample::Admitted::default());
        Arc::new(Identity { namespace, outlets: Box::default(), bytes, admitted })
    }

    fn put(cache: &Cache, number: u64) -> u64 {
        // Few distinct hashes: keys must be told apart by their bytes.
        cache.put(number % 7, &number.to_le_bytes(), identity(1000)).evictions
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
        assert!(evictions > 1000, "{evictions}");
        let found = (0..10_000u64).filter(|n| cache.get(n % 7, &n.to_le_bytes()).is_some());
        assert_eq!(found.count() as u64, stats.identities);
    }

    #[test]
    fn what_is_in_use_stays_and_what_is_asked_for_gets_a_second_chance() {
        let cache = Cache::new(100_000);
        for number in 0..80 {
            put(&cache, number);
        }
        let held: Vec<_> = (0..10u64).filter_map(|n| cache.get(n % 7, &n.to_le_bytes())).collect();
        assert_eq!(held.len(), 10);
        for number in 100..5_000u64 {
            put(&cache, number);
            cache.get(42 % 7, &42u64.to_le_bytes());
        }
        for number in (0..10).chain([42]) {
            assert!(cache.get(number % 7, &u64::to_le_bytes(number)).is_some(), "{number}");
        }
        let gone = (43..80u64).filter(|n| cache.get(n % 7, &n.to_le_bytes()).is_none());
        assert!(gone.count() > 30);
    }

    #[test]
    fn nothing_leaves_for_what_cannot_stay() {
        let cache = Cache::new(100_000);
        for number in 0..50 {
            put(&cache, number);
        }
        let before = cache.stats();
        let put = cache.put(1, b"large", identity(90_000));
        assert_eq!((put.evictions, cache.stats()), (0, before));
        let tiny = Cache::new(0);
        assert_eq!(tiny.put(1, b"a", identity(10)).evictions, 0);
        assert_eq!(tiny.stats(), CacheStats { bytes: 0, limit_bytes: 0, identities: 0 });
    }

    #[test]
    fn where_everything_is_in_use_the_newcomer_is_not_cached() {
        let cache = Cache::new(20_000);
        let held: Vec<_> = (0..100u64)
            .map(|n| cache.put(n, &n.to_le_bytes(), identity(1000)))
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
        let first = cache.put(1, b"a", identity(10)).identity;
        let second = cache.put(1, b"a", identity(10)).identity;
        assert!(Arc::ptr_eq(&first, &second));
    }
}
