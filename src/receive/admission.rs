//! How much a request is charged before anything of its body is read, and the reading of the body
//! within what was charged.

use axum::body::Body;
use http_body_util::BodyExt as _;

use super::head::Encoding;
use crate::queue::{Permit, REQUEST_CHARGE_MIN};
use crate::units::format_bytes;

/// What a packed body is taken to unpack to, by factor, until it is known.
const EXPANSION: u64 = 8;
/// Part of an unpacked body that its samples take beside it.
const BATCH_PART: u64 = 4;
/// What is set aside at first for a body of unknown length.
const FIRST_CAPACITY: usize = 64 << 10;

/// Bytes to charge for a body that claims to be this long, of the `part_bytes_max` that its sender
/// may hold.
pub(super) fn charge(
    claimed: Option<u64>,
    encoding: Encoding,
    body_bytes_max: u64,
    part_bytes_max: u64,
) -> u64 {
    let wire = claimed.unwrap_or(FIRST_CAPACITY as u64).min(body_bytes_max);
    let unpacked = match encoding {
        Encoding::Identity => 0,
        Encoding::Gzip => wire.saturating_mul(EXPANSION).min(body_bytes_max),
    };
    let batch = wire.max(unpacked) / BATCH_PART;
    // A body that the part can just hold must not be refused for ever because of the margin.
    let held = wire.saturating_add(unpacked).saturating_add(batch).min(part_bytes_max);
    held.max(REQUEST_CHARGE_MIN)
}

/// Makes sure that a permit holds at least `bytes`.
#[must_use]
pub(super) fn cover(permit: &mut Permit, bytes: u64) -> bool {
    bytes <= permit.bytes() || permit.try_resize(bytes)
}

/// Why a body was not read to its end.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unread {
    /// It is longer than the hard limit.
    TooLong,
    /// The budget has no room for more of it.
    NoRoom,
    /// It broke off or breaks the protocol.
    Broken(String),
}

/// Reads a body, counting what really comes. Memory is charged before it is taken; while it moves
/// to a larger place, for both places.
pub(super) async fn read(
    body: &mut Body,
    claimed: Option<u64>,
    body_bytes_max: u64,
    permit: &mut Permit,
) -> Result<Vec<u8>, Unread> {
    let first = claimed.map_or(FIRST_CAPACITY as u64, |claimed| claimed.min(body_bytes_max));
    let mut wire = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| Unread::Broken(error.to_string()))?;
        let Ok(data) = frame.into_data() else { continue };
        let length = wire.len().saturating_add(data.len());
        if length as u64 > body_bytes_max {
            return Err(Unread::TooLong);
        }
        if length > wire.capacity() {
            let doubled = (wire.capacity() as u64).saturating_mul(2).min(body_bytes_max);
            let capacity = doubled.max(first).max(length as u64);
            if !cover(permit, capacity.saturating_add(wire.capacity() as u64)) {
                return Err(Unread::NoRoom);
            }
            let more = usize::try_from(capacity).unwrap_or(usize::MAX).saturating_sub(wire.len());
            wire.try_reserve_exact(more).map_err(|_| Unread::NoRoom)?;
        }
        wire.extend_from_slice(&data);
    }
    Ok(wire)
}

/// What a body over the hard limit is told. The status is 400: on 413 Firehose would drop it.
pub(super) fn too_long(body_bytes_max: u64) -> String {
    format!("the body is larger than max_body_size, {}", format_bytes(body_bytes_max))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::Budget;

    #[test]
    fn a_charge_is_never_below_the_least_nor_above_the_part() {
        for claimed in [None, Some(0), Some(1), Some(1 << 20), Some(u64::MAX)] {
            for encoding in [Encoding::Identity, Encoding::Gzip] {
                let bytes = charge(claimed, encoding, 96 << 20, 1 << 20);
                assert!((REQUEST_CHARGE_MIN..=1 << 20).contains(&bytes), "{claimed:?} {bytes}");
            }
        }
    }

    #[tokio::test]
    async fn a_body_is_counted_whatever_it_claims() {
        let budget = Budget::new(1 << 20);
        for (claimed, length, expected) in [
            (None, 100_000, Ok(100_000)),
            (Some(10), 100_000, Ok(100_000)),
            (Some(200_000), 100_000, Ok(100_000)),
            (None, 300_001, Err(Unread::TooLong)),
            (Some(1), 300_000, Ok(300_000)),
        ] {
            let mut permit = budget.try_take(REQUEST_CHARGE_MIN).expect("room");
            let mut body = Body::from(vec![7; length]);
            let wire = read(&mut body, claimed, 300_000, &mut permit).await;
            let held = wire.as_ref().map_or(0, Vec::capacity) as u64;
            assert!(held <= permit.bytes());
            assert_eq!(wire.map(|wire| wire.len()), expected, "{claimed:?}");
        }
        let mut permit = budget.try_take(REQUEST_CHARGE_MIN).expect("room");
        let _rest = budget.try_take((1 << 20) - REQUEST_CHARGE_MIN).expect("room");
        let mut body = Body::from(vec![7; 100_000]);
        let wire = read(&mut body, None, 300_000, &mut permit).await;
        assert_eq!(wire, Err(Unread::NoRoom));
    }
}
