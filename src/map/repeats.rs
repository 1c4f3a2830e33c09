//! Several samples of one series in one request: brought together, sorted, one per timestamp.
//!
//! Usually nothing repeats, and a lane stays as it is. Distinct CloudWatch metrics can end as one
//! series (by sanitising or relabelling), so series are compared, not identities.

use crate::sample::SampleRef;

const NONE: u32 = u32::MAX;

/// Memory that settling a lane of so many samples and stems takes for a moment, at most: with the
/// hashes of the samples.
pub(super) fn scratch_bytes(samples: usize, stems: usize) -> usize {
    let table = samples.saturating_mul(2).next_power_of_two() * size_of::<u32>();
    let each = size_of::<Group>() + size_of::<u32>() + size_of::<SampleRef>() + size_of::<u64>();
    let stems = stems.saturating_mul(2).next_power_of_two() * size_of::<u64>();
    table + samples * each + stems
}

/// The samples of one series, by their places in the lane.
struct Group {
    hash: u64,
    first: u32,
    last: u32,
}

/// Room for the work, used again for each lane.
#[derive(Default)]
pub(super) struct Repeats {
    /// Indexes of groups, open addressing by series hash.
    table: Vec<u32>,
    groups: Vec<Group>,
    /// By place in the lane: the next one of the same series.
    next: Vec<u32>,
    /// Stems, open addressing by themselves; 0 where there is none.
    stems: Vec<u64>,
}

impl Repeats {
    /// Whether all stems differ. Equal series have equal stems, so that rows of different stems
    /// have no series in common.
    pub(super) fn differ(&mut self, stems: &[u64]) -> bool {
        let slots = (stems.len() * 2).next_power_of_two();
        let mask = slots - 1;
        self.stems.clear();
        self.stems.resize(slots, 0);
        stems.iter().all(|stem| {
            let stem = (*stem).max(1);
            let mut slot = stem as usize & mask;
            loop {
                match self.stems.get_mut(slot) {
                    Some(free) if *free == 0 => {
                        *free = stem;
                        return true;
                    }
                    Some(taken) if *taken == stem => return false,
                    _ => slot = (slot + 1) & mask,
                }
            }
        })
    }

    /// Brings samples of one series together where the first of them stands, sorted by time, the
    /// last in the request for each timestamp. Returns how many were superseded.
    ///
    /// `hashes` are the samples' series hashes; `is_same` compares the series of two samples whose
    /// hashes are equal.
    pub(super) fn settle(
        &mut self,
        lane: &mut Vec<SampleRef>,
        hashes: &[u64],
        is_same: impl Fn(SampleRef, SampleRef) -> bool,
        time: impl Fn(SampleRef) -> i64,
    ) -> u64 {
        if !self.group(lane, hashes, is_same) {
            return 0;
        }
        let before = lane.len();
        let mut settled: Vec<SampleRef> = Vec::with_capacity(before);
        let mut run: Vec<SampleRef> = Vec::new();
        for group in &self.groups {
            run.clear();
            let mut at = group.first;
            while at != NONE {
                run.push(lane[at as usize]);
                at = self.next[at as usize];
            }
            // Stable: the later in the request stays behind its equals, and wins.
            run.sort_by_key(|sample| time(*sample));
            let from = settled.len();
            for sample in &run {
                match settled.get_mut(from..).and_then(<[SampleRef]>::last_mut) {
                    Some(last) if time(*last) == time(*sample) => *last = *sample,
                    _ => settled.push(*sample),
                }
            }
        }
        *lane = settled;
        (before - lane.len()) as u64
    }

    /// Groups a lane by series; whether any has several samples.
    fn group(
        &mut self,
        lane: &[SampleRef],
        hashes: &[u64],
        is_same: impl Fn(SampleRef, SampleRef) -> bool,
    ) -> bool {
        if lane.len() < 2 || lane.len() >= NONE as usize {
            return false;
        }
        let slots = (lane.len() * 2).next_power_of_two();
        let mask = slots - 1;
        self.table.clear();
        self.table.resize(slots, NONE);
        self.groups.clear();
        self.groups.reserve_exact(lane.len());
        self.next.clear();
        self.next.resize(lane.len(), NONE);
        for (at, (sample, hash)) in lane.iter().zip(hashes).enumerate() {
            let mut slot = *hash as usize & mask;
            loop {
                let index = self.table[slot];
                if index == NONE {
                    self.table[slot] = self.groups.len() as u32;
                    self.groups.push(Group { hash: *hash, first: at as u32, last: at as u32 });
                    break;
                }
                let group = &mut self.groups[index as usize];
                if group.hash == *hash && is_same(lane[group.first as usize], *sample) {
                    self.next[group.last as usize] = at as u32;
                    group.last = at as u32;
                    break;
                }
                slot = (slot + 1) & mask;
            }
        }
        self.groups.len() < lane.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn stems_that_differ(stems in prop::collection::vec(0u64..60, 0..20)) {
            let distinct: std::collections::BTreeSet<_> =
                stems.iter().map(|stem| (*stem).max(1)).collect();
            prop_assert_eq!(Repeats::default().differ(&stems), distinct.len() == stems.len());
        }

        /// Against a plain model; series and timestamps from few, hashes that collide.
        #[test]
        fn lanes_end_as_the_model_says(points in prop::collection::vec((0u32..6, 0i64..4), 0..40)) {
            let mut lane: Vec<_> =
                (0..points.len() as u32).map(|row| SampleRef { row, slot: 0 }).collect();
            let point = |sample: SampleRef| points[sample.row as usize];
            let hashes: Vec<u64> = points.iter().map(|(series, _)| u64::from(series / 2)).collect();

            let mut wanted: Vec<(u32, Vec<(i64, u32)>)> = Vec::new();
            for (row, (series, at)) in points.iter().enumerate() {
                let index = wanted.iter().position(|(s, _)| s == series).unwrap_or(wanted.len());
                if index == wanted.len() {
                    wanted.push((*series, Vec::new()));
                }
                let samples = &mut wanted[index].1;
                samples.retain(|(other, _)| other != at);
                samples.push((*at, row as u32));
            }
            for (_, samples) in &mut wanted {
                samples.sort_unstable();
            }
            let wanted: Vec<u32> =
                wanted.iter().flat_map(|(_, samples)| samples.iter().map(|(_, row)| *row)).collect();

            let superseded = Repeats::default().settle(
                &mut lane,
                &hashes,
                |a, b| point(a).0 == point(b).0,
                |sample| point(sample).1,
            );
            prop_assert_eq!(superseded as usize, points.len() - wanted.len());
            prop_assert_eq!(lane.iter().map(|sample| sample.row).collect::<Vec<_>>(), wanted);
        }
    }
}
