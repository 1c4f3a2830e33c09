//! Every kind of secret, planted where it belongs, is looked for in all that is written: log lines at
//! their most talkative, pages, answers, messages of faults, and the debug output of every type that
//! holds one. In plain, in base64, URL-encoded and JSON-escaped.

#![allow(clippy::unwrap_used, clippy::panic)] // A test may end so.

use std::fmt::Debug;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_credential_types::provider::{ProvideCredentials as _, SharedCredentialsProvider};
use sluicegate::config::{Loaded, Source, load_within};
use sluicegate::deliver::Remote;
use sluicegate::deliver::config::Auth;
use sluicegate::deliver::credentials::{Cache, provider};
use sluicegate::deliver::sign::Signer;
use sluicegate::demo::firehose::{Firehose, FirehoseConfig};
use sluicegate::meters::Meters;
use sluicegate::receive::{AccessKey, KeySource};
use sluicegate::secret::Secret;
use sluicegate::secret::file::SecretFile;

use super::process_kit::{Gateway, Mode, Receiver, fresh_id, run};
use super::receive_door::{ARN, House, ID, KEY, envelope, key, line, request, with};

/// Secrets by what they are; each differs from itself in base64, in a URL and in JSON.
const KEY_INLINE: &str = "pl4nt+inline/key\"=1";
const KEY_OF_FILE: &str = "pl4nt+file/key\"=2";
const KEY_OF_ENV: &str = "pl4nt+env/key\"=3";
const KEY_WRAPPED: &str = "pl4nt+wrapped/key=4";
const PASSWORD: &str = "pl4nt+basic/password\"=5";
const BEARER: &str = "pl4nt+bearer/token=6";
const BEARER_OF_FILE: &str = "pl4nt+bearer/file=7";
const HEADER: &str = "pl4nt+header/value\"=8";
const QUERY: &str = "pl4nt+query/token\"=9";
const AWS_SECRET: &str = "pl4nt+aws/secret=10";
const ENV_SECRET: &str = "pl4nt+env/aws/secret=11";
const SESSION: &str = "pl4nt+session/token=12";
const SHOWN: &str = "pl4nt+shown/at/the/door\"=13";
const USER_INFO: &str = "pl4nt+user-info=14";
const ALL: [&str; 14] = [
    KEY_INLINE,
    KEY_OF_FILE,
    KEY_OF_ENV,
    KEY_WRAPPED,
    PASSWORD,
    BEARER,
    BEARER_OF_FILE,
    HEADER,
    QUERY,
    AWS_SECRET,
    ENV_SECRET,
    SESSION,
    SHOWN,
    USER_INFO,
];

/// How a secret may be written.
fn forms(secret: &str) -> Vec<String> {
    let base64 = |text: &str| base64_simd::STANDARD.encode_to_string(text);
    let escaped = serde_json::to_string(secret).unwrap();
    let url = escaped_in_url(secret);
    vec![
        secret.to_owned(),
        base64(secret),
        base64(&format!("me:{secret}")),
        url.to_lowercase(),
        url,
        escaped.trim_matches('"').to_owned(),
        escaped.trim_matches('"').replace('\\', "\\\\"),
        format!("{secret:?}").trim_matches('"').to_owned(),
    ]
}

fn escaped_in_url(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.~".contains(&b);
    let byte = |b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") };
    text.bytes().map(byte).collect()
}

/// Fails where a text shows one of the secrets, or what all of them begin with.
fn hides(what: &str, text: &str) {
    for secret in ALL {
        for form in forms(secret) {
            let line = text.lines().find(|line| line.contains(&form));
            assert_eq!(line, None, "{what} shows {secret} as {form}");
        }
    }
    for part in ["pl4nt", "cGw0bnQ"] {
        assert_eq!(text.lines().find(|line| line.contains(part)), None, "{what} shows a part");
    }
}

fn debug(what: &str, value: &dyn Debug) {
    hides(what, &format!("{value:?}"));
    hides(what, &format!("{value:#?}"));
}

/// How many of its destinations are those of the receiver; each is asked by every request.
const REACHED: u64 = 7;

