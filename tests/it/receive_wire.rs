//! The door behind a real listener: connections, their limits, and their ends.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::net::SocketAddr;
use std::time::Duration;

use sluicegate::receive::{Config, Limits, Tls, serve};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::receive_door::{
    ARN, Answer, House, ID, KEY, config, envelope, gzip, line, settle, waiting,
};

pub(crate) struct Open {
    pub(crate) house: House,
    pub(crate) address: SocketAddr,
    pub(crate) stop: CancellationToken,
    served: JoinHandle<()>,
    /// Replaces the limits while it serves.
    pub(crate) terms: watch::Sender<Limits>,
}

pub(crate) async fn open(tune: impl FnOnce(&mut Config), deliver: bool) -> Open {
    let mut config = config();
    tune(&mut config);
    let again = config.clone();
    let house =
        if deliver { House::delivering(|c| *c = again) } else { House::idle(|c| *c = again) };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let tls = config.tls_config.as_ref().map(|tls| Tls::open(tls).unwrap());
    let limits = Limits { tls, ..Limits::new(&config, &house.meters, "ingest") };
    let (terms, limits) = watch::channel(limits);
    let (router, tasks) = (house.door.router(), house.tasks.clone());
    let stop = CancellationToken::new();
    let stopped = stop.clone();
    let serving = async move { serve(listener, router, limits, &tasks, stopped).await };
    let served = house.tasks.spawn(serving);
    Open { house, address, stop, served, terms }
}

/// The head of a request as Firehose sends it, with more header lines.
fn head(key: &str, more: &str) -> String {
    format!(
        "POST /firehose HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
         x-amz-firehose-protocol-version: 1.0\r\nx-amz-firehose-request-id: {ID}\r\n\
         x-amz-firehose-source-arn: {ARN}\r\nx-amz-firehose-access-key: {key}\r\n{more}\r\n"
    )
}

pub(crate) fn whole(body: &[u8]) -> Vec<u8> {
    [head(KEY, &format!("content-length: {}\r\n", body.len())).as_bytes(), body].concat()
}

/// Reads one answer and checks it; also gives its head.
pub(crate) async fn answer<S: AsyncRead + Unpin>(stream: &mut S) -> (Answer, String) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.expect("an answer"));
    }
    let head = String::from_utf8(head).unwrap().to_lowercase();
    let status = head[9..12].parse().unwrap();
    assert!(head.contains("content-type: application/json\r\n"), "{head}");
    assert!(!head.contains("transfer-encoding"), "{head}");
    let (_, length) = head.split_once("content-length: ").expect("a length");
    let mut body = vec![0; length.split_once("\r\n").unwrap().0.parse().unwrap()];
    stream.read_exact(&mut body).await.unwrap();
    (Answer::of_json(status, &body), head)
}

pub(crate) async fn ends<S: AsyncRead + Unpin>(mut stream: S) -> Vec<u8> {
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest).await;
    rest
}

