//! What Firehose demands of an answer (HTTP endpoint delivery, protocol 1.0); anything else is to
//! it a 500 without a body, whatever the status was.
//! <https://docs.aws.amazon.com/firehose/latest/dev/httpdeliveryrequestresponse.html>

use reqwest::header::{
    CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, TRANSFER_ENCODING,
};
use serde::Deserialize;

/// Bytes that an answer may have, its headers included.
pub const ANSWER_BYTES_MAX: usize = 1 << 20;

/// Characters that `errorMessage` may have.
pub const ERROR_MESSAGE_CHARS_MAX: usize = 8192;

/// The fields of an answer. Unknown and repeated ones are refused, and so is a `null`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Fields {
    request_id: String,
    // Read as a number of any kind: a string is the classic mistake.
    #[serde(rename = "timestamp")]
    _timestamp: serde_json::Number,
    #[serde(default, deserialize_with = "present")]
    error_message: Option<String>,
}

fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    String::deserialize(deserializer).map(Some)
}

/// Holds an answer against the contract and gives its `errorMessage`.
///
/// # Errors
/// The first breach, in words.
pub fn check(
    status: u16,
    headers: &HeaderMap,
    body: &[u8],
    request_id: &str,
) -> Result<Option<String>, String> {
    if !matches!(status, 200..=299 | 400..=599) {
        return Err(format!("status {status} is outside of 2xx, 4xx and 5xx"));
    }
    match headers.get(CONTENT_TYPE).map(|value| value.as_bytes()) {
        Some(b"application/json") => {}
        Some(other) => {
            return Err(format!("content type is {:?}", String::from_utf8_lossy(other)));
        }
        None => return Err("no content type".to_owned()),
    }
    if headers.contains_key(CONTENT_ENCODING) {
        return Err("the answer has a content encoding".to_owned());
    }
    if headers.contains_key(TRANSFER_ENCODING) {
        return Err("the answer has a transfer encoding".to_owned());
    }
    if !headers.contains_key(CONTENT_LENGTH) {
        return Err("no content length".to_owned());
    }
    if header_bytes(headers).saturating_add(body.len()) > ANSWER_BYTES_MAX {
        return Err("the answer is larger than 1 MiB".to_owned());
    }
    if body.iter().find(|byte| !byte.is_ascii_whitespace()) != Some(&b'{') {
        // A JSON array would pass for the fields in their order.
        return Err("the body is not a JSON object".to_owned());
    }
    let fields: Fields = serde_json::from_slice(body)
        .map_err(|fault| format!("the body is not as agreed: {fault}"))?;
    if fields.request_id != request_id {
        return Err(format!("requestId is {:?}, not {request_id:?}", fields.request_id));
    }
    match fields.error_message {
        Some(message) if message.chars().count() > ERROR_MESSAGE_CHARS_MAX => {
            Err("errorMessage has more than 8192 characters".to_owned())
        }
        message => Ok(message),
    }
}

/// What the headers take on the wire, their separators included.
#[must_use]
pub fn header_bytes(headers: &HeaderMap) -> usize {
    headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum()
}
