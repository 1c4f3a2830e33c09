//! A remote-write front that stands in for Amazon Managed Service for Prometheus: it verifies
//! Signature Version 4 itself, checks bodies strictly, stores samples, and answers by script.

#![allow(clippy::unwrap_used, clippy::panic, dead_code)]

use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::fmt::Write as _;
use std::pin::pin;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use hmac::{Hmac, KeyInit as _, Mac as _};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::{HeaderMap, Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use sha2::{Digest as _, Sha256};
use sluicegate::tasks::Tasks;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::Notify;

use super::prompb::{MetricMetadata, WriteRequest};

/// Labels, sorted by name.
pub(crate) type Labels = Vec<(String, String)>;

/// An answer of the script, or of the front's own.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn new(status: u16, body: &str) -> Self {
        Self { status, headers: Vec::new(), body: body.to_owned() }
    }

    pub(crate) fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }
}

/// Who may write.
#[derive(Clone, Debug)]
pub(crate) enum Guard {
    /// Anyone.
    Open,
    /// Whoever sends this `Authorization`.
    Authorization(String),
    /// Whoever signs for one of these.
    Sigv4 { region: String, service: String, keys: Vec<Key> },
    /// Whoever one of these takes.
    Any(Vec<Guard>),
}

/// One set of AWS keys that the front takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    pub(crate) id: String,
    pub(crate) secret: String,
    pub(crate) token: Option<String>,
}

/// A request, as it came.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    pub(crate) uri: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) status: u16,
}

type Issuer = Arc<dyn Fn() -> Vec<Key> + Send + Sync>;
type Reaction = Box<dyn Fn(&WriteRequest) -> Option<Answer> + Send + Sync>;

#[derive(Default)]
struct Store {
    script: VecDeque<Answer>,
    reaction: Option<Reaction>,
    received: Vec<Received>,
    samples: BTreeMap<Labels, Vec<(i64, f64)>>,
    metadata: Vec<Vec<MetricMetadata>>,
    faults: Vec<String>,
}

struct Inner {
    guard: Mutex<Guard>,
    issuer: Mutex<Option<Issuer>>,
    /// The front's clock minus the machine's, in seconds.
    clock_s: AtomicI64,
    store: Mutex<Store>,
    changed: Notify,
}

/// The running front.
#[derive(Clone)]
pub(crate) struct AmpFront {
    pub(crate) address: std::net::SocketAddr,
    inner: Arc<Inner>,
    tasks: Tasks,
}

impl AmpFront {
    pub(crate) async fn start(guard: Guard) -> Self {
        Self::on(guard, TcpListener::bind("127.0.0.1:0").await.unwrap())
    }

