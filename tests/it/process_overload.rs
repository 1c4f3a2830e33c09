//! The process under what floods it: memory within the budget and 128 MiB, every answer in
//! contract, and whoever else sends is served.

#![allow(clippy::unwrap_used, clippy::panic)] // A test may end so.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Bytes;
use flate2::{Compress, Compression, FlushCompress};
use http_body::{Body, Frame, SizeHint};
use sluicegate::tasks::Tasks;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use crate::process_kit::{Gateway, Mode, PATIENCE, Receiver, fresh_id};
use crate::process_memory::peak_mib;
use crate::receive_door::{ARN, Answer, ID, envelope, line};

const MIB: usize = 1 << 20;

/// How many requests come at once, and how many of them have 15 MB; the others have 1 MB. A debug
/// build on a busy machine reads no more than this in the time that it gives to unwanted bodies.
const FLOOD: usize = 200;
const FLOOD_LARGE: usize = 20;

const NOISY: &str = "noisy key";
const QUIET: &str = "quiet key";

/// Two keys, and more lines of `server`.
fn config(url: &str, server: &str) -> String {
    format!(
        "server:\n  listen_address: 127.0.0.1:0\n  access_keys:\n  - {{ name: noisy, key: {NOISY} }}\n  \
         - {{ name: quiet, key: {QUIET} }}\n{server}\
         telemetry: {{ listen_address: 127.0.0.1:0 }}\n\
         remote_write:\n  - {{ name: store, url: '{url}' }}\n"
    )
}

/// Whoever sends; clones are the same sender.
#[derive(Clone)]
struct Sender {
    url: String,
    key: &'static str,
    client: reqwest::Client,
}

impl Sender {
    fn new(gateway: &Gateway, key: &'static str) -> Self {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { url: format!("{}/firehose", gateway.ingest), key, client }
    }

    /// Sends a request, and checks that its answer is in contract.
    async fn post(&self, id: &str, body: impl Into<reqwest::Body>, encoding: &str) -> Answer {
        let request = self
            .client
            .post(&self.url)
            .header("x-amz-firehose-protocol-version", "1.0")
            .header("x-amz-firehose-request-id", id)
            .header("x-amz-firehose-source-arn", ARN)
            .header("x-amz-firehose-access-key", self.key)
            .header("content-encoding", encoding)
            .body(body);
        let response = request.send().await.expect("an answer");
        let status = response.status().as_u16();
        let header = |name: &str| Some(response.headers().get(name)?.to_str().unwrap().to_owned());
        let (kind, length) = (header("content-type"), header("content-length"));
        let body = response.bytes().await.unwrap();
        assert_eq!(kind.as_deref(), Some("application/json"));
        assert_eq!(length, Some(body.len().to_string()));
        let answer = Answer::of_json(status, &body);
        assert_eq!(answer.request_id, id);
        answer
    }

    /// A request of these records, with an ID of its own.
    async fn records(&self, records: &[&[u8]]) -> Answer {
        let id = fresh_id();
        self.post(&id, envelope(&id, records), "identity").await
    }

    /// A request of such a body, with an ID of its own.
    async fn padded(&self, body: &Padded) -> Answer {
        let id = fresh_id();
        self.post(&id, body.with(&id), "identity").await
    }

    /// An ordinary request, and how long it took.
    async fn ordinary(&self) -> (u16, Duration) {
        let started = Instant::now();
        let answer = self.records(&[line(1).as_bytes()]).await;
        (answer.status, started.elapsed())
    }
}

/// A body around the place of its ID. Clones share their memory.
#[derive(Clone)]
struct Padded([Bytes; 2]);

impl Padded {
    /// That many equal records, each a data point with white space behind it.
    fn new(records: usize, record_bytes: usize) -> Self {
        let mut record = line(1).into_bytes();
        record.resize(record_bytes, b' ');
        let body = Bytes::from(envelope(ID, &vec![record.as_slice(); records]));
        let at = std::str::from_utf8(&body).unwrap().find(ID).unwrap();
        Self([body.slice(..at), body.slice(at + ID.len()..)])
    }

