//! What walks through the house: identities with their finished series, and batches of samples.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A CloudWatch metric (account, region, namespace, name, dimensions, set of extended statistics)
/// with the finished series that each destination gets of it. Made once, cached, shared.
#[derive(Debug)]
pub struct Identity {
    /// CloudWatch namespace, for the age histogram.
    pub namespace: Arc<str>,
    /// One entry per destination, in the order of the configuration.
    pub outlets: Box<[SeriesSet]>,
    /// Memory of this value with all that it owns.
    pub bytes: usize,
    /// What is remembered of the limit of series.
    pub admitted: Admitted,
}

/// Which series of an identity were admitted in a minute, by slot: they need not be looked up again
/// in it. Slots beyond the 32nd are never remembered; CloudWatch's 25 statistics fit in.
#[derive(Debug, Default)]
pub struct Admitted(AtomicU64);

impl Admitted {
    /// The slots admitted in a minute (minutes since 1970), as bits.
    #[must_use]
    #[inline]
    pub fn slots(&self, minute: u32) -> u32 {
        // What counts stands behind a lock; this only spares the way there.
        let word = self.0.load(Ordering::Relaxed);
        if (word >> 32) as u32 == minute { word as u32 } else { 0 }
    }

    /// Remembers slots. What two threads write at once may be forgotten, but is never made up.
    pub fn remember(&self, minute: u32, slots: u32) {
        let slots = self.slots(minute) | slots;
        self.0.store(u64::from(minute) << 32 | u64::from(slots), Ordering::Relaxed);
    }

    /// The bit of a slot; none if it is not remembered.
    #[must_use]
    #[inline]
    pub fn bit(slot: usize) -> u32 {
        u32::try_from(slot).ok().and_then(|slot| 1u32.checked_shl(slot)).unwrap_or(0)
    }

    /// Whether a slot is among those.
    #[must_use]
    #[inline]
    pub fn holds(slots: u32, slot: usize) -> bool {
        slots & Self::bit(slot) != 0
    }
}

/// The series that one destination gets of an identity.
#[derive(Debug, Default)]
pub struct SeriesSet {
    /// Encoded labels, shared by the series: pieces of it make up each one.
    pub label_bytes: Box<[u8]>,
    /// By slot (see [`slot`]): the series, or none if configuration or relabelling dropped it.
    pub series: Box<[Option<Series>]>,
}

/// One finished series: labels sorted, relabelled and encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Series {
    /// Hash of all labels, the name included: equal for equal series of a destination.
    pub hash: u64,
    /// The lane, a function of the labels without the name.
    pub lane: u32,
    /// Offsets into [`SeriesSet::label_bytes`]: three pieces, sent one after the other.
    pub pieces: [(u32, u32); 3],
}

impl SeriesSet {
    /// The encoded labels of a series: `Label` messages as field 1 of `TimeSeries`, in three pieces.
    #[must_use]
    pub fn labels(&self, series: &Series) -> [&[u8]; 3] {
        series
            .pieces
            .map(|(from, to)| self.label_bytes.get(from as usize..to as usize).unwrap_or_default())
    }
}

/// The place of a statistic among an identity's series and a row's values.
pub mod slot {
    /// Sum of the period.
    pub const SUM: usize = 0;
    /// Smallest value.
    pub const MINIMUM: usize = 1;
    /// Largest value.
    pub const MAXIMUM: usize = 2;
    /// Number of values.
    pub const SAMPLE_COUNT: usize = 3;
    /// Sum divided by count, where count is above 0.
    pub const AVERAGE: usize = 4;
    /// The first extended statistic; the others follow in the identity's order.
    pub const EXTENDED: usize = 5;
    /// Extended statistics that one data point can have. CloudWatch allows 20 (API `PutMetricStream`).
    pub const EXTENDED_MAX: usize = 64;
}

/// One data point: an identity, a time, and as many values as the identity has slots.
#[derive(Debug)]
pub struct Row {
    /// Whose data point this is.
    pub identity: Arc<Identity>,
    /// The samples' timestamp, milliseconds since 1970.
    pub timestamp_ms: i64,
    /// Where its values begin in [`Batch::values`].
    pub values_at: u32,
}

/// One sample: a row and a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SampleRef {
    /// Index into [`Batch::rows`].
    pub row: u32,
    /// Slot within the row.
    pub slot: u32,
}

/// Data points of one namespace that ended at one time: what the age histogram needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Freshness {
    /// CloudWatch namespace.
    pub namespace: Arc<str>,
    /// End of the period, milliseconds since 1970.
    pub end_ms: i64,
    /// Number of data points.
    pub points: u64,
}

/// A metric family that a destination has not been told of in this batch's making.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Family {
    /// Index of the destination.
    pub destination: usize,
    /// Metric name as sent.
    pub name: String,
    /// CloudWatch unit, e.g. `Percent`; empty if none.
    pub unit: String,
}

/// All samples of one Firehose request.
#[derive(Debug, Default)]
pub struct Batch {
    /// The data points.
    pub rows: Vec<Row>,
    /// The rows' values, slot by slot; [`ABSENT`] where a data point lacks a statistic.
    pub values: Vec<f64>,
    /// Samples by destination and lane, each lane's in the order in which they are sent: samples of
    /// one series stand together, sorted by time, one per timestamp. Emptied when the lanes take them.
    pub lanes: Vec<Vec<Vec<SampleRef>>>,
    /// What the age histogram is told once the batch is delivered.
    pub freshness: Vec<Freshness>,
    /// Families that were met for the first time.
    pub families: Vec<Family>,
}

/// Bit pattern of a value that is not there. Never sent: a NaN that comes in is made the ordinary one.
pub const ABSENT: u64 = 0x7ff8_dead_dead_0001;

/// The ordinary NaN of Prometheus (`value.NormalNaN`); other NaN bits have meanings there.
pub const NORMAL_NAN: u64 = 0x7ff8_0000_0000_0001;

impl Batch {
    /// What a sample of a destination is: its series' labels, timestamp and value.
    ///
    /// # Panics
    /// If the reference is not one of this batch's own for that destination.
    #[must_use]
    #[inline]
    pub fn sample(&self, destination: usize, at: SampleRef) -> Sample<'_> {
        let row = &self.rows[at.row as usize];
        let set = &row.identity.outlets[destination];
        let series = set.series[at.slot as usize].as_ref().expect("a sample has a series");
        let value = self.values[row.values_at as usize + at.slot as usize];
        Sample {
            labels: set.labels(series),
            hash: series.hash,
            timestamp_ms: row.timestamp_ms,
            value,
        }
    }
}

/// A sample with its series, as [`Batch::sample`] gives it.
#[derive(Clone, Copy, Debug)]
pub struct Sample<'a> {
    /// The encoded labels, `Label` messages as field 1 of `TimeSeries`: what all series of the
    /// identity have first, the series' own, what all have last. Series of one identity share the
    /// memory of the first and the last piece.
    pub labels: [&'a [u8]; 3],
    /// Hash of all labels, the name included: equal for equal series of a destination.
    pub hash: u64,
    /// Milliseconds since 1970.
    pub timestamp_ms: i64,
    /// The value.
    pub value: f64,
}
