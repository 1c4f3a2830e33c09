//! An OTLP data point's numbers and the bytes that name it, found in one scan.
//!
//! The shape is what protobuf's writers make of a `SummaryDataPoint`: tags of one byte, all labels or
//! attributes in one run, quantiles without anything but their two numbers. The identity is that run as
//! it stands, the quantiles other than 0 and 1, and what is outside of the data point: the unit's code,
//! and account and region.
//!
//! Why equal identities mean equal names, once one of them has been read in full: every label, and
//! whether there are labels or attributes, comes from the run alone; the name of a statistic from the
//! quantile's bits alone. The other fields are numbers, of which the last of each counts here as there.

use super::{Format, Glimpse, IDENTITY_BYTES_MAX, otlp, wire};
use crate::sample::slot::EXTENDED_MAX;

/// Tags of `SummaryDataPoint`: field number times eight plus wire type.
mod tag {
    pub(super) const LABEL: u8 = 1 << 3 | 2;
    pub(super) const START: u8 = 2 << 3 | 1;
    pub(super) const END: u8 = 3 << 3 | 1;
    pub(super) const COUNT: u8 = 4 << 3 | 1;
    pub(super) const SUM: u8 = 5 << 3 | 1;
    pub(super) const QUANTILE: u8 = 6 << 3 | 2;
    pub(super) const ATTRIBUTE: u8 = 7 << 3 | 2;
    pub(super) const FLAGS: u8 = 8 << 3;
    /// Of `ValueAtQuantile`.
    pub(super) const AT: u8 = 1 << 3 | 1;
    pub(super) const VALUE: u8 = 2 << 3 | 1;
}

/// Bytes of a length.
const LENGTH_BYTES_MAX: usize = 10;

/// Extended statistics of the data point that was looked at last.
#[derive(Debug, Default)]
pub(super) struct Glimpser {
    /// The bits of their quantiles.
    quantiles: Vec<u8>,
    extended: Vec<f64>,
}

/// What a glimpse is made of.
#[derive(Debug)]
pub(super) struct Outline<'a> {
    format: Format,
    run: &'a [u8],
    start_ms: i64,
    end_ms: i64,
    count: u64,
    sum: f64,
    min: Option<f64>,
    max: Option<f64>,
}

impl Glimpser {
    /// Looks at a data point; none if it has another shape, or is not to be told as it is.
    #[inline]
    pub(super) fn look<'a>(&mut self, point: &'a [u8]) -> Option<Outline<'a>> {
        let mut run: &[u8] = &[];
        let (mut start_ns, mut end_ns, mut count, mut sum, mut flags) = (0, 0, 0, 0, 0);
        let (mut min, mut max) = (None, None);
        self.quantiles.clear();
        self.extended.clear();
        let mut rest = point;
        while let [tag, after @ ..] = rest {
            rest = match *tag {
                tag::START => fixed(after, &mut start_ns)?,
                tag::END => fixed(after, &mut end_ns)?,
                tag::COUNT => fixed(after, &mut count)?,
                tag::SUM => fixed(after, &mut sum)?,
                tag::QUANTILE => {
                    let (quantile, value, after) = quantile(after)?;
                    if quantile == 0.0 {
                        min = Some(value);
                    } else if quantile == 1.0 {
                        max = Some(value);
                    } else if self.extended.len() < EXTENDED_MAX {
                        self.quantiles.extend_from_slice(&quantile.to_bits().to_le_bytes());
                        self.extended.push(value);
                    } else {
                        return None;
                    }
                    after
                }
                tag::LABEL | tag::ATTRIBUTE if run.is_empty() => {
                    let after = behind_run(rest, *tag)?;
                    run = rest.get(..rest.len() - after.len())?;
                    after
                }
                tag::FLAGS => {
                    let (value, after) = wire::varint(after, LENGTH_BYTES_MAX)?;
                    flags = value;
                    after
                }
                _ => return None,
            };
        }
        let format = match run.first()? {
            &tag::LABEL => Format::OpenTelemetry07,
            _ => Format::OpenTelemetry10,
        };
        if flags & otlp::NO_RECORDED_VALUE != 0 {
            return None;
        }
        let (start_ms, end_ms) = otlp::period_ms(start_ns, end_ns)?;
        let sum = f64::from_bits(sum);
        Some(Outline { format, run, start_ms, end_ms, count, sum, min, max })
    }

    /// The data point that was looked at last, of that place and with that unit; none if what names it
    /// is longer than [`IDENTITY_BYTES_MAX`].
    #[inline]
    pub(super) fn glimpse<'s>(
        &'s self,
        outline: &Outline<'s>,
        place: &'s [u8],
        unit: &'s [u8],
    ) -> Option<Glimpse<'s>> {
        let identity = [place, unit, outline.run, &self.quantiles];
        let length = identity.iter().map(|piece| piece.len()).sum::<usize>();
        (length <= IDENTITY_BYTES_MAX).then_some(Glimpse {
            format: outline.format,
            identity,
            start_ms: outline.start_ms,
            end_ms: outline.end_ms,
            count: Some(outline.count as f64),
            sum: Some(outline.sum),
            min: outline.min,
            max: outline.max,
            extended: &self.extended,
        })
    }
}

/// A number of eight bytes; what follows it.
#[inline]
fn fixed<'a>(bytes: &'a [u8], value: &mut u64) -> Option<&'a [u8]> {
    let (number, after) = bytes.split_first_chunk::<8>()?;
    *value = u64::from_le_bytes(*number);
    Some(after)
}

/// A `ValueAtQuantile` from its length on: the quantile, the value, what follows. Zeros are left out.
#[inline]
fn quantile(bytes: &[u8]) -> Option<(f64, f64, &[u8])> {
    let (mut quantile, mut value) = (0, 0);
    let after = match bytes {
        [18, tag::AT, both @ ..] => match fixed(both, &mut quantile)? {
            [tag::VALUE, one @ ..] => fixed(one, &mut value)?,
            _ => return None,
        },
        [9, tag::AT, one @ ..] => fixed(one, &mut quantile)?,
        [9, tag::VALUE, one @ ..] => fixed(one, &mut value)?,
        [0, after @ ..] => after,
        _ => return None,
    };
    Some((f64::from_bits(quantile), f64::from_bits(value), after))
}

/// What follows fields that all have this tag, of which the first stands at the beginning.
#[inline]
fn behind_run(fields: &[u8], tag: u8) -> Option<&[u8]> {
    let mut rest = fields;
    while let [first, after @ ..] = rest
        && *first == tag
    {
        let (length, after) = match after {
            [length @ 0..0x80, after @ ..] => (usize::from(*length), after),
            _ => {
                let (length, after) = wire::varint(after, LENGTH_BYTES_MAX)?;
                (usize::try_from(length).ok()?, after)
            }
        };
        rest = after.get(length..)?;
    }
    Some(rest)
}
