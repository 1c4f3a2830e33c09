//! Signatures on the wire, held against botocore's.

#![allow(clippy::unwrap_used, clippy::panic)] // A test may end so.

use std::time::Duration;

use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use serde_json::{Value, json};
use sluicegate::deliver::config::Auth;
use sluicegate::deliver::{Remote, Verdict};
use sluicegate::meters::Meters;
use sluicegate::secret::Secret;
use tokio::net::TcpListener;

use crate::amp_front::{AmpFront, Guard, Received};
use crate::deliver_remote::{body, destination, sigv4};
use crate::process_kit::{Gateway, config};
use crate::python::Script;
use crate::receive_door::line;

const SECOND: Duration = Duration::from_secs(10);
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
const TOKEN: &str = "IQoJb3JpZ2luX2VjE//+/token==";
const SIGNED: &str = "content-encoding;content-type;host;x-amz-date;\
                      x-prometheus-remote-write-version";
const SIGNED_WITH_TOKEN: &str = "content-encoding;content-type;host;x-amz-date;\
                                 x-amz-security-token;x-prometheus-remote-write-version";

/// What a request was signed with.
struct With<'a> {
    region: &'a str,
    service: &'a str,
    token: Option<&'a str>,
}

/// botocore's `Authorization` for a request that was recorded; the host is the one of its `Host`
/// header, which botocore derives from the URL by its own rules.
async fn by_botocore(oracle: &mut Script, received: &Received, with: &With<'_>) -> String {
    let header = |name: &str| received.headers[name].to_str().unwrap();
    let authorization = header("authorization");
    let (_, signed) = authorization.split_once("SignedHeaders=").unwrap();
    let (signed, _) = signed.split_once(',').unwrap();
    let wanted = if with.token.is_some() { SIGNED_WITH_TOKEN } else { SIGNED };
    assert_eq!(signed, wanted);
    let own = ["host", "x-amz-date", "x-amz-security-token"];
    let headers = signed.split(';').filter(|name| !own.contains(name));
    let headers: serde_json::Map<String, Value> =
        headers.map(|name| (name.to_owned(), header(name).into())).collect();
    oracle
        .say(&json!({
            "method": "POST",
            "url": format!("http://{}{}", header("host"), received.uri),
            "headers": headers,
            "body": base64_simd::STANDARD.encode_to_string(&received.body),
            "region": with.region,
            "service": with.service,
            "access_key": "AKIDEXAMPLE",
            "secret_key": SECRET,
            "token": with.token,
            "date": header("x-amz-date"),
        }))
        .await;
    oracle.hear().await.as_str().unwrap().to_owned()
}

async fn assert_agreed(oracle: &mut Script, received: &Received, with: &With<'_>) {
    let ours = received.headers["authorization"].to_str().unwrap();
    let theirs = by_botocore(oracle, received, with).await;
    assert_eq!(ours, theirs, "{} {:?}", received.uri, received.headers);
}

/// Paths and queries that a workspace URL may have by design or by mistake.
const PATHS: [&str; 22] = [
    "/workspaces/ws-12345678-1234-1234-1234-123456789012/api/v1/remote_write",
    "/workspaces/ws-1/api/v1/remote_write/",
    "//workspaces///ws-1/./api/../remote_write",
    "",
    "/",
    "/~tilde/-dash/_under/.dot",
    "/a b/a%20b/a+b/a%2Bb",
    "/(c)/[d]/{e}/<f>/'g'/\"h\"",
    "/%7Ed/%2f/%2F/%25/%",
    "/e%/f%zz/g%1",
    "/ä/ß/€/日本/🙂",
    "/%c3%a4/%C3%A4/%E2%82%AC",
    "/a:b/c,d/e;f/g@h/i=j/k&l/m$n/o!p/q*r",
    "/back\\slash/pipe|/caret^/tick`",
    "/api/v1/remote_write?",
    "/api?b=2&a=1&a=0&A=3&a-b=4&a_b=5&aa=6",
    "/api?b=c+d&e=f%20g&h=i%2Bj",
    "/api?flag&&empty=&=nameless",
    "/api?x=/?:@!$'()*,;&y=~-._",
    "/api?ä=ö&%C3%A4=%c3%b6&k=€",
    "/api?token=IQoJb3JpZ2luX2VjE//+/token==&next=%3D%26",
    "/api?percent=%&half=%2&bad=%zz",
];

