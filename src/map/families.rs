//! The metric families that a request's new series belong to, each once per destination.

use std::hash::BuildHasher;

use hashbrown::HashTable;

use crate::sample::Family;

#[derive(Default)]
pub(super) struct Families {
    /// In the order in which they were met.
    pub(super) met: Vec<Family>,
    /// Their indexes, by their content.
    places: HashTable<u32>,
    /// Memory of their texts.
    text_bytes: usize,
}

impl Families {
    /// Takes note of a family.
    pub(super) fn meet(
        &mut self,
        keys: &impl BuildHasher,
        destination: usize,
        name: &str,
        unit: &str,
    ) {
        let Self { met, places, text_bytes } = self;
        let hash = keys.hash_one((destination, name, unit));
        let is_it = |family: &Family| {
            family.name == name && family.destination == destination && family.unit == unit
        };
        if places.find(hash, |at| is_it(&met[*at as usize])).is_some() {
            return;
        }
        places.insert_unique(hash, met.len() as u32, |at| {
            let Family { destination, name, unit } = &met[*at as usize];
            keys.hash_one((*destination, name.as_str(), unit.as_str()))
        });
        *text_bytes += name.len() + unit.len();
        met.push(Family { destination, name: name.to_owned(), unit: unit.to_owned() });
    }

    /// Memory of the families.
    pub(super) fn bytes(&self) -> usize {
        self.text_bytes + self.met.capacity() * size_of::<Family>()
    }

    /// Memory that is not handed on.
    pub(super) fn index_bytes(&self) -> usize {
        self.places.allocation_size()
    }
}
