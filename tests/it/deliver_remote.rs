//! One destination over HTTP, against the front and against faults of the network.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::path::PathBuf;
use std::time::Duration;

use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use bytes::Bytes;
use prost::Message as _;
use sluicegate::deliver::config::*;
use sluicegate::deliver::metadata::Families;
use sluicegate::deliver::{Destination, Remote, Verdict};
use sluicegate::meters::Meters;
use sluicegate::sample::Family;
use sluicegate::secret::Secret;

use crate::amp_front::{AmpFront, Answer, Guard, Key};
use crate::prompb::{Label, Sample, TimeSeries, WriteRequest};

const SECOND: Duration = Duration::from_secs(10);
const PATH: &str = "/workspaces/ws-1/api/v1/remote_write";
const TOKEN: &str = "IQoJb3JpZ2luX2VjE//+/token==";

pub(crate) fn destination(url: &str, auth: Auth) -> Destination {
    Destination {
        name: "amp".to_owned(),
        url: url.to_owned(),
        required: true,
        auth,
        headers: Vec::new(),
        tls_config: Tls::default(),
        write_relabel_configs: Vec::new(),
        queue_config: Queue {
            max_shards: 1,
            max_samples_per_send: 1_000,
            max_bytes_per_send: 1 << 20,
            min_backoff: Duration::from_millis(1),
            max_backoff: Duration::from_millis(10),
            sample_age_limit: None,
            sample_future_limit: None,
        },
        metadata_config: Metadata {
            send: true,
            send_interval: Duration::from_millis(20),
            max_samples_per_send: 2,
        },
        remote_timeout: SECOND,
        bad_request: BadRequest::Auto,
        max_isolation_requests: 512,
    }
}

pub(crate) fn remote(destination: &Destination, meters: &Meters) -> Remote {
    Remote::new(destination, meters, "sluicegate/0.1.0").unwrap()
}

pub(crate) fn sigv4() -> Sigv4 {
    Sigv4 {
        region: "eu-west-1".to_owned(),
        service: "aps".to_owned(),
        access_key: Some("AKIDEXAMPLE".to_owned()),
        secret_key: Some(Secret::new("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")),
        profile: None,
        role_arn: None,
        external_id: None,
        sts_endpoint: None,
    }
}

fn guard(keys: &[(&str, &str, Option<&str>)]) -> Guard {
    let key = |(id, secret, token): &(&str, &str, Option<&str>)| Key {
        id: (*id).to_owned(),
        secret: (*secret).to_owned(),
        token: token.map(str::to_owned),
    };
    Guard::Sigv4 {
        region: "eu-west-1".to_owned(),
        service: "aps".to_owned(),
        keys: keys.iter().map(key).collect(),
    }
}

fn static_guard() -> Guard {
    guard(&[("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", None)])
}

pub(crate) fn body() -> Bytes {
    let label = |name: &str, value: &str| Label { name: name.to_owned(), value: value.to_owned() };
    let series = TimeSeries {
        labels: vec![label("__name__", "m"), label("a", "1")],
        samples: vec![Sample { value: 1.5, timestamp: 1_760_000_040_000 }],
    };
    let raw = WriteRequest { timeseries: vec![series], metadata: Vec::new() }.encode_to_vec();
    snap::raw::Encoder::new().compress_vec(&raw).unwrap().into()
}

#[tokio::test]
async fn the_front_takes_every_signed_request() {
    let front = AmpFront::start(static_guard()).await;
    let meters = Meters::new();
    let paths = [
        PATH,
        "/workspaces/ws-1/api/v1/remote_write/",
        "//workspaces///ws-1/./api/../remote_write",
        "/a b/(c)/%7Ed/%2f/ä/e%/f:g,h@i",
        "/",
        "",
        "/write?b=c+d&a=%2f&&flag&e=ä=f&a=1&a-b=2&A=3",
    ];
    for path in paths {
        let remote = remote(&destination(&front.url(path), Auth::Sigv4(sigv4())), &meters);
        assert_eq!(remote.send(body(), SECOND).await, Verdict::Accepted, "{path}");
    }
    assert_eq!(front.faults(), Vec::<String>::new());
    assert_eq!(front.samples().values().next().unwrap().len(), paths.len());
    assert_eq!(front.received()[1].uri, PATH, "no slash at the end");
    let text = meters.render();
    let counted = format!(
        "sluicegate_remote_write_requests_total{{destination=\"amp\",code=\"200\"}} {}",
        paths.len()
    );
    assert!(text.contains(&counted), "{text}");
}

