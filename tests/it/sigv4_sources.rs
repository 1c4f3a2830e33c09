//! Every source of AWS credentials in the real process. The front takes the keys that are valid at
//! that moment, and no others.

#![allow(clippy::unwrap_used, clippy::panic)] // A test may end so.

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};
use sluicegate::tasks::Tasks;
use tokio::net::TcpListener;
use tokio::time::sleep;

use crate::amp_front::{AmpFront, Guard, Key};
use crate::process_kit::{Gateway, config};
use crate::python::Script;
use crate::receive_door::{KEY, line};
use crate::rotation_kit::{Load, once, until};

const PATH: &str = "/workspaces/ws-1/api/v1/remote_write";
/// Nothing of the machine that the test runs on.
const BARE: [(&str, &str); 4] = [
    ("AWS_EC2_METADATA_DISABLED", "true"),
    ("AWS_CONFIG_FILE", "/dev/null"),
    ("AWS_SHARED_CREDENTIALS_FILE", "/dev/null"),
    ("AWS_REGION", "eu-west-1"),
];

fn key(id: &str, secret: &str, token: Option<&str>) -> Key {
    Key { id: id.to_owned(), secret: secret.to_owned(), token: token.map(str::to_owned) }
}

async fn front(keys: Vec<Key>) -> AmpFront {
    let (region, service) = ("eu-west-1".to_owned(), "aps".to_owned());
    AmpFront::start(Guard::Sigv4 { region, service, keys }).await
}

/// A gateway with this `sigv4` section and environment; later variables win.
async fn gateway(front: &AmpFront, sigv4: &str, server: &str, env: &[(&str, &str)]) -> Gateway {
    let destination = format!("metadata_config: {{ send: false }}\nsigv4: {{ {sigv4} }}");
    let server = format!("shutdown_delay: 0s\n{server}");
    let text = config(&front.url(PATH), &server, &destination, "");
    let env: Vec<_> = BARE.into_iter().chain(env.iter().copied()).collect();
    Gateway::start_with(&text, &env).await
}

fn load(of: &str, gateway: &Gateway) -> Load {
    Load::start(of, || once(&gateway.ingest, KEY))
}

fn now_s() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64()
}

