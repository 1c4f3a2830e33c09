//! AWS credentials: fetched when needed, renewed ahead of their expiry, never used after it.

mod chain;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_credential_types::Credentials;
use aws_credential_types::provider::{ProvideCredentials as _, SharedCredentialsProvider};
use metrics::{Counter, Gauge};
use tokio::time::Instant;

use super::backoff::Backoff;
use super::cause::cause;
use crate::meters::{self, Meters};

pub use chain::provider;

/// The wall clock, which expiries are measured by; a test brings its own.
pub type Clock = Arc<dyn Fn() -> SystemTime + Send + Sync>;

/// Longest fetch. The container and instance endpoints answer in milliseconds, STS within a second.
const FETCH_TIMEOUT: Duration = Duration::from_secs(15);
/// Longest that a request waits for a renewal while it holds credentials that are valid still.
const RENEWAL_PATIENCE: Duration = Duration::from_secs(5);
/// Least time between two fetches that succeed, whoever doubts their result.
const FETCH_INTERVAL_MIN: Duration = Duration::from_secs(5);
/// Waits between fetches that fail.
const FETCH_BACKOFF: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(20));
/// Credentials that end within this time count as expired: a request has to arrive as well.
const EXPIRY_MARGIN: Duration = Duration::from_secs(1);
/// How far ahead of their expiry credentials are renewed, lifetime allowing: at least, at most.
const LEAD: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(300));

/// No valid credentials can be had. The text names the cause and no secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no AWS credentials: {0}")]
pub struct NoCredentials(String);

/// Credentials that were given out. Clones are the same ones.
#[derive(Clone, Debug)]
pub struct Issued(Arc<Credentials>);

impl Issued {
    /// The credentials.
    #[must_use]
    pub fn credentials(&self) -> &Credentials {
        &self.0
    }
}

/// The credentials of one destination. Callers share them, and share the fetch of new ones.
pub struct Cache {
    provider: SharedCredentialsProvider,
    clock: Clock,
    held: Mutex<Held>,
    /// Held by whoever drives the fetch.
    fetching: tokio::sync::Mutex<Fetching>,
    succeeded: Counter,
    failed: Counter,
    expiry: Gauge,
}

struct Held {
    issued: Option<Issued>,
    renew_at: Option<SystemTime>,
    /// The receiver did not take them.
    doubted: bool,
    fetch_from: Instant,
    trouble: String,
}

type Fetched = Result<Credentials, String>;
type Fetch = Pin<Box<dyn Future<Output = Fetched> + Send>>;

struct Fetching {
    /// Kept here, so that a caller that gives up does not take the fetch with it.
    in_flight: Option<(Instant, Fetch)>,
    backoff: Backoff,
    random: fastrand::Rng,
}

/// What to do for a caller.
enum Next {
    Use(Issued),
    /// They are valid still: one caller fetches, the others use them.
    Renew(Issued),
    /// Everyone waits for the fetch.
    Fetch,
    Refuse(NoCredentials),
}

impl fmt::Debug for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache").field("provider", &self.provider).finish_non_exhaustive()
    }
}

impl Cache {
    /// An empty cache of what `provider` gives, counted under the destination's name.
    #[must_use]
    pub fn new(
        provider: SharedCredentialsProvider,
        clock: Clock,
        destination: &str,
        meters: &Meters,
    ) -> Self {
        let refreshes =
            |result| meters.counter(&meters::CREDENTIALS_REFRESHES, &[destination, result]);
        let held = Held {
            issued: None,
            renew_at: None,
            doubted: false,
            fetch_from: Instant::now(),
            trouble: String::new(),
        };
        let fetching = Fetching {
            in_flight: None,
            backoff: Backoff::new(FETCH_BACKOFF.0, FETCH_BACKOFF.1),
            random: fastrand::Rng::new(),
        };
        Self {
            provider,
            clock,
            held: Mutex::new(held),
            fetching: tokio::sync::Mutex::new(fetching),
            succeeded: refreshes("success"),
            failed: refreshes("failure"),
            expiry: meters.gauge(&meters::CREDENTIALS_EXPIRY, &[destination]),
        }
    }

    /// Valid credentials. May be cancelled: the fetch is taken up by the next caller.
    ///
    /// # Errors
    /// If the ones at hand have expired and no others can be fetched, or the last attempt at it
    /// failed a moment ago.
    pub async fn get(&self) -> Result<Issued, NoCredentials> {
        match self.next() {
            Next::Use(issued) => return Ok(issued),
            Next::Refuse(fault) => return Err(fault),
            Next::Renew(issued) => {
                let Ok(mut fetching) = self.fetching.try_lock() else { return Ok(issued) };
                // Whoever held the lock before may have fetched.
                if matches!(self.next(), Next::Renew(_)) {
                    let fetch = self.fetch(&mut fetching);
                    let _ = tokio::time::timeout(RENEWAL_PATIENCE, fetch).await;
                }
            }
            Next::Fetch => {
                let mut fetching = self.fetching.lock().await;
                if matches!(self.next(), Next::Fetch | Next::Renew(_)) {
                    self.fetch(&mut fetching).await;
                }
            }
        }
        match self.next() {
            Next::Use(issued) | Next::Renew(issued) => Ok(issued),
            Next::Refuse(fault) => Err(fault),
            Next::Fetch => Err(NoCredentials("they expire as they are fetched".to_owned())),
        }
    }

