//! What walks through the house: identities with their finished series, and batches of samples.

mod copies;
mod identity;
mod known;
pub mod message;

use std::sync::Arc;

pub use copies::{Copies, ROW_BYTES_MAX};
pub use identity::{Identity, Series, SeriesSet};
pub use known::{Alike, Known, KnownSet, Whole};

/// The place of a statistic among an identity's series and a row's values. The one with the longest name comes
/// first, and those whose names are equally long are neighbours: so copies of a series are shortest.
pub mod slot {
    /// Number of values.
    pub const SAMPLE_COUNT: usize = 0;
    /// Sum of the period.
    pub const SUM: usize = 1;
    /// Smallest value.
    pub const MINIMUM: usize = 2;
    /// Largest value.
    pub const MAXIMUM: usize = 3;
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
    pub identity: Identity,
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
    pub fn sample(&self, destination: usize, at: SampleRef) -> Sample<'_> {
        let (row, set) = self.row(destination, at);
        self.of_set(row, set, at)
    }

    /// Samples of a destination, row by row as they stand together.
    ///
    /// # Panics
    /// If a reference is not one of this batch's own for that destination.
    #[inline]
    pub fn runs<'b>(
        &'b self,
        destination: usize,
        refs: &'b [SampleRef],
    ) -> impl Iterator<Item = Run<'b>> {
        let mut rest = refs;
        let mut next = refs.first().map(|at| self.row(destination, *at));
        std::iter::from_fn(move || {
            let ((row, set), first) = (next?, rest.first()?);
            let count = rest.iter().take_while(|at| at.row == first.row).count();
            let (refs, behind) = rest.split_at(count);
            rest = behind;
            next = behind.first().map(|at| self.row(destination, *at));
            let goes_on = match (refs.last(), next, behind.first()) {
                (Some(last), Some((_, next)), Some(first)) => {
                    set.is_same(last.slot, &next, first.slot)
                }
                _ => false,
            };
            Some(Run { batch: self, row, set, refs, goes_on })
        })
    }

    #[inline]
    fn row(&self, destination: usize, at: SampleRef) -> (&Row, KnownSet<'_>) {
        let row = &self.rows[at.row as usize];
        (row, row.identity.set(destination).expect("a sample has a destination"))
    }

    #[inline]
    fn of_set<'b>(&'b self, row: &'b Row, set: KnownSet<'b>, at: SampleRef) -> Sample<'b> {
        let series = set.series(at.slot as usize).expect("a sample has a series");
        let value = self.values[row.values_at as usize + at.slot as usize];
        Sample { labels: series.labels, hash: series.hash, timestamp_ms: row.timestamp_ms, value }
    }
}

/// Samples of one row that stand together: at least one.
#[derive(Clone, Copy, Debug)]
pub struct Run<'a> {
    batch: &'a Batch,
    row: &'a Row,
    set: KnownSet<'a>,
    refs: &'a [SampleRef],
    /// Whether the next run begins with the series that this one ends with.
    goes_on: bool,
}

impl<'a> Run<'a> {
    /// Whose samples they are.
    #[must_use]
    #[inline]
    pub fn batch(&self) -> &'a Batch {
        self.batch
    }

    /// How many there are.
    #[must_use]
    #[inline]
    pub fn count(&self) -> usize {
        self.refs.len()
    }

    /// Their timestamp, milliseconds since 1970.
    #[must_use]
    #[inline]
    pub fn timestamp_ms(&self) -> i64 {
        self.row.timestamp_ms
    }

    /// The samples.
    ///
    /// # Panics
    /// As [`Batch::runs`].
    #[inline]
    pub fn samples(&self) -> impl Iterator<Item = Sample<'a>> + use<'a> {
        let Self { batch, row, set, refs, .. } = *self;
        refs.iter().map(move |at| batch.of_set(row, set, *at))
    }

    /// Their values.
    ///
    /// # Panics
    /// As [`Batch::runs`].
    #[inline]
    pub fn values(&self) -> impl Iterator<Item = f64> + use<'a> {
        let Self { batch, row, refs, .. } = *self;
        refs.iter().map(move |at| batch.values[row.values_at as usize + at.slot as usize])
    }

    /// How they are sent, if there is one of each series that the row's identity has, and the next run does not
    /// go on with the last one's. (Whether the one before ended with the first one's is for the caller to see.)
    #[must_use]
    #[inline]
    pub fn whole(&self) -> Option<Whole<'a>> {
        if self.goes_on {
            return None;
        }
        self.set.whole(self.refs.iter().map(|at| at.slot))
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
