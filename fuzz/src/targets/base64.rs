//! A record's base64, held against a decoder that was written from RFC 4648 alone.

use sluicegate::decode::envelope::{self, Data};

/// Decodes the bytes as a record's text, plain and with every character escaped, and encodes them to
/// decode them again.
pub fn run(data: &[u8]) {
    let expected = strict(data);
    // What an earlier record left must not show.
    let mut scratch = b"left over from an earlier record".to_vec();
    assert_eq!(Data::Plain(data).decode(&mut scratch).ok(), expected.as_deref());

    if data.is_ascii() {
        let escaped: String = data.iter().map(|byte| format!("\\u{byte:04x}")).collect();
        let body = format!("{{\"requestId\":\"\",\"records\":[{{\"data\":\"{escaped}\"}}]}}");
        let envelope = envelope::open(body.as_bytes()).expect("an envelope");
        assert_eq!(envelope.records[0].decode(&mut scratch).ok(), expected.as_deref());
    }

    let encoded = base64_simd::STANDARD.encode_to_string(data);
    assert_eq!(Data::Plain(encoded.as_bytes()).decode(&mut scratch), Ok(data));
    assert_eq!(strict(encoded.as_bytes()).as_deref(), Some(data));
}

/// The standard alphabet, padded, nothing between, no bits left over.
pub fn strict(text: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len() / 4 * 3);
    let padding = text.iter().rev().take_while(|byte| **byte == b'=').count();
    if !text.len().is_multiple_of(4) || padding > 2 {
        return None;
    }
    let (mut bits, mut held) = (0u32, 0);
    for byte in &text[..text.len() - padding] {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(value);
        held += 6;
        if held >= 8 {
            held -= 8;
            out.push((bits >> held) as u8);
            bits &= (1 << held) - 1;
        }
    }
    (bits == 0).then_some(out)
}