/// A configuration with every kind of secret in it; `url` is that of a receiver.
fn configuration(url: &str, folder: &Path) -> String {
    for (name, text) in [("key", KEY_OF_FILE), ("bearer", BEARER_OF_FILE)] {
        std::fs::write(folder.join(name), text).unwrap();
    }
    let identity = rcgen::generate_simple_self_signed(vec!["client".to_owned()]).unwrap();
    std::fs::write(folder.join("client.pem"), identity.cert.pem()).unwrap();
    std::fs::write(folder.join("client.key"), identity.signing_key.serialize_pem()).unwrap();
    let (folder, query) = (folder.display(), escaped_in_url(QUERY));
    let quick = "queue_config: { min_backoff: 20ms, max_backoff: 100ms }";
    let aws = format!(
        "sigv4: {{ region: eu-west-1, access_key: AKIDEXAMPLE, secret_key: '{AWS_SECRET}' }}"
    );
    format!(
        "server:
  listen_address: 127.0.0.1:0
  request_deadline: 2s
  shutdown_delay: 0s
  access_keys:
  - {{ name: usual, key: {KEY} }}
  - {{ name: inline, key: '{KEY_INLINE}' }}
  - {{ name: file, key_file: {folder}/key }}
  - {{ name: env, key: '${{PLANTED_KEY}}' }}
  - {{ name: wrapped, key: '{{\"api_key\":\"{KEY_WRAPPED}\"}}' }}
telemetry: {{ listen_address: 127.0.0.1:0 }}
remote_write:
- {{ name: basic, url: '{url}', basic_auth: {{ username: me, password: '{PASSWORD}' }}, {quick} }}
- {{ name: bearer, url: '{url}', authorization: {{ credentials: '{BEARER}' }}, {quick} }}
- {{ name: file, url: '{url}', bearer_token_file: {folder}/bearer, {quick} }}
- {{ name: header, url: '{url}', headers: {{ X-Token: '{HEADER}' }}, {quick} }}
- {{ name: query, url: '{url}?token={query}&{query}', {quick} }}
- {{ name: aws, url: '{url}?token={query}', {aws}, {quick} }}
- {{ name: chain, url: '{url}?token={query}', sigv4: {{ region: eu-west-1 }}, {quick} }}
- {{ name: tls, url: 'https://127.0.0.1:9/?token={query}', required: false, {quick},
    tls_config: {{ cert_file: {folder}/client.pem, key_file: {folder}/client.key }} }}
"
    )
}

/// Lines of the client's key, none of which may be shown.
fn key_lines(folder: &Path) -> Vec<String> {
    let pem = std::fs::read_to_string(folder.join("client.key")).unwrap();
    let lines = pem.lines().filter(|line| !line.starts_with("--")).map(str::to_owned);
    lines.filter(|line| line.len() > 8).collect()
}

#[tokio::test]
async fn debug_output_of_what_holds_a_secret_shows_none() {
    let folder = tempfile::tempdir().unwrap();
    let text = configuration("http://127.0.0.1:9/w", folder.path());
    debug("Source::Content", &Source::Content(&text));
    debug("Source::File", &Source::File { path: Path::new("x.yml"), text: &text });
    let env = |name: &str| (name == "PLANTED_KEY").then(|| KEY_OF_ENV.to_owned());
    let loaded = load_within(Source::Content(&text), &env, None).unwrap();
    debug("Loaded", &loaded);
    let Loaded { config, .. } = loaded;
    debug("Config", &config);
    hides("Config as YAML", &config.to_yaml());
    assert_eq!(config.to_yaml().matches("<secret>").count(), 13, "{}", config.to_yaml());
    debug("AccessKey", &config.server.access_keys);
    assert_eq!(config.server.access_keys.len(), 5);
    let house = House::try_new(&config.server).unwrap();
    debug("Door with its Keys", &house.door);
    let answer =
        house.call(with(request(envelope(ID, &[])), "x-amz-firehose-access-key", SHOWN)).await;
    debug("Answer of the door", &answer);

    let meters = Meters::new();
    for destination in &config.remote_write {
        debug("Destination", destination);
        debug("Auth", &destination.auth);
        let remote = Remote::new(destination, &meters, "test/1").unwrap();
        debug("Remote", &remote);
        let verdict = remote.send("body".into(), Duration::from_millis(1)).await;
        debug("Verdict", &verdict);
        if let Auth::Sigv4(sigv4) = &destination.auth {
            debug("Sigv4", sigv4);
            let signer = Signer::new(sigv4, &destination.url.parse().unwrap());
            debug("Signer", &signer);
            let keys = Credentials::new("AKID", AWS_SECRET, Some(SESSION.into()), None, "test");
            debug("Credentials", &keys);
            let signed = signer.sign(&keys, &[], b"body", SystemTime::now()).unwrap();
            assert!(signed.iter().any(|(_, value)| value == SESSION));
            debug("signed headers", &signed);
            if sigv4.secret_key.is_some() {
                let provider = provider(sigv4);
                provider.provide_credentials().await.unwrap();
                debug("provider", &provider);
                let cache = Cache::new(provider, Arc::new(SystemTime::now), "aws", &meters);
                debug("Issued", &cache.get().await.unwrap());
                debug("Cache", &cache);
            }
            let shared = SharedCredentialsProvider::new(keys);
            let remote = Remote::with_provider(destination, &meters, "test/1", shared).unwrap();
            debug("Verdict", &remote.send("body".into(), Duration::from_millis(100)).await);
            debug("Remote with credentials", &remote);
        }
    }
    let mut destination = config.remote_write[0].clone();
    destination.url = format!("http://me:{}@127.0.0.1:9/#{QUERY}", escaped_in_url(USER_INFO));
    destination.auth = Auth::None;
    debug("Destination with a user in its URL", &destination);
    let remote = Remote::new(&destination, &meters, "test/1").unwrap();
    debug("Verdict", &remote.send("body".into(), Duration::from_secs(1)).await);

    let file = SecretFile::open(folder.path().join("key")).unwrap();
    assert_eq!(file.current().expose(), KEY_OF_FILE);
    debug("SecretFile", &file);
    let secret = Secret::new(BEARER);
    debug("Secret", &secret);
    hides("Secret", &format!("{secret} {}", serde_json::to_string(&secret).unwrap()));
    let source: AccessKey = key("name", SHOWN);
    debug("KeySource", &source.source);
    assert!(matches!(source.source, KeySource::Key(_)));

    let url = format!("http://me:{USER_INFO}@127.0.0.1:9/?token={}", escaped_in_url(QUERY));
    let mut demo = FirehoseConfig::new(url, Some(Secret::new(SHOWN)));
    demo.retry_duration = Duration::ZERO;
    debug("FirehoseConfig", &demo);
    let demo = Firehose::new(demo).unwrap();
    debug("Firehose", &demo);
    let delivery = demo.deliver(vec![b"{}".to_vec()]).await;
    debug("Delivery", &delivery);
    debug("Firehose with a backup", &demo);
    let page = meters.render();
    hides("metrics", &page);
}

