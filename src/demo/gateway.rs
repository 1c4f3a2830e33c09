//! The gateway in the demo: within this process, or as one of its own that is killed.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use anyhow::Context as _;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::child::{Mortal, Port};
use crate::config::{Config, Source, load_within};
use crate::pipeline::{House, Listeners};
use crate::secret::Secret;

/// Path of the Firehose endpoint.
pub const PATH: &str = "/firehose";

/// For the gateway to stop, its drain deadline included.
const STOP_TIMEOUT: Duration = Duration::from_secs(15);

/// A running gateway; it ends when this is dropped.
pub enum Gateway {
    /// Within this process.
    House(Box<House>),
    /// A process that is killed about every so often.
    Mortal(Box<Mortal>, Port, Duration),
}

impl Gateway {
    /// Starts a gateway that writes to `receiver_url`.
    ///
    /// # Errors
    /// If it cannot be started.
    pub async fn start(
        access_key: &Secret,
        receiver_url: &str,
        kill: Option<Duration>,
    ) -> anyhow::Result<Self> {
        let Some(interval) = kill else {
            let any = (Ipv4Addr::LOCALHOST, 0);
            let listeners = Listeners {
                ingest: TcpListener::bind(any).await.context("no free port")?,
                telemetry: TcpListener::bind(any).await.context("no free port")?,
            };
            let config = config(access_key, receiver_url)?;
            let house = House::start(config, listeners).await;
            return house
                .context("the gateway cannot be started")
                .map(|house| Self::House(Box::new(house)));
        };
        let port = Port::take().context("no free port")?;
        let text = config_text(port.address, access_key, receiver_url);
        let mortal = Mortal::start(text, port.address).await?;
        Ok(Self::Mortal(Box::new(mortal), port, interval))
    }

    /// Where it takes requests.
    #[must_use]
    pub fn url(&self) -> String {
        let address = match self {
            Self::House(house) => house.ingest_address,
            Self::Mortal(_, port, _) => port.address,
        };
        format!("http://{address}{PATH}")
    }

    /// How often it has been killed, as it goes on; none if it is not.
    #[must_use]
    pub fn kills(&self) -> Option<Arc<AtomicU64>> {
        match self {
            Self::House(_) => None,
            Self::Mortal(mortal, ..) => Some(mortal.kills()),
        }
    }

    /// Lives, and dies as it is meant to, until `calm`; ends only with what went wrong.
    pub async fn live(&mut self, calm: &CancellationToken) -> anyhow::Error {
        match self {
            Self::House(house) => {
                house.broken().await;
                anyhow::anyhow!("the gateway has broken down")
            }
            Self::Mortal(mortal, _, interval) => mortal.live(*interval, calm).await,
        }
    }

    /// Ends it; the errors that it told of.
    ///
    /// # Errors
    /// If it does not end.
    pub async fn stop(self) -> anyhow::Result<Vec<String>> {
        match self {
            Self::House(house) => {
                let stopped = tokio::time::timeout(STOP_TIMEOUT, house.stop()).await;
                stopped.context("the gateway does not stop").map(|()| Vec::new())
            }
            Self::Mortal(mortal, ..) => Ok(mortal.stop().await),
        }
    }
}

/// A gateway on loopback that takes one access key and writes to one receiver. The waits are
/// shorter than in production, so that a short demo sees the end of its fault.
fn config_text(ingest: SocketAddr, access_key: &Secret, receiver_url: &str) -> String {
    let key = access_key.expose();
    format!(
        r#"
server:
  listen_address: {ingest}
  path: {PATH}
  access_keys:
    - {{ name: demo, key: "{key}" }}
  request_deadline: 30s
  budget: 256MiB
  shutdown_delay: 0s
  drain_deadline: 10s
telemetry:
  listen_address: 127.0.0.1:0
remote_write:
  - name: demo
    url: {receiver_url}
    remote_timeout: 2s
    queue_config: {{ max_shards: 8, min_backoff: 100ms, max_backoff: 1s }}
log:
  level: error
"#
    )
}

/// The same on free ports, read.
fn config(access_key: &Secret, receiver_url: &str) -> anyhow::Result<Config> {
    let text = config_text((Ipv4Addr::LOCALHOST, 0).into(), access_key, receiver_url);
    // The environment and the machine's memory are left out: the demo is the same everywhere.
    load_within(Source::Content(&text), &|_| None, None)
        .map(|loaded| loaded.config)
        .map_err(|faults| anyhow::anyhow!("{faults}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_holds() {
        let config = config(&Secret::new("open sesame"), "http://127.0.0.1:9/api/v1/write");
        assert!(config.is_ok_and(|config| config.server.path == PATH));
    }
}
