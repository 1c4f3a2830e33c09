//! What was said, read into what is meant; every fault is reported at once.

mod auth;
mod cloudwatch;
mod expand;
mod fault;
mod memory;
mod read;
mod reader;
mod relabel;
mod remote_write;
mod server;
mod server_tls;
mod show;
mod source;
mod values;
mod yaml;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::Serialize;

pub use fault::{Fault, Faults, Mark};
pub use memory::limit_bytes as memory_limit_bytes;
pub use read::{load, load_within};
pub use source::{Loaded, Source, from_environment, from_environment_within};

use crate::deliver::config::{Auth, SecretSource};
use crate::receive::KeySource;
use crate::{deliver, map, receive};

/// The whole configuration: it cannot be wrong any more.
#[derive(Clone, Debug, PartialEq, Serialize)]
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

impl Config {
    /// What requests may hold of `server.budget`: the table of known series is taken out of it.
    #[must_use]
    pub fn requests_budget(&self) -> u64 {
        let table_bytes = self.cloudwatch.series_limit.map_or(0, |limit| limit.table_bytes());
        self.server.budget.saturating_sub(table_bytes)
    }

    /// What the mapping is made from.
    #[must_use]
    pub fn plan(&self) -> map::Plan {
        let outlets = self.remote_write.iter().map(|destination| map::Outlet {
            lanes: destination.queue_config.max_shards.max(1),
            write_relabel: destination.write_relabel_configs.clone(),
        });
        map::Plan {
            config: self.cloudwatch.clone(),
            external_labels: self.global.external_labels.clone(),
            relabel: self.relabel_configs.clone(),
            outlets: outlets.collect(),
        }
    }

    /// Every file that the configuration names.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        let keys = self.server.access_keys.iter().filter_map(|key| match &key.source {
            KeySource::KeyFile(path) => Some(path),
            KeySource::Key(_) => None,
        });
        let tls = self.server.tls_config.iter().flat_map(|tls| {
            [Some(&tls.cert_file), Some(&tls.key_file), tls.client_ca_file.as_ref()]
        });
        let of_destinations = self.remote_write.iter().flat_map(|destination| {
            let secret = match &destination.auth {
                Auth::BasicAuth { password: SecretSource::File(path), .. }
                | Auth::Authorization { credentials: SecretSource::File(path), .. } => Some(path),
                Auth::BasicAuth { .. } | Auth::Authorization { .. } => None,
                Auth::None | Auth::Sigv4(_) => None,
            };
            let tls = &destination.tls_config;
            [secret, tls.ca_file.as_ref(), tls.cert_file.as_ref(), tls.key_file.as_ref()]
        });
        keys.chain(tls.flatten()).chain(of_destinations.flatten()).map(PathBuf::as_path)
    }

    /// The effective configuration as YAML, secrets hidden. Where none stands in it, it reads back as
    /// the same configuration.
    #[must_use]
    pub fn to_yaml(&self) -> String {
        // Serializing into a value fails for no type of ours: all keys are texts.
        serde_json::to_value(self).map(|value| show::to_yaml(&value)).unwrap_or_default()
    }

    /// The path of every setting that has an effect, sorted: `remote_write[].queue_config.max_shards`.
    /// The list comes from the reading code itself.
    #[must_use]
    pub fn settings() -> Vec<String> {
        read::settings()
    }
}

/// The `telemetry` section.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Telemetry {
    /// Where `/metrics`, `/config` and the health paths are served.
    pub listen_address: SocketAddr,
    /// Whether `POST /-/reload` reloads the configuration.
    pub enable_lifecycle: bool,
}

/// The `global` section.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
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
#[derive(Clone, Debug, PartialEq, Serialize)]
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
