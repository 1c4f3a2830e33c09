//! A new configuration for a running house.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use tracing::{error, info, warn};

use super::House;
use crate::config::{Config, Faults, Loaded};
use crate::map::Mapper;
use crate::meters::{self, Meters};
use crate::receive::{Keys, Limits, Rules, Tls};

/// A setting that is read once, at the start.
struct Fixed {
    key: &'static str,
    is_same: fn(&Config, &Config) -> bool,
}

/// What a process cannot change while it runs: its sockets, and what its memory is laid out by.
const FIXED: [Fixed; 6] = [
    Fixed {
        key: "server.listen_address",
        is_same: |old, new| old.server.listen_address == new.server.listen_address,
    },
    Fixed { key: "server.budget", is_same: |old, new| old.server.budget == new.server.budget },
    // The table of known series is taken out of the budget, and never moves.
    Fixed {
        key: "cloudwatch.series_limit.per_hour",
        is_same: |old, new| table_bytes(old) == table_bytes(new),
    },
    Fixed {
        key: "telemetry.listen_address",
        is_same: |old, new| old.telemetry.listen_address == new.telemetry.listen_address,
    },
    Fixed {
        key: "telemetry.enable_lifecycle",
        is_same: |old, new| old.telemetry.enable_lifecycle == new.telemetry.enable_lifecycle,
    },
    Fixed { key: "log.format", is_same: |old, new| old.log.format == new.log.format },
];

fn table_bytes(config: &Config) -> u64 {
    config.server.budget - config.requests_budget()
}

/// A configuration that cannot take the place of the one in force: every reason.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.join("\n"))]
pub struct Rejected(pub Vec<String>);

impl From<Faults> for Rejected {
    fn from(faults: Faults) -> Self {
        Self(faults.lines().collect())
    }
}

impl House {
    /// Brings a configuration into force, or leaves everything as it is. When this returns, new
    /// requests follow the new configuration; those that have begun end by the old one, save that
    /// what still waits for a changed destination goes by that destination's new settings. The
    /// outcome is logged and stands in the metrics.
    ///
    /// # Errors
    /// Every fault of the configuration; those that cannot be seen by reading it are that a file
    /// cannot be used, or that it changes what holds for the life of the process.
    pub async fn reload(&self, loaded: Result<Loaded, Faults>) -> Result<(), Rejected> {
        let outcome = match loaded {
            Ok(loaded) => {
                for note in &loaded.notes {
                    warn!("{note}");
                }
                self.apply(loaded.config).await
            }
            Err(faults) => Err(faults.into()),
        };
        match &outcome {
            Ok(()) => info!("configuration reloaded"),
            Err(Rejected(faults)) => {
                for fault in faults {
                    error!(fault, "configuration not reloaded, the old one stays in force");
                }
            }
        }
        tell(&self.meters, outcome.is_ok());
        outcome
    }

    async fn apply(&self, config: Config) -> Result<(), Rejected> {
        let mut current = self.current.lock().await;
        let old = &current.config;
        let mut faults: Vec<_> = FIXED
            .iter()
            .filter(|fixed| !(fixed.is_same)(old, &config))
            .map(|fixed| format!("{} cannot change while the gateway runs: restart it", fixed.key))
            .collect();
        let prepared = current.outposts.prepare(&config);
        let prepared = prepared.map_err(|more| faults.extend(more)).ok();
        let keys = Keys::new(&config.server, &self.meters);
        let keys = keys.map_err(|fault| faults.push(fault.to_string())).ok();
        let tls = config.server.tls_config.as_ref().map(Tls::open).transpose();
        let tls = tls.map_err(|fault| faults.push(format!("server.tls_config: {fault}"))).ok();
        let (Some(prepared), Some(keys), Some(tls)) = (prepared, keys, tls) else {
            return Err(Rejected(faults));
        };
        if !faults.is_empty() {
            return Err(Rejected(faults));
        }
        // Nothing can fail from here on.
        let lanes = current.outposts.follow(&config, prepared);
        let plan = config.plan();
        if plan != *current.mapper.plan() {
            let mapper = Mapper::with_known_series_of(plan, &current.mapper);
            std::mem::replace(&mut current.mapper, Arc::new(mapper)).retire();
        }
        let mapper = Arc::clone(&current.mapper);
        let (budget, meters) = (&self.budget, &self.meters);
        self.door.follow(Rules::new(&config.server, keys, mapper, lanes, budget, meters));
        let limits = Limits::new(&config.server, &self.meters, "ingest");
        self.ingest_limits.send_replace(Limits { tls, ..limits });
        self.shown.send_replace(config.to_yaml().into());
        current.config = config;
        Ok(())
    }
}

/// Sets the metrics of the last reload.
pub(super) fn tell(meters: &Meters, is_good: bool) {
    meters.gauge(&meters::CONFIG_RELOAD_SUCCESSFUL, &[]).set(f64::from(u8::from(is_good)));
    if is_good {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        meters.gauge(&meters::CONFIG_RELOAD_SUCCESS_TIME, &[]).set(now.as_secs_f64());
    }
}
