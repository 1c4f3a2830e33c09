//! What a request's headers say (Firehose delivery specification 1.0, request format).

use axum::http::header::{CONTENT_ENCODING, CONTENT_LENGTH, EXPECT};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName};

use super::reply::echoed;

const ACCESS_KEY: HeaderName = HeaderName::from_static("x-amz-firehose-access-key");
const COMMON_ATTRIBUTES: HeaderName = HeaderName::from_static("x-amz-firehose-common-attributes");
const PROTOCOL_VERSION: HeaderName = HeaderName::from_static("x-amz-firehose-protocol-version");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-amz-firehose-request-id");
const SOURCE_ARN: HeaderName = HeaderName::from_static("x-amz-firehose-source-arn");

/// Characters that a delivery stream's name can have in labels and logs; real ones have at most 64.
const STREAM_CHARS_MAX: usize = 255;

/// How a body is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    Identity,
    Gzip,
}

/// The headers of a request.
#[derive(Clone, Debug)]
pub(super) struct Head {
    headers: HeaderMap,
    target_bytes: usize,
    /// The request id as it is echoed; empty if there is none.
    pub(super) request_id: String,
    /// Name of the delivery stream; `unknown` if the ARN does not say.
    pub(super) stream: String,
}

impl Head {
    pub(super) fn read(parts: Parts) -> Self {
        let Parts { headers, uri, .. } = parts;
        let arn = headers.get(SOURCE_ARN).and_then(|arn| arn.to_str().ok()).unwrap_or_default();
        let stream = arn.split_once("deliverystream/").map_or("", |(_, name)| name);
        let stream = if stream.is_empty() { "unknown" } else { stream };
        Self {
            target_bytes: uri.path().len() + uri.query().map_or(0, str::len),
            request_id: request_id(&headers),
            stream: stream.chars().take(STREAM_CHARS_MAX).collect(),
            headers,
        }
    }

    /// Gives the memory of the headers back, once all that is wanted of them has been read: from then
    /// on it is as if there had been none. The request id and the stream stay.
    pub(super) fn forget_headers(&mut self) {
        self.headers = HeaderMap::new();
    }

    /// The key that the request shows; none if there is not exactly one.
    pub(super) fn access_key(&self) -> Option<&[u8]> {
        let mut keys = self.headers.get_all(ACCESS_KEY).iter();
        let key = keys.next()?;
        keys.next().is_none().then_some(key.as_bytes())
    }

    /// `arn:aws:firehose:<region>:<account>:deliverystream/<name>`; empty if missing.
    pub(super) fn source_arn(&self) -> &str {
        self.headers.get(SOURCE_ARN).and_then(|arn| arn.to_str().ok()).unwrap_or_default()
    }

    /// Why the request is not one of the protocol that is spoken here, if it is not.
    pub(super) fn protocol_fault(&self) -> Option<String> {
        match self.headers.get(PROTOCOL_VERSION).map(|version| version.as_bytes()) {
            Some(b"1.0") => {}
            Some(other) => {
                let other = echoed(other);
                return Some(format!("protocol version `{other}` is not 1.0"));
            }
            None => return Some(format!("the header {PROTOCOL_VERSION} is missing")),
        }
        self.request_id.is_empty().then(|| format!("the header {REQUEST_ID} is missing"))
    }

    /// How the body is packed.
    ///
    /// # Errors
    /// With a text if it is packed in a way that Firehose does not use.
    pub(super) fn encoding(&self) -> Result<Encoding, String> {
        let mut encodings = self.headers.get_all(CONTENT_ENCODING).iter();
        let encoding = encodings.next().map_or(&b"identity"[..], |value| value.as_bytes());
        match encoding.trim_ascii() {
            _ if encodings.next().is_some() => Err("the body is packed more than once".to_owned()),
            known if known.eq_ignore_ascii_case(b"gzip") => Ok(Encoding::Gzip),
            known if known.is_empty() || known.eq_ignore_ascii_case(b"identity") => {
                Ok(Encoding::Identity)
            }
            other => Err(format!("content encoding `{}` is not gzip", echoed(other))),
        }
    }

    /// How long the body claims to be. A claim only: what is read is counted.
    pub(super) fn content_length(&self) -> Option<u64> {
        self.headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
    }

    /// The common attributes as they came.
    pub(super) fn common_attributes(&self) -> Option<&[u8]> {
        self.headers.get(COMMON_ATTRIBUTES).map(|value| value.as_bytes())
    }

    /// See [`waits_for_continue`].
    pub(super) fn waits_for_continue(&self) -> bool {
        waits_for_continue(&self.headers)
    }

    /// Bytes of the header block, about as HTTP/1.1 would write it.
    pub(super) fn bytes(&self) -> u64 {
        let headers = self.headers.iter();
        let total: usize = headers.map(|(k, v)| k.as_str().len() + v.len() + 4).sum();
        (total + self.target_bytes) as u64
    }
}

/// Whether the client waits for `100 Continue` before it sends the body. Whoever reads on tells it
/// to go on.
pub(super) fn waits_for_continue(headers: &HeaderMap) -> bool {
    headers.get(EXPECT).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"))
}

/// The request id as it is echoed; empty if there is none.
pub(super) fn request_id(headers: &HeaderMap) -> String {
    headers.get(REQUEST_ID).map(|id| echoed(id.as_bytes())).unwrap_or_default()
}
