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
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;

use super::activity::{Activity, BusyBody, Heard, Leave, OfUse, Patience};
use super::listener::{Executor, Limits};
use super::tls::{Demands, Tls};
use super::turns::Turns;

/// How long a connection that has been told to end may take to do so once it is idle.
const GOODBYE: Duration = Duration::from_secs(5);
/// The same, while another one waits for its place.
const GOODBYE_IN_HASTE: Duration = Duration::from_millis(500);

/// What a connection is served with.
pub(super) struct Service<'a> {
    pub(super) app: Router,
    pub(super) builder: auto::Builder<Executor>,
    pub(super) limits: &'a Limits,
    /// Shows when they are replaced.
    pub(super) terms: watch::Receiver<Limits>,
    /// For what its handshake has to compute.
    pub(super) turns: Turns,
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
            None => self.speak_http(stream, None).await,
            Some(tls) => {
                if let Some((stream, demands)) = self.handshake(stream, tls).await {
                    self.speak_http(stream, Some(demands)).await;
                }
            }
        }
    }

    /// The handshake, within the time that the first request's headers have. With what was asked of
    /// the client.
    async fn handshake(
        &self,
        stream: TcpStream,
        tls: &Tls,
    ) -> Option<(TlsStream<TcpStream>, Demands)> {
        let peer = stream.peer_addr().ok();
        let until = self.activity.opened() + self.limits.read_header_timeout;
        let failure = tokio::select! {
            shaken = shake_hands(stream, tls, &self.turns) => match shaken {
                Ok(stream) => return stream,
                Err(error) => error.to_string(),
            },
            () = sleep_until(until) => "it takes too long".to_owned(),
            _ = self.activity.asked_to_leave() => "its place is needed".to_owned(),
            () = self.stop.cancelled() => return None,
        };
        self.limits.handshake_failures.increment(1);
        if let Some(left_out) = self.limits.handshake_log.due() {
            tracing::warn!(?peer, error = failure, left_out, "TLS handshake failed");
        }
        None
    }

    async fn speak_http<S>(self, stream: S, demands: Option<Demands>)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Self { app, builder, limits, mut terms, activity, stop, .. } = self;
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
            let mut request =
                request.map(|body| axum::body::Body::from(BusyBody::new(body, body_busy)));
            let of_use = OfUse(Arc::clone(activity));
            if limits.anyone_is_of_use {
                of_use.tell();
            }
            request.extensions_mut().insert(of_use);
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
        let mut look_at = activity.opened() + limits.read_header_timeout;
        let replaced = outdated(&mut terms, demands);
        let mut replaced = pin!(replaced);
        // When it is cut, whatever it does.
        let mut cut_at = None;
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
                () = &mut replaced, if goodbye.is_none() => {
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
                    Leave::Soon => {
                        goodbye = Some(GOODBYE_IN_HASTE);
                        look_at = Instant::now() + GOODBYE_IN_HASTE;
                        cut_at = Some(Instant::now() + GOODBYE);
                        served.as_mut().graceful_shutdown();
                    }
                },
                () = sleep_until(look_at) => {
                    if cut_at.is_some_and(|cut_at| cut_at <= look_at) {
                        tracing::debug!("connection cut: its place is needed");
                        return;
                    }
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

/// Waits until what a connection came in by is no longer what is asked for.
async fn outdated(terms: &mut watch::Receiver<Limits>, demands: Option<Demands>) {
    let is_outdated = |limits: &Limits| limits.tls.as_deref().map(Tls::demands) != demands;
    if terms.wait_for(is_outdated).await.is_err() {
        // Nobody is left who could replace them.
        std::future::pending::<()>().await;
    }
}

/// Nothing if the peer leaves without a word, as a load balancer's TCP health check does by an end
/// or by a reset.
async fn shake_hands(
    stream: TcpStream,
    tls: &Tls,
    turns: &Turns,
) -> io::Result<Option<(TlsStream<TcpStream>, Demands)>> {
    let mut first = [0];
    match stream.peek(&mut first).await {
        Ok(0) | Err(_) => return Ok(None),
        Ok(_) if first[0].is_ascii_alphabetic() => {
            return Err(io::Error::other("the peer speaks no TLS, but clear text"));
        }
        Ok(_) => {}
    }
    let current = tls.current();
    let shaking = TlsAcceptor::from(Arc::clone(&current.server)).accept(stream);
    let stream = turns.take(shaking).await?;
    Ok(Some((stream, current.demands.clone())))
}
