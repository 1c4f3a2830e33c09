//! What an identity is looked up by: everything that its series depend on, as one run of bytes.

use crate::decode::Reading;

/// Appends the request's extra labels: the part of the key that its readings share.
pub(super) fn begin(key: &mut Vec<u8>, extra_labels: &[(String, String)]) {
    number(key, extra_labels.len());
    for (name, value) in extra_labels {
        text(key, name);
        text(key, value);
    }
}

/// Appends a reading's part. Every text has its length in front, so that no two identities can have
/// the same bytes.
pub(super) fn reading(key: &mut Vec<u8>, reading: &Reading<'_>) {
    for part in [reading.account, reading.region, reading.namespace, reading.metric, reading.unit] {
        text(key, part);
    }
    number(key, reading.dimensions.len());
    for (name, value) in reading.dimensions {
        text(key, name);
        text(key, value);
    }
    for (name, _) in reading.extended {
        text(key, name);
    }
}

#[inline]
fn text(key: &mut Vec<u8>, text: &str) {
    number(key, text.len());
    key.extend_from_slice(text.as_bytes());
}

/// A number in a byte, or in nine if it is large: most lengths are short, and the key is hashed and
/// compared for every data point.
#[inline]
fn number(key: &mut Vec<u8>, number: usize) {
    match u8::try_from(number) {
        Ok(short) if short < u8::MAX => key.push(short),
        _ => {
            key.push(u8::MAX);
            key.extend_from_slice(&(number as u64).to_le_bytes());
        }
    }
}
