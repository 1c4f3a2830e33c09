//! A batch in the making: rows with their values, and their samples by destination and lane.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::repeats::{Repeats, scratch_bytes};
use crate::decode::{Glimpse, Reading};
use crate::sample::{ABSENT, Batch, Identity, NORMAL_NAN, Row, SampleRef, slot};

/// The most rows for which room is made in advance.
const ROWS_MAX: usize = 4096;

/// A data point's numbers. The extended ones are given one by one.
pub(super) struct Point<E> {
    pub(super) start_ms: i64,
    pub(super) end_ms: i64,
    count: Option<f64>,
    sum: Option<f64>,
    min: Option<f64>,
    max: Option<f64>,
    extended: E,
}

impl<'a> Point<()> {
    #[inline]
    pub(super) fn from_reading(reading: &'a Reading<'_>) -> Point<impl Iterator<Item = f64> + 'a> {
        let Reading { start_ms, end_ms, count, sum, min, max, .. } = *reading;
        let extended = reading.extended.iter().map(|(_, value)| *value);
        Point { start_ms, end_ms, count, sum, min, max, extended }
    }

    #[inline]
    pub(super) fn from_glimpse(glimpse: &Glimpse<'a>) -> Point<impl Iterator<Item = f64> + 'a> {
        let Glimpse { start_ms, end_ms, count, sum, min, max, extended, .. } = *glimpse;
        Point { start_ms, end_ms, count, sum, min, max, extended: extended.iter().copied() }
    }
}

/// How large batches are, so that room for the next one is made at once.
#[derive(Debug, Default)]
pub(super) struct Usual {
    rows: AtomicUsize,
    /// Values of a row.
    values: AtomicUsize,
}

impl Usual {
    /// Comes down to a small batch at once and goes up slowly: room that is not needed is charged
    /// like room that is.
    pub(super) fn learn(&self, gathered: &Gathered) {
        let rows = gathered.rows.len().min(ROWS_MAX);
        if let Some(values) = gathered.values.len().checked_div(rows) {
            let before = self.rows.load(Ordering::Relaxed);
            let next = if rows < before { rows } else { before + (rows - before).div_ceil(4) };
            // What two write at once is one of both: it is a guess.
            self.rows.store(next, Ordering::Relaxed);
            self.values.store(values.clamp(1, slot::EXTENDED), Ordering::Relaxed);
        }
    }
}

/// The samples of a lane.
#[derive(Default)]
struct Lane {
    samples: Vec<SampleRef>,
    /// One for each row whose samples are all in this lane, and of different series.
    stems: Vec<u64>,
    /// Whether it has samples of other rows.
    is_odd: bool,
}

#[derive(Default)]
pub(super) struct Gathered {
    rows: Vec<Row>,
    values: Vec<f64>,
    /// By destination.
    lanes: Vec<Vec<Lane>>,
}

impl Gathered {
    /// For destinations with so many lanes.
    pub(super) fn new(lanes: impl Iterator<Item = u32>) -> Self {
        let lanes = lanes.map(|lanes| (0..lanes.max(1)).map(|_| Lane::default()).collect());
        Self { lanes: lanes.collect(), ..Self::default() }
    }

    pub(super) fn rows(&self) -> usize {
        self.rows.len()
    }

    /// Begins a row by its values.
    #[inline]
    pub(super) fn begin_row<E>(&mut self, point: Point<E>, usual: &Usual) -> NewRow<'_>
    where
        E: Iterator<Item = f64>,
    {
        if self.rows.capacity() == 0 {
            self.make_room(usual);
        }
        let values_at = self.values.len();
        let Point { count, sum, min, max, extended, .. } = point;
        let average = match (sum, count) {
            (Some(sum), Some(count)) if count > 0.0 => Some(sum / count),
            _ => None,
        };
        let mut plain = [None; slot::EXTENDED];
        plain[slot::SAMPLE_COUNT] = count;
        plain[slot::SUM] = sum;
        plain[slot::MINIMUM] = min;
        plain[slot::MAXIMUM] = max;
        plain[slot::AVERAGE] = average;
        let present =
            plain.iter().rev().fold(0, |bits, value| bits << 1 | u32::from(value.is_some()));
        self.values.extend(plain.map(|value| value.map_or(f64::from_bits(ABSENT), ordinary)));
        self.values.extend(extended.take(slot::EXTENDED_MAX).map(ordinary));
        // An extended statistic is there or has no slot.
        let slots = self.values.len() - values_at;
        let extended = !(u32::MAX.checked_shl(slots as u32).unwrap_or(0)) >> slot::EXTENDED;
        NewRow { gathered: self, values_at, present: present | extended << slot::EXTENDED }
    }

    #[cold]
    fn make_room(&mut self, usual: &Usual) {
        let rows = usual.rows.load(Ordering::Relaxed);
        let values = rows * usual.values.load(Ordering::Relaxed);
        self.rows.reserve_exact(rows);
        self.values.reserve_exact(values);
        for lanes in &mut self.lanes {
            // Somewhat more than each lane's part, since they differ.
            let part = |all: usize| (all / lanes.len().max(1)) * 5 / 4;
            let (samples, stems) = (part(values), part(rows));
            for lane in lanes {
                lane.samples.reserve_exact(samples);
                lane.stems.reserve_exact(stems);
            }
        }
    }

