//! What delivery is told of one destination: Prometheus's own `remote_write` block.

use std::borrow::Cow;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use crate::map::relabel::Rule;
use crate::secret::{HIDDEN, Secret, hidden_in_url};

/// Headers that a destination's `headers` cannot set: those of the protocol, of the connection and
/// of the signature, as in Prometheus; `authorization` has its own setting.
pub const RESERVED_HEADERS: &[&str] = &[
    "accept-encoding",
    "authorization",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "host",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "www-authenticate",
    "x-amz-content-sha256",
    "x-amz-date",
    "x-amz-security-token",
    "x-prometheus-remote-read-version",
    "x-prometheus-remote-write-version",
];

/// `sigv4`: signing for Amazon Managed Service for Prometheus.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Sigv4 {
    /// AWS region; from the URL of an AMP workspace if the file leaves it out.
    pub region: String,
    /// Signing name; `aps`.
    pub service: String,
    /// Static credentials, instead of the standard chain.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub access_key: Option<String>,
    /// Belongs to `access_key`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret_key: Option<Secret>,
    /// Profile of the shared AWS configuration.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
    /// Role to assume through STS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role_arn: Option<String>,
    /// External id for that role.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external_id: Option<String>,
    /// STS endpoint URL, for private networks and tests; the region's own if left out. It holds no
    /// user and no query.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sts_endpoint: Option<String>,
}

/// A secret that is given inline or read from a file (and read again when the file changes).
#[derive(Clone, Debug, PartialEq)]
pub enum SecretSource {
    /// The text itself.
    Inline(Secret),
    /// A file that holds it.
    File(PathBuf),
}

/// How requests prove who sends them.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Auth {
    /// Not at all.
    #[default]
    None,
    /// AWS Signature Version 4.
    Sigv4(Sigv4),
    /// `basic_auth`.
    BasicAuth {
        /// User name.
        username: String,
        /// Password.
        password: SecretSource,
    },
    /// `authorization`: `<type> <credentials>`, `Bearer` by default.
    Authorization {
        /// The scheme, e.g. `Bearer`.
        scheme: String,
        /// The credentials.
        credentials: SecretSource,
    },
}

/// As the configuration writes it: no key, or one of `sigv4`, `basic_auth`, `authorization`.
impl Serialize for Auth {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        match self {
            Self::None => {}
            Self::Sigv4(sigv4) => map.serialize_entry("sigv4", sigv4)?,
            Self::BasicAuth { username, password } => {
                let (key, shown) = password.shown("password", "password_file");
                let block = [("username", username.as_str()), (key, shown.as_ref())];
                map.serialize_entry("basic_auth", &Block(&block))?;
            }
            Self::Authorization { scheme, credentials } => {
                let (key, shown) = credentials.shown("credentials", "credentials_file");
                let block = [("type", scheme.as_str()), (key, shown.as_ref())];
                map.serialize_entry("authorization", &Block(&block))?;
            }
        }
        map.end()
    }
}

impl SecretSource {
    /// The key that it stands under, and what may be shown of it.
    fn shown(&self, inline: &'static str, file: &'static str) -> (&'static str, Cow<'_, str>) {
        match self {
            Self::Inline(_) => (inline, Cow::Borrowed(HIDDEN)),
            Self::File(path) => (file, path.to_string_lossy()),
        }
    }
}

/// A mapping of two texts.
struct Block<'a>(&'a [(&'static str, &'a str); 2]);

impl Serialize for Block<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().copied())
    }
}

fn show_headers<S: Serializer>(
    headers: &[(String, Secret)],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_map(headers.iter().map(|(name, value)| (name, value)))
}

fn show_url<S: Serializer>(url: &str, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&hidden_in_url(url))
}

/// `tls_config` of a destination.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Tls {
    /// PEM file of the certificate authorities to trust, instead of the system's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// PEM file of the client certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cert_file: Option<PathBuf>,
    /// PEM file of its key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_file: Option<PathBuf>,
    /// Do not verify the server's certificate.
    pub insecure_skip_verify: bool,
}

