//! The series of an identity that no rule touches: they have all labels in common but the name and
//! the quantile, so that those are put in order and encoded once.

use std::ops::Range;

use super::encode::{Hashes, label};
use super::labels::{Label, NAME, QUANTILE};
use super::naming::Named;
use crate::sample::{Series, SeriesSet};

/// Encoded series, not yet spread over a destination's lanes.
pub(super) struct Siblings {
    /// The labels before the name, then those that all series end with, then each one's own.
    bytes: Vec<u8>,
    first_end: usize,
    last_end: usize,
    /// By slot.
    own: Vec<Option<Own>>,
}

/// What tells one series from the others.
struct Own {
    labels: Range<usize>,
    hash: u64,
    stem: u64,
    lane: u64,
}

impl Siblings {
    /// Encodes series. Their shared labels are such as may be sent, sorted by name, without a name,
    /// and without a quantile where a series has one.
    pub(super) fn new(named: &[Option<Named>], shared: &[Label<'_>], hashes: &Hashes) -> Self {
        let has_quantile = named.iter().flatten().any(|named| named.quantile.is_some());
        let (first, behind) = shared.split_at(shared.partition_point(|(name, _)| **name < *NAME));
        // Where one has a quantile, all have the labels before it as their own.
        let own =
            if has_quantile { behind.partition_point(|(name, _)| **name < *QUANTILE) } else { 0 };
        let (between, last) = behind.split_at(own);

        let shared_bytes: usize =
            shared.iter().map(|(name, value)| name.len() + value.len() + 12).sum();
        let named_bytes: usize = named.iter().flatten().map(|named| named.name.len() + 24).sum();
        let mut bytes = Vec::with_capacity(2 * shared_bytes + named_bytes);
        let append = |bytes: &mut Vec<u8>, labels: &[Label<'_>]| {
            labels.iter().for_each(|(name, value)| label(bytes, name, value));
        };
        append(&mut bytes, first);
        let first_end = bytes.len();
        append(&mut bytes, last);
        let last_end = bytes.len();

        let without_quantile = hashes.nameless(&bytes[..first_end], &bytes[first_end..last_end]);
        let mut series = |named: &Named| {
            let start = bytes.len();
            label(&mut bytes, NAME, &named.name);
            let name_end = bytes.len();
            let mut nameless = without_quantile;
            let mut end = name_end;
            if has_quantile {
                append(&mut bytes, between);
                if let Some(quantile) = &named.quantile {
                    label(&mut bytes, QUANTILE, quantile);
                }
                end = bytes.len();
                // In one piece for the hash.
                bytes.extend_from_within(first_end..last_end);
                nameless = hashes.nameless(&bytes[..first_end], &bytes[name_end..]);
                bytes.truncate(end);
            }
            let (hash, stem) = hashes.named(nameless, &named.name);
            Own { labels: start..end, hash, stem, lane: nameless.lane }
        };
        let own = named.iter().map(|named| named.as_ref().map(&mut series)).collect();
        Self { bytes, first_end, last_end, own }
    }

    /// The series as a destination of so many lanes gets them.
    pub(super) fn set(&self, lanes: u32) -> SeriesSet<'_> {
        if self.own.iter().all(Option::is_none) {
            return SeriesSet::default();
        }
        let series = |own: &Own| Series {
            hash: own.hash,
            stem: own.stem,
            lane: (own.lane % u64::from(lanes.max(1))) as u32,
            own: &self.bytes[own.labels.clone()],
        };
        SeriesSet {
            first: &self.bytes[..self.first_end],
            series: self.own.iter().map(|own| own.as_ref().map(series)).collect(),
            last: &self.bytes[self.first_end..self.last_end],
        }
    }
}
