//! Listeners: how many connections they take, and what each of them is held to.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper_util::rt::TokioTimer;
use hyper_util::server::conn::auto;
use metrics::{Counter, Gauge};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::config::Config;
use super::connection::Service;
use super::places::Places;
use super::repoll::Repoll;
use super::tls::Tls;
use super::turns::Turns;
use crate::meters::{self, Meters};
use crate::seldom::Seldom;
use crate::tasks::Tasks;

/// How long to wait after `accept` has failed, as it does when there are no file descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Streams at once on one HTTP/2 connection.
const STREAMS_MAX: u32 = 128;
/// Unread bytes that all HTTP/2 connections together may make the gateway hold, but for the least
/// window, which is what every peer starts with.
const WINDOWS_BYTES: usize = 8 << 20;
const WINDOW_BYTES_MIN: usize = 64 << 10;
const WINDOW_BYTES_MAX: usize = 1 << 20;
/// The smallest header limit that the HTTP/1 parser takes.
const HTTP1_BUFFER_MIN: usize = 8 << 10;
/// Between the limit at which the door answers 400 and that at which the connection is cut.
const HEADERS_SLACK_BYTES: usize = 16 << 10;
/// Connections and header bytes of the telemetry listener: a scraper, a prober, a person.
const TELEMETRY_CONNECTIONS_MAX: usize = 32;
const TELEMETRY_HEADER_BYTES_MAX: usize = 16 << 10;
/// Headers of an HTTP/1 request, by number.
const HEADERS_MAX: usize = 128;

/// What the connections of a listener are held to.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Open at once. A further one takes the place of one that rests, or waits.
    pub max_connections: usize,
    /// Bytes of a header block at which the connection is cut. Well above what the door itself
    /// accepts, since only the door answers in contract shape.
    pub max_header_bytes: usize,
    /// Time for a request's headers, from their first byte; from the connection's start for the
    /// first request.
    pub read_header_timeout: Duration,
    /// Time between requests.
    pub idle_timeout: Duration,
    /// Requests after which a connection is closed; 0 for no limit.
    pub max_requests: u32,
    /// Whether any request makes a connection one to keep when places are short. Else one with an
    /// access key does, or one for the endpoint where no key is asked for.
    pub anyone_is_of_use: bool,
    /// What they speak TLS with; clear text if there is none.
    pub tls: Option<Arc<Tls>>,
    /// Shows how many are open.
    pub open: Gauge,
    /// Handshakes that came to nothing.
    pub handshake_failures: Counter,
    /// Keeps their log lines few.
    pub handshake_log: Arc<Seldom>,
}

impl Limits {
    /// The limits that the configuration states, counted under the listener's name. In clear text:
    /// `tls` is set by whoever has read the files.
    #[must_use]
    pub fn new(config: &Config, meters: &Meters, listener: &str) -> Self {
        let header_bytes = usize::try_from(config.max_header_size).unwrap_or(usize::MAX);
        Self {
            max_connections: config.max_connections,
            max_header_bytes: header_bytes.saturating_add(HEADERS_SLACK_BYTES),
            read_header_timeout: config.read_header_timeout,
            idle_timeout: config.idle_timeout,
            max_requests: config.max_requests_per_connection,
            anyone_is_of_use: false,
            tls: None,
            open: meters.gauge(&meters::CONNECTIONS, &[listener]),
            handshake_failures: meters.counter(&meters::TLS_HANDSHAKE_FAILURES, &[]),
            handshake_log: Arc::default(),
        }
    }

    /// The telemetry listener's limits, which are its own: who may scrape may not use up the memory
    /// that is meant for requests.
    #[must_use]
    pub fn telemetry(config: &Config, meters: &Meters) -> Self {
        let limits = Self::new(config, meters, "telemetry");
        Self {
            max_connections: TELEMETRY_CONNECTIONS_MAX,
            max_header_bytes: TELEMETRY_HEADER_BYTES_MAX,
            anyone_is_of_use: true,
            ..limits
        }
    }

    fn builder(&self, tasks: &Tasks) -> auto::Builder<Executor> {
        let header_bytes = self.max_header_bytes.clamp(HTTP1_BUFFER_MIN, 1 << 30);
        let window = WINDOWS_BYTES / self.max_connections.max(1);
        let window = window.clamp(WINDOW_BYTES_MIN, WINDOW_BYTES_MAX);
        let window = u32::try_from(window).unwrap_or(u32::MAX);
        let mut builder = auto::Builder::new(Executor(tasks.clone()));
        builder
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(None)
            .max_buf_size(header_bytes)
            .max_headers(HEADERS_MAX);
        builder
            .http2()
            .timer(TokioTimer::new())
            .max_header_list_size(u32::try_from(header_bytes).unwrap_or(u32::MAX))
            .max_concurrent_streams(STREAMS_MAX)
            .initial_stream_window_size(window)
            .initial_connection_window_size(window);
        builder
    }
}

/// Serves until `stop`: then the port is closed, requests in progress are answered and their
/// connections closed. Returns when the last connection is. What `limits` holds when a connection
/// gets its place is what it is held to, so that they can be replaced while it serves. A connection
/// ends after the request in progress when TLS or what it asks of clients is replaced by something else.
pub async fn serve(
    listener: TcpListener,
    app: Router,
    limits: watch::Receiver<Limits>,
    tasks: &Tasks,
    stop: CancellationToken,
) {
    let (places, turns) = (Arc::new(Places::default()), Turns::new());
    loop {
        // One connection at most waits here for a place; the others do in the kernel and cost nothing.
        let next = async {
            let stream = accept(&listener).await;
            let open = limits.borrow().open.clone();
            let place = places.take(|| limits.borrow().max_connections, &open).await;
            (stream, place)
        };
        let (stream, place) = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            next = next => next,
        };
        // Only now: it may have waited for its place while they were replaced.
        let mut terms = limits.clone();
        let limits = terms.borrow_and_update().clone();
        let (app, builder, stop) = (app.clone(), limits.builder(tasks), stop.clone());
        let turns = Turns::clone(&turns);
        tasks.spawn(Repoll::new(async move {
            let (limits, activity, stop) = (&limits, &place.activity, &stop);
            Service { app, builder, limits, terms, turns, activity, stop }.run(stream).await;
            drop(place);
        }));
    }
    drop(listener);
    places.empty().await;
}

async fn accept(listener: &TcpListener) -> TcpStream {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return stream,
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection; waiting");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Starts the tasks of HTTP/2 streams where all tasks are started.
#[derive(Clone, Debug)]
pub(super) struct Executor(Tasks);

impl<F> hyper::rt::Executor<F> for Executor
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    fn execute(&self, task: F) {
        self.0.spawn(task);
    }
}
