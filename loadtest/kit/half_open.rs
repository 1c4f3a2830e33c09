//! Clients that open connections and never finish what they begin. One that is hung up on comes
//! again, so that there are always as many as were asked for.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use sluicegate::tasks::Tasks;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{sleep, timeout};
use tokio_util::sync::{CancellationToken, DropGuard};

/// Before a connection that was closed is opened again.
const PAUSE: Duration = Duration::from_millis(100);

/// Between the bytes of those who drip.
const DRIP: Duration = Duration::from_secs(1);

/// What is not finished.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unfinished {
    /// Nothing is sent at all.
    Silent,
    /// The headers stop in the middle.
    Headers,
    /// The headers come, a byte a second.
    DrippingHeaders,
    /// The headers say a length that the body never reaches.
    Body,
    /// The body comes, a byte a second.
    DrippingBody,
    /// Requests are sent one after the other on a connection, and no answer is ever read.
    Answers,
}

impl Unfinished {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Silent,
        Self::Headers,
        Self::DrippingHeaders,
        Self::Body,
        Self::DrippingBody,
        Self::Answers,
    ];
}

/// What became of the connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct HalfOpenFigures {
    /// Open now.
    pub open: u64,
    /// Opened in all.
    pub opened: u64,
    /// Closed by the other side without a word.
    pub closed: u64,
    /// Answered (408 and the like) and closed.
    pub answered: u64,
    /// That could not be opened.
    pub refused: u64,
}

/// Clients at work; they end when this is dropped.
#[derive(Debug)]
pub struct HalfOpen {
    counts: Arc<Counts>,
    _stop: DropGuard,
}

#[derive(Debug, Default)]
struct Counts {
    open: AtomicU64,
    opened: AtomicU64,
    closed: AtomicU64,
    answered: AtomicU64,
    refused: AtomicU64,
}

impl HalfOpen {
    /// Starts `connections` clients of each kind against an `http://` URL.
    ///
    /// # Errors
    /// If the URL is no such one: they do not speak TLS.
    pub fn start(
        url: &str,
        key: &str,
        kinds: &[Unfinished],
        connections: usize,
    ) -> anyhow::Result<Self> {
        let url = reqwest::Url::parse(url).context("the URL")?;
        anyhow::ensure!(url.scheme() == "http", "half-open clients do not speak TLS");
        let host = url.host_str().context("a URL without a host")?.to_owned();
        let port = url.port_or_known_default().unwrap_or(80);
        let (counts, stop, tasks) =
            (Arc::<Counts>::default(), CancellationToken::new(), Tasks::new());
        for (kind, _) in kinds.iter().flat_map(|kind| (0..connections).map(move |one| (*kind, one)))
        {
            let (counts, stop) = (Arc::clone(&counts), stop.clone());
            let (host, head) = (host.clone(), head(&host, url.path(), key));
            tasks.spawn(async move {
                let life = async {
                    loop {
                        attend(kind, (&host, port), &head, &counts).await;
                        sleep(PAUSE).await;
                    }
                };
                stop.run_until_cancelled(life).await;
            });
        }
        Ok(Self { counts, _stop: stop.drop_guard() })
    }

    /// What became of them by now.
    #[must_use]
    pub fn figures(&self) -> HalfOpenFigures {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        HalfOpenFigures {
            open: read(&self.counts.open),
            opened: read(&self.counts.opened),
            closed: read(&self.counts.closed),
            answered: read(&self.counts.answered),
            refused: read(&self.counts.refused),
        }
    }
}

/// A request's head up to its last header line, the length left out.
fn head(host: &str, path: &str, key: &str) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n\
         X-Amz-Firehose-Protocol-Version: 1.0\r\nX-Amz-Firehose-Access-Key: {key}\r\n\
         X-Amz-Firehose-Request-Id: 00000000-0000-4000-8000-00000000000f\r\n"
    )
}

/// One connection, until the other side has closed it.
async fn attend(kind: Unfinished, (host, port): (&str, u16), head: &str, counts: &Counts) {
    let add = |count: &AtomicU64| count.fetch_add(1, Ordering::Relaxed);
    let Ok(stream) = connect(kind, host, port).await else {
        add(&counts.refused);
        return;
    };
    add(&counts.opened);
    add(&counts.open);
    let _open = Leaving(&counts.open);
    match dawdle(kind, stream, head).await {
        Ok(0) | Err(_) => add(&counts.closed),
        Ok(_) => add(&counts.answered),
    };
}

/// Counts down also when the client is ended.
struct Leaving<'a>(&'a AtomicU64);

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

async fn connect(kind: Unfinished, host: &str, port: u16) -> std::io::Result<TcpStream> {
    let mut addresses = tokio::net::lookup_host((host, port)).await?;
    let address = addresses.next().ok_or(std::io::ErrorKind::NotFound)?;
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    if kind == Unfinished::Answers {
        // The less the system takes in unread, the sooner the other side is stuck.
        socket.set_recv_buffer_size(4096)?;
    }
    socket.connect(address).await
}

/// Begins and does not finish; the bytes of an answer that came.
async fn dawdle(kind: Unfinished, mut stream: TcpStream, head: &str) -> std::io::Result<usize> {
    match kind {
        Unfinished::Silent => {}
        Unfinished::Headers => stream.write_all(head.as_bytes()).await?,
        Unfinished::DrippingHeaders => {
            let endless = head.bytes().chain("X-More: ".bytes()).chain(std::iter::repeat(b'x'));
            return drip(stream, endless).await;
        }
        Unfinished::Body | Unfinished::DrippingBody => {
            let whole = format!("{head}Content-Length: 1000000\r\n\r\n{{\"requestId\":");
            stream.write_all(whole.as_bytes()).await?;
            if kind == Unfinished::DrippingBody {
                return drip(stream, std::iter::repeat(b' ')).await;
            }
        }
        Unfinished::Answers => {
            let whole = format!("{head}Content-Length: 2\r\n\r\n{{}}");
            // Ends when the other side closes: nothing is read until then.
            while stream.write_all(whole.as_bytes()).await.is_ok() {}
            return Ok(0);
        }
    }
    stream.read(&mut [0; 1024]).await
}

async fn drip(mut stream: TcpStream, bytes: impl Iterator<Item = u8>) -> std::io::Result<usize> {
    let mut answer = [0; 1024];
    for byte in bytes {
        stream.write_all(&[byte]).await?;
        if let Ok(read) = timeout(DRIP, stream.read(&mut answer)).await {
            return read;
        }
    }
    Ok(0)
}

#[cfg(test)]
#[path = "half_open_tests.rs"]
mod tests;