    /// The same on a listener of the caller's.
    pub(crate) fn on(guard: Guard, listener: TcpListener) -> Self {
        let front = Self::unbound(guard, listener.local_addr().unwrap());
        let accepting = front.clone();
        front.tasks.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                accepting.serve(stream);
            }
        });
        front
    }

    /// A front whose connections the caller accepts.
    pub(crate) fn unbound(guard: Guard, address: std::net::SocketAddr) -> Self {
        let inner = Arc::new(Inner {
            guard: Mutex::new(guard),
            issuer: Mutex::default(),
            clock_s: AtomicI64::new(0),
            store: Mutex::default(),
            changed: Notify::new(),
        });
        Self { address, inner, tasks: Tasks::new() }
    }

    /// Serves one connection, HTTP/1.1 or HTTP/2.
    pub(crate) fn serve(&self, io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
        self.serve_until(io, std::future::pending());
    }

    /// The same until `end`: what has been asked by then is answered.
    pub(crate) fn serve_until(
        &self,
        io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        end: impl Future<Output = ()> + Send + 'static,
    ) {
        let inner = Arc::clone(&self.inner);
        self.tasks.spawn(async move {
            let service = hyper::service::service_fn(move |request| {
                let inner = Arc::clone(&inner);
                async move { Ok::<_, Infallible>(inner.answer(request).await) }
            });
            let server = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
            let mut connection = pin!(server.serve_connection(TokioIo::new(io), service));
            let served = tokio::select! {
                served = connection.as_mut() => Some(served),
                () = end => None,
            };
            if served.is_none() {
                connection.as_mut().graceful_shutdown();
                let _ = connection.await;
            }
        });
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// The next requests that pass the guard are answered so; nothing of them is stored unless the
    /// status is 2xx.
    pub(crate) fn script(&self, answers: impl IntoIterator<Item = Answer>) {
        self.inner.store.lock().unwrap().script.extend(answers);
    }

    /// After the script, this decides; where it gives none, the request is stored.
    pub(crate) fn react(
        &self,
        f: impl Fn(&WriteRequest) -> Option<Answer> + Send + Sync + 'static,
    ) {
        self.inner.store.lock().unwrap().reaction = Some(Box::new(f));
    }

    pub(crate) fn guard(&self, guard: Guard) {
        *self.inner.guard.lock().unwrap() = guard;
    }

    /// Beside the keys of its guard it takes those that this names at the moment of a request.
    pub(crate) fn issuer(&self, issuer: impl Fn() -> Vec<Key> + Send + Sync + 'static) {
        *self.inner.issuer.lock().unwrap() = Some(Arc::new(issuer));
    }

    /// Sets its clock by so many seconds off ours.
    pub(crate) fn clock(&self, ahead_s: i64) {
        self.inner.clock_s.store(ahead_s, Ordering::SeqCst);
    }

    pub(crate) fn received(&self) -> Vec<Received> {
        self.inner.store.lock().unwrap().received.clone()
    }

    pub(crate) fn samples(&self) -> BTreeMap<Labels, Vec<(i64, f64)>> {
        self.inner.store.lock().unwrap().samples.clone()
    }

    pub(crate) fn metadata(&self) -> Vec<Vec<MetricMetadata>> {
        self.inner.store.lock().unwrap().metadata.clone()
    }

    /// What was wrong with requests: empty after a fair run.
    pub(crate) fn faults(&self) -> Vec<String> {
        self.inner.store.lock().unwrap().faults.clone()
    }

    /// Waits until so many requests have come.
    pub(crate) async fn requests(&self, count: usize) {
        loop {
            let changed = self.inner.changed.notified();
            if self.received().len() >= count {
                return;
            }
            changed.await;
        }
    }
}

