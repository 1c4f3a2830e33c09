//! What the door is told.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

use crate::queue;
use crate::secret::Secret;

/// Where an access key's text comes from.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum KeySource {
    /// The text itself (inline, or from the environment when the file was read).
    Key(Secret),
    /// A file that holds it; read again when it changes.
    KeyFile(PathBuf),
}

/// One access key.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AccessKey {
    /// Its name in metrics and logs; unique.
    pub name: String,
    /// Its text. `{"api_key":"..."}`, as Secrets Manager holds it for Firehose, is unwrapped.
    #[serde(flatten)]
    pub source: KeySource,
    /// Globs on `X-Amz-Firehose-Source-Arn`; any if empty.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub source_arns: Vec<String>,
    /// Accounts allowed in the source ARN; any if empty.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub accounts: Vec<String>,
}

/// What is asked of clients' certificates, by the names that Go and Prometheus have for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub enum ClientAuth {
    /// None is asked for.
    #[default]
    NoClientCert,
    /// One is asked for; whoever has none comes in as well, and any will do.
    RequestClientCert,
    /// Any will do, but there must be one.
    RequireAnyClientCert,
    /// One that is shown must come from an authority of `client_ca_file`.
    VerifyClientCertIfGiven,
    /// There must be one, from an authority of `client_ca_file`.
    RequireAndVerifyClientCert,
}

impl ClientAuth {
    /// Whether certificates are held against authorities.
    #[must_use]
    pub fn verifies(self) -> bool {
        matches!(self, Self::VerifyClientCertIfGiven | Self::RequireAndVerifyClientCert)
    }

    /// Whether a client without a certificate is turned away.
    #[must_use]
    pub fn is_mandatory(self) -> bool {
        matches!(self, Self::RequireAnyClientCert | Self::RequireAndVerifyClientCert)
    }
}

/// A version of TLS, by the names that Prometheus has for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub enum TlsVersion {
    /// TLS 1.2.
    #[default]
    #[serde(rename = "TLS12")]
    Tls12,
    /// TLS 1.3.
    #[serde(rename = "TLS13")]
    Tls13,
}

/// TLS on the ingest listener. The files are read again when they change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TlsConfig {
    /// PEM file of the certificate and those between it and its authority.
    pub cert_file: PathBuf,
    /// PEM file of its key.
    pub key_file: PathBuf,
    /// PEM file of the authorities of clients' certificates.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_ca_file: Option<PathBuf>,
    /// What is asked of clients.
    pub client_auth_type: ClientAuth,
    /// The least version that is spoken.
    pub min_version: TlsVersion,
}

/// What to do with a request of which something could not be decoded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum OnUndecodable {
    /// Deliver the rest, count, answer 200.
    #[default]
    Skip,
    /// Deliver the rest, then answer 400, so that Firehose's S3 bucket keeps the batch.
    Reject,
}

/// The most of a budget that the requests of one of so many access keys may hold, in bytes.
#[must_use]
pub fn key_part_bytes_max(budget: u64, keys: usize) -> u64 {
    queue::largest_part_bytes(budget, keys)
}

/// The `server` section.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Config {
    /// Where Firehose (or the load balancer) connects.
    pub listen_address: SocketAddr,
    /// Path of the Firehose endpoint.
    pub path: String,
    /// The access keys; empty only if `insecure_allow_unauthenticated`.
    pub access_keys: Vec<AccessKey>,
    /// Take requests without a key.
    pub insecure_allow_unauthenticated: bool,
    /// Common attributes (`X-Amz-Firehose-Common-Attributes`) that become labels of the same,
    /// sanitised name.
    pub common_attributes: Vec<String>,
    /// What to do with undecodable records.
    pub on_undecodable: OnUndecodable,
    /// From a request's headers to its answer. Below Firehose's 180 s.
    #[serde(serialize_with = "crate::units::show_duration")]
    pub request_deadline: Duration,
    /// The one byte budget.
    #[serde(serialize_with = "crate::units::show_bytes")]
    pub budget: u64,
    /// Hard limit of a body, on the wire and unpacked; above it the answer is 400.
    #[serde(serialize_with = "crate::units::show_bytes")]
    pub max_body_size: u64,
    /// TLS; in clear text if there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_config: Option<TlsConfig>,
    /// Open connections. A further one takes the place of one that rests, or waits.
    pub max_connections: usize,
    /// After that many requests a connection is closed; 0 for no limit.
    pub max_requests_per_connection: u32,
    /// Bytes of a request's header block.
    #[serde(serialize_with = "crate::units::show_bytes")]
    pub max_header_size: u64,
    /// Time for a request's headers to arrive.
    #[serde(serialize_with = "crate::units::show_duration")]
    pub read_header_timeout: Duration,
    /// Time for a request's body to arrive.
    #[serde(serialize_with = "crate::units::show_duration")]
    pub read_timeout: Duration,
    /// Time a connection may idle between requests.
    #[serde(serialize_with = "crate::units::show_duration")]
    pub idle_timeout: Duration,
    /// After a stop signal: time to stay open while not ready, so that load balancers notice.
    #[serde(serialize_with = "crate::units::show_duration")]
    pub shutdown_delay: Duration,
    /// After a stop signal: when requests still in flight are given up with 503.
    #[serde(serialize_with = "crate::units::show_duration")]
    pub drain_deadline: Duration,
}