#[tokio::test]
async fn custom_headers_go_unsigned_and_session_tokens_signed() {
    let front = AmpFront::start(guard(&[("AKIDTEMP", "temporary", Some(TOKEN))])).await;
    let mut destination = destination(&front.url(PATH), Auth::Sigv4(sigv4()));
    destination.headers.push(("X-Team".to_owned(), Secret::new("blue")));
    let keys = Credentials::new("AKIDTEMP", "temporary", Some(TOKEN.to_owned()), None, "test");
    let remote = Remote::with_provider(
        &destination,
        &Meters::new(),
        "sluicegate/0.1.0",
        SharedCredentialsProvider::new(keys),
    )
    .unwrap();
    assert_eq!(remote.send(body(), SECOND).await, Verdict::Accepted, "{:?}", front.faults());
    assert_eq!(front.received()[0].headers["x-team"], "blue");
}

#[tokio::test]
async fn a_refused_signature_shows_no_secret() {
    let front = AmpFront::start(guard(&[("AKIDEXAMPLE", "another", None)])).await;
    let remote = remote(&destination(&front.url(PATH), Auth::Sigv4(sigv4())), &Meters::new());
    let Verdict::Resign { trouble } = remote.send(body(), SECOND).await else { panic!() };
    assert!(trouble.contains("SignatureDoesNotMatch") && !trouble.contains("POST"), "{trouble}");
    front.guard(Guard::Open);
    front.script([Answer::new(
        403,
        &format!("not {} then", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"),
    )
    .header("x-amzn-RequestId", "1-2-3")]);
    let Verdict::Resign { trouble } = remote.send(body(), SECOND).await else { panic!() };
    assert_eq!(trouble, "answered 403: not <secret> then (request id 1-2-3)");
}

#[tokio::test]
async fn without_credentials_nothing_is_sent() {
    let front = AmpFront::start(Guard::Open).await;
    let past = std::time::SystemTime::now() - SECOND;
    let keys = Credentials::new("AKIDOLD", "old", None, Some(past), "test");
    let destination = destination(&front.url(PATH), Auth::Sigv4(sigv4()));
    let provider = SharedCredentialsProvider::new(keys);
    let meters = Meters::new();
    let remote =
        Remote::with_provider(&destination, &meters, "sluicegate/0.1.0", provider).unwrap();
    for _ in 0..2 {
        let Verdict::TryAgain { trouble, .. } = remote.send(body(), SECOND).await else { panic!() };
        assert!(trouble.contains("no AWS credentials"), "{trouble}");
    }
    assert!(front.received().is_empty());
    assert!(!meters.render().contains("sluicegate_remote_write_requests_total{"));
}

#[tokio::test]
async fn basic_auth_and_users_in_the_url() {
    let front = AmpFront::start(Guard::Authorization("Basic dXNlcjpwQHNz".to_owned())).await;
    let auth = Auth::BasicAuth {
        username: "user".to_owned(),
        password: SecretSource::Inline(Secret::new("p@ss")),
    };
    let told = destination(&front.url(PATH), auth);
    let in_url = destination(&format!("http://user:p%40ss@{}{PATH}", front.address), Auth::None);
    for destination in [told, in_url] {
        let remote = remote(&destination, &Meters::new());
        assert_eq!(remote.send(body(), SECOND).await, Verdict::Accepted);
    }
    let wrong = destination(&front.url(PATH), Auth::None);
    assert!(matches!(
        remote(&wrong, &Meters::new()).send(body(), SECOND).await,
        Verdict::Resign { .. }
    ));
}

#[tokio::test]
async fn a_bearer_token_follows_its_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("token");
    std::fs::write(&path, "first\n").unwrap();
    let front = AmpFront::start(Guard::Authorization("Bearer first".to_owned())).await;
    let auth = Auth::Authorization {
        scheme: "Bearer".to_owned(),
        credentials: SecretSource::File(path.clone()),
    };
    let destination = destination(&front.url(PATH), auth);
    let remote = remote(&destination, &Meters::new());
    assert_eq!(remote.send(body(), SECOND).await, Verdict::Accepted);
    std::fs::write(&path, "second").unwrap();
    front.guard(Guard::Authorization("Bearer second".to_owned()));
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(1)).await;
    tokio::time::resume();
    assert_eq!(remote.send(body(), SECOND).await, Verdict::Accepted);
}

