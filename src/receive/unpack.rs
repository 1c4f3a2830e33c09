//! Gunzip into counted memory. A bomb costs what the hard limit allows, and no more than the budget
//! has left.

use std::io::Read as _;

use flate2::bufread::GzDecoder;

/// The most that deflate can unpack a byte to (RFC 1951: 258 bytes for two bits).
const RATIO_MAX: u64 = 1032;
/// Memory is charged in steps of at most this.
const STEP: usize = 1 << 20;
/// Gzip members that a body may have; Firehose sends one.
const MEMBERS_MAX: usize = 1024;

/// Bodies that claim to unpack to at most this are unpacked in one go, by libdeflate: twice as fast,
/// but it wants the room for all of it beforehand.
const WHOLE_BYTES_MAX: usize = 8 << 20;

/// Why a body was not unpacked.
#[derive(Debug, PartialEq, Eq)]
pub enum Packed {
    /// It is not gzip, broken, cut off, or followed by something else.
    Broken(String),
    /// It unpacks to more than the hard limit.
    TooLong,
    /// `charge` said no.
    NoRoom,
}

/// Unpacks all members of `wire` into `output`. `charge` is told the length that `output` is about
/// to have, before it has it.
///
/// # Errors
/// Why it was not unpacked; `output` then holds no more than was charged.
pub fn gunzip(
    wire: &[u8],
    output: &mut Vec<u8>,
    bytes_max: u64,
    mut charge: impl FnMut(u64) -> bool,
) -> Result<(), Packed> {
    match whole(wire, output, bytes_max, &mut charge) {
        Some(Ok(())) => return Ok(()),
        Some(Err(packed)) => return Err(packed),
        // Not the plain case, or broken: the stream decoder tells what it is.
        None => output.clear(),
    }
    let mut rest = wire;
    let mut decoder = GzDecoder::new(rest);
    for _ in 0..MEMBERS_MAX {
        member(&mut decoder, wire, output, bytes_max, &mut charge)?;
        rest = decoder.get_ref();
        if rest.is_empty() {
            return Ok(());
        }
        decoder.reset(rest);
    }
    Err(Packed::Broken(format!("more than {MEMBERS_MAX} gzip members")))
}

/// Unpacks a body of one member, as Firehose sends it, whose trailer tells the truth.
///
/// libdeflate does not say where the member ended, so the body's last eight bytes have to be the
/// checksum and the length of what came out: they are another member's if there is more than one.
/// (Of several members that are all the same, one is taken. It says what they all say.)
fn whole(
    wire: &[u8],
    output: &mut Vec<u8>,
    bytes_max: u64,
    charge: &mut impl FnMut(u64) -> bool,
) -> Option<Result<(), Packed>> {
    // RFC 1952: magic, deflate, no flags (so no optional fields); then time, level and system.
    let rest = wire.strip_prefix(&[0x1f, 0x8b, 8, 0])?.get(6..)?;
    let (deflated, trailer) = rest.split_last_chunk::<8>()?;
    let [a, b, c, d, size @ ..] = *trailer;
    let size = u32::from_le_bytes(size) as usize;
    if size == 0 || size > WHOLE_BYTES_MAX || size > claimed(wire, bytes_max) {
        return None;
    }
    if !charge(size as u64) {
        return Some(Err(Packed::NoRoom));
    }
    // What an earlier body left is overwritten: clearing it first would cost writing it twice.
    output.reserve_exact(size.saturating_sub(output.len()));
    output.resize(size, 0);
    let unpacked = libdeflater::Decompressor::new().deflate_decompress(deflated, output).ok()?;
    let whole = unpacked == size && libdeflater::crc32(output) == u32::from_le_bytes([a, b, c, d]);
    whole.then_some(Ok(()))
}

fn member(
    decoder: &mut GzDecoder<&[u8]>,
    wire: &[u8],
    output: &mut Vec<u8>,
    bytes_max: u64,
    charge: &mut impl FnMut(u64) -> bool,
) -> Result<(), Packed> {
    loop {
        let length = output.len();
        // One byte beyond the limit tells a body that is too long from one that just fits.
        let limit = usize::try_from(bytes_max).unwrap_or(usize::MAX).saturating_add(1);
        if length >= limit {
            return Err(Packed::TooLong);
        }
        let step = STEP.min(limit - length);
        // A buffer that an earlier body left is made to fit at once: later it would get all the room there is.
        if output.is_empty() || output.capacity() - length < step.min(1024) {
            reserve(output, claimed(wire, bytes_max), limit)?;
        }
        let end = length + step.min(output.capacity() - length);
        if !charge(end as u64) {
            return Err(Packed::NoRoom);
        }
        output.resize(end, 0);
        let read = output.get_mut(length..).map_or(Ok(0), |spare| decoder.read(spare));
        output.truncate(length + read.as_ref().map_or(0, |read| *read));
        match read {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            Err(error) => return Err(Packed::Broken(error.to_string())),
        }
    }
}

/// Takes address space; memory comes to it as it is written, step by step, each one charged. At
/// first for what the trailer claims, and if that was not true for all that is allowed.
fn reserve(output: &mut Vec<u8>, claimed: usize, limit: usize) -> Result<(), Packed> {
    let capacity = if output.is_empty() { claimed.saturating_add(1024) } else { limit };
    let more = capacity.min(limit).saturating_sub(output.len());
    output.try_reserve_exact(more).map_err(|_| Packed::NoRoom)
}

