//! The one table from what became of a request to its answer, in Firehose's contract shape: any
//! other shape counts as a failure with Firehose, whatever its status (delivery specification 1.0,
//! response format).

use std::borrow::Cow;
use std::time::{SystemTime, UNIX_EPOCH};

use axum::body::Body;
use axum::http::header::{ALLOW, CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use serde::Serialize;

/// Characters that `errorMessage` may have.
const MESSAGE_CHARS_MAX: usize = 8_192;
/// Characters of a request id that are echoed; Firehose's are GUIDs of 36.
const REQUEST_ID_CHARS_MAX: usize = 256;

/// What became of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub(super) enum Answer {
    /// 200: everything is settled, or there was nothing to do.
    Done,
    /// 400: this request cannot be read, now or later.
    Unreadable(String),
    /// 401: the access key is missing or wrong.
    Unknown,
    /// 403: the key may not be used from this source.
    Forbidden,
    /// 404: no such path.
    NoSuchPath,
    /// 405: the path is there, the method is not; `allow` names those that are.
    NoSuchMethod {
        /// The `Allow` header.
        allow: &'static str,
    },
    /// 500: a fault of the gateway.
    Panicked,
    /// 503: not now; Firehose sends the request again.
    Later(String),
    /// 503: there is no room.
    Full(String),
}

impl Answer {
    /// The status. 413 is not among them: Firehose drops a batch for good on it.
    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::Done => StatusCode::OK,
            Self::Unreadable(_) => StatusCode::BAD_REQUEST,
            Self::Unknown => StatusCode::UNAUTHORIZED,
            Self::Forbidden => StatusCode::FORBIDDEN,
            Self::NoSuchPath => StatusCode::NOT_FOUND,
            Self::NoSuchMethod { .. } => StatusCode::METHOD_NOT_ALLOWED,
            Self::Panicked => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Later(_) | Self::Full(_) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// What `errorMessage` says; none on success.
    pub(super) fn message(&self) -> Option<Cow<'_, str>> {
        Some(match self {
            Self::Done => return None,
            Self::Unreadable(why) | Self::Later(why) | Self::Full(why) => {
                cut(why, MESSAGE_CHARS_MAX)
            }
            Self::Unknown => "the access key is missing or not known".into(),
            Self::Forbidden => "the access key may not be used from this source ARN".into(),
            Self::NoSuchPath => "there is nothing at this path".into(),
            Self::NoSuchMethod { allow } => format!("this path takes {allow} only").into(),
            Self::Panicked => "internal fault; the request was not delivered".into(),
        })
    }

    /// The answer, with the request's id.
    pub(super) fn respond(&self, request_id: &str) -> Response {
        let message = self.message();
        let shape = Shape { request_id, timestamp: now_ms(), error_message: message.as_deref() };
        let body = serde_json::to_vec(&shape).unwrap_or_default();
        let length = HeaderValue::from(body.len());
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = self.status();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(CONTENT_LENGTH, length);
        if let Self::NoSuchMethod { allow } = self {
            headers.insert(ALLOW, HeaderValue::from_static(allow));
        }
        response
    }
}

/// Exactly the fields that Firehose knows; others may make an answer invalid.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Shape<'a> {
    request_id: &'a str,
    timestamp: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_message: Option<&'a str>,
}

/// A request id as it is echoed and logged: printable and short.
pub(super) fn echoed(request_id: &[u8]) -> String {
    String::from_utf8_lossy(request_id)
        .chars()
        .filter(|c| !c.is_control())
        .take(REQUEST_ID_CHARS_MAX)
        .collect()
}

/// At most `chars_max` characters, cut between two of them.
fn cut(text: &str, chars_max: usize) -> Cow<'_, str> {
    match text.char_indices().nth(chars_max) {
        None => text.into(),
        Some((end, _)) => text.get(..end).unwrap_or_default().into(),
    }
}

/// Milliseconds since 1970.
pub(super) fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_message_is_cut_between_characters() {
        let answer = Answer::Later("ß".repeat(10_000));
        assert_eq!(answer.message().map(|m| m.chars().count()), Some(MESSAGE_CHARS_MAX));
    }

    #[test]
    fn an_id_is_echoed_printable_and_short() {
        assert_eq!(echoed(b"a\x00b\n\x7fc"), "abc");
        assert_eq!(echoed(&[b'x'; 1000]).len(), REQUEST_ID_CHARS_MAX);
        assert_eq!(echoed(b"\xff"), "\u{fffd}");
    }
}