#[tokio::test]
async fn settings_that_cannot_work_are_faults() {
    let fault = |change: &dyn Fn(&mut Destination)| {
        let mut destination = destination("http://127.0.0.1:1/", Auth::None);
        change(&mut destination);
        Remote::new(&destination, &Meters::new(), "sluicegate/0.1.0").unwrap_err().to_string()
    };
    let missing = || Some(PathBuf::from("/nonexistent.pem"));
    assert!(fault(&|d| d.url = "ftp://h".to_owned()).contains("http"));
    assert!(fault(&|d| d.tls_config.ca_file = missing()).contains("/nonexistent.pem"));
    assert!(fault(&|d| d.tls_config.cert_file = missing()).contains("key_file"));
    assert!(fault(&|d| d.headers.push(("Host".to_owned(), Secret::new("x")))).contains("`Host`"));
    assert!(fault(&|d| d.headers.push(("a".to_owned(), Secret::new("x\ny")))).contains("`a`"));
}

#[tokio::test]
async fn faults_of_the_network_name_their_cause_and_no_secret() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let url = format!("http://user:hush@{address}/w?token=hush");
    let meters = Meters::new();
    let remote = remote(&destination(&url, Auth::None), &meters);
    let trouble = |verdict| match verdict {
        Verdict::TryAgain { trouble, misconfigured: false, .. } => trouble,
        other => panic!("{other:?}"),
    };
    // It accepts (the kernel does) and never answers.
    let slow = trouble(remote.send(body(), Duration::from_millis(50)).await);
    assert!(slow.contains("no answer within"), "{slow}");
    drop(listener);
    let dead = trouble(remote.send(body(), SECOND).await);
    assert!(dead.contains("refused") && !dead.contains("hush"), "{dead}");
    let text = meters.render();
    let counted = "sluicegate_remote_write_requests_total{destination=\"amp\",code=\"error\"} 2";
    assert!(text.contains(counted), "{text}");
    assert!(!text.contains("hush"));
}

#[tokio::test]
async fn redirects_stay_where_they_are_and_answers_are_bounded() {
    let front = AmpFront::start(Guard::Open).await;
    let remote = remote(&destination(&front.url(PATH), Auth::None), &Meters::new());
    front.script([
        Answer::new(307, "").header("location", "/elsewhere"),
        Answer::new(503, &"x".repeat(1 << 20)).header("retry-after", "7"),
    ]);
    let redirected = remote.send(body(), SECOND).await;
    assert!(matches!(redirected, Verdict::TryAgain { misconfigured: true, .. }), "{redirected:?}");
    let Verdict::TryAgain { after, trouble, .. } = remote.send(body(), SECOND).await else {
        panic!()
    };
    assert_eq!(after, Some(Duration::from_secs(7)));
    assert!(trouble.len() < 600);
    assert_eq!(front.received().len(), 2);
}

#[tokio::test]
async fn metadata_is_told_once_and_again_after_a_failure() {
    let front = AmpFront::start(Guard::Open).await;
    front.script([Answer::new(503, "")]);
    let destination = destination(&front.url(PATH), Auth::None);
    let remote = remote(&destination, &Meters::new());
    let families = Families::default();
    let family = |name: &str, unit: &str| Family {
        destination: 0,
        name: name.to_owned(),
        unit: unit.to_owned(),
    };
    families.note(0, &[family("c", "None"), family("a", "Percent"), family("b", "Bytes/Second")]);
    tokio::select! {
        () = families.run(&remote, &destination.metadata_config, SECOND) => panic!("it ended"),
        // One that fails, two that tell three families, two more in the full round.
        () = front.requests(5) => {}
    }
    let told: Vec<Vec<_>> = front
        .metadata()
        .into_iter()
        .map(|request| {
            request.into_iter().map(|m| (m.metric_family_name, m.unit, m.kind, m.help)).collect()
        })
        .collect();
    let row = |name: &str, unit: &str| (name.to_owned(), unit.to_owned(), 2, String::new());
    let first = vec![row("a", "percent"), row("b", "bytes_per_second")];
    assert_eq!(told, [first.clone(), vec![row("c", "")], first, vec![row("c", "")]]);
    assert_eq!(front.faults(), Vec::<String>::new());
}
