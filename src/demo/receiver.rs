//! A remote-write receiver that keeps every sample, so that the books can be held against it.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use prost::Message as _;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::tasks::Tasks;

/// How the receiver misbehaves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fault {
    /// Not at all.
    #[default]
    None,
    /// Every request is answered 503.
    Outage,
    /// Every request's connection is reset without an answer.
    HangUp,
    /// Every request waits for an answer until its sender has enough of it.
    Hang,
    /// Every request is stored, and its connection reset in place of the answer.
    LoseAnswers,
    /// One request in so many is answered 429.
    Throttle {
        /// 1 is all of them.
        one_in: u64,
        /// `Retry-After` of that answer.
        retry_after: Option<Duration>,
    },
}

impl Fault {
    /// What it looks like from outside, in a word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "up",
            Self::Outage => "down",
            Self::HangUp => "hanging up",
            Self::Hang => "hanging",
            Self::LoseAnswers => "losing answers",
            Self::Throttle { .. } => "throttling",
        }
    }
}

/// Label names and values in the order in which they came.
pub type Labels = Vec<(String, String)>;

/// What came of one series.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Series {
    /// Timestamps (milliseconds since 1970) and the bits of the first value of each, sorted.
    pub samples: Vec<(i64, u64)>,
}

/// All that the receiver got.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    /// The series by their labels.
    pub series: HashMap<Labels, Series>,
    /// Requests stored.
    pub requests: u64,
    /// Those of them whose answer was lost by the fault that was set.
    pub unanswered: u64,
    /// Requests answered with the fault that was set, hung up on or never answered.
    pub refused: u64,
    /// How many requests met with each fault, by its name.
    pub befallen: BTreeMap<&'static str, u64>,
    /// Requests that were no remote write.
    pub malformed: u64,
    /// Samples stored, each timestamp of a series once.
    pub stored: u64,
    /// Samples that came again with the same value.
    pub duplicates: u64,
    /// Samples that came again with another value; the first is kept.
    pub conflicts: u64,
    /// Samples older than the newest of their series.
    pub late: u64,
    /// Series whose labels were not strictly sorted by name, or had an empty name or value.
    pub mislabelled: u64,
    /// Metadata entries.
    pub metadata: u64,
}

/// A running receiver; it ends when this is dropped.
#[derive(Debug)]
pub struct Receiver {
    address: SocketAddr,
    state: Arc<State>,
    _stop: DropGuard,
}

#[derive(Debug, Default)]
struct State {
    fault: Mutex<(Fault, u64)>,
    ledger: Mutex<Ledger>,
}

