//! `sluicegate healthcheck`: exit status 0 if the gateway answers on its telemetry listener.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;

use super::{environment, faulty};
use crate::config;

const TIMEOUT: Duration = Duration::from_secs(4);

/// Asks `/healthz` (or `/readyz`) of the gateway that the configuration describes.
pub(super) fn healthcheck(file: Option<PathBuf>, ready: bool) -> anyhow::Result<ExitCode> {
    let loaded = match config::from_environment(file, &environment) {
        Ok(loaded) => loaded,
        Err(faults) => {
            let _ = faulty(&faults);
            // Docker reserves every other status.
            return Ok(ExitCode::FAILURE);
        }
    };
    let address = reachable(loaded.config.telemetry.listen_address);
    let path = if ready { "/readyz" } else { "/healthz" };
    let mut stream = TcpStream::connect_timeout(&address, TIMEOUT)
        .with_context(|| format!("connect to {address}"))?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.take(4096).read_to_string(&mut answer).context("read the answer")?;
    let status = answer.lines().next().unwrap_or_default().to_owned();
    anyhow::ensure!(status.split(' ').nth(1) == Some("200"), "{path} answered `{status}`");
    Ok(ExitCode::SUCCESS)
}

/// An address to connect to for one to listen on.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
            SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::LOCALHOST),
        });
    }
    address
}
