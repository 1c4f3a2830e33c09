//! When all connections are taken: who goes, and who never does.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use crate::receive_door::{ID, envelope, line};
use crate::receive_wire::{Open, answer, ends, open, whole};

const HEALTH: &[u8] = b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n";
const OPEN: &str = "sluicegate_connections{listener=\"ingest\"}";

/// Opens a connection, sends something, and waits until so many are open.
async fn connect(open: &Open, sent: &[u8], then_open: usize) -> TcpStream {
    let mut stream = TcpStream::connect(open.address).await.unwrap();
    stream.write_all(sent).await.unwrap();
    while open.house.metric(OPEN) < then_open as f64 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    stream
}

async fn is_open(stream: &TcpStream) -> bool {
    timeout(Duration::from_millis(20), stream.readable()).await.is_err()
}

/// Makes time pass for everything that looks at the clock, and goes on in real time.
async fn passes(time: Duration) {
    tokio::time::pause();
    tokio::time::advance(time).await;
    tokio::time::resume();
}

const A_WHILE: Duration = Duration::from_millis(1100);

#[tokio::test]
async fn who_never_asked_goes_before_who_has_idled_longest_and_a_request_stays() {
    let open = open(|config| config.max_connections = 4, false).await;
    let mut idle_long = connect(&open, HEALTH, 1).await;
    answer(&mut idle_long).await;
    passes(A_WHILE).await;
    let mut idle = connect(&open, HEALTH, 2).await;
    answer(&mut idle).await;
    let mut busy = connect(&open, &whole(&envelope(ID, &[line(1).as_bytes()])), 3).await;
    let half = connect(&open, &HEALTH[..10], 4).await;

    // Within the second nobody has to go but who rests for long.
    passes(Duration::from_millis(500)).await;
    let mut one = connect(&open, HEALTH, 4).await;
    assert_eq!(answer(&mut one).await.0.status, 200);
    assert!(ends(idle_long).await.is_empty());
    assert!(is_open(&half).await && is_open(&idle).await && is_open(&busy).await);

    passes(A_WHILE).await;
    let mut two = connect(&open, HEALTH, 4).await;
    assert_eq!(answer(&mut two).await.0.status, 200);
    assert!(ends(half).await.is_empty(), "who has never asked for anything goes first");
    let mut three = connect(&open, HEALTH, 4).await;
    assert_eq!(answer(&mut three).await.0.status, 200);
    assert!(ends(idle).await.is_empty(), "then who has idled longest");
    assert!(is_open(&one).await && is_open(&two).await);
    passes(A_WHILE).await;
    let mut more = Vec::new();
    for _ in 0..6 {
        let mut stream = connect(&open, HEALTH, 4).await;
        assert_eq!(answer(&mut stream).await.0.status, 200);
        more.push(stream);
        passes(A_WHILE).await;
    }
    assert!(is_open(&busy).await, "a request in progress stays");
    let mut inboxes = open.house.inboxes;
    for inbox in &mut inboxes {
        while let Ok(mut part) = inbox.try_recv() {
            part.tally.delivered = part.samples().len() as u64;
        }
    }
    assert_eq!(answer(&mut busy).await.0.status, 200);
}

/// As many peers as one likes, each with half a header, and again as soon as they are cut.
#[tokio::test]
async fn a_flood_of_half_headers_locks_nobody_out() {
    let open = open(|config| config.max_connections = 32, true).await;
    let address = open.address;
    for _ in 0..300 {
        open.house.tasks.spawn(async move {
            while let Ok(mut stream) = TcpStream::connect(address).await {
                if stream.write_all(b"POST /firehose HTTP/1.1\r\nhost:").await.is_ok() {
                    ends(stream).await;
                }
                tokio::task::yield_now().await;
            }
        });
    }
    while open.house.metric(OPEN) < 32.0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    // 300 before us, 32 a second at the least.
    let body = whole(&envelope(ID, &[line(1).as_bytes()]));
    let started = Instant::now();
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(&body).await.unwrap();
    while !is_open_or_answered(&stream).await {
        passes(Duration::from_secs(1)).await;
    }
    assert_eq!(answer(&mut stream).await.0.status, 200);
    let first = started.elapsed();
    assert!(first < Duration::from_secs(12), "{first:?}");
    // Once in, it is served as if nobody else were there.
    for _ in 0..20 {
        let started = Instant::now();
        stream.write_all(&body).await.unwrap();
        assert_eq!(answer(&mut stream).await.0.status, 200);
        assert!(started.elapsed() < Duration::from_secs(1));
    }
    open.stop.cancel();
}

async fn is_open_or_answered(stream: &TcpStream) -> bool {
    timeout(Duration::from_millis(20), stream.readable()).await.is_ok()
}
