//! What the door is told.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

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
    /// Open connections; further ones wait in the kernel's queue.
    pub max_connections: usize,
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
