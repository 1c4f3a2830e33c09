//! Length-delimited OTLP: a record is one or more `[varint length][ExportMetricsServiceRequest]`.
//!
//! Source: the CloudWatch user guide, "Metric streams OpenTelemetry format" (0.7.0 and 1.0.0).

use super::{
    Reason, Visit,
    otlp::{Content, Points},
    wire::{self, Fields, Value},
};

/// A length has at most 32 bits.
const LENGTH_BYTES_MAX: usize = 5;

/// Reads all frames. An empty one holds nothing; a length that is broken or too large ends the record.
pub(super) fn read(record: &[u8], visit: &mut impl Visit) {
    let mut points = Points::default();
    let mut rest = record;
    while !rest.is_empty() && !visit.is_over() {
        let Some((frame, after)) = split(rest) else {
            // What stands first and has not even OTLP's first tag is something else altogether.
            let foreign = rest.len() == record.len() && !first_tag_fits(rest);
            visit.skipped(if foreign { Reason::UnknownFormat } else { Reason::Frame }, rest);
            return;
        };
        match points.request(frame, visit) {
            Ok(Content::Metrics) => {}
            Ok(Content::Foreign) if frame.is_empty() => {}
            Ok(Content::Foreign) => visit.skipped(Reason::UnknownFormat, frame),
            Err(broken) if broken.rest.is_empty() => visit.skipped(Reason::Protobuf, frame),
            Err(broken) => visit.skipped(Reason::Protobuf, broken.rest),
        }
        rest = after;
    }
}

/// The first frame and what follows it.
fn split(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = wire::varint(bytes, LENGTH_BYTES_MAX)?;
    rest.split_at_checked(usize::try_from(length).ok()?)
}

fn first_tag_fits(bytes: &[u8]) -> bool {
    match wire::varint(bytes, LENGTH_BYTES_MAX) {
        Some((_, rest)) => matches!(rest.first(), None | Some(0x0a)),
        None => true,
    }
}

/// Whether a record begins with a whole frame that has, on its three outer levels, OTLP's fields and
/// no others. Ordinary streams pass, no JSON does; what fails both is looked at more closely.
pub(super) fn begins_well(record: &[u8]) -> bool {
    let Some((frame, _)) = split(record) else { return false };
    !frame.is_empty()
        && has_only(frame, &[1], |_, metrics| {
            has_only(metrics, &[1, 2, 3], |number, inner| match number {
                1 => has_only(inner, &[1, 3], |_, _| true),
                2 => has_only(inner, &[1, 2, 3], |_, _| true),
                _ => true,
            })
        })
}

/// Whether a message can be read to its end, and has but the named length-delimited fields, which
/// fulfil `inner` (and varints as field 2: `dropped_attributes_count`).
fn has_only(message: &[u8], numbers: &[u32], inner: impl Fn(u32, &[u8]) -> bool) -> bool {
    let mut fields = Fields::new(message);
    loop {
        match fields.next() {
            Ok(None) => return true,
            Ok(Some((number, Value::Bytes(bytes)))) if numbers.contains(&number) => {
                if !inner(number, bytes) {
                    return false;
                }
            }
            Ok(Some((2, Value::Varint(_)))) if !numbers.contains(&2) => {}
            _ => return false,
        }
    }
}