/// The sessions that the STS has given out, as it has noted them.
fn sessions(book: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(book).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The front takes the sessions of that book that have not expired.
fn follow(front: &AmpFront, book: PathBuf) {
    front.issuer(move || {
        let sessions = sessions(&book);
        let valid = sessions.iter().filter(|s| s["expires_s"].as_f64().unwrap() > now_s());
        let text = |s: &Value, name: &str| s[name].as_str().unwrap().to_owned();
        valid.map(|s| key(&text(s, "id"), &text(s, "secret"), s["token"].as_str())).collect()
    });
}

/// The key id of each request that was taken, in order and without repetitions.
fn ids(front: &AmpFront) -> Vec<String> {
    let received = front.received();
    let taken = received.iter().filter(|one| one.status == 200).map(|one| {
        let proof = one.headers["authorization"].to_str().unwrap();
        proof.split_once("Credential=").unwrap().1.split('/').next().unwrap().to_owned()
    });
    let mut ids: Vec<_> = taken.collect();
    ids.dedup();
    ids
}

#[tokio::test]
async fn the_environment_and_the_shared_files_hold_credentials() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let [credentials, config] = [path("credentials"), path("config")];
    let entry = |id: &str| format!("aws_access_key_id = {id}\naws_secret_access_key = hush-{id}\n");
    let token = "aws_session_token = token//+=\n";
    let text = format!("[default]\n{}[writer]\n{}{token}", entry("AKIDDEFAULT"), entry("ASIAW"));
    std::fs::write(&credentials, text).unwrap();
    std::fs::write(&config, format!("[profile other]\n{}", entry("AKIDOTHER"))).unwrap();
    let both: [(&str, &str); 2] =
        [("AWS_SHARED_CREDENTIALS_FILE", &credentials), ("AWS_CONFIG_FILE", &config)];
    let of_env = [
        ("AWS_ACCESS_KEY_ID", "ASIAENV"),
        ("AWS_SECRET_ACCESS_KEY", "hush-ASIAENV"),
        ("AWS_SESSION_TOKEN", "token"),
    ];
    for (sigv4, env, id, token) in [
        ("", &of_env[..2], "ASIAENV", None),
        ("", &of_env[..], "ASIAENV", Some("token")),
        ("", &both[..], "AKIDDEFAULT", None),
        ("profile: writer", &both[..], "ASIAW", Some("token//+=")),
        ("", &[both[0], both[1], ("AWS_PROFILE", "other")][..], "AKIDOTHER", None),
        ("profile: other", &[both[0], both[1], ("AWS_PROFILE", "writer")], "AKIDOTHER", None),
        // The environment goes before the files, as in every AWS SDK.
        ("", &[of_env[0], of_env[1], both[0]], "ASIAENV", None),
        ("access_key: AKIDSAID, secret_key: hush-AKIDSAID", &of_env[..], "AKIDSAID", None),
    ] {
        let front = front(vec![key(id, &format!("hush-{id}"), token)]).await;
        let gateway = gateway(&front, sigv4, "request_deadline: 5s", env).await;
        let answer = gateway.post(&[line(1).as_bytes()]).await;
        assert_eq!(answer.0, 200, "{sigv4} {env:?}: {answer:?} {:?}", front.faults());
        assert_eq!(front.received().len(), 1, "{sigv4} {env:?}");
        assert!(!gateway.log().contains("hush"), "a secret in the log");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shared_file_is_read_again_once_its_key_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("credentials");
    let write = |id: &str| {
        let text = format!("[writer]\naws_access_key_id={id}\naws_secret_access_key=hush-{id}\n");
        std::fs::write(&path, text).unwrap();
    };
    write("AKIDOLD");
    let guard = |id: &str| {
        let keys = vec![key(id, &format!("hush-{id}"), None)];
        Guard::Sigv4 { region: "eu-west-1".to_owned(), service: "aps".to_owned(), keys }
    };
    let front = AmpFront::start(guard("AKIDOLD")).await;
    let env = [("AWS_SHARED_CREDENTIALS_FILE", path.to_str().unwrap())];
    let gateway = gateway(&front, "profile: writer", "", &env).await;
    let load = load("a shared file", &gateway);
    until("the old key", async || front.received().len() > 20).await;
    front.guard(guard("AKIDNEW"));
    sleep(Duration::from_millis(300)).await;
    write("AKIDNEW");
    until("the new key", async || ids(&front).len() == 2).await;
    assert!(load.end().await > 0);
    assert_eq!(ids(&front), ["AKIDOLD", "AKIDNEW"]);
}

/// The endpoint that containers are given credentials by. Each question gets new ones.
struct Vault {
    lifetime: Duration,
    /// What the question has to be authorized by.
    token_file: PathBuf,
    issued: Mutex<Vec<(Key, SystemTime)>>,
}

impl Vault {
    async fn start(lifetime: Duration, token_file: PathBuf) -> (Arc<Self>, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/v1/credentials", listener.local_addr().unwrap());
        let vault = Arc::new(Self { lifetime, token_file, issued: Mutex::default() });
        let answering = Arc::clone(&vault);
        let service = hyper::service::service_fn(move |request: Request<Incoming>| {
            let answer = answering.answer(&request);
            async move { Ok::<_, Infallible>(answer) }
        });
        Tasks::new().spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let service = service.clone();
                Tasks::new().spawn(async move {
                    let server = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
                    let _ = server.serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        (vault, url)
    }

    fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        let token = std::fs::read_to_string(&self.token_file).unwrap();
        let shown = request.headers().get("authorization").map(|shown| shown.to_str().unwrap());
        if shown != Some(token.trim()) {
            return Response::builder().status(401).body(Full::default()).unwrap();
        }
        let mut issued = self.issued.lock().unwrap();
        let id = format!("ASIA{}", issued.len());
        let new = key(&id, &format!("hush-{id}"), Some(&format!("token-{id}//==")));
        // The answer counts whole seconds.
        let until_s = (now_s() + self.lifetime.as_secs_f64()).floor();
        let until = UNIX_EPOCH + Duration::from_secs_f64(until_s);
        let answer = json!({
            "AccessKeyId": new.id,
            "SecretAccessKey": new.secret,
            "Token": new.token,
            "Expiration": rfc3339(until),
        });
        issued.push((new, until));
        Response::new(Full::new(answer.to_string().into()))
    }

    fn valid(&self) -> Vec<Key> {
        let (issued, now) = (self.issued.lock().unwrap(), SystemTime::now());
        issued.iter().filter(|(_, until)| *until > now).map(|(key, _)| key.clone()).collect()
    }

    fn revoke(&self) {
        self.issued.lock().unwrap().iter_mut().for_each(|(_, until)| *until = UNIX_EPOCH);
    }

    fn count(&self) -> usize {
        self.issued.lock().unwrap().len()
    }
}

/// `2026-11-21T09:36:28Z`, by way of the date of HTTP.
fn rfc3339(at: SystemTime) -> String {
    let http = httpdate::fmt_http_date(at);
    let [_, day, month, year, time, _] = http.split(' ').collect::<Vec<_>>()[..] else {
        panic!("{http}")
    };
    let months = "JanFebMarAprMayJunJulAugSepOctNovDec";
    format!("{year}-{:02}-{day}T{time}Z", months.find(month).unwrap() / 3 + 1)
}

#[tokio::test(flavor = "multi_thread")]
async fn container_credentials_change_under_load() {
    let folder = tempfile::tempdir().unwrap();
    let token_file = folder.path().join("token");
    std::fs::write(&token_file, "first-token").unwrap();
    let (vault, url) = Vault::start(Duration::from_secs(6), token_file.clone()).await;
    let front = front(Vec::new()).await;
    let valid = Arc::clone(&vault);
    front.issuer(move || valid.valid());
    let env = [
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", url.as_str()),
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", token_file.to_str().unwrap()),
    ];
    let gateway = gateway(&front, "", "", &env).await;
    let load = load("a container", &gateway);
    until("the second pair", async || ids(&front).len() >= 2).await;
    // The token that the endpoint is asked with changes, too.
    std::fs::write(&token_file, "second-token").unwrap();
    until("the fourth pair", async || ids(&front).len() >= 4).await;
    // All that was given out ends before its time.
    let before = vault.count();
    vault.revoke();
    until("a pair after them", async || {
        let last = ids(&front).pop().unwrap();
        last.strip_prefix("ASIA").unwrap().parse::<usize>().unwrap() >= before
    })
    .await;
    assert!(load.end().await > 0);
    assert!(!gateway.log().contains("hush"), "a secret in the log");
}

async fn sts(mode: &str, seconds: &str, book: &Path) -> (Script, Value) {
    let mut script = Script::start("sts.py", &[mode, seconds, book.to_str().unwrap()]);
    let told = script.hear().await;
    (script, told)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_is_assumed_with_its_external_id_and_again_before_it_expires() {
    let folder = tempfile::tempdir().unwrap();
    let book = folder.path().join("sessions");
    // Moto verifies the gateway's signature, what its user may do, and the role's trust policy.
    let (_sts, told) = sts("signed", "6", &book).await;
    let text = |name: &str| told[name].as_str().unwrap();
    let front = front(Vec::new()).await;
    follow(&front, book.clone());
    let sigv4 = |secret: &str, external_id: &str| {
        format!(
            "access_key: {}, secret_key: {secret}, role_arn: \"{}\", external_id: {external_id}, \
             sts_endpoint: \"{}\"",
            text("access_key"),
            text("role_arn"),
            text("url"),
        )
    };
    let right = sigv4(text("secret_key"), text("external_id"));
    let running = gateway(&front, &right, "", &[]).await;
    let load = load("a role", &running);
    until("the third session", async || ids(&front).len() >= 3).await;
    assert!(load.end().await > 0);
    let given: Vec<_> = sessions(&book);
    assert!(given.iter().all(|session| session["session"] == "sluicegate"));
    let taken = ids(&front);
    assert!(taken.iter().all(|id| given.iter().any(|session| session["id"] == **id)));
    for session in &given {
        for secret in ["secret", "token"] {
            assert!(!running.log().contains(session[secret].as_str().unwrap()));
        }
    }

    // Neither with another external id nor with another secret. (Moto's refusals are not formed as
    // those of AWS: the SDK does not find their words.)
    for wrong in [sigv4(text("secret_key"), "another"), sigv4("another", text("external_id"))] {
        let given = sessions(&book).len();
        let refused = gateway(&front, &wrong, "request_deadline: 3s", &[]).await;
        let (status, said) = refused.post(&[line(1).as_bytes()]).await;
        assert_eq!(status, 503, "{said}");
        assert!(said.contains("no AWS credentials"), "{said}");
        assert_eq!(sessions(&book).len(), given);
        assert!(refused.log().contains("no valid AWS credentials"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_web_identity_becomes_a_role() {
    let folder = tempfile::tempdir().unwrap();
    let [book, token] = ["sessions", "token"].map(|name| folder.path().join(name));
    std::fs::write(&token, "eyJhbGciOiJSUzI1NiJ9.e30.c2ln").unwrap();
    let (_sts, told) = sts("unsigned", "6", &book).await;
    let front = front(Vec::new()).await;
    follow(&front, book.clone());
    let env = [
        ("AWS_WEB_IDENTITY_TOKEN_FILE", token.to_str().unwrap()),
        ("AWS_ROLE_ARN", told["role_arn"].as_str().unwrap()),
        ("AWS_ROLE_SESSION_NAME", "pod-1"),
        ("AWS_ENDPOINT_URL_STS", told["url"].as_str().unwrap()),
    ];
    let gateway = gateway(&front, "", "", &env).await;
    let load = load("a web identity", &gateway);
    until("the second session", async || ids(&front).len() >= 2).await;
    assert!(load.end().await > 0);
    assert!(sessions(&book).iter().all(|session| session["session"] == "pod-1"));
}
