//! The HTTP client of one destination: certificates, proxies, connections.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::{Certificate, Client, Identity, Url, redirect};

use super::cause::cause;
use super::config::Tls;
use crate::watched::{News, Watched};

/// Longest time to connect; an attempt as a whole has its own limit.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Connections that rest longer are closed before a load balancer does it (60 s is usual).
const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(50);
/// A peer that vanished is noticed by this.
const TCP_KEEPALIVE: Duration = Duration::from_secs(30);

/// A destination cannot be reached as it is configured: a file, a name or a URL is wrong.
#[derive(Debug, thiserror::Error)]
pub enum RemoteFault {
    /// `url`.
    #[error("its URL is no HTTP URL: {0}")]
    Url(String),
    /// A file that the configuration names.
    #[error("cannot read {}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file that holds something else than it should.
    #[error("{} holds no {what}: {why}", path.display())]
    Pem {
        /// Which.
        path: PathBuf,
        /// What it should hold.
        what: &'static str,
        /// Why it does not.
        why: String,
    },
    /// `cert_file` without `key_file`, or the other way round.
    #[error("tls_config needs cert_file and key_file, or neither")]
    HalfAnIdentity,
    /// A custom header that is illegal or belongs to the protocol.
    #[error("header `{0}` cannot be set")]
    Header(String),
    /// What the HTTP client says.
    #[error("cannot build the HTTP client: {0}")]
    Client(String),
}

/// The HTTP client of a destination. It is made anew when a file of its `tls_config` changes.
pub(super) struct Dialer {
    url: Url,
    tls: Tls,
    user_agent: String,
    client: Watched<Files, Client>,
}

/// What the files of a `tls_config` held.
#[derive(PartialEq, Eq)]
struct Files {
    authorities: Option<Vec<u8>>,
    /// Certificate and key, one after the other.
    identity: Option<Vec<u8>>,
}

impl Files {
    fn read(tls: &Tls) -> Result<Self, RemoteFault> {
        let identity = match (&tls.cert_file, &tls.key_file) {
            (Some(cert), Some(key)) => {
                let mut pem = read(cert)?;
                pem.push(b'\n');
                pem.extend(read(key)?);
                Some(pem)
            }
            (None, None) => None,
            _ => return Err(RemoteFault::HalfAnIdentity),
        };
        Ok(Self { authorities: tls.ca_file.as_deref().map(read).transpose()?, identity })
    }
}

impl Dialer {
    pub(super) fn new(url: &Url, tls: &Tls, user_agent: &str) -> Result<Self, RemoteFault> {
        let files = Files::read(tls)?;
        let client = client(url, tls, &files, user_agent)?;
        let client = Watched::new(files, client);
        let (url, tls, user_agent) = (url.clone(), tls.clone(), user_agent.to_owned());
        Ok(Self { url, tls, user_agent, client })
    }

    /// A client that goes by what the files held at most a second ago. Where they have become
    /// unusable (half written, say), the last good one stays in use.
    pub(super) fn client(&self) -> Client {
        if self.tls.ca_file.is_none() && self.tls.cert_file.is_none() {
            return self.client.in_use();
        }
        let host = self.url.host_str();
        self.client.current(
            || Files::read(&self.tls),
            |files| client(&self.url, &self.tls, files, &self.user_agent),
            |news| match news {
                News::Changed => tracing::info!(host, "certificate files changed"),
                News::Mended => {}
                News::Unfit(error) => tracing::warn!(
                    host, %error,
                    "certificate files unusable, what they held before stays in use"
                ),
            },
        )
    }
}

/// Builds the client. It follows no redirects, and of proxies it knows the standard environment
/// variables, which do not hold for loopback addresses.
fn client(url: &Url, tls: &Tls, files: &Files, user_agent: &str) -> Result<Client, RemoteFault> {
    let mut builder = Client::builder()
        .user_agent(user_agent)
        .redirect(redirect::Policy::none())
        .referer(false)
        .connect_timeout(CONNECT_TIMEOUT)
        .pool_idle_timeout(POOL_IDLE_TIMEOUT)
        .tcp_keepalive(TCP_KEEPALIVE)
        .tcp_nodelay(true);
    if is_loopback(url) {
        builder = builder.no_proxy();
    }
    if let (Some(path), Some(pem)) = (&tls.ca_file, &files.authorities) {
        let not = |why: String| RemoteFault::Pem { path: path.clone(), what: "certificates", why };
        let authorities = Certificate::from_pem_bundle(pem).map_err(|error| not(cause(&error)))?;
        if authorities.is_empty() {
            return Err(not("none found".to_owned()));
        }
        builder = builder.tls_certs_only(authorities);
    } else if url.scheme() == "http" {
        // An image without certificates is enough then.
        builder = builder.tls_certs_only([]);
    }
    if let (Some(path), Some(pem)) = (&tls.cert_file, &files.identity) {
        let identity = Identity::from_pem(pem).map_err(|error| RemoteFault::Pem {
            path: path.clone(),
            what: "client certificate that fits its key",
            why: cause(&error),
        })?;
        builder = builder.identity(identity);
    }
    if tls.insecure_skip_verify {
        builder = builder.tls_danger_accept_invalid_certs(true);
    }
    builder.build().map_err(|error| RemoteFault::Client(cause(&error)))
}

fn read(path: &Path) -> Result<Vec<u8>, RemoteFault> {
    std::fs::read(path).map_err(|source| RemoteFault::File { path: path.to_owned(), source })
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}