    /// The receiver did not take these: if they are still the ones in use, the next caller fetches
    /// others, though not sooner than a few seconds after the last fetch.
    pub fn invalidate(&self, issued: &Issued) {
        let mut held = self.held();
        if held.issued.as_ref().is_some_and(|held| Arc::ptr_eq(&held.0, &issued.0)) {
            held.doubted = true;
        }
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn next(&self) -> Next {
        let now = (self.clock)();
        let held = self.held();
        let may_fetch = Instant::now() >= held.fetch_from;
        let due = held.doubted || held.renew_at.is_some_and(|at| now >= at);
        let valid = held.issued.as_ref().filter(|issued| is_valid(issued.credentials(), now));
        match valid {
            None if may_fetch => Next::Fetch,
            None => Next::Refuse(NoCredentials(held.trouble.clone())),
            Some(issued) if !due || !may_fetch => Next::Use(issued.clone()),
            Some(_) if held.doubted => Next::Fetch,
            Some(issued) => Next::Renew(issued.clone()),
        }
    }

    async fn fetch(&self, fetching: &mut Fetching) {
        // One that nobody has driven for so long has missed its own end.
        let started = |fetch: &(Instant, _)| fetch.0.elapsed() < FETCH_TIMEOUT;
        if !fetching.in_flight.as_ref().is_some_and(started) {
            fetching.in_flight = None;
        }
        let provider = &self.provider;
        let (_, fetch) = fetching.in_flight.get_or_insert_with(|| {
            let provider = provider.clone();
            let fetch = async move {
                let fetch = async { provider.provide_credentials().await };
                match tokio::time::timeout(FETCH_TIMEOUT, fetch).await {
                    Ok(fetched) => fetched.map_err(|error| cause(&error)),
                    Err(_) => Err(format!("no answer within {} s", FETCH_TIMEOUT.as_secs())),
                }
            };
            (Instant::now(), Box::pin(fetch))
        });
        let fetched = fetch.as_mut().await;
        fetching.in_flight = None;
        self.take(fetched, fetching);
    }

    fn take(&self, fetched: Fetched, fetching: &mut Fetching) {
        let now = (self.clock)();
        let fetched = match fetched {
            Ok(credentials) if !is_valid(&credentials, now) => {
                Err("those given have expired already".to_owned())
            }
            fetched => fetched,
        };
        let mut held = self.held();
        match fetched {
            Ok(credentials) => {
                let lifetime = credentials.expiry().and_then(|at| at.duration_since(now).ok());
                let lead = lifetime.map(|lifetime| lead(lifetime, fetching.random.f64()));
                held.renew_at = credentials.expiry().zip(lead).map(|(at, lead)| at - lead);
                let rest = lifetime.map_or(FETCH_INTERVAL_MIN, |lifetime| lifetime / 2);
                held.fetch_from = Instant::now() + rest.min(FETCH_INTERVAL_MIN);
                let expiry = credentials.expiry().and_then(|at| at.duration_since(UNIX_EPOCH).ok());
                self.expiry.set(expiry.unwrap_or_default().as_secs_f64());
                held.issued = Some(Issued(Arc::new(credentials)));
                held.doubted = false;
                fetching.backoff.reset();
                self.succeeded.increment(1);
                tracing::debug!(lifetime_s = lifetime.map(|l| l.as_secs()), "fetched credentials");
            }
            Err(trouble) => {
                held.fetch_from = Instant::now() + fetching.backoff.next();
                held.trouble = trouble;
                self.failed.increment(1);
                let valid = held.issued.as_ref().is_some_and(|held| is_valid(&held.0, now));
                if valid {
                    tracing::warn!(trouble = held.trouble, "cannot renew AWS credentials yet");
                } else {
                    tracing::error!(trouble = held.trouble, "no valid AWS credentials");
                }
            }
        }
    }
}

fn is_valid(credentials: &Credentials, now: SystemTime) -> bool {
    credentials.expiry().is_none_or(|at| at > now + EXPIRY_MARGIN)
}

/// How far ahead of the expiry to renew: a tenth of the lifetime within the bounds and up to half
/// as much again, so that tasks that started together do not fetch together; half of a short life.
fn lead(lifetime: Duration, random: f64) -> Duration {
    let lead = (lifetime / 10).clamp(LEAD.0, LEAD.1).mul_f64(1.0 + random / 2.0);
    lead.min(lifetime / 2)
}
