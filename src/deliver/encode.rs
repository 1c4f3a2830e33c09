//! Samples into a remote-write 1.0 request: `WriteRequest` in a snappy block.
//!
//! The labels come encoded; what is left to do is to copy them and to put samples behind them.

use bytes::Bytes;

use super::block::Block;
use crate::sample::message::{
    SAMPLE, SAMPLE_LEN, SAMPLE_TIMESTAMP, SAMPLE_VALUE, SeriesHead, TIMESTAMP_AT, VALUE_AT,
    varint_len, write_varint,
};
use crate::sample::{Batch, Run, Sample, Whole};

/// Builds requests; its buffers are reused.
#[derive(Debug)]
pub struct Encoder {
    block: Block,
    /// Samples of the series that is still open: the one pushed last.
    open: Vec<(i64, f64)>,
    stamp: Stamp,
}

impl Default for Encoder {
    fn default() -> Self {
        Self::new()
    }
}

impl Encoder {
    /// An encoder with no buffers yet.
    #[must_use]
    pub fn new() -> Self {
        Self { block: Block::new(), open: Vec::new(), stamp: Stamp::default() }
    }

    /// Begins a request of at most so many samples, and so many bytes before compression.
    pub fn begin<'a>(&mut self, samples_max: usize, bytes_max: usize) -> Filling<'_, 'a> {
        self.block.clear();
        self.open.clear();
        Filling { encoder: self, samples_max, bytes_max, last: None, batch: None, taken: 0 }
    }

    /// The request as a snappy block. An error means that a series of it is above 4 GiB.
    ///
    /// # Errors
    /// The compressor's own.
    pub fn block(&mut self) -> Result<Bytes, snap::Error> {
        self.block.finish()
    }
}

/// The sample encoded last, as a field of its series: the next one has mostly the same timestamp.
#[derive(Debug)]
struct Stamp {
    timestamp_ms: i64,
    bytes: [u8; SAMPLE_LEN_MAX],
    len: usize,
}

impl Default for Stamp {
    fn default() -> Self {
        let mut bytes = [0; SAMPLE_LEN_MAX];
        [bytes[0], bytes[VALUE_AT - 1], bytes[TIMESTAMP_AT]] =
            [SAMPLE, SAMPLE_VALUE, SAMPLE_TIMESTAMP];
        let mut stamp = Self { timestamp_ms: 1, bytes, len: 0 };
        stamp.set(0);
        stamp
    }
}

impl Stamp {
    #[inline]
    fn set(&mut self, timestamp_ms: i64) {
        if self.timestamp_ms == timestamp_ms {
            return;
        }
        self.timestamp_ms = timestamp_ms;
        let stamp = &mut self.bytes[TIMESTAMP_AT + 1..];
        let stamp_len = write_varint(timestamp_ms.cast_unsigned(), stamp);
        self.bytes[1] = sample_len(timestamp_ms) as u8;
        self.len = TIMESTAMP_AT + 1 + stamp_len;
    }