#[tokio::test]
async fn a_connection_is_used_again() {
    let open = open(|_| {}, true).await;
    let body = envelope(ID, &[line(1).as_bytes()]);
    let mut stream = TcpStream::connect(open.address).await.unwrap();
    for _ in 0..3 {
        stream.write_all(&whole(&body)).await.unwrap();
        let (answer, head) = answer(&mut stream).await;
        assert_eq!((answer.status, answer.request_id.as_str()), (200, ID));
        assert!(!head.contains("connection: close"));
    }
    let packed = gzip(&body);
    let chunked = head(KEY, "content-encoding: gzip\r\ntransfer-encoding: chunked\r\n");
    stream.write_all(chunked.as_bytes()).await.unwrap();
    for piece in packed.chunks(50) {
        stream.write_all(format!("{:x}\r\n", piece.len()).as_bytes()).await.unwrap();
        stream.write_all(piece).await.unwrap();
        stream.write_all(b"\r\n").await.unwrap();
    }
    stream.write_all(b"0\r\n\r\n").await.unwrap();
    assert_eq!(answer(&mut stream).await.0.status, 200);
    for (line, expected) in [("GET /firehose", 405), ("PUT /x", 404), ("GET /readyz", 200)] {
        let request = format!("{line} HTTP/1.1\r\nhost: x\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        assert_eq!(answer(&mut stream).await.0.status, expected, "{line}");
    }
    stream
        .write_all(b"HEAD /firehose HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        .await
        .unwrap();
    let head = String::from_utf8(ends(stream).await).unwrap().to_lowercase();
    assert!(head.starts_with("http/1.1 405") && head.ends_with("\r\n\r\n"), "{head}");
    assert!(head.contains("allow: post\r\n"), "{head}");
    assert_eq!(open.house.budget.used(), 0);
}

#[tokio::test]
async fn an_answer_that_comes_before_the_body_can_be_read() {
    let open = open(|config| config.max_body_size = 4 << 20, true).await;
    for (key, length, status) in [("no", 900 << 10, 401), (KEY, 5 << 20, 400), ("no", 3 << 20, 401)]
    {
        let mut stream = TcpStream::connect(open.address).await.unwrap();
        let head = head(key, &format!("content-length: {length}\r\n"));
        stream.write_all(head.as_bytes()).await.unwrap();
        // Like a client that reads only after it has written.
        let mut whole = true;
        for _ in 0..length >> 10 {
            whole &= stream.write_all(&[b' '; 1024]).await.is_ok();
        }
        assert_eq!(answer(&mut stream).await.0.status, status, "{length}");
        if length < 1 << 20 {
            assert!(whole);
            stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
            assert_eq!(answer(&mut stream).await.0.status, 200, "the connection goes on");
        }
    }
}

#[tokio::test]
async fn a_client_that_asks_first_is_told_first() {
    let open = open(|_| {}, true).await;
    let body = envelope(ID, &[]);
    let more = format!("expect: 100-continue\r\ncontent-length: {}\r\n", body.len());
    let mut stream = TcpStream::connect(open.address).await.unwrap();
    stream.write_all(head("no", &more).as_bytes()).await.unwrap();
    assert_eq!(answer(&mut stream).await.0.status, 401, "and not 100 Continue");

    let mut stream = TcpStream::connect(open.address).await.unwrap();
    stream.write_all(head(KEY, &more).as_bytes()).await.unwrap();
    let mut go = [0; 25];
    stream.read_exact(&mut go).await.unwrap();
    assert_eq!(&go, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(&body).await.unwrap();
    assert_eq!(answer(&mut stream).await.0.status, 200);
}

#[tokio::test]
async fn headers_have_a_limit() {
    let open = open(|config| config.max_header_size = 16 << 10, true).await;
    for (bytes, status) in [(8 << 10, 200), (17 << 10, 400)] {
        let body = envelope(ID, &[]);
        let (x, length) = ("x".repeat(bytes), body.len());
        let more = format!("x-more: {x}\r\ncontent-length: {length}\r\n");
        let mut stream = TcpStream::connect(open.address).await.unwrap();
        stream.write_all(head(KEY, &more).as_bytes()).await.unwrap();
        stream.write_all(&body).await.unwrap();
        assert_eq!(answer(&mut stream).await.0.status, status, "{bytes}");
    }
    let mut stream = TcpStream::connect(open.address).await.unwrap();
    let endless = [&head(KEY, "")[..], &"x: y\r\n".repeat(20_000)].concat();
    let _ = stream.write_all(endless.replace("\r\n\r\n", "\r\n").as_bytes()).await;
    let rest = ends(stream).await;
    assert!(rest.is_empty() || rest.starts_with(b"HTTP/1.1 431"));
}

#[tokio::test(start_paused = true)]
async fn slow_headers_and_idle_connections_are_cut() {
    let open = open(|_| {}, true).await;
    for (sent, seconds) in [
        (Vec::new(), 10),
        (b"POST /firehose HTTP/1.1\r\nhost:".to_vec(), 10),
        (b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n".to_vec(), 300),
        (b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\nGET /healthz".to_vec(), 310),
    ] {
        let mut stream = TcpStream::connect(open.address).await.unwrap();
        stream.write_all(&sent).await.unwrap();
        let started = Instant::now();
        ends(stream).await;
        let took = started.elapsed().as_secs();
        assert!(took <= seconds && took >= seconds.min(300) - 1, "{sent:?}: {took} s");
    }
}

#[tokio::test]
async fn connections_beyond_the_limit_wait() {
    let open = open(|config| config.max_connections = 1, true).await;
    let first = TcpStream::connect(open.address).await.unwrap();
    let mut second = TcpStream::connect(open.address).await.unwrap();
    second.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    while open.house.metric("sluicegate_connections{listener=\"ingest\"}") != 1.0 {
        tokio::task::yield_now().await;
    }
    let nothing = tokio::time::timeout(Duration::from_millis(100), second.readable()).await;
    assert!(nothing.is_err(), "served beyond the limit");
    drop(first);
    assert_eq!(answer(&mut second).await.0.status, 200);
}

#[tokio::test]
async fn stopping_answers_what_is_in_flight_and_closes() {
    let mut open = open(|_| {}, false).await;
    let mut idle = TcpStream::connect(open.address).await.unwrap();
    idle.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    assert_eq!(answer(&mut idle).await.0.status, 200);
    let mut busy = TcpStream::connect(open.address).await.unwrap();
    busy.write_all(&whole(&envelope(ID, &[line(1).as_bytes()]))).await.unwrap();
    assert!(open.house.inboxes[0].ready().await);
    open.stop.cancel();
    assert!(ends(idle).await.is_empty(), "the idle one is closed at once");
    while TcpStream::connect(open.address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    assert!(!open.served.is_finished());
    waiting(&mut open.house.inboxes).into_iter().for_each(settle);
    let (answer, head) = answer(&mut busy).await;
    assert_eq!(answer.status, 200);
    assert!(head.contains("connection: close"), "{head}");
    assert!(ends(busy).await.is_empty());
    open.served.await.unwrap();
    assert_eq!(open.house.metric("sluicegate_connections{listener=\"ingest\"}"), 0.0);
    open.house.tasks.ended().await;
    assert_eq!(open.house.budget.used(), 0);
}

#[tokio::test]
async fn http2_in_clear_text() {
    let open = open(|_| {}, true).await;
    let client = reqwest::Client::builder().http2_prior_knowledge().no_proxy().build().unwrap();
    let lines: String = (0..3_000).map(line).collect();
    let large = envelope(ID, &[lines.as_bytes()]);
    for (key, body, status) in
        [(KEY, envelope(ID, &[]), 200), (KEY, large.clone(), 200), ("no", large, 401)]
    {
        let request = client
            .post(format!("http://{}/firehose", open.address))
            .header("x-amz-firehose-protocol-version", "1.0")
            .header("x-amz-firehose-request-id", ID)
            .header("x-amz-firehose-source-arn", ARN)
            .header("x-amz-firehose-access-key", key)
            .body(body);
        let response = request.send().await.unwrap();
        assert_eq!(response.version(), reqwest::Version::HTTP_2);
        let status_got = response.status().as_u16();
        let answer = Answer::of_json(status_got, &response.bytes().await.unwrap());
        assert_eq!(answer.status, status, "{answer:?}");
    }
    drop(client);
    open.stop.cancel();
    open.served.await.unwrap();
}
