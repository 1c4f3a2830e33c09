//! Builds the rooms back to front, owns every task, and runs until told to stop.

use std::net::SocketAddr;

use tokio::net::TcpListener;

use crate::config::Config;

/// The sockets that a house listens on; bound by the caller, so that a test passes port 0.
#[derive(Debug)]
pub struct Listeners {
    /// For Firehose.
    pub ingest: TcpListener,
    /// For `/metrics`.
    pub telemetry: TcpListener,
}

/// A running gateway.
#[derive(Debug)]
pub struct House {
    /// Where Firehose is served.
    pub ingest_address: SocketAddr,
    /// Where telemetry is served.
    pub telemetry_address: SocketAddr,
}

impl House {
    /// Builds every room and starts serving. Must be called within a runtime.
    ///
    /// # Errors
    /// If a file that the configuration names cannot be read, or a socket is broken.
    pub async fn start(_config: Config, _listeners: Listeners) -> anyhow::Result<Self> {
        anyhow::bail!("not yet")
    }

    /// Stops as a SIGTERM would: not ready, `shutdown_delay`, close, drain. Returns when nothing is
    /// left.
    pub async fn stop(self) {}
}
