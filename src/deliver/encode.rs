//! Samples into a remote-write 1.0 request: `WriteRequest` in a snappy block.
//!
//! Field numbers: `WriteRequest.timeseries = 1`, `TimeSeries{labels = 1, samples = 2}`,
//! `Sample{double value = 1, int64 timestamp = 2 (ms)}` (prometheus/prompb/types.proto). The labels
//! come encoded; what is left to do is to copy them and to put samples behind them.

use bytes::Bytes;

use crate::sample::Sample;

const TIMESERIES: u8 = 1 << 3 | 2;
const SAMPLE: u8 = 2 << 3 | 2;
const SAMPLE_VALUE: u8 = 1 << 3 | 1;
const SAMPLE_TIMESTAMP: u8 = 2 << 3;

/// Builds requests; its buffers are reused.
#[derive(Debug)]
pub struct Encoder {
    raw: Vec<u8>,
    /// Samples of the series that is still open: the one pushed last.
    open: Vec<(i64, f64)>,
    block: Vec<u8>,
    snappy: snap::raw::Encoder,
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
        Self {
            raw: Vec::new(),
            open: Vec::new(),
            block: Vec::new(),
            snappy: snap::raw::Encoder::new(),
        }
    }

    /// Begins a request of at most `bytes_max` bytes before compression.
    pub fn begin<'a>(&mut self, bytes_max: usize) -> Filling<'_, 'a> {
        self.raw.clear();
        self.open.clear();
        Filling { encoder: self, bytes_max, last: None, taken: 0 }
    }

    /// The request as a snappy block. An error means that the request is above 4 GiB.
    ///
    /// # Errors
    /// The compressor's own.
    pub fn block(&mut self) -> Result<Bytes, snap::Error> {
        let room = snap::raw::max_compress_len(self.raw.len());
        if self.block.len() < room {
            self.block.resize(room, 0);
        }
        let len = self.snappy.compress(&self.raw, &mut self.block)?;
        Ok(Bytes::copy_from_slice(self.block.get(..len).unwrap_or_default()))
    }

    /// Writes the open series with its samples.
    fn close(&mut self, series: Option<(Sample<'_>, usize)>) {
        let Some((sample, labels_len)) = series else { return };
        let samples_len: usize = self.open.iter().map(|(ms, _)| message_len(sample_len(*ms))).sum();
        self.raw.push(TIMESERIES);
        put_varint(&mut self.raw, (labels_len + samples_len) as u64);
        for piece in sample.labels {
            self.raw.extend_from_slice(piece);
        }
        for (timestamp_ms, value) in self.open.drain(..) {
            self.raw.push(SAMPLE);
            put_varint(&mut self.raw, sample_len(timestamp_ms) as u64);
            // Zeros are written out: leaving them away would turn -0.0 into 0.0.
            self.raw.push(SAMPLE_VALUE);
            self.raw.extend_from_slice(&value.to_bits().to_le_bytes());
            self.raw.push(SAMPLE_TIMESTAMP);
            put_varint(&mut self.raw, timestamp_ms.cast_unsigned());
        }
    }
}

/// A request that is being filled.
#[derive(Debug)]
pub struct Filling<'e, 'a> {
    encoder: &'e mut Encoder,
    bytes_max: usize,
    /// The sample pushed last, and the length of its labels.
    last: Option<(Sample<'a>, usize)>,
    taken: usize,
}

impl<'a> Filling<'_, 'a> {
    /// Samples taken so far.
    #[must_use]
    pub fn taken(&self) -> usize {
        self.taken
    }

    /// Takes a sample if it still fits; the first one always does. Neighbours of one series share a
    /// `TimeSeries`.
    #[inline]
    #[must_use]
    pub fn offer(&mut self, sample: Sample<'a>) -> bool {
        let encoder = &mut *self.encoder;
        if let Some((previous, labels_len)) = &self.last
            && same_series(previous, &sample)
        {
            let len = series_len(*labels_len, &encoder.open) + SAMPLE_LEN_MAX;
            if encoder.raw.len() + len > self.bytes_max {
                return false;
            }
        } else {
            let open_len = self.last.as_ref().map_or(0, |(_, len)| series_len(*len, &encoder.open));
            let labels_len = sample.labels.iter().map(|piece| piece.len()).sum();
            let len = series_len(labels_len, &[]) + SAMPLE_LEN_MAX;
            if self.taken > 0 && encoder.raw.len() + open_len + len > self.bytes_max {
                return false;
            }
            encoder.close(self.last.replace((sample, labels_len)));
        }
        encoder.open.push((sample.timestamp_ms, sample.value));
        self.taken += 1;
        true
    }

    /// Ends the request. Returns how many samples it holds.
    pub fn end(mut self) -> usize {
        self.encoder.close(self.last.take());
        self.taken
    }
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

/// Length of a `TimeSeries` field with these labels and samples; an upper bound by a few bytes.
fn series_len(labels_len: usize, samples: &[(i64, f64)]) -> usize {
    message_len(labels_len + samples.len() * SAMPLE_LEN_MAX)
}

/// Length of a message field with a one-byte tag.
const fn message_len(len: usize) -> usize {
    1 + varint_len(len as u64) + len
}

const fn varint_len(value: u64) -> usize {
    (70 - (value | 1).leading_zeros() as usize) / 7
}

#[inline]
fn put_varint(buffer: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        buffer.push(value as u8 | 0x80);
        value >>= 7;
    }
    buffer.push(value as u8);
}
