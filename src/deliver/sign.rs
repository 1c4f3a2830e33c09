//! AWS Signature Version 4 over the bytes as they are sent.

use std::fmt;
use std::time::SystemTime;

use aws_credential_types::Credentials;
use aws_lc_rs::digest::{SHA256, digest};
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use reqwest::Url;
use reqwest::header::{HeaderName, HeaderValue};

use super::cause::cause;
use super::config::Sigv4;

/// A request could not be signed. The text holds no secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot sign: {0}")]
pub struct SignFault(String);

/// Signs the requests of one destination.
pub struct Signer {
    region: String,
    service: String,
    url: String,
    host: String,
}

/// Without the URL: receivers take tokens in its query.
impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer")
            .field("region", &self.region)
            .field("service", &self.service)
            .field("host", &self.host)
            .finish_non_exhaustive()
    }
}

impl Signer {
    /// Signs requests to this URL, which has to be one of [`signable`], within the scope that the
    /// configuration names.
    #[must_use]
    pub fn new(sigv4: &Sigv4, url: &Url) -> Self {
        let host = url.host_str().unwrap_or_default();
        // As the HTTP client writes it: a scheme's own port is left out (and `Url` forgets it).
        let host = url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
        Self {
            region: sigv4.region.clone(),
            service: sigv4.service.clone(),
            url: url.as_str().to_owned(),
            host,
        }
    }

    /// The headers that the signature adds to a POST of `body` with these headers. What is signed
    /// is the host, the date, the session token and the headers given: nothing that a client or a
    /// proxy adds on the way.
    ///
    /// # Errors
    /// If the credentials cannot stand in a header.
    pub fn sign(
        &self,
        credentials: &Credentials,
        headers: &[(&'static str, &'static str)],
        body: &[u8],
        now: SystemTime,
    ) -> Result<Vec<(HeaderName, HeaderValue)>, SignFault> {
        let identity = credentials.clone().into();
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region(&self.region)
            .name(&self.service)
            .time(now)
            .settings(SigningSettings::default())
            .build()
            .map_err(|error| SignFault(cause(&error)))?;
        let headers = headers.iter().copied().chain([("host", self.host.as_str())]);
        let body = SignableBody::Precomputed(sha256_hex(body));
        let request = SignableRequest::new("POST", self.url.as_str(), headers, body)
            .map_err(|error| SignFault(cause(&error)))?;
        let (instructions, _signature) =
            sign(request, &params.into()).map_err(|error| SignFault(cause(&error)))?.into_parts();
        instructions
            .into_parts()
            .0
            .iter()
            .map(|header| {
                let mut value = HeaderValue::from_str(header.value())
                    .map_err(|_| SignFault(format!("`{}` is no header value", header.name())))?;
                value.set_sensitive(true);
                Ok((HeaderName::from_static(header.name()), value))
            })
            .collect()
    }
}

/// The URL with its path and query in the one spelling that every reader of the specification
/// takes for canonical: no empty or dot segments, no slash at the end (Prometheus cleans the path
/// alike, and Amazon Managed Service for Prometheus has another route there), every byte escaped
/// that is not unreserved, spaces in the query as `%20`. User name, password and fragment go.
#[must_use]
pub fn signable(url: &Url) -> Url {
    let mut clean = url.clone();
    // Neither fails on a URL with a host, and no other gets here.
    let _ = clean.set_username("");
    let _ = clean.set_password(None);
    clean.set_fragment(None);
    let mut path = String::with_capacity(url.path().len());
    for segment in url.path().split('/').filter(|segment| !matches!(*segment, "" | "." | "..")) {
        path.push('/');
        escape(&unescape(segment), &mut path);
    }
    clean.set_path(&path);
    let mut query = String::new();
    for (name, value) in url.query_pairs() {
        if !query.is_empty() {
            query.push('&');
        }
        escape(name.as_bytes(), &mut query);
        query.push('=');
        escape(value.as_bytes(), &mut query);
    }
    clean.set_query((!query.is_empty()).then_some(&query));
    clean
}

/// SHA-256 in hexadecimal. The signer would hash by itself, at half this speed on processors that have no
/// instructions for it.
fn sha256_hex(bytes: &[u8]) -> String {
    let digest = digest(&SHA256, bytes);
    let digits = digest.as_ref().iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits.filter_map(|digit| char::from_digit(digit.into(), 16)).collect()
}

/// Percent-escapes all but unreserved characters (RFC 3986 section 2.3), as the signature does.
fn escape(bytes: &[u8], into: &mut String) {
    const HEX: [char; 16] =
        ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F'];
    for &byte in bytes {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            into.push(char::from(byte));
        } else {
            into.push('%');
            into.extend([byte >> 4, byte & 15].map(|digit| HEX[usize::from(digit & 15)]));
        }
    }
}

pub(super) fn unescape(text: &str) -> Vec<u8> {
    let digit = |byte: Option<&u8>| byte.and_then(|byte| char::from(*byte).to_digit(16));
    let bytes = text.as_bytes();
    let mut plain = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        match (byte, digit(bytes.get(at + 1)), digit(bytes.get(at + 2))) {
            (b'%', Some(high), Some(low)) => {
                plain.push((high * 16 + low) as u8);
                at += 3;
            }
            _ => {
                plain.push(byte);
                at += 1;
            }
        }
    }
    plain
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn spells_urls_in_one_way() {
        for (said, meant) in [
            (
                "https://h/workspaces/ws-1/api/v1/remote_write",
                "https://h/workspaces/ws-1/api/v1/remote_write",
            ),
            ("https://h:443/a/", "https://h/a"),
            ("https://h", "https://h/"),
            ("https://h//", "https://h/"),
            ("http://h:8080//a/./b/../c//d/", "http://h:8080/a/c/d"),
            ("https://h/a b/(c)/%7Ed/%2f/ä/e%", "https://h/a%20b/%28c%29/~d/%2F/%C3%A4/e%25"),
            ("https://h/a:b,c@d*e'f", "https://h/a%3Ab%2Cc%40d%2Ae%27f"),
            ("https://h/a?b=c+d&a=%2f&&flag&e=ä=f", "https://h/a?b=c%20d&a=%2F&flag=&e=%C3%A4%3Df"),
            ("https://user:pass@h/a?#part", "https://h/a"),
        ] {
            let clean = signable(&Url::parse(said).unwrap());
            assert_eq!(clean.as_str(), meant, "{said}");
            assert_eq!(signable(&clean), clean, "{said}");
        }
    }
}
