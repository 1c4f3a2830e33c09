//! Finished labels as bytes: `Label` messages (name = 1, value = 2) as field 1 of `TimeSeries`, as
//! remote write 1.0 has them, packed so that the series of an identity share what they have in
//! common.

use std::hash::{BuildHasher, Hasher};

use crate::sample::{Series, SeriesSet};

/// One series' encoded labels, not yet packed with those of its siblings.
#[derive(Debug)]
pub(super) struct Draft {
    bytes: Vec<u8>,
    /// Where each label ends.
    ends: Vec<usize>,
    hash: u64,
    stem: u64,
    lane: u32,
}

/// How series are told apart and spread.
#[derive(Clone, Debug, Default)]
pub(super) struct Hashes {
    /// Seeded anew in each process: labels come from outside.
    series: foldhash::quality::RandomState,
    /// The same in each process, so that a series keeps its lane.
    lane: foldhash::quality::FixedState,
}

/// The hashes of a series' labels without the name.
#[derive(Clone, Copy, Debug)]
pub(super) struct Nameless {
    pub(super) lane: u64,
    series: u64,
}

impl Hashes {
    /// Of encoded labels: those before the name and those behind it. They count as they are cut.
    pub(super) fn nameless(&self, before: &[u8], behind: &[u8]) -> Nameless {
        let [mut lane, mut series] = [self.lane.build_hasher(), self.series.build_hasher()];
        for piece in [before, behind] {
            lane.write(piece);
            series.write(piece);
        }
        Nameless { lane: lane.finish(), series: series.finish() }
    }

    /// The hash of a whole series, and its stem.
    pub(super) fn named(&self, nameless: Nameless, metric: &str) -> (u64, u64) {
        let hash = |name: &str| {
            let mut series = self.series.build_hasher();
            series.write_u64(nameless.series);
            series.write(name.as_bytes());
            series.finish()
        };
        (hash(metric), hash(without_statistic(metric)))
    }
}

impl Draft {
    /// Encodes finished labels: legal, sorted, a name among them.
    pub(super) fn new(labels: &[(String, String)], lanes: u32, hashes: &Hashes) -> Self {
        let mut bytes = Vec::new();
        let mut ends = Vec::with_capacity(labels.len());
        let mut name_at = 0..0;
        let mut metric = "";
        for (name, value) in labels {
            let from = bytes.len();
            label(&mut bytes, name, value);
            ends.push(bytes.len());
            if name == "__name__" {
                name_at = from..bytes.len();
                metric = value;
            }
        }
        let nameless = hashes.nameless(&bytes[..name_at.start], &bytes[name_at.end..]);
        let (hash, stem) = hashes.named(nameless, metric);
        let lane = (nameless.lane % u64::from(lanes.max(1))) as u32;
        Self { hash, stem, lane, bytes, ends }
    }

    fn label(&self, index: usize) -> &[u8] {
        &self.bytes[self.label_start(index)..self.ends[index]]
    }

    fn label_start(&self, index: usize) -> usize {
        if index == 0 { 0 } else { self.ends[index - 1] }
    }
}

/// A metric's name without what most likely names the statistic, such as `_sum`, `_sample_count`,
/// `_p99` or `_p99_9`. A wrong guess costs only time: two series whose names are equal have one stem.
fn without_statistic(name: &str) -> &str {
    if let Some(stem) = name.strip_suffix("_sample_count") {
        return stem;
    }
    let last = |name: &'_ str| name.rfind('_').unwrap_or(name.len());
    let is_fraction = |piece: &str| piece.bytes().skip(1).all(|byte| byte.is_ascii_digit());
    let (stem, piece) = name.split_at(last(name));
    if is_fraction(piece) { &stem[..last(stem)] } else { stem }
}

/// Appends a label.
pub(super) fn label(bytes: &mut Vec<u8>, name: &str, value: &str) {
    let text_len = |text: &str| 1 + varint_len(text.len()) + text.len();
    bytes.push(1 << 3 | 2);
    varint(bytes, text_len(name) + text_len(value));
    for (field, text) in [(1, name), (2, value)] {
        bytes.push(field << 3 | 2);
        varint(bytes, text.len());
        bytes.extend_from_slice(text.as_bytes());
    }
}

fn varint(bytes: &mut Vec<u8>, mut number: usize) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

fn varint_len(number: usize) -> usize {
    (number.max(1).ilog2() as usize) / 7 + 1
}

/// Packs the series of one identity: first labels that all have, each one's own, last labels that
/// all have. The differences (the name, a quantile) stand close together in sorted labels.
pub(super) fn pack(drafts: &[Option<Draft>]) -> SeriesSet<'_> {
    let Some(model) = drafts.iter().flatten().next() else { return SeriesSet::default() };
    let all = || drafts.iter().flatten();
    let fewest = all().map(|draft| draft.ends.len()).min().unwrap_or(0);
    let head = (0..fewest)
        .take_while(|index| all().all(|draft| draft.label(*index) == model.label(*index)))
        .count();
    let from_end = |draft: &Draft, index: usize| draft.ends.len() - 1 - index;
    let tail = (0..fewest - head)
        .take_while(|index| {
            let label = model.label(from_end(model, *index));
            all().all(|draft| draft.label(from_end(draft, *index)) == label)
        })
        .count();
    let head_end = |draft: &Draft| draft.label_start(head);
    let tail_start = |draft: &Draft| draft.label_start(draft.ends.len() - tail);
    SeriesSet {
        first: &model.bytes[..head_end(model)],
        series: drafts
            .iter()
            .map(|draft| {
                let draft = draft.as_ref()?;
                let Draft { hash, stem, lane, .. } = *draft;
                let own = &draft.bytes[head_end(draft)..tail_start(draft)];
                Some(Series { hash, stem, lane, own })
            })
            .collect(),
        last: &model.bytes[tail_start(model)..],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn labels() -> impl Strategy<Value = Vec<(String, String)>> {
        prop::collection::btree_map("[a-c_]{1,2}", "[xy]{0,200}", 0..5)
            .prop_map(|labels| labels.into_iter().collect())
    }

    proptest! {
        #[test]
        fn packing_loses_nothing(all in prop::collection::vec(prop::option::of(labels()), 0..5)) {
            let hashes = Hashes::default();
            let drafts: Vec<_> =
                all.iter().map(|l| l.as_ref().map(|l| Draft::new(l, 3, &hashes))).collect();
            let set = pack(&drafts);
            for (slot, draft) in drafts.iter().enumerate() {
                let series = set.series.get(slot).copied().flatten();
                prop_assert_eq!(series.is_some(), draft.is_some());
                if let (Some(series), Some(draft)) = (series, draft) {
                    let whole = [set.first, series.own, set.last].concat();
                    prop_assert_eq!(&whole, &draft.bytes);
                    prop_assert!(series.lane < 3);
                }
            }
        }
    }

    #[test]
    fn lengths_of_varints() {
        for number in [0, 1, 127, 128, 16_383, 16_384, 2_097_151, 2_097_152, u32::MAX as usize] {
            let mut bytes = Vec::new();
            varint(&mut bytes, number);
            assert_eq!(bytes.len(), varint_len(number), "{number}");
        }
    }
}
