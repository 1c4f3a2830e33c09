//! The kit's own remote-write receiver: it counts every data point, holds every request against the
//! contract, and behaves as it is told.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::header::{HeaderValue, RETRY_AFTER};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use sluicegate::tasks::Tasks;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

pub use crate::behaviour::Behaviour;
use crate::books::Stored;
use crate::child::Port;
pub use crate::ledger::Figures;
use crate::ledger::Ledger;
use crate::wire::{Malformed, Request};

/// Where requests have to be posted to.
const PATH: &str = "/api/v1/write";

/// A running receiver; it ends when this is dropped.
#[derive(Debug)]
pub struct Receiver {
    port: Port,
    state: Arc<State>,
    stop: CancellationToken,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct State {
    behaviour: watch::Sender<Behaviour>,
    ledger: Mutex<Ledger>,
    scratch: Mutex<Scratch>,
    allowance: Mutex<Allowance>,
    tasks: Tasks,
}

/// What one request after the other is read with.
#[derive(Debug, Default)]
struct Scratch {
    raw: Vec<u8>,
    request: Request,
}

/// Samples that may still be stored while throttling.
#[derive(Debug)]
struct Allowance {
    samples: f64,
    since: Instant,
}

impl Receiver {
    /// Starts on a free port of the loopback interface, in a thread of its own.
    ///
    /// # Errors
    /// If there is no port or no thread.
    pub fn start(behaviour: Behaviour) -> anyhow::Result<Self> {
        let port = Port::take().context("no free port")?;
        let state = Arc::new(State {
            behaviour: watch::Sender::new(behaviour),
            ledger: Mutex::default(),
            scratch: Mutex::default(),
            allowance: Mutex::new(Allowance { samples: 0.0, since: Instant::now() }),
            tasks: Tasks::new(),
        });
        let stop = CancellationToken::new();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (address, begun, ending) = (port.address, Arc::clone(&state), stop.clone());
        let (tell, told) = std::sync::mpsc::sync_channel(1);
        let life = move || {
            runtime.block_on(async {
                let first = match behaviour {
                    Behaviour::Refuse => Ok(None),
                    _ => TcpListener::bind(address).await.map(Some),
                };
                match first {
                    Ok(listener) => {
                        let _ = tell.send(Ok(()));
                        ending.run_until_cancelled(live(address, listener, begun)).await;
                    }
                    Err(error) => drop(tell.send(Err(error))),
                }
            });
        };
        let thread = std::thread::Builder::new().name("receiver".to_owned()).spawn(life)?;
        told.recv().context("the receiver's thread ended")?.context("no free port")?;
        Ok(Self { port, state, stop, thread: Some(thread) })
    }

    /// Where samples are to be sent.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}{PATH}", self.port.address)
    }

    /// Behaves so from now on. Requests that hang are answered as this says.
    pub fn set(&self, behaviour: Behaviour) {
        if let Behaviour::Throttle { samples, .. } = behaviour {
            *lock(&self.state.allowance) =
                Allowance { samples: samples as f64, since: Instant::now() };
        }
        self.state.behaviour.send_replace(behaviour);
    }

    /// What is stored by now.
    #[must_use]
    pub fn stored(&self) -> Stored {
        lock(&self.state.ledger).stored()
    }