/// `queue_config` of a destination.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Queue {
    /// Number of lanes (Prometheus's shards); fixed while running.
    pub max_shards: u32,
    /// Samples per request.
    pub max_samples_per_send: usize,
    /// Bytes per request before compression.
    #[serde(serialize_with = "crate::units::show_bytes")]
    pub max_bytes_per_send: u64,
    /// First wait between attempts.
    #[serde(serialize_with = "crate::units::show_duration")]
    pub min_backoff: Duration,
    /// Longest wait between attempts.
    #[serde(serialize_with = "crate::units::show_duration")]
    pub max_backoff: Duration,
    /// Samples older than this are aged out instead of sent; 0 is off.
    #[serde(serialize_with = "crate::units::show_optional_duration")]
    pub sample_age_limit: Option<Duration>,
    /// Samples further ahead of the clock than this are left out; 0 is off. One of them can make
    /// Cortex and its kin refuse everything that is older than it by more than their window.
    #[serde(serialize_with = "crate::units::show_optional_duration")]
    pub sample_future_limit: Option<Duration>,
}

/// `metadata_config` of a destination.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Metadata {
    /// Whether TYPE and unit are sent.
    pub send: bool,
    /// How often.
    #[serde(serialize_with = "crate::units::show_duration")]
    pub send_interval: Duration,
    /// Families per request.
    pub max_samples_per_send: usize,
}

/// What a 400 means that names no size.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum BadRequest {
    /// Told from the host and the answer's text.
    #[default]
    Auto,
    /// The good samples were stored.
    Partial,
    /// Nothing was stored: find the bad samples.
    Isolate,
}

/// One entry of `remote_write`.
#[derive(Clone, PartialEq, Serialize)]
pub struct Destination {
    /// Its name in metrics and logs; the URL's host if left out; unique.
    pub name: String,
    /// Where requests go. What its query says is shown to nobody: receivers take tokens there.
    #[serde(serialize_with = "show_url")]
    pub url: String,
    /// Whether a 200 waits for it.
    pub required: bool,
    /// How requests prove who sends them.
    #[serde(flatten)]
    pub auth: Auth,
    /// Further headers.
    #[serde(skip_serializing_if = "Vec::is_empty", serialize_with = "show_headers")]
    pub headers: Vec<(String, Secret)>,
    /// TLS settings.
    pub tls_config: Tls,
    /// The destination's own relabelling.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub write_relabel_configs: Vec<Rule>,
    /// Lanes, sizes, waits.
    pub queue_config: Queue,
    /// Metadata sending.
    pub metadata_config: Metadata,
    /// Time for one attempt.
    #[serde(serialize_with = "crate::units::show_duration")]
    pub remote_timeout: Duration,
    /// What a 400 means.
    pub bad_request: BadRequest,
    /// Extra requests per Firehose request to isolate refused samples.
    pub max_isolation_requests: u32,
}

/// Without what may be secret in the URL.
impl fmt::Debug for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Destination")
            .field("name", &self.name)
            .field("url", &hidden_in_url(&self.url))
            .field("required", &self.required)
            .field("auth", &self.auth)
            .field("headers", &self.headers)
            .field("tls_config", &self.tls_config)
            .field("write_relabel_configs", &self.write_relabel_configs)
            .field("queue_config", &self.queue_config)
            .field("metadata_config", &self.metadata_config)
            .field("remote_timeout", &self.remote_timeout)
            .field("bad_request", &self.bad_request)
            .field("max_isolation_requests", &self.max_isolation_requests)
            .finish()
    }
}

impl Destination {
    /// Whether the URL's host is one of Amazon Managed Service for Prometheus.
    #[must_use]
    pub fn is_amp(&self) -> bool {
        amp_region(&self.url).is_some()
    }
}

/// The region of an AMP data-plane URL, in any of its four forms:
/// `aps-workspaces[-fips].<region>.amazonaws.com` and `aps-workspaces[-fips].<region>.api.aws`
/// (<https://docs.aws.amazon.com/general/latest/gr/prometheus-service.html>), with the `.cn` of the
/// China partition.
#[must_use]
pub fn amp_region(url: &str) -> Option<&str> {
    let host = url.split_once("://")?.1;
    let host = host.split(['/', ':', '?']).next()?;
    let rest = host
        .strip_prefix("aps-workspaces.")
        .or_else(|| host.strip_prefix("aps-workspaces-fips."))?;
    [".amazonaws.com", ".amazonaws.com.cn", ".api.aws", ".api.amazonwebservices.com.cn"]
        .iter()
        .find_map(|suffix| rest.strip_suffix(suffix))
        .filter(|region| !region.is_empty() && !region.contains('.'))
}
