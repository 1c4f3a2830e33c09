//! Samples into a remote-write 1.0 request: `WriteRequest` in a snappy block.
//!
//! Field numbers: `WriteRequest.timeseries = 1`, `TimeSeries{labels = 1, samples = 2}`,
//! `Sample{double value = 1, int64 timestamp = 2 (ms)}` (prometheus/prompb/types.proto). The labels
//! come encoded; what is left to do is to copy them and to put samples behind them.

use bytes::Bytes;

use crate::sample::Sample;

/// A snappy block consists of pieces that are compressed each alone, of 64 KiB in the `snap` crate as in
/// Google's library. What is compressed as soon as it is that long, is still in the processor's caches.
/// So a little before, since it ends with the series that made it full.
const PIECE_BYTES: usize = 63 << 10;

/// Room ahead of the compressed pieces for the length of everything.
const LENGTH_BYTES_MAX: usize = 5;

const TIMESERIES: u8 = 1 << 3 | 2;
const SAMPLE: u8 = 2 << 3 | 2;
const SAMPLE_VALUE: u8 = 1 << 3 | 1;
const SAMPLE_TIMESTAMP: u8 = 2 << 3;

/// Builds requests; its buffers are reused.
#[derive(Debug)]
pub struct Encoder {
    /// What is not compressed yet.
    raw: Vec<u8>,
    /// Bytes of the request that are.
    packed_len: usize,
    /// Samples of the series that is still open: the one pushed last.
    open: Vec<(i64, f64)>,
    stamp: Stamp,
    /// The compressed pieces as far as `block_end`, behind room for the length.
    block: Vec<u8>,
    block_end: usize,
    snappy: snap::raw::Encoder,
    trouble: Option<snap::Error>,
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
            packed_len: 0,
            open: Vec::new(),
            stamp: Stamp::default(),
            block: vec![0; LENGTH_BYTES_MAX],
            block_end: LENGTH_BYTES_MAX,
            snappy: snap::raw::Encoder::new(),
            trouble: None,
        }
    }

    /// Begins a request of at most `bytes_max` bytes before compression.
    pub fn begin<'a>(&mut self, bytes_max: usize) -> Filling<'_, 'a> {
        self.raw.clear();
        self.packed_len = 0;
        self.open.clear();
        self.block_end = LENGTH_BYTES_MAX;
        self.trouble = None;
        Filling { encoder: self, bytes_max, last: None, taken: 0 }
    }

    /// The request as a snappy block. An error means that a series of it is above 4 GiB.
    ///
    /// # Errors
    /// The compressor's own.
    pub fn block(&mut self) -> Result<Bytes, snap::Error> {
        self.pack();
        if let Some(error) = self.trouble.take() {
            return Err(error);
        }
        let mut length = Vec::with_capacity(LENGTH_BYTES_MAX);
        put_varint(&mut length, self.packed_len as u64);
        let start = LENGTH_BYTES_MAX.saturating_sub(length.len());
        for (place, byte) in self.block.iter_mut().skip(start).zip(length) {
            *place = byte;
        }
        Ok(Bytes::copy_from_slice(self.block.get(start..self.block_end).unwrap_or_default()))
    }

    /// Bytes of the request so far, but for the series that is open.
    fn len(&self) -> usize {
        self.packed_len + self.raw.len()
    }

    /// Compresses what has come together.
    fn pack(&mut self) {
        if self.raw.is_empty() {
            return;
        }
        // A piece comes with its own length ahead, which is not wanted: it goes where the piece before
        // ends, and that end is put back.
        let start = self.block_end - varint_len(self.raw.len() as u64);
        let room = start + snap::raw::max_compress_len(self.raw.len());
        if self.block.len() < room {
            self.block.resize(room, 0);
        }
        let place = self.block.get_mut(start..).unwrap_or_default();
        let kept = place.first_chunk::<LENGTH_BYTES_MAX>().copied().unwrap_or_default();
        match self.snappy.compress(&self.raw, place) {
            Ok(len) => {
                let length = self.block_end - start;
                for (byte, kept) in place.iter_mut().zip(kept).take(length) {
                    *byte = kept;
                }
                self.block_end = start + len;
            }
            Err(error) => self.trouble = Some(error),
        }
        self.packed_len += self.raw.len();
        self.raw.clear();
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
            self.stamp.set(timestamp_ms);
            self.raw.extend_from_slice(self.stamp.sample(value));
        }
        if self.raw.len() >= PIECE_BYTES {
            self.pack();
        }
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
        [bytes[0], bytes[2], bytes[STAMP_AT]] = [SAMPLE, SAMPLE_VALUE, SAMPLE_TIMESTAMP];
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
        let mut rest = timestamp_ms.cast_unsigned();
        let varint = varint_len(rest);
        for (place, byte) in self.bytes.iter_mut().skip(STAMP_AT + 1).take(varint).enumerate() {
            *byte = rest as u8 & 0x7f | if place + 1 < varint { 0x80 } else { 0 };
            rest >>= 7;
        }
        self.bytes[1] = sample_len(timestamp_ms) as u8;
        self.len = STAMP_AT + 1 + varint;
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
            if encoder.len() + len > self.bytes_max {
                return false;
            }
        } else {
            let open_len = self.last.as_ref().map_or(0, |(_, len)| series_len(*len, &encoder.open));
            let labels_len = sample.labels.iter().map(|piece| piece.len()).sum();
            let len = series_len(labels_len, &[]) + SAMPLE_LEN_MAX;
            if self.taken > 0 && encoder.len() + open_len + len > self.bytes_max {
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

/// Where a sample's timestamp stands: behind the sample's tag and length, and the value with its tag.
const STAMP_AT: usize = 1 + 1 + 1 + 8;

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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use prost::Message;

    #[derive(Clone, PartialEq, Message)]
    struct Request {
        #[prost(message, repeated, tag = "1")]
        timeseries: Vec<Series>,
    }

    #[derive(Clone, PartialEq, Message)]
    struct Series {
        #[prost(message, repeated, tag = "1")]
        labels: Vec<Label>,
        #[prost(message, repeated, tag = "2")]
        samples: Vec<Point>,
    }

    #[derive(Clone, PartialEq, Message)]
    struct Label {
        #[prost(string, tag = "1")]
        name: String,
        #[prost(string, tag = "2")]
        value: String,
    }

    /// Optional, so that zeros are written out.
    #[derive(Clone, PartialEq, Message)]
    struct Point {
        #[prost(double, optional, tag = "1")]
        value: Option<f64>,
        #[prost(int64, optional, tag = "2")]
        timestamp: Option<i64>,
    }

    fn timestamps() -> impl Strategy<Value = i64> {
        prop_oneof![
            Just(1_760_000_040_000),
            prop::sample::select(vec![0, 1, -1, 127, 128, 1 << 35, i64::MIN, i64::MAX]),
            any::<i64>(),
        ]
    }

    fn values() -> impl Strategy<Value = f64> {
        prop_oneof![Just(0.0), Just(-0.0), any::<u64>().prop_map(f64::from_bits)]
    }

    proptest! {
        /// What is written is what prost writes, byte for byte, NaN bits included.
        #[test]
        fn prost_writes_the_same(
            series in prop::collection::vec(
                (
                    prop::collection::vec(("[a-z_]{0,9}", "\\PC{0,200}"), 0..6),
                    0..6_usize,
                    0..6_usize,
                    prop::collection::vec((timestamps(), values()), 1..4),
                ),
                0..12,
            )
        ) {
            let mut request = Request::default();
            let mut pieces = Vec::new();
            for (index, (labels, a, b, points)) in series.iter().enumerate() {
                let label = |(name, value): &(String, String)| {
                    // No two neighbours are one series.
                    Label { name: name.clone(), value: format!("{index}{value}") }
                };
                let mut labels: Vec<Label> = labels.iter().map(label).collect();
                labels.push(label(&("z".to_owned(), String::new())));
                let encoded = |of: &[Label]| {
                    Series { labels: of.to_vec(), samples: Vec::new() }.encode_to_vec()
                };
                let (a, b) = ((*a).min(labels.len()), (*b).min(labels.len()));
                let (a, b) = (a.min(b), a.max(b));
                pieces.push([&labels[..a], &labels[a..b], &labels[b..]].map(encoded));
                let samples = points
                    .iter()
                    .map(|(timestamp, value)| Point { value: Some(*value), timestamp: Some(*timestamp) })
                    .collect();
                request.timeseries.push(Series { labels, samples });
            }
            let mut encoder = Encoder::new();
            // The second time with what the first one has left behind.
            for _ in 0..2 {
                let mut filling = encoder.begin(usize::MAX);
                let mut taken = 0;
                for (index, (pieces, of)) in pieces.iter().zip(&request.timeseries).enumerate() {
                    for point in &of.samples {
                        taken += 1;
                        let sample = Sample {
                            labels: pieces.each_ref().map(Vec::as_slice),
                            hash: index as u64,
                            timestamp_ms: point.timestamp.unwrap(),
                            value: point.value.unwrap(),
                        };
                        prop_assert!(filling.offer(sample));
                    }
                }
                prop_assert_eq!(filling.end(), taken);
                let block = encoder.block().unwrap();
                let raw = snap::raw::Decoder::new().decompress_vec(&block).unwrap();
                prop_assert!(raw == request.encode_to_vec());
            }
        }
    }

    /// Compressed in pieces, whatever the lengths of the series, and the longest among them.
    #[test]
    fn long_requests_are_one_block() {
        let mut encoder = Encoder::new();
        for of in [0, 1, 3, 40, 1000] {
            let mut request = Request::default();
            for index in 0..of {
                // Most are short, some longer than a piece.
                let len = if index % 17 == 16 { 40 * index } else { 60 + index % 97 };
                let noise =
                    (0..len).map(|at| char::from(b'a' + (at * at * (index + 7) % 23) as u8));
                let label = Label { name: format!("name{index}"), value: noise.collect() };
                let point = Point { value: Some(index as f64), timestamp: Some(1_760_000_040_000) };
                request.timeseries.push(Series { labels: vec![label], samples: vec![point] });
            }
            let labels = |series: &Series| {
                Series { labels: series.labels.clone(), samples: Vec::new() }.encode_to_vec()
            };
            let labels: Vec<Vec<u8>> = request.timeseries.iter().map(labels).collect();
            let mut filling = encoder.begin(usize::MAX);
            for (index, labels) in labels.iter().enumerate() {
                assert!(filling.offer(Sample {
                    labels: [labels, &[], &[]],
                    hash: index as u64,
                    timestamp_ms: 1_760_000_040_000,
                    value: index as f64,
                }));
            }
            assert_eq!(filling.end(), of);
            let block = encoder.block().unwrap();
            let raw = snap::raw::Decoder::new().decompress_vec(&block).unwrap();
            assert!(raw == request.encode_to_vec(), "{of} series");
        }
    }
}