    /// The figures by now: cheap.
    #[must_use]
    pub fn figures(&self) -> Figures {
        lock(&self.state.ledger).figures()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(thread) = self.thread.take() {
            // A panic of the thread has been printed.
            let _ = thread.join();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Listens whenever the behaviour is not to.
async fn live(address: SocketAddr, first: Option<TcpListener>, state: Arc<State>) {
    let mut listener = first;
    let mut behaviour = state.behaviour.subscribe();
    loop {
        let refuses = *behaviour.borrow_and_update() == Behaviour::Refuse;
        if refuses {
            listener = None;
        } else if listener.is_none() {
            // The port is held: nobody else can have it.
            match TcpListener::bind(address).await {
                Ok(bound) => listener = Some(bound),
                Err(error) => {
                    eprintln!("the receiver cannot listen on {address}: {error}");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            }
        }
        let accepted = async {
            match &listener {
                Some(listener) => listener.accept().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            changed = behaviour.changed() => if changed.is_err() { return },
            accepted = accepted => match accepted {
                Ok((stream, _)) => {
                    let serving = serve(stream, Arc::clone(&state));
                    state.tasks.spawn(serving);
                }
                // Out of file descriptors, most likely: let some be closed.
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    }
}

async fn serve(stream: TcpStream, state: Arc<State>) {
    // Small answers have nothing to wait for.
    let _ = stream.set_nodelay(true);
    let mut behaviour = state.behaviour.subscribe();
    let service = service_fn(|request| answer(request, &state));
    let mut connection =
        hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    let reset = tokio::select! {
        // A sender that hangs up, or the wish to hang up on it, is no news.
        ended = &mut connection => ended.is_err(),
        _ = behaviour.wait_for(|behaviour| *behaviour == Behaviour::Refuse) => true,
    };
    if reset {
        let _ = connection.into_parts().io.into_inner().set_zero_linger();
    }
}

type Reply = hyper::Response<Full<Bytes>>;

/// Ends the connection without an answer.
#[derive(Debug, thiserror::Error)]
#[error("reset")]
struct Reset;

async fn answer(
    request: hyper::Request<hyper::body::Incoming>,
    state: &State,
) -> Result<Reply, Reset> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(|_| Reset)?.to_bytes();
    let mut behaviour = state.behaviour.subscribe();
    let now = behaviour.wait_for(|behaviour| *behaviour != Behaviour::Hang).await;
    let now = *now.map_err(|_| Reset)?;
    if let Behaviour::Delay(time) = now {
        tokio::time::sleep(time).await;
    }
    if !state.check(&head) {
        return Ok(state.refusal(400, None));
    }
    match now {
        Behaviour::Status { code, retry_after } if !(200..300).contains(&code) => {
            Ok(state.refusal(code, retry_after))
        }
        Behaviour::Reset | Behaviour::Refuse => {
            lock(&state.ledger).refuse(0);
            Err(Reset)
        }
        _ => Ok(state.take(&body, now)),
    }
}

impl State {
    /// Holds a request's head against the contract; whether its body can be one.
    fn check(&self, head: &hyper::http::request::Parts) -> bool {
        let header = |name: &str| head.headers.get(name).map(HeaderValue::as_bytes);
        let fatal = [
            (head.method == hyper::Method::POST, "a method that is not POST"),
            (head.uri.path() == PATH, "another path"),
            (header("content-encoding") == Some(b"snappy"), "a content encoding but snappy"),
            (
                header("content-type") == Some(b"application/x-protobuf"),
                "a content type but application/x-protobuf",
            ),
            (
                header("x-prometheus-remote-write-version") == Some(b"0.1.0"),
                "a remote write version but 0.1.0",
            ),
        ];
        let minor = [(header("user-agent").is_some_and(|it| !it.is_empty()), "no user agent")];
        for (_, what) in fatal.iter().chain(&minor).filter(|(holds, _)| !holds) {
            lock(&self.ledger).breach(what);
        }
        fatal.iter().all(|(holds, _)| *holds)
    }

    /// Reads and stores a body, unless there are too many samples.
    fn take(&self, body: &[u8], behaviour: Behaviour) -> Reply {
        let scratch = &mut *lock(&self.scratch);
        if scratch.read(body).is_err() {
            lock(&self.ledger).breach("a body that is not remote write 1.0");
            return self.refusal(400, None);
        }
        if let Behaviour::Throttle { samples, retry_after } = behaviour {
            let passes = lock(&self.allowance).take(samples, scratch.request.values.len());
            if !passes {
                return self.refusal(429, retry_after);
            }
        }
        lock(&self.ledger).store(&scratch.raw, &scratch.request);
        match behaviour {
            Behaviour::Status { code, .. } => reply(code),
            _ => reply(204),
        }
    }

    fn refusal(&self, code: u16, retry_after: Option<Duration>) -> Reply {
        lock(&self.ledger).refuse(code);
        let mut reply = reply(code);
        *reply.body_mut() = Full::new(Bytes::from_static(b"as the load test wishes"));
        if let Some(after) = retry_after {
            reply.headers_mut().insert(RETRY_AFTER, after.as_secs().into());
        }
        reply
    }
}

impl Scratch {
    fn read(&mut self, body: &[u8]) -> Result<(), Malformed> {
        // A block says its length itself; snappy cannot make more than 21 bytes of one.
        let length = snap::raw::decompress_len(body).map_err(|_| Malformed::Snappy)?;
        if length / 32 > body.len() {
            return Err(Malformed::Snappy);
        }
        if self.raw.len() < length {
            self.raw.resize(length, 0);
        }
        let written = snap::raw::Decoder::new().decompress(body, &mut self.raw);
        let raw = written.ok().and_then(|written| self.raw.get(..written));
        self.request.read(raw.ok_or(Malformed::Snappy)?)
    }
}

impl Allowance {
    /// Whether so many samples pass. A request that is larger than what is left passes too and is
    /// paid for later: else one of more than a second's worth would never do.
    fn take(&mut self, per_second: u64, samples: usize) -> bool {
        let now = Instant::now();
        let earned = (now - self.since).as_secs_f64() * per_second as f64;
        self.samples = (self.samples + earned).min(per_second as f64);
        self.since = now;
        let passes = self.samples > 0.0;
        if passes {
            self.samples -= samples as f64;
        }
        passes
    }
}

fn reply(code: u16) -> Reply {
    let mut reply = Reply::new(Full::new(Bytes::new()));
    *reply.status_mut() = hyper::StatusCode::from_u16(code).unwrap_or_default();
    reply
}

#[cfg(test)]
#[path = "receiver_tests.rs"]
mod tests;