    /// The sample with this value.
    #[inline]
    fn sample(&mut self, value: f64) -> &[u8] {
        // Zeros are written out: leaving them away would turn -0.0 into 0.0.
        let [_, _, _, a, b, c, d, e, f, g, h, ..] = &mut self.bytes;
        [*a, *b, *c, *d, *e, *f, *g, *h] = value.to_bits().to_le_bytes();
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

/// A request that is being filled.
#[derive(Debug)]
pub struct Filling<'e, 'a> {
    encoder: &'e mut Encoder,
    samples_max: usize,
    bytes_max: usize,
    /// The sample pushed last, and the length of its labels.
    last: Option<(Sample<'a>, usize)>,
    /// Whose samples come.
    batch: Option<&'a Batch>,
    taken: usize,
}

impl<'a> Filling<'_, 'a> {
    /// Takes a row's samples as far as they fit, and returns how many that is. The first one of all always
    /// does. Neighbours of one series share a `TimeSeries`.
    #[inline]
    pub fn offer(&mut self, run: &Run<'a>) -> usize {
        if self.batch.is_none_or(|batch| !std::ptr::eq(batch, run.batch())) {
            self.next_batch(run.batch());
        }
        if let Some(whole) = run.whole()
            && self.offer_whole(run, &whole)
        {
            return run.count();
        }
        run.samples().take_while(|sample| self.offer_one(*sample)).count()
    }

    /// Copies come behind all that is not copied, so samples of one series may share a piece only if they are
    /// neighbours, as they are within a batch.
    fn next_batch(&mut self, batch: &'a Batch) {
        self.close();
        self.encoder.block.pack();
        self.batch = Some(batch);
    }

    /// Ends the request. Returns how many samples it holds.
    pub fn end(mut self) -> usize {
        self.close();
        self.taken
    }

    /// Takes a row with all series of its identity, if it fits and is like most.
    fn offer_whole(&mut self, run: &Run<'a>, whole: &Whole<'_>) -> bool {
        let row_len = whole.plain.len() + SAMPLE_LEN + whole.copies.unpacked_len;
        let goes_on = self.last.as_ref().is_some_and(|(last, _)| {
            run.samples().next().is_some_and(|sample| same_series(last, &sample))
        });
        if goes_on
            || message_len(sample_len(run.timestamp_ms())) != SAMPLE_LEN
            || self.taken + run.count() > self.samples_max
            || self.len() + row_len > self.bytes_max
        {
            return false;
        }
        self.close();
        let Encoder { block, stamp, .. } = &mut *self.encoder;
        block.begin(row_len);
        block.put(whole.plain);
        stamp.set(run.timestamp_ms());
        let mut values = run.values();
        block.put(stamp.sample(values.next().unwrap_or_default()));
        block.put_copies(&whole.copies, values);
        self.taken += run.count();
        true
    }

    /// Takes a sample if it fits.
    fn offer_one(&mut self, sample: Sample<'a>) -> bool {
        if self.taken >= self.samples_max {
            return false;
        }
        if let Some((previous, labels_len)) = &self.last
            && same_series(previous, &sample)
        {
            let len = series_len(*labels_len, self.encoder.open.len() + 1);
            if self.encoder.block.len() + len > self.bytes_max {
                return false;
            }
        } else {
            let labels_len = labels_len(&sample);
            if self.taken > 0 && self.len() + series_len(labels_len, 1) > self.bytes_max {
                return false;
            }
            self.close();
            self.last = Some((sample, labels_len));
        }
        self.encoder.open.push((sample.timestamp_ms, sample.value));
        self.taken += 1;
        true
    }

    /// Bytes before compression of all that was taken, at most.
    pub(super) fn len(&self) -> usize {
        let open = self.encoder.open.len();
        let open_len =
            self.last.as_ref().map_or(0, |(_, labels_len)| series_len(*labels_len, open));
        self.encoder.block.len() + open_len
    }

    /// Writes the open series with its samples.
    fn close(&mut self) {
        let Some((sample, labels_len)) = self.last.take() else { return };
        let open = self.encoder.open.iter();
        let samples_len: usize = open.map(|(ms, _)| message_len(sample_len(*ms))).sum();
        let head = SeriesHead::new(labels_len + samples_len);
        let len = head.bytes().len() + labels_len + samples_len;
        let Encoder { block, open, stamp } = &mut *self.encoder;
        block.begin(len);
        block.put(head.bytes());
        for piece in sample.labels {
            block.put(piece);
        }
        for (timestamp_ms, value) in open.drain(..) {
            stamp.set(timestamp_ms);
            block.put(stamp.sample(value));
        }
    }
}

fn labels_len(sample: &Sample<'_>) -> usize {
    sample.labels.iter().map(|piece| piece.len()).sum()
}

/// Whether two samples belong to one series of the destination. Hashes alone would do but for luck.
fn same_series(a: &Sample<'_>, b: &Sample<'_>) -> bool {
    a.hash == b.hash && (same_place(a, b) || a.labels.concat() == b.labels.concat())
}

/// Whether the labels of two samples are the same memory.
fn same_place(a: &Sample<'_>, b: &Sample<'_>) -> bool {
    a.labels.iter().zip(b.labels).all(|(a, b)| std::ptr::eq(*a, b))
}

/// Upper bound of one sample as a field of its series.
const SAMPLE_LEN_MAX: usize = message_len(9 + 1 + 10);

/// Length of a `Sample` message.
fn sample_len(timestamp_ms: i64) -> usize {
    9 + 1 + varint_len(timestamp_ms.cast_unsigned())
}

/// Length of a `TimeSeries` field with labels of so many bytes and so many samples; an upper bound by a
/// few bytes.
fn series_len(labels_len: usize, samples: usize) -> usize {
    message_len(labels_len + samples * SAMPLE_LEN_MAX)
}

/// Length of a message field with a one-byte tag.
const fn message_len(len: usize) -> usize {
    1 + varint_len(len as u64) + len
}