#[tokio::test]
async fn botocore_signs_every_request_alike() {
    let mut oracle = Script::start("sigv4_oracle.py", &[]);
    let front = AmpFront::start(Guard::Open).await;
    let port = front.address.port();
    let hosts =
        ["127.0.0.1", "localhost", "LocalHost", "127.1", "0x7f000001", "user:p%40@localhost"];
    let mut hosts: Vec<_> =
        hosts.iter().map(|host| (format!("http://{host}:{port}"), front.clone())).collect();
    // Some machines have no IPv6.
    if let Ok(listener) = TcpListener::bind("[::1]:0").await {
        let front = AmpFront::on(Guard::Open, listener);
        hosts.push((format!("http://{}", front.address), front));
    }
    let scopes = [("eu-west-1", "aps"), ("us-gov-west-1", "aps"), ("cn-north-1", "execute-api")];
    let mut count = 0;
    for (at, path) in PATHS.into_iter().enumerate() {
        for (of, (host, front)) in hosts.iter().enumerate() {
            let token = [None, Some(TOKEN)][(at + of) % 2];
            let (region, service) = scopes[(at + of) % scopes.len()];
            let mut sigv4 = sigv4();
            (sigv4.region, sigv4.service) = (region.to_owned(), service.to_owned());
            let url = format!("{host}{path}");
            let mut destination = destination(&url, Auth::Sigv4(sigv4));
            destination.headers.push(("X-Scope-OrgID".to_owned(), Secret::new("blue, green  x")));
            destination.headers.push(("x-amz-meta".to_owned(), Secret::new("not ours to sign")));
            let token_text = token.map(str::to_owned);
            let keys = Credentials::new("AKIDEXAMPLE", SECRET, token_text, None, "test");
            let remote = Remote::with_provider(
                &destination,
                &Meters::new(),
                "sluicegate/0.1.0",
                SharedCredentialsProvider::new(keys),
            );
            let verdict = remote.unwrap().send(body(), SECOND).await;
            assert_eq!(verdict, Verdict::Accepted, "{url} {:?}", front.faults());
            let received = front.received().pop().unwrap();
            assert_eq!(received.headers["x-scope-orgid"], "blue, green  x");
            assert_agreed(&mut oracle, &received, &With { region, service, token }).await;
            count += 1;
        }
    }
    assert_eq!(count, PATHS.len() * hosts.len());
}

/// What the real process sends to hosts that nobody resolves: its proxy is the one that records.
#[tokio::test]
async fn botocore_agrees_on_hosts_of_every_kind() {
    let mut oracle = Script::start("sigv4_oracle.py", &[]);
    let front = AmpFront::start(Guard::Open).await;
    let path = "/workspaces/ws-1/api/v1/remote_write";
    let hosts = [
        // Those of AMP itself are taken with https only.
        ("aps-workspaces.eu-central-1.amazonaws.com.example", "eu-central-1"),
        ("APS-Workspaces.us-east-1.VPCE.Example", "us-east-1"),
        ("front.example:80", "eu-west-1"),
        ("front.example:443", "eu-west-1"),
        ("front.example:8080", "eu-west-1"),
        ("under_score.example.", "eu-west-1"),
        ("münchen.example", "eu-west-1"),
        ("[2001:db8::1]", "eu-west-1"),
        ("[2001:DB8:0:0::2]:9009", "eu-west-1"),
    ];
    let entry = |(at, (host, region)): (usize, &(&str, &str))| {
        format!(
            "  - name: d{at}\n    url: \"http://{host}{path}?d={at}\"\n    sigv4: {{ region: {region} }}\n    \
             metadata_config: {{ send: false }}\n"
        )
    };
    let entries: Vec<_> = hosts.iter().enumerate().map(entry).collect();
    let text = config("http://unused.example", "shutdown_delay: 0s", "", "");
    let (head, _) = text.split_once("remote_write:").unwrap();
    let text = format!("{head}remote_write:\n{}", entries.concat());
    let proxy = front.url("");
    let env = [
        ("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE"),
        ("AWS_SECRET_ACCESS_KEY", SECRET),
        ("AWS_SESSION_TOKEN", TOKEN),
        ("http_proxy", proxy.as_str()),
        ("HTTP_PROXY", proxy.as_str()),
        ("no_proxy", ""),
        ("NO_PROXY", ""),
    ];
    let gateway = Gateway::start_with(&text, &env).await;
    let answer = gateway.post(&[line(1).as_bytes()]).await;
    assert_eq!(answer.0, 200, "{answer:?} {}", gateway.log());
    let received = front.received();
    for (at, (host, region)) in hosts.iter().enumerate() {
        let to = format!("{path}?d={at}");
        let one = received.iter().find(|one| one.uri == to).expect(host);
        let with = With { region, service: "aps", token: Some(TOKEN) };
        assert_agreed(&mut oracle, one, &with).await;
    }
    assert_eq!(received.len(), hosts.len(), "each at its first attempt");
}