impl Inner {
    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let (parts, body) = request.into_parts();
        let Ok(body) = body.collect().await else {
            return response(&Answer::new(400, "cut"), self.now());
        };
        let body = body.to_bytes();
        let uri = parts.uri.path_and_query().unwrap().as_str().to_owned();
        let host = parts.uri.authority().map(ToString::to_string);
        let answer = match self.check(&parts, host, &uri, &body) {
            Ok(write) => self.decide(write),
            Err(refusal) => {
                let mut store = self.store.lock().unwrap();
                store.faults.push(format!("{} {}", refusal.status, refusal.body));
                refusal
            }
        };
        let status = answer.status;
        let received = Received { uri, headers: parts.headers, body, status };
        self.store.lock().unwrap().received.push(received);
        self.changed.notify_waiters();
        response(&answer, self.now())
    }

    fn now(&self) -> SystemTime {
        let (now, ahead_s) = (SystemTime::now(), self.clock_s.load(Ordering::SeqCst));
        let distance = Duration::from_secs(ahead_s.unsigned_abs());
        if ahead_s < 0 { now - distance } else { now + distance }
    }

    /// Whether a guard lets a request pass.
    fn admit(
        &self,
        guard: &Guard,
        headers: &HeaderMap,
        host: &str,
        uri: &str,
        body: &[u8],
    ) -> Result<(), Answer> {
        match guard {
            Guard::Open => Ok(()),
            Guard::Authorization(expected)
                if one(headers, "authorization") == Some(expected.as_str()) =>
            {
                Ok(())
            }
            Guard::Authorization(_) => Err(Answer::new(401, "who are you?")),
            Guard::Sigv4 { region, service, keys } => {
                let issuer = self.issuer.lock().unwrap().clone();
                let issued = issuer.map(|issuer| issuer()).unwrap_or_default();
                let keys: Vec<_> = keys.iter().cloned().chain(issued).collect();
                let now_s = self.now().duration_since(UNIX_EPOCH).unwrap().as_secs();
                verify((region, service, &keys), headers, host, uri, body, now_s).map_err(|why| {
                    Answer::new(403, &serde_json::json!({ "message": why }).to_string())
                })
            }
            Guard::Any(guards) => {
                let mut refusal = Answer::new(403, "nobody may");
                for guard in guards {
                    match self.admit(guard, headers, host, uri, body) {
                        Ok(()) => return Ok(()),
                        Err(answer) => refusal = answer,
                    }
                }
                Err(refusal)
            }
        }
    }

    fn decide(&self, write: WriteRequest) -> Answer {
        let mut store = self.store.lock().unwrap();
        let scripted = store.script.pop_front();
        let reaction = || store.reaction.as_ref().and_then(|react| react(&write));
        let answer = scripted.or_else(reaction).unwrap_or_else(|| Answer::new(200, ""));
        if (200..300).contains(&answer.status) {
            for series in write.timeseries {
                let labels = series.labels.into_iter().map(|l| (l.name, l.value)).collect();
                let samples = series.samples.into_iter().map(|s| (s.timestamp, s.value));
                store.samples.entry(labels).or_default().extend(samples);
            }
            if !write.metadata.is_empty() {
                store.metadata.push(write.metadata);
            }
        }
        answer
    }

    fn check(
        &self,
        parts: &hyper::http::request::Parts,
        authority: Option<String>,
        uri: &str,
        body: &[u8],
    ) -> Result<WriteRequest, Answer> {
        let refuse = |status, body: &str| Answer::new(status, body);
        let header = |name: &str| one(&parts.headers, name);
        if parts.method != "POST" {
            return Err(refuse(405, "POST it"));
        }
        let guard = self.guard.lock().unwrap().clone();
        let host = header("host").map(str::to_owned).or(authority).unwrap_or_default();
        self.admit(&guard, &parts.headers, &host, uri, body)?;
        for (name, value) in [
            ("content-encoding", "snappy"),
            ("content-type", "application/x-protobuf"),
            ("x-prometheus-remote-write-version", "0.1.0"),
        ] {
            if header(name) != Some(value) {
                return Err(refuse(415, name));
            }
        }
        if !header("user-agent").is_some_and(|agent| agent.starts_with("sluicegate/")) {
            return Err(refuse(400, "user-agent"));
        }
        if body.len() > 1_000_000 {
            return Err(refuse(413, "over 1 MB"));
        }
        let raw = snap::raw::Decoder::new()
            .decompress_vec(body)
            .map_err(|_| refuse(400, "snappy: corrupt input"))?;
        let write =
            WriteRequest::decode(&raw[..]).map_err(|e| refuse(400, &format!("proto: {e}")))?;
        for series in &write.timeseries {
            let sorted = series.labels.windows(2).all(|pair| pair[0].name < pair[1].name);
            let empty = series.labels.iter().any(|l| l.name.is_empty() || l.value.is_empty());
            if !sorted || empty || series.labels.is_empty() || series.samples.is_empty() {
                return Err(refuse(400, "labels not sorted: or empty, or no samples"));
            }
        }
        Ok(write)
    }
}

fn one<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let mut all = headers.get_all(name).iter();
    let value = all.next()?.to_str().ok()?;
    all.next().is_none().then_some(value)
}

fn response(answer: &Answer, now: SystemTime) -> Response<Full<Bytes>> {
    let date = httpdate::fmt_http_date(now);
    let mut response = Response::builder().status(answer.status);
    if !answer.headers.iter().any(|(name, _)| *name == "date") {
        response = response.header("date", date);
    }
    for (name, value) in &answer.headers {
        response = response.header(*name, value);
    }
    response.body(Full::new(answer.body.clone().into())).unwrap()
}

