//! What was said, read into what is meant; every fault is reported at once.

use std::net::SocketAddr;

use serde::Serialize;

use crate::{deliver, map, receive};

/// The whole configuration: it cannot be wrong any more.
#[derive(Clone, Debug, Serialize)]
pub struct Config {
    /// `server`
    pub server: receive::Config,
    /// `telemetry`
    pub telemetry: Telemetry,
    /// `cloudwatch`
    pub cloudwatch: map::Config,
    /// `global`
    pub global: Global,
    /// `relabel_configs`
    pub relabel_configs: Vec<map::relabel::Rule>,
    /// `remote_write`
    pub remote_write: Vec<deliver::Destination>,
    /// `log`
    pub log: Log,
}

/// The `telemetry` section.
#[derive(Clone, Debug, Serialize)]
pub struct Telemetry {
    /// Where `/metrics`, `/config` and the health paths are served.
    pub listen_address: SocketAddr,
}

/// The `global` section.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Global {
    /// Labels added to every series that lacks them, sorted by name.
    #[serde(serialize_with = "show_labels")]
    pub external_labels: Vec<(String, String)>,
}

/// How logs are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// One JSON object per line.
    #[default]
    Json,
    /// For people.
    Text,
}

/// The `log` section.
#[derive(Clone, Debug, Serialize)]
pub struct Log {
    /// How lines look.
    pub format: LogFormat,
    /// Filter directives as in `RUST_LOG` (which wins).
    pub level: String,
}

fn show_labels<S: serde::Serializer>(
    labels: &[(String, String)],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_map(labels.iter().map(|(name, value)| (name, value)))
}