    /// Brings samples of one series together, sorted by time, one per timestamp. By destination: how
    /// many were superseded.
    pub(super) fn settle(&mut self) -> Vec<u64> {
        let Self { rows, lanes, .. } = self;
        let mut repeats = Repeats::default();
        let mut hashes = Vec::new();
        let settle = |(destination, lanes): (usize, &mut Vec<Lane>)| {
            let series = |at: SampleRef| {
                rows[at.row as usize].identity.series(destination, at.slot as usize)
            };
            let is_same = |a: SampleRef, b: SampleRef| {
                // The usual repeat: one metric at several times.
                let [first, second] = [a, b].map(|at| &rows[at.row as usize].identity);
                if a.slot == b.slot && first.is_same(second) {
                    return true;
                }
                let [first, second] = [a, b].map(|at| series(at).map(|series| series.labels));
                let bytes = |labels: Option<[&'_ [u8]; 3]>| labels.unwrap_or_default().concat();
                first == second || bytes(first) == bytes(second)
            };
            let time = |at: SampleRef| rows[at.row as usize].timestamp_ms;
            let superseded = lanes.iter_mut().map(|lane| {
                // No row repeats itself, and none another.
                if !lane.is_odd && repeats.differ(&lane.stems) {
                    return 0;
                }
                hashes.clear();
                let lane_hashes = lane.samples.iter().map(|at| series(*at).map_or(0, |s| s.hash));
                hashes.extend(lane_hashes);
                repeats.settle(&mut lane.samples, &hashes, is_same, time)
            });
            superseded.sum()
        };
        lanes.iter_mut().enumerate().map(settle).collect()
    }

    /// Gives back room that was made in vain.
    pub(super) fn shrink(&mut self) {
        fn shrink<T>(vec: &mut Vec<T>) {
            if vec.capacity() / 2 > vec.len() {
                vec.shrink_to_fit();
            }
        }
        shrink(&mut self.rows);
        shrink(&mut self.values);
        self.lanes.iter_mut().flatten().for_each(|lane| shrink(&mut lane.samples));
    }

    pub(super) fn batch(self) -> Batch {
        let lanes = self.lanes.into_iter();
        let lanes = lanes.map(|lanes| lanes.into_iter().map(|lane| lane.samples).collect());
        Batch { rows: self.rows, values: self.values, lanes: lanes.collect(), ..Batch::default() }
    }

    /// Memory of what becomes the batch.
    pub(super) fn bytes(&self) -> usize {
        let samples: usize = self.all_lanes().map(|lane| vec_bytes(&lane.samples)).sum();
        vec_bytes(&self.rows) + vec_bytes(&self.values) + samples
    }

    /// Memory of what does not.
    pub(super) fn stem_bytes(&self) -> usize {
        self.all_lanes().map(|lane| vec_bytes(&lane.stems)).sum()
    }

    /// Memory that [`Self::settle`] takes for a moment, at most.
    pub(super) fn scratch_bytes(&self) -> usize {
        let longest = self.all_lanes().map(|lane| lane.samples.len()).max().unwrap_or(0);
        let stems = self.all_lanes().map(|lane| lane.stems.len()).max().unwrap_or(0);
        scratch_bytes(longest, stems)
    }

    fn all_lanes(&self) -> impl Iterator<Item = &Lane> {
        self.lanes.iter().flatten()
    }
}

/// A row whose values stand in place, but which has no samples yet. If it ends without any, its
/// values go again.
pub(super) struct NewRow<'g> {
    gathered: &'g mut Gathered,
    values_at: usize,
    /// The slots that have a value, as bits.
    present: u32,
}

impl NewRow<'_> {
    pub(super) fn values(&mut self) -> &mut [f64] {
        self.gathered.values.get_mut(self.values_at..).unwrap_or_default()
    }

    /// Says that values may have gone.
    pub(super) fn look_again(&mut self) {
        let mut present = 0;
        for (slot, value) in self.values().iter().enumerate().take(u32::BITS as usize) {
            present |= u32::from(value.to_bits() != ABSENT) << slot;
        }
        self.present = present;
    }

    /// Puts the row's samples into the lanes; whether there are any. If not, the row is gone.
    #[inline]
    pub(super) fn has_sample(&mut self, identity: &Identity) -> bool {
        let Gathered { rows, values, lanes } = &mut *self.gathered;
        // A request's body is far too small for numbers beyond 32 bits.
        let row = rows.len() as u32;
        let mut has_sample = false;
        for (destination, lanes) in lanes.iter_mut().enumerate() {
            if let Some(alike) = identity.alike(destination) {
                let mut slots = alike.slots & self.present;
                if slots == 0 {
                    continue;
                }
                if let Some(lane) = lanes.get_mut(alike.lane as usize) {
                    has_sample = true;
                    lane.stems.push(alike.stem);
                    while slots != 0 {
                        lane.samples.push(SampleRef { row, slot: slots.trailing_zeros() });
                        slots &= slots - 1;
                    }
                }
                continue;
            }
            let values = values.get(self.values_at..).unwrap_or_default();
            for (slot, value) in values.iter().enumerate() {
                if value.to_bits() != ABSENT
                    && let Some(series) = identity.series(destination, slot)
                    && let Some(lane) = lanes.get_mut(series.lane as usize)
                {
                    lane.samples.push(SampleRef { row, slot: slot as u32 });
                    lane.is_odd = true;
                    has_sample = true;
                }
            }
        }
        if !has_sample {
            values.truncate(self.values_at);
        }
        has_sample
    }

    /// Ends a row that has samples.
    #[inline]
    pub(super) fn end(self, identity: Identity, timestamp_ms: i64) {
        let values_at = self.values_at as u32;
        self.gathered.rows.push(Row { identity, timestamp_ms, values_at });
    }
}

/// Any NaN as the ordinary one: other bits mean something to Prometheus, or to us.
#[inline]
fn ordinary(value: f64) -> f64 {
    if value.is_nan() { f64::from_bits(NORMAL_NAN) } else { value }
}

fn vec_bytes<T>(vec: &Vec<T>) -> usize {
    vec.capacity() * size_of::<T>()
}
