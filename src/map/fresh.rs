//! How many data points of each namespace ended when, for the age histogram.

use std::hash::BuildHasher;

use hashbrown::HashTable;

use crate::sample::Freshness;

#[derive(Default)]
pub(super) struct Fresh {
    pub(super) points: Vec<Freshness>,
    /// The entry last counted in: mostly it is the next one's, too.
    last: usize,
    /// Indexes of the entries, by their content.
    places: HashTable<u32>,
    /// Memory of the entries' texts, with the counters in front of each: asked for often, and of as
    /// many entries as there are data points at worst.
    text_bytes: usize,
}

impl Fresh {
    #[inline]
    pub(super) fn count(&mut self, namespace: &[u8], end_ms: i64, keys: &impl BuildHasher) {
        if let Some(last) = self.points.get_mut(self.last)
            && last.end_ms == end_ms
            && last.namespace.as_bytes() == namespace
        {
            last.points += 1;
        } else {
            self.count_other(namespace, end_ms, keys);
        }
    }

    fn count_other(&mut self, namespace: &[u8], end_ms: i64, keys: &impl BuildHasher) {
        let Self { points, last, places, text_bytes } = self;
        let hash = |namespace: &[u8], end_ms: i64| keys.hash_one((namespace, end_ms));
        let found = places.find(hash(namespace, end_ms), |at| {
            let fresh = &points[*at as usize];
            fresh.end_ms == end_ms && fresh.namespace.as_bytes() == namespace
        });
        if let Some(at) = found {
            *last = *at as usize;
            points[*last].points += 1;
            return;
        }
        *last = points.len();
        let text = String::from_utf8_lossy(namespace);
        *text_bytes += 2 * size_of::<usize>() + text.len();
        points.push(Freshness { namespace: text.into(), end_ms, points: 1 });
        places.insert_unique(hash(namespace, end_ms), *last as u32, |at| {
            let fresh = &points[*at as usize];
            hash(fresh.namespace.as_bytes(), fresh.end_ms)
        });
    }

    /// Memory of the entries.
    pub(super) fn bytes(&self) -> usize {
        self.points.capacity() * size_of::<Freshness>() + self.text_bytes
    }

    /// Memory that is not handed on.
    pub(super) fn index_bytes(&self) -> usize {
        self.places.allocation_size()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_memory_of_the_entries_is_counted() {
        let (mut fresh, keys) = (Fresh::default(), foldhash::quality::RandomState::default());
        for at in 0..100 {
            for namespace in [&b"AWS/EC2"[..], b"AWS/EC2", b"N", b"AWS/Lambda"] {
                fresh.count(namespace, at % 7, &keys);
            }
        }
        let points: Vec<_> = fresh.points.iter().map(|fresh| fresh.points).collect();
        assert_eq!((points.len(), points.iter().sum::<u64>()), (21, 400));
        let texts: usize = fresh.points.iter().map(|fresh| size_of_val(&*fresh.namespace)).sum();
        let counters = 21 * 2 * size_of::<usize>();
        let entries = fresh.points.capacity() * size_of::<Freshness>();
        assert_eq!(fresh.bytes(), entries + texts + counters);
    }
}
