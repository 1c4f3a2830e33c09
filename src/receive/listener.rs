//! Connections: how many, how large and slow their headers may be, how long they idle, and how they
//! end. HTTP/1.1 with keep-alive and HTTP/2 in clear text, told apart by their first bytes.

use std::convert::Infallible;
use std::num::NonZero;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Version};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use metrics::Gauge;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use super::activity::{Activity, BusyBody, Heard, Patience};
use super::config::Config;
use crate::meters::{self, Meters};
use crate::tasks::Tasks;

/// How long to wait after `accept` has failed, as it does when there are no file descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How long a connection that has been told to end may take to do so once it is idle.
const GOODBYE: Duration = Duration::from_secs(5);
/// Streams at once on one HTTP/2 connection.
const STREAMS_MAX: u32 = 128;
/// Unread bytes that all HTTP/2 connections together may make the gateway hold.
const WINDOWS_BYTES: usize = 32 << 20;
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
    /// Open at once; further ones wait in the kernel's queue.
    pub max_connections: usize,
    /// Bytes of a header block at which the connection is cut. Well above what the door itself
    /// accepts, since only the door answers in contract shape.
    pub max_header_bytes: usize,
    /// Time for a request's headers, from their first byte; from the connection's start for the
    /// first request.
    pub read_header_timeout: Duration,
    /// Time between requests.
    pub idle_timeout: Duration,
    /// Shows how many are open.
    pub open: Gauge,
}

impl Limits {
    /// The limits that the configuration states, counted under the listener's name.
    #[must_use]
    pub fn new(config: &Config, meters: &Meters, listener: &str) -> Self {
        let header_bytes = usize::try_from(config.max_header_size).unwrap_or(usize::MAX);
        Self {
            max_connections: config.max_connections,
            max_header_bytes: header_bytes.saturating_add(HEADERS_SLACK_BYTES),
            read_header_timeout: config.read_header_timeout,
            idle_timeout: config.idle_timeout,
            open: meters.gauge(&meters::CONNECTIONS, &[listener]),
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
            ..limits
        }
    }

    fn connections(&self) -> usize {
        self.max_connections.clamp(1, Semaphore::MAX_PERMITS.min(u32::MAX as usize))
    }

    fn builder(&self, tasks: &Tasks) -> auto::Builder<Executor> {
        let header_bytes = self.max_header_bytes.clamp(HTTP1_BUFFER_MIN, 1 << 30);
        let window = (WINDOWS_BYTES / self.connections()).clamp(64 << 10, 1 << 20);
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
/// connections closed. Returns when the last connection is.
pub async fn serve(
    listener: TcpListener,
    app: Router,
    limits: Limits,
    tasks: &Tasks,
    stop: CancellationToken,
) {
    let connections = limits.connections();
    let places = Arc::new(Semaphore::new(connections));
    let builder = Arc::new(limits.builder(tasks));
    loop {
        // The place comes first: who has none waits in the kernel and costs nothing here.
        let next = async {
            let place = Arc::clone(&places).acquire_owned().await.ok()?;
            Some((place, accept(&listener).await))
        };
        let (place, stream) = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            next = next => match next { Some(next) => next, None => break },
        };
        let place = Place::new(place, limits.open.clone());
        let (builder, app) = (Arc::clone(&builder), app.clone());
        let (limits, stop) = (limits.clone(), stop.clone());
        tasks.spawn(async move {
            connection(stream, &builder, app, &limits, &stop).await;
            drop(place);
        });
    }
    drop(listener);
    let all = NonZero::new(u32::try_from(connections).unwrap_or(u32::MAX));
    let _ = places.acquire_many(all.map_or(1, NonZero::get)).await;
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

/// The life of a connection.
async fn connection(
    stream: TcpStream,
    builder: &auto::Builder<Executor>,
    app: Router,
    limits: &Limits,
    stop: &CancellationToken,
) {
    // Answers are small and awaited.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "cannot set TCP_NODELAY");
    }
    let activity = Activity::new();
    let service = service_fn(|request: Request<Incoming>| {
        let busy = activity.begin(request.version() == Version::HTTP_2);
        let body_busy = Arc::clone(&busy);
        let request = request.map(|body| axum::body::Body::from(BusyBody::new(body, body_busy)));
        let answer = app.clone().oneshot(request);
        async move {
            let answer = answer.await;
            drop(busy);
            answer.map_err(|never: Infallible| never)
        }
    });
    let io = TokioIo::new(Heard { stream, activity: Arc::clone(&activity) });
    let mut served = pin!(builder.serve_connection(io, service));
    let mut ending = false;
    let mut look_at = Instant::now() + limits.read_header_timeout;
    loop {
        tokio::select! {
            outcome = served.as_mut() => {
                if let Err(error) = outcome {
                    tracing::debug!(error = &*error, "connection ended");
                }
                return;
            }
            () = stop.cancelled(), if !ending => {
                ending = true;
                served.as_mut().graceful_shutdown();
            }
            () = tokio::time::sleep_until(look_at) => {
                let idle_time = if ending { GOODBYE } else { limits.idle_timeout };
                match activity.patience(limits.read_header_timeout, idle_time) {
                    Patience::Until(then) => look_at = then,
                    Patience::Idle if !ending => {
                        ending = true;
                        served.as_mut().graceful_shutdown();
                        look_at = Instant::now() + GOODBYE;
                    }
                    Patience::Idle | Patience::Slow => {
                        tracing::debug!("connection cut: its headers take too long");
                        return;
                    }
                }
            }
        }
    }
}

/// A connection's place among those that are open.
struct Place {
    _permit: OwnedSemaphorePermit,
    open: Gauge,
}

impl Place {
    fn new(permit: OwnedSemaphorePermit, open: Gauge) -> Self {
        open.increment(1.0);
        Self { _permit: permit, open }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.open.decrement(1.0);
    }
}

/// Starts the tasks of HTTP/2 streams where all tasks are started.
#[derive(Clone, Debug)]
struct Executor(Tasks);

impl<F> hyper::rt::Executor<F> for Executor
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    fn execute(&self, task: F) {
        self.0.spawn(task);
    }
}
