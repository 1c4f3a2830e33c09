//! One destination, as HTTP reaches it: a body goes out, a verdict comes back.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_credential_types::provider::SharedCredentialsProvider;
use bytes::Bytes;
use metrics::{Counter, Histogram};
use reqwest::header::{DATE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use reqwest::{Response, Url};
use tokio::time::{Instant, timeout_at};

use super::auth::{Proof, Proven, SecretText};
use super::cause::cause;
use super::client::Dialer;
use super::config::{Auth, Destination, RESERVED_HEADERS, SecretSource};
use super::credentials::{self, Cache};
use super::judge::{Lean, Verdict, judge, parse_retry_after};
use super::sign::{Signer, signable};
use super::skew::Skew;
use crate::meters::{self, Meters};
use crate::secret::{HIDDEN, Secret};

pub use super::client::RemoteFault;

/// What remote write 1.0 wants (<https://prometheus.io/docs/specs/prw/remote_write_spec/>); all of
/// it is signed.
const PROTOCOL_HEADERS: [(&str, &str); 3] = [
    ("content-encoding", "snappy"),
    ("content-type", "application/x-protobuf"),
    ("x-prometheus-remote-write-version", "0.1.0"),
];

/// What is read of an answer.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// AWS repeats the whole signed request after this, the session token included.
const CANONICAL: &str = "The Canonical String";

/// One destination.
pub struct Remote {
    name: String,
    url: Url,
    dialer: Dialer,
    headers: HeaderMap,
    /// What of the configured headers and of the query an answer must not bring into the log.
    told_secrets: Vec<Secret>,
    proof: Proof,
    lean: Lean,
    meters: Meters,
    duration: Histogram,
    bytes: Counter,
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remote").field("name", &self.name).finish_non_exhaustive()
    }
}

/// An answer, or as much of it as came.
struct Answer {
    status: u16,
    retry_after: Option<Duration>,
    date: Option<SystemTime>,
    request_id: Option<String>,
    body: String,
}

impl Remote {
    /// A client for this destination. Sends nothing yet and asks nobody for credentials.
    ///
    /// # Errors
    /// If a file that the configuration names is missing or not what it should be, or a header is
    /// illegal.
    pub fn new(
        destination: &Destination,
        meters: &Meters,
        user_agent: &str,
    ) -> Result<Self, RemoteFault> {
        Self::build(destination, meters, user_agent, None)
    }

    /// The same with another source of AWS credentials than the configuration's, for a destination
    /// with `sigv4`.
    ///
    /// # Errors
    /// As [`Remote::new`].
    pub fn with_provider(
        destination: &Destination,
        meters: &Meters,
        user_agent: &str,
        provider: SharedCredentialsProvider,
    ) -> Result<Self, RemoteFault> {
        Self::build(destination, meters, user_agent, Some(provider))
    }