impl Receiver {
    /// Starts on a free port of the loopback interface.
    ///
    /// # Errors
    /// If there is none.
    pub async fn start() -> std::io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let state = Arc::<State>::default();
        let stop = CancellationToken::new();
        let tasks = Tasks::new();
        tasks.clone().spawn(accept(listener, Arc::clone(&state), stop.clone(), tasks));
        Ok(Self { address, state, _stop: stop.drop_guard() })
    }

    /// Where samples are to be sent.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}/api/v1/write", self.address)
    }

    /// Misbehaves from now on; [`Fault::None`] ends it.
    pub fn set_fault(&self, fault: Fault) {
        *lock(&self.state.fault) = (fault, 0);
    }

    /// As [`Receiver::set_fault`], but what it does already goes on.
    pub fn ensure_fault(&self, fault: Fault) {
        let mut held = lock(&self.state.fault);
        if held.0 != fault {
            *held = (fault, 0);
        }
    }

    /// A copy of the ledger.
    #[must_use]
    pub fn snapshot(&self) -> Ledger {
        self.read(Ledger::clone)
    }

    /// Looks at the ledger without copying it.
    pub fn read<T>(&self, look: impl FnOnce(&Ledger) -> T) -> T {
        look(&lock(&self.state.ledger))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn accept(listener: TcpListener, state: Arc<State>, stop: CancellationToken, tasks: Tasks) {
    loop {
        let stream = tokio::select! {
            () = stop.cancelled() => return,
            stream = listener.accept() => stream,
        };
        match stream {
            Ok((stream, _)) => {
                let (state, stop) = (Arc::clone(&state), stop.clone());
                tasks.spawn(async move {
                    tokio::select! {
                        () = stop.cancelled() => {}
                        () = serve(stream, &state) => {}
                    }
                });
            }
            // Out of file descriptors, most likely: let some be closed.
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

async fn serve(stream: TcpStream, state: &State) {
    let service = service_fn(|request| answer(request, state));
    let mut connection =
        hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    // A sender that hangs up, or the wish to hang up on it, is no news.
    if (&mut connection).await.is_err() {
        // A reset, where a close would be a gentle end.
        let _ = connection.into_parts().io.into_inner().set_zero_linger();
    }
}

type Reply = hyper::Response<Full<Bytes>>;

/// Closes the connection without an answer.
#[derive(Debug, thiserror::Error)]
#[error("hung up")]
struct HungUp;

async fn answer(
    request: hyper::Request<hyper::body::Incoming>,
    state: &State,
) -> Result<Reply, HungUp> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(|_| HungUp)?.to_bytes();
    let (fault, mischief) = state.misbehave();
    if !matches!(mischief, Mischief::None) {
        let mut ledger = lock(&state.ledger);
        *ledger.befallen.entry(fault.name()).or_default() += 1;
        ledger.refused += u64::from(!matches!(mischief, Mischief::LoseAnswer));
    }
    match mischief {
        Mischief::None | Mischief::LoseAnswer => {}
        Mischief::Answer(reply) => return Ok(reply),
        Mischief::HangUp => return Err(HungUp),
        // Ends with the connection.
        Mischief::Hang => std::future::pending().await,
    }
    let header = |name: &str| head.headers.get(name).map(|value| value.as_bytes());
    let welcome = head.method == hyper::Method::POST
        && header("content-encoding") == Some(b"snappy")
        && header("content-type") == Some(b"application/x-protobuf")
        && header("x-prometheus-remote-write-version") == Some(b"0.1.0");
    let wanted = welcome
        .then(|| snap::raw::Decoder::new().decompress_vec(&body).ok())
        .flatten()
        .and_then(|raw| wire::WriteRequest::decode(raw.as_slice()).ok());
    let mut ledger = lock(&state.ledger);
    match wanted {
        Some(request) => {
            ledger.store(request);
            if matches!(mischief, Mischief::LoseAnswer) {
                ledger.unanswered += 1;
                return Err(HungUp);
            }
            Ok(reply(200, ""))
        }
        None => {
            ledger.malformed += 1;
            Ok(reply(400, "not a remote write 1.0 request"))
        }
    }
}

fn reply(status: u16, text: &'static str) -> Reply {
    let mut reply = Reply::new(Full::new(Bytes::from_static(text.as_bytes())));
    *reply.status_mut() = hyper::StatusCode::from_u16(status).unwrap_or_default();
    reply
}

/// What the fault does to one request.
enum Mischief {
    None,
    Answer(Reply),
    HangUp,
    Hang,
    LoseAnswer,
}

impl State {
    /// The fault, and what it has in mind for the next request.
    fn misbehave(&self) -> (Fault, Mischief) {
        let (fault, seen) = &mut *lock(&self.fault);
        *seen += 1;
        let mischief = match *fault {
            Fault::None => Mischief::None,
            Fault::Outage => Mischief::Answer(reply(503, "out of order for a while")),
            Fault::HangUp => Mischief::HangUp,
            Fault::Hang => Mischief::Hang,
            Fault::LoseAnswers => Mischief::LoseAnswer,
            Fault::Throttle { one_in, retry_after } if seen.is_multiple_of(one_in) => {
                let mut reply = reply(429, "ingestion rate limit exceeded");
                if let Some(after) = retry_after {
                    reply.headers_mut().insert("retry-after", after.as_secs().into());
                }
                Mischief::Answer(reply)
            }
            Fault::Throttle { .. } => Mischief::None,
        };
        (*fault, mischief)
    }
}

impl Ledger {
    /// Takes a request in.
    fn store(&mut self, request: wire::WriteRequest) {
        self.requests += 1;
        self.metadata += request.metadata.len() as u64;
        for series in request.timeseries {
            let labels: Labels =
                series.labels.into_iter().map(|label| (label.name, label.value)).collect();
            let sorted = labels.windows(2).all(|pair| match pair {
                [one, next] => one.0 < next.0,
                _ => true,
            });
            if !sorted || labels.iter().any(|(name, value)| name.is_empty() || value.is_empty()) {
                self.mislabelled += 1;
            }
            let held = self.series.entry(labels).or_default();
            for sample in series.samples {
                let (at, bits) = (sample.timestamp, sample.value.to_bits());
                if held.samples.last().is_none_or(|newest| newest.0 < at) {
                    held.samples.push((at, bits));
                    self.stored += 1;
                    continue;
                }
                match held.samples.binary_search_by_key(&at, |sample| sample.0) {
                    Ok(place) if held.samples.get(place).is_some_and(|s| s.1 == bits) => {
                        self.duplicates += 1;
                    }
                    Ok(_) => self.conflicts += 1,
                    Err(place) => {
                        held.samples.insert(place, (at, bits));
                        self.stored += 1;
                        self.late += 1;
                    }
                }
            }
        }
    }
}

/// A series as Prometheus's text format writes it, without values.
#[must_use]
pub fn exposition(labels: &Labels) -> String {
    let name = labels.iter().find(|label| label.0 == "__name__");
    let pairs: Vec<_> = labels
        .iter()
        .filter(|label| label.0 != "__name__")
        .map(|(name, value)| {
            let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            format!("{name}=\"{value}\"")
        })
        .collect();
    format!("{}{{{}}}", name.map_or("", |label| &label.1), pairs.join(","))
}

/// Remote write 1.0, declared from its specification.
/// <https://prometheus.io/docs/specs/prw/remote_write_spec/>
pub mod wire {
    /// The body of a request, before snappy.
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct WriteRequest {
        /// Series with samples.
        #[prost(message, repeated, tag = "1")]
        pub timeseries: Vec<TimeSeries>,
        /// TYPE, HELP and unit of metric families.
        #[prost(message, repeated, tag = "3")]
        pub metadata: Vec<MetricMetadata>,
    }

    /// A series and some of its samples.
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct TimeSeries {
        /// All labels of the series, sorted by name.
        #[prost(message, repeated, tag = "1")]
        pub labels: Vec<Label>,
        /// Samples in the order of time.
        #[prost(message, repeated, tag = "2")]
        pub samples: Vec<Sample>,
    }

    /// A label.
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Label {
        /// Its name.
        #[prost(string, tag = "1")]
        pub name: String,
        /// Its value.
        #[prost(string, tag = "2")]
        pub value: String,
    }

    /// A sample.
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Sample {
        /// Its value.
        #[prost(double, tag = "1")]
        pub value: f64,
        /// Milliseconds since 1970.
        #[prost(int64, tag = "2")]
        pub timestamp: i64,
    }

    /// What a metric family is.
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct MetricMetadata {
        /// `GAUGE` is 2.
        #[prost(int32, tag = "1")]
        pub kind: i32,
        /// The family's name.
        #[prost(string, tag = "2")]
        pub metric_family_name: String,
        /// HELP text.
        #[prost(string, tag = "4")]
        pub help: String,
        /// Unit.
        #[prost(string, tag = "5")]
        pub unit: String,
    }
}
