//! Gzip bodies, held against flate2's reader of several members.

use std::io::Read as _;

use flate2::Crc;
use flate2::bufread::{DeflateDecoder, MultiGzDecoder};
use sluicegate::receive::unpack::{Packed, gunzip};

/// Far below the limit of a real gateway, so that small inputs reach it.
const BYTES_MAX: u64 = 1 << 20;

/// Unpacks the bytes with room enough, and once more with less.
pub fn run(data: &[u8]) {
    let left_over = b"what an earlier body left";
    let mut output = left_over.to_vec();
    let mut charged = 0;
    let outcome = gunzip(data, &mut output, BYTES_MAX, |bytes| {
        charged = bytes;
        assert!(bytes <= BYTES_MAX + 1, "{bytes} bytes asked for");
        true
    });
    let (expected, fault) = read(MultiGzDecoder::new(data));
    match &outcome {
        Ok(()) => {
            assert!(output.len() as u64 <= charged.max(BYTES_MAX));
            if fault || output != expected {
                one_that_stands_for_all(data, &output);
            }
        }
        Err(Packed::TooLong) => assert!(expected.len() as u64 > BYTES_MAX),
        Err(Packed::Broken(text)) => {
            assert!(fault || text.contains("gzip members"), "{text}");
            assert!(expected.len() as u64 <= BYTES_MAX);
        }
        Err(Packed::NoRoom) => panic!("there was room"),
    }

    let room = charged / 2;
    let mut less = Vec::new();
    let again = gunzip(data, &mut less, BYTES_MAX, |bytes| bytes <= room);
    match again {
        Err(Packed::NoRoom) => assert!(less.len() as u64 <= room),
        again => {
            assert_eq!(again, outcome);
            assert!(again.is_err() || less == output);
        }
    }
}

/// All that comes out, up to one byte beyond the limit, and whether that ended in a fault.
fn read(reader: impl std::io::Read) -> (Vec<u8>, bool) {
    let mut out = Vec::new();
    let fault = reader.take(BYTES_MAX + 1).read_to_end(&mut out).is_err();
    (out, fault)
}

/// On purpose: where the body's last eight bytes are the trailer of its first member, that member is
/// all that is read, whatever stands between.
fn one_that_stands_for_all(data: &[u8], output: &[u8]) {
    let mut expected = Vec::new();
    let mut deflated = DeflateDecoder::new(&data[10..]);
    deflated.read_to_end(&mut expected).expect("a whole first member");
    assert_eq!(output, expected);
    let mut sum = Crc::new();
    sum.update(output);
    let trailer = [sum.sum().to_le_bytes(), sum.amount().to_le_bytes()].concat();
    assert!(data.ends_with(&trailer));
}
