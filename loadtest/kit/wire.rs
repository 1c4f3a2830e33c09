//! Remote write 1.0 read by hand, only as far as the books need it: a receiver that shares the
//! machine with what is measured has to cost next to nothing.
//! <https://prometheus.io/docs/specs/prw/remote_write_spec/>

use std::ops::Range;

/// Why bytes are no remote-write request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// They end in the middle of a field.
    #[error("ends in the middle of a field")]
    Short,
    /// A number of more than 64 bits.
    #[error("a number of more than 64 bits")]
    Long,
    /// A field of a kind that is not used.
    #[error("a field of an unknown kind")]
    Kind,
    /// Labels that come after samples: legal, but no sender that exists writes them so.
    #[error("labels after samples")]
    Late,
    /// Not a snappy block.
    #[error("not a snappy block")]
    Snappy,
}

/// Some samples of one series.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Piece {
    /// Where the labels stand: what is equal there is the same series.
    pub labels: Range<usize>,
    /// Where the samples' values stand in [`Request::values`].
    pub samples: Range<usize>,
    /// Timestamp of the first sample, ms since 1970.
    pub first_ms: i64,
    /// Timestamp of the last sample.
    pub last_ms: i64,
    /// Whether each sample is later than the one before.
    pub ordered: bool,
}

/// A request in pieces; its allocations are used again.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// The series, as they came.
    pub pieces: Vec<Piece>,
    /// The samples' values, as they came.
    pub values: Vec<f64>,
    /// Metadata entries.
    pub metadata: u64,
}

/// A protobuf message that is read field by field.
struct Fields<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Fields<'a> {
    #[inline]
    fn number(&mut self) -> Result<u64, Malformed> {
        let mut value = 0;
        let mut shift = 0;
        loop {
            let byte = *self.bytes.get(self.at).ok_or(Malformed::Short)?;
            self.at += 1;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
            shift += 7;
            if shift > 63 {
                return Err(Malformed::Long);
            }
        }
    }

    #[inline]
    fn span(&mut self) -> Result<Range<usize>, Malformed> {
        let length = usize::try_from(self.number()?).map_err(|_| Malformed::Short)?;
        let end = self.at.checked_add(length).filter(|end| *end <= self.bytes.len());
        let start = self.at;
        self.at = end.ok_or(Malformed::Short)?;
        Ok(start..self.at)
    }

    #[inline]
    fn double(&mut self) -> Result<f64, Malformed> {
        let eight = self.bytes.get(self.at..).and_then(<[u8]>::first_chunk);
        self.at += 8;
        eight.map(|eight| f64::from_le_bytes(*eight)).ok_or(Malformed::Short)
    }

    /// Passes a field that nobody asks for.
    fn skip(&mut self, tag: u64) -> Result<(), Malformed> {
        match tag & 7 {
            0 => self.number().map(|_| ()),
            1 => self.double().map(|_| ()),
            2 => self.span().map(|_| ()),
            5 if self.at + 4 <= self.bytes.len() => {
                self.at += 4;
                Ok(())
            }
            5 => Err(Malformed::Short),
            _ => Err(Malformed::Kind),
        }
    }

    #[inline]
    const fn is_over(&self) -> bool {
        self.at >= self.bytes.len()
    }

    fn within(bytes: &'a [u8], range: Range<usize>) -> Self {
        Self { bytes: bytes.get(..range.end).unwrap_or_default(), at: range.start }
    }
}

impl Request {
    /// Reads a request's bytes, as they are before snappy.
    ///
    /// # Errors
    /// If they are none.
    pub fn read(&mut self, raw: &[u8]) -> Result<(), Malformed> {
        self.pieces.clear();
        self.values.clear();
        self.metadata = 0;
        let mut fields = Fields { bytes: raw, at: 0 };
        while !fields.is_over() {
            match fields.number()? {
                0x0a => {
                    let range = fields.span()?;
                    self.series(raw, range)?;
                }
                0x1a => {
                    fields.span()?;
                    self.metadata += 1;
                }
                other => fields.skip(other)?,
            }
        }
        Ok(())
    }

