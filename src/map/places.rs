//! A table of identities by their hashes, made for being looked up in: an entry stands in the table
//! itself, near where its hash says. It grows by a quarter, and leaves no traces of what was removed.

use super::series_limit::Admitted;
use crate::sample::Identity;

/// A place in the table: half of a cache line.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) identity: Identity,
    pub(super) hash: u64,
    /// What is remembered of the limit of series, and whether it was asked for since the clock's
    /// hand last came by.
    pub(super) admitted: Admitted,
}

/// Open addressing with linear probing; at most four fifths are taken. Hashes are expected to be
/// keyed: nobody can bring many of them to one place.
#[derive(Debug, Default)]
pub(super) struct Places {
    /// Never quite full.
    places: Vec<Option<Entry>>,
    len: usize,
}

/// Where an entry wants to stand. Growing keeps the order, so that entries move in order.
#[inline]
fn wanted(hash: u64, places: usize) -> usize {
    (((hash & u64::from(u32::MAX)) * places as u64) >> 32) as usize
}

impl Places {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Memory of the table.
    pub(super) fn bytes(&self) -> usize {
        self.places.capacity() * size_of::<Option<Entry>>()
    }

    /// Memory that one more entry takes: while the table moves, it is held twice.
    pub(super) fn growth_bytes(&self) -> usize {
        if self.is_full() { self.grown() * size_of::<Option<Entry>>() } else { 0 }
    }

    fn is_full(&self) -> bool {
        (self.len + 1) * 5 > self.places.len() * 4
    }

    fn grown(&self) -> usize {
        let places = self.places.len();
        (places + places / 4).max(16)
    }

    /// The entry of a hash and an identity.
    #[inline]
    pub(super) fn find(
        &mut self,
        hash: u64,
        is_it: impl Fn(&Identity) -> bool,
    ) -> Option<&mut Entry> {
        let mut at = wanted(hash, self.places.len());
        loop {
            let entry = self.places.get(at)?.as_ref()?;
            if entry.hash == hash && is_it(&entry.identity) {
                break;
            }
            at = self.after(at);
        }
        self.places.get_mut(at)?.as_mut()
    }

    /// Adds an entry that is not there yet.
    pub(super) fn insert(&mut self, entry: Entry) {
        if self.is_full() {
            let mut grown = Vec::new();
            grown.reserve_exact(self.grown());
            grown.resize_with(self.grown(), || None);
            let old = std::mem::replace(&mut self.places, grown);
            for entry in old.into_iter().flatten() {
                self.put(entry);
            }
        }
        self.put(entry);
        self.len += 1;
    }

    fn put(&mut self, entry: Entry) {
        let mut at = wanted(entry.hash, self.places.len());
        while self.places[at].is_some() {
            at = self.after(at);
        }
        self.places[at] = Some(entry);
    }

    /// The first entry at a place or behind it, going round.
    pub(super) fn next_from(&mut self, at: usize) -> Option<(usize, &mut Entry)> {
        let at = at.min(self.places.len());
        let (before, from) = self.places.split_at(at);
        let behind = from.iter().position(Option::is_some).map(|found| at + found);
        let found = behind.or_else(|| before.iter().position(Option::is_some))?;
        self.places.get_mut(found)?.as_mut().map(|entry| (found, entry))
    }

    /// Takes the entry at a place out; those behind it that want to move up do so.
    pub(super) fn remove(&mut self, at: usize) {
        let places = self.places.len();
        if self.places.get_mut(at).and_then(Option::take).is_none() {
            return;
        }
        self.len -= 1;
        let mut free = at;
        let mut next = self.after(at);
        while let Some(entry) = &self.places[next] {
            // How far it stands behind the place that it wants, and behind the free one.
            let behind = |from: usize| (next + places - from) % places;
            if behind(wanted(entry.hash, places)) >= behind(free) {
                self.places.swap(next, free);
                free = next;
            }
            next = self.after(next);
        }
    }

    #[inline]
    fn after(&self, at: usize) -> usize {
        if at + 1 >= self.places.len() { 0 } else { at + 1 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::map::{Config, Mapper, Plan};
    use proptest::prelude::*;

    fn identity(number: u64) -> Identity {
        Identity::new(&[&number.to_le_bytes()], "n", &[])
    }

    proptest! {
        /// Against a plain set: hashes that crowd at the end of the table, so that it is gone round.
        #[test]
        fn it_is_a_set(steps in prop::collection::vec((any::<bool>(), 0u64..300), 0..600)) {
            let hash = |number: u64| match number % 3 {
                0 => u64::from(u32::MAX),
                1 => number << 24,
                _ => u64::from(u32::MAX) - number,
            };
            let mut places = Places::default();
            let mut model = std::collections::BTreeSet::new();
            for (adds, number) in steps {
                let key = number.to_le_bytes();
                let is_it = |identity: &Identity| identity.is_known_by(&[&key]);
                let found = places.find(hash(number), is_it).is_some();
                prop_assert_eq!(found, model.contains(&number));
                if adds && !found {
                    let growth = places.growth_bytes();
                    let before = places.bytes();
                    let entry = Entry {
                        identity: identity(number),
                        hash: hash(number),
                        admitted: Admitted::default(),
                    };
                    places.insert(entry);
                    model.insert(number);
                    let expected = if growth == 0 { before } else { growth };
                    prop_assert_eq!(places.bytes(), expected);
                } else if !adds && let Some((at, entry)) = places.next_from(number as usize) {
                    let gone = model.iter().copied().find(|number| {
                        entry.identity.is_known_by(&[&number.to_le_bytes()])
                    });
                    places.remove(at);
                    prop_assert!(gone.is_some_and(|gone| model.remove(&gone)));
                }
                prop_assert_eq!(places.len(), model.len());
            }
            for number in 0..300u64 {
                let key = number.to_le_bytes();
                let found = places.find(hash(number), |identity| identity.is_known_by(&[&key]));
                prop_assert_eq!(found.is_some(), model.contains(&number));
            }
        }
    }

    /// Keys that differ in few bytes are spread well by the hash that the mapper takes.
    #[test]
    fn entries_stand_near_where_they_want_to() {
        let outlets = Vec::new();
        let plan =
            Plan { config: Config::default(), external_labels: vec![], relabel: vec![], outlets };
        let mapper = Mapper::new(plan);
        let mut places = Places::default();
        for number in 0..20_000 {
            let key = format!("\u{c}111122223333\u{9}eu-west-1\u{7}AWS/EC2\u{a}InstanceId{number}");
            let pieces = [key.as_bytes()];
            let (hash, identity) = (mapper.hash(&pieces), Identity::new(&pieces, "n", &[]));
            places.insert(Entry { identity, hash, admitted: Admitted::default() });
        }
        let len = places.places.len();
        let entries = places.places.iter().enumerate();
        let entries = entries.filter_map(|(at, entry)| Some((at, entry.as_ref()?.hash)));
        let behind: usize = entries.map(|(at, hash)| (at + len - wanted(hash, len)) % len).sum();
        // A perfect hash gives 2 where four fifths are taken.
        assert!(behind < 20_000 * 4, "{behind}");
    }
}