#[test]
fn messages_of_faults_show_none() {
    let folder = tempfile::tempdir().unwrap();
    let good = configuration("http://127.0.0.1:9/w", folder.path());
    let env = |name: &str| (name == "PLANTED_KEY").then(|| KEY_OF_ENV.to_owned());
    let load = |text: &str| load_within(Source::Content(text), &env, None);
    // Every value out of its place: behind another key, a list, a mapping, a line without its end.
    let mut faulty = 0;
    for (from, to) in [
        ("key: '", "kee: '"),
        ("key: '", "name: '"),
        ("key: '", "source_arns: '"),
        ("key: '", "key: ['"),
        ("password: '", "pasword: '"),
        ("password: '", "username: '"),
        ("credentials: '", "type: '"),
        ("credentials: '", "credential: '"),
        ("X-Token: '", "Host: '"),
        ("X-Token: '", "X Token: '"),
        ("secret_key: '", "secret: '"),
        ("secret_key: '", "role_arn: '"),
        ("secret_key: '", "external_id: '"),
        ("?token=", "#"),
        ("http://", "me:http://"),
        ("http://", "http://me:pl4nt@"),
        ("request_deadline: 2s", "request_deadline: '${PLANTED_KEY}'"),
        ("shutdown_delay: 0s", "budget: '${PLANTED_KEY}'"),
        ("' }", " }"),
        ("telemetry", "  - '"),
    ] {
        let text = good.replace(from, to);
        assert_ne!(text, good, "{from}");
        match load(&text) {
            Err(faults) => {
                hides(&format!("{from} -> {to}"), &format!("{faults}\n{faults:?}"));
                faulty += 1;
            }
            Ok(loaded) => debug(&format!("{from} -> {to}"), &loaded),
        }
    }
    assert!(faulty > 12, "{faulty}");
    // Files that do not hold what they should.
    let meters = Meters::new();
    let config = load(&good).unwrap().config;
    let tls = config.remote_write.iter().find(|to| to.name == "tls").unwrap();
    let lines = key_lines(folder.path());
    for broken in [
        KEY_OF_FILE.to_owned(),
        format!("-----BEGIN PRIVATE KEY-----\n{KEY_OF_FILE}\n-----END PRIVATE KEY-----\n"),
        format!("-----BEGIN PRIVATE KEY-----\n{}\n", lines[0]),
    ] {
        std::fs::write(folder.path().join("client.key"), broken).unwrap();
        let fault = Remote::new(tls, &meters, "test/1").map(|_| ()).unwrap_err();
        hides("a key file", &format!("{fault} {fault:?}"));
        assert!(!format!("{fault} {fault:?}").contains(&lines[0]), "{fault}");
    }
    for (name, text) in [("key", ""), ("key", "\u{1}"), ("bearer", "")] {
        std::fs::write(folder.path().join(name), text).unwrap();
        let fault = House::try_new(&config.server).err().map(|fault| format!("{fault} {fault:?}"));
        hides("an access key's file", &fault.unwrap_or_default());
    }
}