    fn build(
        destination: &Destination,
        meters: &Meters,
        user_agent: &str,
        provider: Option<SharedCredentialsProvider>,
    ) -> Result<Self, RemoteFault> {
        let name = destination.name.clone();
        let mut url = Url::parse(&destination.url)
            .map_err(|error| RemoteFault::Url(error.to_string()))
            .and_then(|url| match (url.scheme(), url.host_str()) {
                ("http" | "https", Some(_)) => Ok(url),
                _ => Err(RemoteFault::Url("it needs http:// or https:// and a host".to_owned())),
            })?;
        let open = |source: &SecretSource| {
            SecretText::open(source).map_err(|error| match source {
                SecretSource::File(path) => RemoteFault::File { path: path.clone(), source: error },
                SecretSource::Inline(_) => RemoteFault::Client(error.to_string()),
            })
        };
        let proof = match (&destination.auth, provider) {
            (Auth::Sigv4(sigv4), provider) => {
                let provider = provider.unwrap_or_else(|| credentials::provider(sigv4));
                url = signable(&url);
                let signer = Signer::new(sigv4, &url);
                let skew = Arc::new(Skew::default());
                let clock = {
                    let skew = Arc::clone(&skew);
                    Arc::new(move || skew.correct(SystemTime::now()))
                };
                let credentials = Arc::new(Cache::new(provider, clock, &name, meters));
                Proof::Sigv4 { signer, credentials, skew }
            }
            (Auth::BasicAuth { username, password }, _) => {
                Proof::Basic { username: username.clone(), password: open(password)? }
            }
            (Auth::Authorization { scheme, credentials }, _) => {
                Proof::Scheme { scheme: scheme.clone(), credentials: open(credentials)? }
            }
            (Auth::None, _) => proof_in(&url),
        };
        // What the URL says of a user is in the proof now; the HTTP client would add it again.
        let _ = url.set_username("");
        let _ = url.set_password(None);
        url.set_fragment(None);
        Ok(Self {
            dialer: Dialer::new(&url, &destination.tls_config, user_agent)?,
            headers: headers(&destination.headers)?,
            told_secrets: told_secrets(&destination.headers, &url),
            proof,
            lean: Lean::of(destination),
            duration: meters.histogram(&meters::REMOTE_WRITE_DURATION, &[&name]),
            bytes: meters.counter(&meters::REMOTE_WRITE_BYTES, &[&name]),
            meters: meters.clone(),
            url,
            name,
        })
    }

    /// The destination's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Sends a body (a snappy block of a `WriteRequest`), signed anew, and judges the answer. Ends
    /// within `timeout`, the wait for credentials included.
    pub async fn send(&self, body: Bytes, timeout: Duration) -> Verdict {
        let started = Instant::now();
        let until = started + timeout;
        let proven = match timeout_at(until, self.proof.prove(&PROTOCOL_HEADERS, &body)).await {
            Ok(Ok(proven)) => proven,
            Ok(Err(fault)) => return not_sent(fault.to_string()),
            Err(_) => return not_sent("waited in vain for AWS credentials".to_owned()),
        };
        let bytes = body.len() as u64;
        let answer = timeout_at(until, self.exchange(body, &proven)).await;
        self.duration.record(started.elapsed().as_secs_f64());
        let fault = match answer {
            Ok(Ok(answer)) => {
                self.bytes.increment(bytes);
                self.count(answer.status.to_string().as_str());
                return self.judged(answer, &proven);
            }
            Ok(Err(error)) => {
                if !error.is_connect() {
                    self.bytes.increment(bytes);
                }
                // A URL may hold a user, or a token in its query.
                cause(&error.without_url())
            }
            Err(_) => {
                self.bytes.increment(bytes);
                format!("no answer within {:.1} s", timeout.as_secs_f64())
            }
        };
        self.count("error");
        not_sent(fault)
    }

    fn count(&self, code: &str) {
        self.meters.counter(&meters::REMOTE_WRITE_REQUESTS, &[&self.name, code]).increment(1);
    }

    async fn exchange(&self, body: Bytes, proven: &Proven) -> reqwest::Result<Answer> {
        let mut headers = self.headers.clone();
        headers.extend(proven.headers.iter().cloned());
        let request = self.dialer.client().post(self.url.clone()).headers(headers).body(body);
        let mut response = request.send().await?;
        let text = |response: &Response, name| {
            let value = response.headers().get(name)?.to_str().ok()?;
            Some(value.to_owned())
        };
        let status = response.status().as_u16();
        let retry_after = text(&response, RETRY_AFTER)
            .and_then(|value| parse_retry_after(&value, SystemTime::now()));
        let date = text(&response, DATE).and_then(|date| httpdate::parse_http_date(&date).ok());
        let request_id = text(&response, HeaderName::from_static("x-amzn-requestid"));
        let mut body = Vec::new();
        loop {
            match response.chunk().await {
                Ok(Some(chunk)) => {
                    let room = ANSWER_BYTES_MAX - body.len();
                    body.extend(chunk.iter().take(room));
                    if chunk.len() >= room {
                        break;
                    }
                }
                Ok(None) => break,
                // What a 400 means stands in its body: ask again. All else stands in the status.
                Err(error) if status == 400 => return Err(error),
                Err(_) => break,
            }
        }
        let body = String::from_utf8_lossy(&body).into_owned();
        Ok(Answer { status, retry_after, date, request_id, body })
    }

