//! How a series and its samples stand in a remote-write request.
//!
//! Field numbers: `WriteRequest.timeseries = 1`, `TimeSeries{labels = 1, samples = 2}`,
//! `Sample{double value = 1, int64 timestamp = 2 (ms)}` (prometheus/prompb/types.proto).

/// Tag of a series in a request.
const TIMESERIES: u8 = 1 << 3 | 2;
/// Tag of a sample in a series.
pub const SAMPLE: u8 = 2 << 3 | 2;
/// Tag of a sample's value.
pub const SAMPLE_VALUE: u8 = 1 << 3 | 1;
/// Tag of a sample's timestamp.
pub const SAMPLE_TIMESTAMP: u8 = 2 << 3;

/// Where a sample's value stands: behind the sample's tag and length, and its own tag.
pub const VALUE_AT: usize = 1 + 1 + 1;
/// Where a sample's timestamp stands, its tag included.
pub const TIMESTAMP_AT: usize = VALUE_AT + 8;
/// Length of a sample, tag and length included, as all are between the years 1971 and 2109: the
/// timestamp takes six bytes.
pub const SAMPLE_LEN: usize = TIMESTAMP_AT + 1 + 6;

/// Bytes of a number in base 128.
#[must_use]
pub const fn varint_len(value: u64) -> usize {
    (70 - (value | 1).leading_zeros() as usize) / 7
}

/// Writes a number in base 128, seven bits at a time, the lowest first. Returns its length.
#[inline]
pub fn write_varint(mut value: u64, into: &mut [u8]) -> usize {
    let len = varint_len(value);
    for (place, byte) in into.iter_mut().take(len).enumerate() {
        *byte = value as u8 & 0x7f | if place + 1 < len { 0x80 } else { 0 };
        value >>= 7;
    }
    len
}

/// What a series begins with: tag and length.
#[derive(Clone, Copy, Debug)]
pub struct SeriesHead {
    bytes: [u8; 1 + 10],
    len: usize,
}

impl SeriesHead {
    /// Of a series of so many bytes.
    #[must_use]
    #[inline]
    pub fn new(series_len: usize) -> Self {
        let mut bytes = [TIMESERIES; 1 + 10];
        let len = 1 + write_varint(series_len as u64, &mut bytes[1..]);
        Self { bytes, len }
    }

    /// Its bytes.
    #[must_use]
    #[inline]
    pub fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}