    #[inline]
    fn series(&mut self, raw: &[u8], range: Range<usize>) -> Result<(), Malformed> {
        let mut fields = Fields::within(raw, range.clone());
        let mut labels_end = range.start;
        let samples_start = self.values.len();
        let (mut first_ms, mut last_ms, mut ordered) = (0, i64::MIN, true);
        while !fields.is_over() {
            let start = fields.at;
            match fields.number()? {
                0x0a => {
                    fields.span()?;
                    if start != labels_end {
                        return Err(Malformed::Late);
                    }
                    labels_end = fields.at;
                }
                0x12 => {
                    let range = fields.span()?;
                    let (value, at_ms) = sample(raw, range)?;
                    if self.values.len() == samples_start {
                        first_ms = at_ms;
                    } else {
                        ordered &= last_ms < at_ms;
                    }
                    last_ms = at_ms;
                    self.values.push(value);
                }
                other => fields.skip(other)?,
            }
        }
        self.pieces.push(Piece {
            labels: range.start..labels_end,
            samples: samples_start..self.values.len(),
            first_ms,
            last_ms,
            ordered,
        });
        Ok(())
    }
}

/// Value and timestamp; what is left out is 0.
#[inline]
fn sample(raw: &[u8], range: Range<usize>) -> Result<(f64, i64), Malformed> {
    let mut fields = Fields::within(raw, range);
    let (mut value, mut at_ms) = (0.0, 0);
    while !fields.is_over() {
        match fields.number()? {
            0x09 => value = fields.double()?,
            0x10 => at_ms = fields.number()?.cast_signed(),
            other => fields.skip(other)?,
        }
    }
    Ok((value, at_ms))
}

/// What remote write demands of a series' labels, and what the books want to know of them.
///
/// # Errors
/// The first breach, in words.
pub fn check_labels(labels: &[u8]) -> Result<IsSum, &'static str> {
    let mut fields = Fields { bytes: labels, at: 0 };
    let mut previous: Option<&[u8]> = None;
    let mut metric = None;
    while !fields.is_over() {
        let (Ok(0x0a), Ok(range)) = (fields.number(), fields.span()) else {
            return Err("labels that are none");
        };
        let mut parts = Fields::within(labels, range);
        let (mut name, mut value): (&[u8], &[u8]) = (&[], &[]);
        while !parts.is_over() {
            let (Ok(tag), Ok(range)) = (parts.number(), parts.span()) else {
                return Err("labels that are none");
            };
            let text = labels.get(range).unwrap_or_default();
            match tag {
                0x0a => name = text,
                0x12 => value = text,
                _ => return Err("labels with unknown fields"),
            }
        }
        if std::str::from_utf8(name).is_err() || std::str::from_utf8(value).is_err() {
            return Err("a label that is not UTF-8");
        }
        if !is_legal(name, b"") {
            return Err("a label name that is not legal");
        }
        if value.is_empty() {
            return Err("an empty label value");
        }
        if previous.is_some_and(|previous| previous >= name) {
            return Err("labels that are not sorted or repeat a name");
        }
        if name == b"__name__" {
            if !is_legal(value, b":") {
                return Err("a metric name that is not legal");
            }
            metric = Some(value);
        }
        previous = Some(name);
    }
    metric.map(|name| IsSum(name.ends_with(b"_sum"))).ok_or("a series without a metric name")
}

/// Whether a series is one of sums, whose values are the data points' numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IsSum(pub bool);

fn is_legal(name: &[u8], more: &[u8]) -> bool {
    let is_start = |byte: &u8| byte.is_ascii_alphabetic() || *byte == b'_' || more.contains(byte);
    let Some((first, rest)) = name.split_first() else { return false };
    is_start(first) && rest.iter().all(|byte| is_start(byte) || byte.is_ascii_digit())
}