    fn judged(&self, answer: Answer, proven: &Proven) -> Verdict {
        let Answer { status, retry_after, date, request_id, body } = answer;
        tracing::debug!(destination = self.name, status, request_id, "remote write answered");
        let body = without_secrets(body, &proven.secrets);
        let body = without_secrets(body, &self.told_secrets);
        let mut verdict = judge(status, retry_after, &body, self.lean);
        if let Verdict::Resign { .. } = &verdict
            && let Some(ahead_s) = self.proof.refused(proven, date)
        {
            tracing::warn!(
                destination = self.name,
                ahead_s,
                "the receiver's clock shows another time, signatures are dated by it from now on"
            );
        }
        if let (Some(id), Some(text)) = (request_id, text_of(&mut verdict)) {
            let id = id.chars().filter(char::is_ascii_graphic).take(64);
            text.push_str(" (request id ");
            text.extend(id);
            text.push(')');
        }
        verdict
    }
}

/// The text of a verdict that ends up in a log.
fn text_of(verdict: &mut Verdict) -> Option<&mut String> {
    match verdict {
        Verdict::Accepted => None,
        Verdict::Partial(refusal) | Verdict::Isolate(refusal) | Verdict::Refused(refusal) => {
            Some(&mut refusal.message)
        }
        Verdict::TryAgain { trouble, .. }
        | Verdict::Split { trouble }
        | Verdict::Resign { trouble } => Some(trouble),
    }
}

fn not_sent(trouble: String) -> Verdict {
    Verdict::TryAgain { after: None, over_rate: false, misconfigured: false, trouble }
}

/// The values of headers and of the query. A tenant's name is none, and receivers name it in the
/// answers that are judged; nor is what is too short to be one.
fn told_secrets(headers: &[(String, Secret)], url: &Url) -> Vec<Secret> {
    let headers = headers.iter().filter(|(name, _)| !name.eq_ignore_ascii_case("x-scope-orgid"));
    let headers = headers.map(|(_, value)| value.clone());
    let query = url.query().unwrap_or_default().split('&');
    let written =
        query.map(|pair| pair.split_once('=').map_or(pair, |(_, value)| value).to_owned());
    let meant = url.query_pairs().map(|(_, value)| value.into_owned());
    let all = headers.chain(written.chain(meant).map(Secret::new));
    all.filter(|secret| secret.expose().len() >= 8).collect()
}

fn without_secrets(mut body: String, secrets: &[Secret]) -> String {
    if let Some(at) = body.find(CANONICAL) {
        body.truncate(at);
    }
    for secret in secrets.iter().map(Secret::expose).filter(|secret| secret.len() >= 4) {
        if body.contains(secret) {
            body = body.replace(secret, HIDDEN);
        }
    }
    body
}

/// A user that stands in the URL itself.
fn proof_in(url: &Url) -> Proof {
    if url.username().is_empty() && url.password().is_none() {
        return Proof::None;
    }
    let plain = |text| String::from_utf8_lossy(&super::sign::unescape(text)).into_owned();
    let password = Secret::new(plain(url.password().unwrap_or_default()));
    Proof::Basic { username: plain(url.username()), password: SecretText::Inline(password) }
}

fn headers(custom: &[(String, Secret)]) -> Result<HeaderMap, RemoteFault> {
    let mut headers = HeaderMap::new();
    for (name, value) in PROTOCOL_HEADERS {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    for (name, value) in custom {
        let fault = || RemoteFault::Header(name.clone());
        let header = name.parse::<HeaderName>().map_err(|_| fault())?;
        if RESERVED_HEADERS.contains(&header.as_str()) {
            return Err(fault());
        }
        let mut value = HeaderValue::from_str(value.expose()).map_err(|_| fault())?;
        value.set_sensitive(true);
        headers.append(header, value);
    }
    Ok(headers)
}
