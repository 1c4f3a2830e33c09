//! The cache of AWS credentials, with a source that is told what to do.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider, future};
use sluicegate::deliver::credentials::{Cache, Clock};
use sluicegate::meters::Meters;
use tokio::time::Instant;

/// Wall time that follows paused time.
fn clock() -> Clock {
    let (wall, start) = (SystemTime::now(), Instant::now());
    Arc::new(move || wall + start.elapsed())
}

/// Numbered credentials of one lifetime, after a delay; or failures.
#[derive(Clone)]
struct Source(Arc<Script>);

struct Script {
    clock: Clock,
    lifetime: Option<Duration>,
    delay: Duration,
    /// For each fetch whether it works; all later ones do.
    works: Mutex<VecDeque<bool>>,
    fetches: Mutex<Vec<Duration>>,
    start: Instant,
}

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Source")
    }
}

impl ProvideCredentials for Source {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(async {
            let script = &self.0;
            let number = {
                let mut fetches = script.fetches.lock().unwrap();
                fetches.push(script.start.elapsed());
                fetches.len()
            };
            let works = script.works.lock().unwrap().pop_front().unwrap_or(true);
            tokio::time::sleep(script.delay).await;
            if !works {
                return Err(CredentialsError::provider_error("the source is down"));
            }
            let expiry = script.lifetime.map(|lifetime| (script.clock)() + lifetime);
            Ok(Credentials::new(number.to_string(), "hush", None, expiry, "test"))
        })
    }
}

struct Bench {
    cache: Arc<Cache>,
    source: Source,
    clock: Clock,
    meters: Meters,
}

impl Bench {
    fn new(lifetime: Option<u64>, delay: Duration, works: &[bool]) -> Self {
        let clock = clock();
        let source = Source(Arc::new(Script {
            clock: Arc::clone(&clock),
            lifetime: lifetime.map(Duration::from_secs),
            delay,
            works: Mutex::new(works.iter().copied().collect()),
            fetches: Mutex::default(),
            start: Instant::now(),
        }));
        let meters = Meters::new();
        let provider = SharedCredentialsProvider::new(source.clone());
        let cache = Arc::new(Cache::new(provider, Arc::clone(&clock), "amp", &meters));
        Self { cache, source, clock, meters }
    }

    fn fetches(&self) -> Vec<Duration> {
        self.source.0.fetches.lock().unwrap().clone()
    }

    /// The number of the credentials in use, which are valid.
    async fn get(&self) -> Result<u32, String> {
        let issued = self.cache.get().await.map_err(|fault| fault.to_string())?;
        let expiry = issued.credentials().expiry();
        assert!(expiry.is_none_or(|at| at > (self.clock)()), "an expired one was given");
        Ok(issued.credentials().access_key_id().parse().unwrap())
    }
}

const SOON: Duration = Duration::from_millis(100);