    fn len(&self) -> usize {
        self.0[0].len() + ID.len() + self.0[1].len()
    }

    fn with(&self, id: &str) -> reqwest::Body {
        let [before, behind] = self.0.clone();
        reqwest::Body::wrap(Pieces([before, id.to_owned().into(), behind].into()))
    }
}

/// A body of pieces whose length is known.
struct Pieces(VecDeque<Bytes>);

impl Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.pop_front().map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0.iter().map(|piece| piece.len() as u64).sum())
    }
}

/// A gzip member that unpacks to 4 GiB of zeros: a piece of 16 MiB that ends on a whole byte and
/// refers to nothing before itself, again and again.
fn bomb() -> Bytes {
    let mut compress = Compress::new(Compression::best(), false);
    let mut piece = Vec::with_capacity(64 << 10);
    let zeros = vec![0; 16 * MIB];
    compress.compress_vec(&zeros, &mut piece, FlushCompress::Full).unwrap();
    assert_eq!(compress.total_in(), zeros.len() as u64);
    let mut bomb = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    (0..256).for_each(|_| bomb.extend_from_slice(&piece));
    bomb.extend_from_slice(&[3, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    assert!(bomb.len() < 5 * MIB, "{} bytes", bomb.len());
    bomb.into()
}

/// How the headers of a request begin.
const BEGUN: &[u8] = b"POST /firehose HTTP/1.1\r\nhost: x\r\nx-amz-firehose-acc";

#[tokio::test]
async fn floods_cost_bounded_memory_and_others_are_served_beside_them() {
    let receiver = Receiver::start(Mode::Store).await;
    let text = config(&receiver.url, "  budget: 64MiB\n  read_header_timeout: 2s\n");
    let gateway = Gateway::start(&text).await;
    let (noisy, quiet) = (Sender::new(&gateway, NOISY), Sender::new(&gateway, QUIET));
    let address = gateway.ingest.strip_prefix("http://").unwrap();

    // More connections than there are places for, none of them with a whole header.
    let mut half = Vec::new();
    for _ in 0..300 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(BEGUN).await.unwrap();
        half.push(stream);
    }
    let (status, took) = timeout(PATIENCE, quiet.ordinary()).await.expect("served beside them");
    assert_eq!(status, 200);
    eprintln!("beside 300 half headers: {took:?}");
    drop(half);

    // A header block without an end is cut, not kept.
    let mut stream = TcpStream::connect(address).await.unwrap();
    let endless = [BEGUN, b": x\r\nx: ", &vec![b'x'; MIB]].concat();
    let _ = stream.write_all(&endless).await;
    let mut rest = Vec::new();
    let _ = timeout(PATIENCE, stream.read_to_end(&mut rest)).await.expect("cut");
    assert!(rest.is_empty() || rest.starts_with(b"HTTP/1.1 431"));

    let bomb = bomb();
    for encoding in ["gzip", "identity"] {
        // As the body, and as what a record holds, which nothing unpacks.
        let id = fresh_id();
        let (body, status) = match encoding {
            "gzip" => (bomb.clone(), 400),
            _ => (envelope(&id, &[&bomb[..512 << 10]]).into(), 200),
        };
        let (answer, other) = tokio::join!(noisy.post(&id, body, encoding), quiet.ordinary());
        assert_eq!(answer.status, status, "{}", answer.error);
        assert_eq!(other.0, 200);
    }

    let (large, lesser) = (Padded::new(11, 1_000_000), Padded::new(1, 750_000));
    assert!((14_000_000..15_500_000).contains(&large.len()), "{}", large.len());
    let tasks = Tasks::new();
    let sent: Vec<_> = (0..FLOOD)
        .map(|number| {
            let is_large = number % (FLOOD / FLOOD_LARGE) == 0;
            let body = if is_large { large.clone() } else { lesser.clone() };
            let noisy = noisy.clone();
            tasks.spawn(async move { noisy.padded(&body).await.status })
        })
        .collect();
    let begun = Instant::now();
    let mut others = Vec::new();
    while others.len() < 3 || sent.iter().any(|sent| !sent.is_finished()) {
        others.push(timeout(PATIENCE, quiet.ordinary()).await.expect("served beside them"));
        assert!(begun.elapsed() < PATIENCE, "the flood does not end");
    }
    let mut statuses = Vec::new();
    for status in sent {
        statuses.push(status.await.expect("in contract"));
    }
    let count = |status| statuses.iter().filter(|other| **other == status).count();
    let slowest = others.iter().map(|(_, took)| *took).max();
    let peak_mib = peak_mib(gateway.pid());
    eprintln!(
        "200: {}, 503: {} in {:?}, {} others within {slowest:?}",
        count(200),
        count(503),
        begun.elapsed(),
        others.len()
    );
    eprintln!("peak {peak_mib} MiB");
    assert_eq!(count(200) + count(503), FLOOD, "{statuses:?}");
    assert!(count(200) > 0 && count(503) > 0);
    assert!(others.iter().all(|(status, _)| *status == 200), "{others:?}");
    gateway.assert_no_repeats().await;
    assert!(peak_mib < 64 + 128, "{peak_mib} MiB");
}

#[tokio::test]
async fn the_largest_legal_body_is_taken() {
    let receiver = Receiver::start(Mode::Store).await;
    let gateway = Gateway::start(&config(&receiver.url, "  budget: 256MiB\n")).await;
    let (noisy, quiet) = (Sender::new(&gateway, NOISY), Sender::new(&gateway, QUIET));
    // 64 MiB of records.
    let body = Padded::new(65, 1_024_000);
    assert!(body.len() > 84 * MIB, "{}", body.len());
    let (answer, other) = tokio::join!(noisy.padded(&body), quiet.ordinary());
    assert_eq!((answer.status, other.0), (200, 200), "{}", answer.error);
    let peak_mib = peak_mib(gateway.pid());
    eprintln!("peak {peak_mib} MiB");
    assert!(peak_mib < 256 + 128, "{peak_mib} MiB");
}

#[tokio::test]
async fn a_quiet_key_is_served_behind_a_slow_receiver_while_a_noisy_one_takes_all_it_can() {
    let receiver = Receiver::start(Mode::Slow(Duration::from_millis(100))).await;
    let text = config(&receiver.url, "  budget: 1MiB\n");
    let gateway = Gateway::start(&text).await;
    let (noisy, quiet) = (Sender::new(&gateway, NOISY), Sender::new(&gateway, QUIET));
    let lines: String = (0..300).map(line).collect();
    let tasks = Tasks::new();
    let noise: Vec<_> = (0..40)
        .map(|_| {
            let (noisy, lines) = (noisy.clone(), lines.clone());
            tasks.spawn(async move {
                let mut refused = 0;
                loop {
                    match noisy.records(&[lines.as_bytes()]).await.status {
                        503 => refused += 1,
                        status => assert_eq!(status, 200),
                    }
                    // Far less patient than Firehose.
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    if refused >= 5 {
                        return;
                    }
                }
            })
        })
        .collect();
    let mut others = Vec::new();
    let begun = Instant::now();
    while others.len() < 5 || noise.iter().all(|noise| !noise.is_finished()) {
        others.push(timeout(PATIENCE, quiet.ordinary()).await.expect("served beside them"));
        assert!(begun.elapsed() < PATIENCE, "the noise is never refused");
    }
    eprintln!("{others:?}");
    assert!(others.iter().all(|(status, _)| *status == 200), "{others:?}");
    gateway.assert_no_repeats().await;
    let page = gateway.figures().await.0;
    let refused = |key: &str| {
        let of = format!("sluicegate_firehose_requests_refused_total{{key=\"{key}\",");
        let counts = page.lines().filter(|line| line.starts_with(&of));
        counts.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum::<f64>()
    };
    assert!(refused("noisy") >= 5.0 && refused("quiet") == 0.0, "{page}");
    assert!(page.contains("sluicegate_access_key_budget_used_bytes{key=\"noisy\"}"), "{page}");
    for noise in noise {
        noise.abort();
    }
}