#[tokio::test]
async fn no_line_page_or_answer_of_the_process_shows_one() {
    let folder = tempfile::tempdir().unwrap();
    let receiver = Receiver::start(Mode::Echo(400)).await;
    let text = configuration(&receiver.url, folder.path());
    let env = [
        ("RUST_LOG", "trace"),
        ("PLANTED_KEY", KEY_OF_ENV),
        ("AWS_ACCESS_KEY_ID", "AKIDOFENV"),
        ("AWS_SECRET_ACCESS_KEY", ENV_SECRET),
        ("AWS_SESSION_TOKEN", SESSION),
    ];
    let gateway = Gateway::start_with(&text, &env).await;
    let mut told = Vec::new();
    let shown = |secret| [("x-amz-firehose-access-key", secret)];
    // The receiver repeats all that it was shown, with each status in turn.
    for status in [400, 401, 403, 404, 413, 429, 500] {
        receiver.set(Mode::Echo(status));
        let before = receiver.requests();
        let sent = gateway.send(&[line(1).as_bytes()], &shown(KEY_INLINE));
        told.push(format!("{:?}", sent.await.unwrap()));
        let asked = receiver.requests() - before;
        assert!(asked >= REACHED, "{status} was answered {asked} times");
    }
    receiver.set(Mode::Store);
    for secret in [KEY_INLINE, KEY_OF_FILE, KEY_OF_ENV, KEY_WRAPPED] {
        let before = receiver.requests();
        let answer = gateway.send(&[line(1).as_bytes()], &shown(secret)).await.unwrap();
        assert_eq!(answer.0, 200, "{answer:?}");
        assert!(receiver.requests() >= before + REACHED);
        told.push(format!("{answer:?}"));
    }
    for secret in [SHOWN, "{\"api_key\":\"pl4nt+wrapped/key=4\"}"] {
        let answer = gateway.send(&[], &shown(secret)).await.unwrap();
        assert_eq!(answer.0, 401, "{answer:?}");
        told.push(format!("{answer:?}"));
    }
    // HTTP/2 writes other lines.
    let client = reqwest::Client::builder().http2_prior_knowledge().no_proxy().build().unwrap();
    for (secret, status) in [(KEY_OF_FILE, 200), (SHOWN, 401)] {
        let id = fresh_id();
        let asked = client
            .post(format!("{}/firehose?token={}", gateway.ingest, escaped_in_url("x")))
            .header("x-amz-firehose-protocol-version", "1.0")
            .header("x-amz-firehose-request-id", &id)
            .header("x-amz-firehose-source-arn", ARN)
            .header("x-amz-firehose-access-key", secret)
            .body(envelope(&id, &[line(1).as_bytes()]));
        let answer = asked.send().await.unwrap();
        assert_eq!(
            (answer.status().as_u16(), answer.version()),
            (status, reqwest::Version::HTTP_2)
        );
        told.push(answer.text().await.unwrap());
    }
    gateway.assert_no_repeats().await;
    for path in ["/metrics", "/config", "/healthz", "/nothing"] {
        told.push(gateway.get_path(&gateway.telemetry, path).await.1);
    }
    let env = [("SLUICEGATE_CONFIG_CONTENT", text.as_str()), ("PLANTED_KEY", KEY_OF_ENV)];
    for arguments in [&["check"][..], &["explain", "-"]] {
        let said = run(arguments, &env, line(1).as_bytes());
        told.extend([said.out, said.err]);
    }
    let log = gateway.log();
    for proof in ["TRACE", "h2::", "hyper", "remote write answered"] {
        assert!(log.contains(proof), "{proof} is not in the log: nothing is proven");
    }
    told.push(log);
    let lines = key_lines(folder.path());
    for (number, text) in told.iter().enumerate() {
        hides(&format!("text {number}"), text);
        for key in &lines {
            assert!(!text.contains(key), "text {number} shows the client's key");
        }
    }
}