#[tokio::test(start_paused = true)]
async fn renewed_ahead_of_expiry_for_any_lifetime() {
    for lifetime in [3, 30, 60, 120, 900, 3_600, 43_200] {
        let bench = Bench::new(Some(lifetime), SOON, &[]);
        let end = Instant::now() + Duration::from_secs(lifetime * 6);
        let step = Duration::from_secs(lifetime).div_f64(200.0);
        while Instant::now() < end {
            bench.get().await.unwrap();
            tokio::time::advance(step).await;
        }
        let fetches = bench.fetches();
        assert!(fetches.len() >= 6 && fetches.len() <= 13, "{lifetime} s: {fetches:?}");
        for pair in fetches.windows(2) {
            let ahead = Duration::from_secs(lifetime).saturating_sub(pair[1] - pair[0]);
            if lifetime >= 130 {
                assert!(ahead >= Duration::from_secs(59), "{lifetime} s: {ahead:?} ahead");
            }
            assert!(ahead <= Duration::from_secs(451), "{lifetime} s: {ahead:?} ahead");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn callers_share_a_fetch_even_if_the_first_gives_up() {
    let bench = Bench::new(None, Duration::from_secs(2), &[]);
    let given_up = tokio::time::timeout(Duration::from_secs(1), bench.cache.get()).await;
    assert!(given_up.is_err());
    let (a, b, c) = tokio::join!(bench.get(), bench.get(), bench.get());
    assert_eq!((a, b, c), (Ok(1), Ok(1), Ok(1)));
    tokio::time::advance(Duration::from_secs(1_000_000)).await;
    assert_eq!(bench.get().await, Ok(1), "static ones never expire");
    assert_eq!(bench.fetches().len(), 1);
    assert!(bench.meters.render().contains("{destination=\"amp\",result=\"success\"} 1"));
}

#[tokio::test(start_paused = true)]
async fn a_failed_renewal_keeps_the_old_ones_and_backs_off_until_they_end() {
    let mut works = vec![true];
    works.extend([false; 200]);
    let bench = Bench::new(Some(600), SOON, &works);
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(598) {
        assert_eq!(bench.get().await, Ok(1), "{:?}", start.elapsed());
        tokio::time::advance(SOON).await;
    }
    tokio::time::advance(Duration::from_secs(2)).await;
    let at_end = bench.fetches().len();
    assert!((4..=16).contains(&at_end), "{at_end}");
    for _ in 0..100 {
        let fault = bench.get().await.unwrap_err();
        assert!(fault.contains("the source is down") && !fault.contains("hush"), "{fault}");
    }
    assert!(bench.fetches().len() <= at_end + 1);
}

#[tokio::test(start_paused = true)]
async fn doubted_ones_are_fetched_again_but_not_at_once() {
    let bench = Bench::new(Some(3_600), SOON, &[]);
    let first = bench.cache.get().await.unwrap();
    bench.cache.invalidate(&first);
    assert_eq!(bench.get().await, Ok(1), "fetched a moment ago");
    tokio::time::advance(Duration::from_secs(5)).await;
    let (a, b) = tokio::join!(bench.get(), bench.get());
    assert_eq!((a, b), (Ok(2), Ok(2)));
    tokio::time::advance(Duration::from_secs(6)).await;
    bench.cache.invalidate(&first);
    assert_eq!(bench.get().await, Ok(2), "the doubt was about the first");
}

#[tokio::test(start_paused = true)]
async fn a_fetch_that_hangs_ends() {
    let bench = Bench::new(None, Duration::from_secs(3_600), &[]);
    let start = Instant::now();
    let fault = bench.get().await.unwrap_err();
    assert!(fault.contains("no answer within 15 s"), "{fault}");
    assert!(start.elapsed() < Duration::from_secs(16));
}

/// A role is assumed at the endpoint that is configured, with everything that is configured.
#[tokio::test]
async fn a_role_is_assumed_through_sts() {
    use http_body_util::{BodyExt as _, Full};
    use hyper_util::rt::{TokioExecutor, TokioIo};

    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let asked = Arc::new(Mutex::new(String::new()));
    let service = {
        let asked = Arc::clone(&asked);
        hyper::service::service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
            let asked = Arc::clone(&asked);
            async move {
                let proof = request.headers()["authorization"].to_str().unwrap().to_owned();
                let body = request.into_body().collect().await.unwrap().to_bytes();
                *asked.lock().unwrap() = format!("{proof} {}", String::from_utf8_lossy(&body));
                let answer = "<AssumeRoleResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">\
                    <AssumeRoleResult><Credentials><AccessKeyId>ASIAROLE</AccessKeyId>\
                    <SecretAccessKey>hush</SecretAccessKey><SessionToken>token</SessionToken>\
                    <Expiration>2999-01-01T00:00:00Z</Expiration></Credentials>\
                    </AssumeRoleResult></AssumeRoleResponse>";
                Ok::<_, std::convert::Infallible>(hyper::Response::new(Full::new(
                    bytes::Bytes::from(answer),
                )))
            }
        })
    };
    sluicegate::tasks::Tasks::new().spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let server = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
            let _ = server.serve_connection(TokioIo::new(stream), service.clone()).await;
        }
    });
    let provider =
        sluicegate::deliver::credentials::provider(&sluicegate::deliver::config::Sigv4 {
            region: "eu-west-1".to_owned(),
            service: "aps".to_owned(),
            access_key: Some("AKIDEXAMPLE".to_owned()),
            secret_key: Some(sluicegate::secret::Secret::new("static")),
            profile: None,
            role_arn: Some("arn:aws:iam::111122223333:role/writer".to_owned()),
            external_id: Some("outside".to_owned()),
            sts_endpoint: Some(endpoint),
        });
    let credentials = provider.provide_credentials().await.unwrap();
    assert_eq!(credentials.access_key_id(), "ASIAROLE");
    assert_eq!(credentials.session_token(), Some("token"));
    assert!(credentials.expiry().is_some());
    let asked = asked.lock().unwrap().clone();
    for part in [
        "Credential=AKIDEXAMPLE/",
        "/eu-west-1/sts/aws4_request",
        "RoleSessionName=sluicegate",
        "ExternalId=outside",
        "RoleArn=arn%3Aaws%3Aiam%3A%3A111122223333%3Arole%2Fwriter",
    ] {
        assert!(asked.contains(part), "{part} in {asked}");
    }
}
