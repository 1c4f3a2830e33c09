//! The life of a connection: the handshake if it is to speak TLS, then HTTP/1.1 or HTTP/2, told
//! apart by their first bytes, until it ends, is cut, or is told to go.

use std::convert::Infallible;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::HeaderValue;
use axum::http::header::CONNECTION;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Version};
use hyper_util::rt::TokioIo;
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;

use super::activity::{Activity, BusyBody, Heard, Leave, Patience};
use super::listener::{Executor, Limits};
use super::tls::Tls;

/// How long a connection that has been told to end may take to do so once it is idle.
const GOODBYE: Duration = Duration::from_secs(5);
/// The same, while another one waits for its place.
const GOODBYE_IN_HASTE: Duration = Duration::from_millis(500);

/// What a connection is served with.
pub(super) struct Service<'a> {
    pub(super) app: Router,
    pub(super) builder: auto::Builder<Executor>,
    pub(super) limits: &'a Limits,
    pub(super) activity: &'a Arc<Activity>,
    pub(super) stop: &'a CancellationToken,
}

impl Service<'_> {
    pub(super) async fn run(self, stream: TcpStream) {
        // Answers are small and awaited.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "cannot set TCP_NODELAY");
        }
        match &self.limits.tls {
            None => self.speak_http(stream).await,
            Some(tls) => {
                if let Some(stream) = self.handshake(stream, tls).await {
                    self.speak_http(stream).await;
                }
            }
        }
    }

    /// The handshake, within the time that the first request's headers have.
    async fn handshake(&self, stream: TcpStream, tls: &Tls) -> Option<TlsStream<TcpStream>> {
        let peer = stream.peer_addr().ok();
        let failure = tokio::select! {
            shaken = shake_hands(stream, tls) => match shaken {
                Ok(stream) => return stream,
                Err(error) => error.to_string(),
            },
            () = sleep(self.limits.read_header_timeout) => "it takes too long".to_owned(),
            _ = self.activity.asked_to_leave() => "its place is needed".to_owned(),
            () = self.stop.cancelled() => return None,
        };
        self.limits.handshake_failures.increment(1);
        if let Some(left_out) = self.limits.handshake_log.due() {
            tracing::warn!(?peer, error = failure, left_out, "TLS handshake failed");
        }
        None
    }

    async fn speak_http<S>(self, stream: S)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Self { app, builder, limits, activity, stop } = self;
        let most = u64::from(limits.max_requests);
        let worn = Notify::new();
        let service = service_fn(|request: Request<Incoming>| {
            let multiplexed = request.version() == Version::HTTP_2;
            let (busy, number) = activity.begin(multiplexed);
            let is_last = most > 0 && number >= most;
            if is_last && multiplexed {
                worn.notify_one();
            }
            let body_busy = Arc::clone(&busy);
            let request =
                request.map(|body| axum::body::Body::from(BusyBody::new(body, body_busy)));
            let answer = tower::ServiceExt::oneshot(app.clone(), request);
            async move {
                let answer = answer.await;
                drop(busy);
                let mut answer = answer.map_err(|never: Infallible| never)?;
                if is_last && !multiplexed {
                    answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
                }
                Ok::<_, Infallible>(answer)
            }
        });
        let io = TokioIo::new(Heard { stream, activity: Arc::clone(activity) });
        let mut served = pin!(builder.serve_connection(io, service));
        // Once it is to end: how long it may still be idle.
        let mut goodbye: Option<Duration> = None;
        let mut look_at = Instant::now() + limits.read_header_timeout;
        loop {
            tokio::select! {
                outcome = served.as_mut() => {
                    if let Err(error) = outcome {
                        tracing::debug!(error = &*error, "connection ended");
                    }
                    return;
                }
                () = stop.cancelled(), if goodbye.is_none() => {
                    goodbye = Some(GOODBYE);
                    served.as_mut().graceful_shutdown();
                }
                () = worn.notified(), if goodbye.is_none() => {
                    goodbye = Some(GOODBYE);
                    served.as_mut().graceful_shutdown();
                }
                leave = activity.asked_to_leave() => match leave {
                    Leave::NotNow => {}
                    Leave::AtOnce => return,
                    Leave::Politely => {
                        goodbye = Some(GOODBYE_IN_HASTE);
                        look_at = Instant::now() + GOODBYE_IN_HASTE;
                        served.as_mut().graceful_shutdown();
                    }
                },
                () = sleep_until(look_at) => {
                    let (header_time, idle_time) = match goodbye {
                        None => (limits.read_header_timeout, limits.idle_timeout),
                        Some(GOODBYE_IN_HASTE) => (GOODBYE_IN_HASTE, GOODBYE_IN_HASTE),
                        Some(goodbye) => (limits.read_header_timeout, goodbye),
                    };
                    match activity.patience(header_time, idle_time) {
                        Patience::Until(then) => look_at = then,
                        Patience::Idle if goodbye.is_none() => {
                            goodbye = Some(GOODBYE);
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
}

/// Nothing if the peer leaves without a word, as a load balancer's TCP health check does.
async fn shake_hands(stream: TcpStream, tls: &Tls) -> io::Result<Option<TlsStream<TcpStream>>> {
    let mut first = [0];
    match stream.peek(&mut first).await? {
        0 => return Ok(None),
        _ if first[0].is_ascii_alphabetic() => {
            return Err(io::Error::other("the peer speaks no TLS, but clear text"));
        }
        _ => {}
    }
    TlsAcceptor::from(tls.current()).accept(stream).await.map(Some)
}