/// What the trailer (RFC 1952, ISIZE) says that the last member unpacks to, as far as that can be.
pub(super) fn claimed(wire: &[u8], bytes_max: u64) -> usize {
    let isize = wire.last_chunk::<4>().map_or(0, |trailer| u32::from_le_bytes(*trailer));
    let possible = (wire.len() as u64).saturating_mul(RATIO_MAX).min(bytes_max);
    usize::try_from(u64::from(isize).min(possible)).unwrap_or(usize::MAX)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    const MAX: u64 = 16 << 20;

    fn gzip(plain: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(plain).unwrap();
        encoder.finish().unwrap()
    }

    fn unpacked(wire: &[u8]) -> Result<Vec<u8>, Packed> {
        let mut output = Vec::new();
        gunzip(wire, &mut output, MAX, |_| true).map(|()| output)
    }

    #[test]
    fn members_are_joined() {
        let plain: Vec<u8> = (0..3_000_000u32).map(|n| (n / 7 % 251) as u8).collect();
        for lengths in [vec![0], vec![1], vec![plain.len()], vec![5, 0, 2_000_000, 0, 7]] {
            let wire: Vec<u8> = lengths.iter().flat_map(|n| gzip(&plain[..*n])).collect();
            let joined: Vec<u8> = lengths.iter().flat_map(|n| plain[..*n].to_vec()).collect();
            assert_eq!(unpacked(&wire), Ok(joined), "{lengths:?}");
        }
    }

    #[test]
    fn what_an_earlier_body_left_does_not_show() {
        let mut output = b"something longer than what comes next, and then some".to_vec();
        for plain in [&b"short"[..], b"", b"somewhat longer", b"x"] {
            assert_eq!(gunzip(&gzip(plain), &mut output, MAX, |_| true), Ok(()));
            assert_eq!(output, plain);
        }
    }

    #[test]
    fn a_buffer_that_is_too_small_grows_to_what_the_body_needs() {
        let plain = vec![0; WHOLE_BYTES_MAX + 1];
        let wire = gzip(&plain);
        for capacity in [0, 1, 2000, WHOLE_BYTES_MAX, WHOLE_BYTES_MAX + 1000] {
            let mut output = Vec::with_capacity(capacity);
            output.resize(capacity / 2, 7);
            assert_eq!(gunzip(&wire, &mut output, MAX, |_| true), Ok(()));
            assert!(output == plain && output.capacity() < plain.len() + 4096, "{capacity}");
        }
    }

    #[test]
    fn a_body_of_equal_members_is_not_cut_after_the_first() {
        let (one, other) = (gzip(b"one member"), gzip(b"two member"));
        let joined = unpacked(&[one.clone(), other].concat());
        assert_eq!(joined, Ok(b"one membertwo member".to_vec()));
        let broken = [&one[..one.len() - 8], &[0; 8]].concat();
        assert!(matches!(unpacked(&broken), Err(Packed::Broken(_))));
    }

    #[test]
    fn what_is_not_gzip_is_broken() {
        let whole = gzip(b"some text that is long enough to be cut anywhere");
        for end in 0..whole.len() {
            assert!(matches!(unpacked(&whole[..end]), Err(Packed::Broken(_))), "cut at {end}");
        }
        for tail in [&b"x"[..], b"garbage after the trailer", &[0; 100]] {
            let wire = [&whole[..], tail].concat();
            assert!(matches!(unpacked(&wire), Err(Packed::Broken(_))), "{tail:?}");
        }
        let mut wrong = whole.clone();
        let at = wrong.len() - 6;
        wrong[at] ^= 1;
        assert!(matches!(unpacked(&wrong), Err(Packed::Broken(_))), "checksum");
        assert!(unpacked(&whole).is_ok());
        let many = gzip(b"").repeat(MEMBERS_MAX + 1);
        assert!(matches!(unpacked(&many), Err(Packed::Broken(_))), "members");
    }

    #[test]
    fn a_bomb_ends_at_the_limit() {
        let plain = vec![0; MAX as usize + 1];
        assert_eq!(unpacked(&gzip(&plain)), Err(Packed::TooLong));
        assert_eq!(unpacked(&gzip(&plain[1..])).map(|o| o.len()), Ok(MAX as usize));
        // A trailer that claims less makes no difference.
        let mut wire = gzip(&plain);
        let at = wire.len() - 4;
        wire[at..].copy_from_slice(&[1, 0, 0, 0]);
        assert_eq!(unpacked(&wire), Err(Packed::TooLong));
    }

    #[test]
    fn memory_is_charged_before_it_is_taken() {
        let wire = gzip(&vec![0; WHOLE_BYTES_MAX + 1]);
        let mut output = Vec::new();
        let mut most = 0;
        let outcome = gunzip(&wire, &mut output, MAX, |bytes| {
            assert!(bytes <= most + STEP as u64);
            most = bytes;
            bytes <= 2 << 20
        });
        assert_eq!(outcome, Err(Packed::NoRoom));
        assert!(output.len() <= 2 << 20);
    }
}