/// Signature Version 4 from its specification, with nothing but SHA-256 and HMAC.
fn verify(
    (region, service, keys): (&str, &str, &[Key]),
    headers: &HeaderMap,
    host: &str,
    uri: &str,
    body: &[u8],
    now_s: u64,
) -> Result<(), String> {
    let missing = || "Missing Authentication Token".to_owned();
    let authorization = one(headers, "authorization").ok_or_else(missing)?;
    let rest = authorization.strip_prefix("AWS4-HMAC-SHA256 ").ok_or_else(missing)?;
    let part = |name: &str| {
        let mut parts = rest.split(',').map(str::trim);
        parts.find_map(|part| part.strip_prefix(name)).ok_or_else(missing)
    };
    let (credential, signed, signature) =
        (part("Credential=")?, part("SignedHeaders=")?, part("Signature=")?);
    let (id, scope) = credential.split_once('/').ok_or_else(missing)?;
    let key = keys.iter().find(|key| key.id == id).ok_or("The security token is invalid")?;
    let date = one(headers, "x-amz-date").ok_or_else(missing)?;
    let day = date.get(..8).unwrap_or_default();
    if scope != format!("{day}/{region}/{service}/aws4_request") {
        return Err(format!("Credential should be scoped to {region}/{service}"));
    }
    // In the words of AWS.
    if seconds(date) + 300 < now_s {
        return Err(format!("Signature expired: {date} is now earlier than {now_s} - 5 min."));
    }
    if seconds(date) > now_s + 300 {
        return Err(format!(
            "Signature not yet current: {date} is still later than {now_s} + 5 min."
        ));
    }
    if one(headers, "x-amz-security-token") != key.token.as_deref() {
        return Err("The security token included in the request is invalid".to_owned());
    }
    let names: Vec<_> = signed.split(';').collect();
    let mut wanted = vec!["content-encoding", "content-type", "host", "x-amz-date"];
    wanted.extend(key.token.as_ref().map(|_| "x-amz-security-token"));
    wanted.push("x-prometheus-remote-write-version");
    if names != wanted {
        return Err(format!("signed are {signed}"));
    }
    let (path, query) = uri.split_once('?').unwrap_or((uri, ""));
    let mut pairs: Vec<_> = query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .collect();
    pairs.sort_unstable();
    let query: Vec<_> = pairs.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let mut canonical = format!("POST\n{}\n{}\n", escaped(path), query.join("&"));
    for name in &names {
        let value = if *name == "host" { host } else { one(headers, name).ok_or_else(missing)? };
        writeln!(canonical, "{name}:{}", value.trim()).unwrap();
    }
    write!(canonical, "\n{signed}\n{}", hex(&Sha256::digest(body))).unwrap();
    let hash = hex(&Sha256::digest(&canonical));
    let to_sign = format!("AWS4-HMAC-SHA256\n{date}\n{scope}\n{hash}");
    let mut signing = format!("AWS4{}", key.secret).into_bytes();
    for step in [day, region, service, "aws4_request"] {
        signing = mac(&signing, step);
    }
    if hex(&mac(&signing, &to_sign)) != signature {
        // As the real one, which repeats what was signed.
        let why = "SignatureDoesNotMatch. The Canonical String for this request should have been";
        return Err(format!("{why} '{canonical}'"));
    }
    Ok(())
}

fn mac(key: &[u8], text: &str) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The path escaped once more, slashes apart: `%` is `%25` then.
fn escaped(path: &str) -> String {
    let mut escaped = String::new();
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            write!(escaped, "%{byte:02X}").unwrap();
        }
    }
    escaped
}

/// `20261121T093628Z` in seconds since 1970.
fn seconds(date: &str) -> u64 {
    let number = |range: std::ops::Range<usize>| date[range].parse::<u64>().unwrap();
    // Days from the civil date (proleptic Gregorian calendar, March first).
    let (year, month, day) = (number(0..4), number(4..6), number(6..8));
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = year * 365 + year / 4 - year / 100 + year / 400 + (month * 153 + 2) / 5 + day - 1;
    let since_1970 = days - 719_468;
    since_1970 * 86_400 + number(9..11) * 3_600 + number(11..13) * 60 + number(13..15)
}
