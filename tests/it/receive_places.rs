//! When all connections are taken: who goes, and who never does.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use reqwest::Version;
use sluicegate::receive::{ClientAuth, Config};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::rustls::version::TLS13;

use crate::receive_door::{ID, envelope, line, settle, waiting};
use crate::receive_tls::{Authority, ask, shake};
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
    timeout(Duration::from_millis(20), stream.peek(&mut [0])).await.is_err()
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
    let nothing = &whole(&envelope(ID, &[]));
    let mut idle_long = connect(&open, nothing, 1).await;
    assert_eq!(answer(&mut idle_long).await.0.status, 200);
    passes(A_WHILE).await;
    let mut idle = connect(&open, nothing, 2).await;
    assert_eq!(answer(&mut idle).await.0.status, 200);
    let mut busy = connect(&open, &whole(&envelope(ID, &[line(1).as_bytes()])), 3).await;
    let half = connect(&open, &HEALTH[..10], 4).await;

    // Whoever asked for something stays as long as there is one who did not.
    passes(Duration::from_millis(500)).await;
    let mut one = connect(&open, nothing, 4).await;
    assert_eq!(answer(&mut one).await.0.status, 200);
    assert!(ends(half).await.is_empty(), "who has never asked for anything goes first");
    assert!(is_open(&idle_long).await && is_open(&idle).await && is_open(&busy).await);

    passes(A_WHILE).await;
    let mut two = connect(&open, nothing, 4).await;
    assert_eq!(answer(&mut two).await.0.status, 200);
    assert!(ends(idle_long).await.is_empty(), "then who has idled longest");
    let mut three = connect(&open, nothing, 4).await;
    assert_eq!(answer(&mut three).await.0.status, 200);
    assert!(ends(idle).await.is_empty());
    assert!(is_open(&one).await && is_open(&two).await);
    passes(A_WHILE).await;
    let mut more = Vec::new();
    for _ in 0..6 {
        let mut stream = connect(&open, nothing, 4).await;
        assert_eq!(answer(&mut stream).await.0.status, 200);
        more.push(stream);
        passes(A_WHILE).await;
    }
    assert!(is_open(&busy).await, "a request in progress stays");
    let mut inboxes = open.house.inboxes;
    waiting(&mut inboxes).into_iter().for_each(settle);
    assert_eq!(answer(&mut busy).await.0.status, 200);
}

#[tokio::test]
async fn http2_that_idles_makes_room_and_comes_again() {
    let open = open(|config| config.max_connections = 1, true).await;
    let client = reqwest::Client::builder().http2_prior_knowledge().no_proxy().build().unwrap();
    let url = format!("http://{}/healthz", open.address);
    for _ in 0..3 {
        let response = client.get(&url).send().await.unwrap();
        assert_eq!((response.status().as_u16(), response.version()), (200, Version::HTTP_2));
        passes(A_WHILE).await;
        let mut other = connect(&open, HEALTH, 1).await;
        assert_eq!(answer(&mut other).await.0.status, 200);
        passes(A_WHILE).await;
    }
}

/// Peers that send so much and no more, and come again as soon as they are cut. Returns once all of
/// them stand in line.
async fn flood(open: &Open, peers: usize, sent: &'static [u8]) {
    let came = Arc::new(AtomicUsize::new(0));
    for _ in 0..peers {
        let (address, came) = (open.address, Arc::clone(&came));
        open.house.tasks.spawn(async move {
            while let Ok(mut stream) = TcpStream::connect(address).await {
                came.fetch_add(1, Ordering::Relaxed);
                if stream.write_all(sent).await.is_ok() {
                    ends(stream).await;
                }
                tokio::task::yield_now().await;
            }
        });
    }
    while came.load(Ordering::Relaxed) < peers {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn a_flood_of_half_headers_locks_nobody_out() {
    let open = open(|config| config.max_connections = 16, true).await;
    flood(&open, 100, b"POST /firehose HTTP/1.1\r\nhost:").await;
    let body = whole(&envelope(ID, &[line(1).as_bytes()]));
    let mut stream = connect(&open, &body, 16).await;
    // 100 stand before it, and of 16 that rest for a second all may be asked to go.
    let mut seconds = 0;
    while is_open(&stream).await {
        passes(Duration::from_secs(1)).await;
        seconds += 1;
        assert!(seconds < 15, "still waiting");
    }
    assert_eq!(answer(&mut stream).await.0.status, 200);
    // Once in, it is served as if nobody else were there.
    for _ in 0..20 {
        stream.write_all(&body).await.unwrap();
        assert_eq!(answer(&mut stream).await.0.status, 200);
        passes(Duration::from_millis(500)).await;
    }
    open.stop.cancel();
}

#[tokio::test]
async fn a_flood_of_half_handshakes_locks_nobody_out() {
    let authority = Authority::new();
    let tls = authority.config(ClientAuth::NoClientCert);
    let tune = |config: &mut Config| (config.tls_config, config.max_connections) = (Some(tls), 8);
    let open = open(tune, true).await;
    flood(&open, 50, &[0x16, 3, 1, 2, 0, 1, 0]).await;
    let connector = authority.connector(&[&TLS13], &[], None);
    let mut shaking = std::pin::pin!(shake(&connector, &open));
    let mut seconds = 0;
    let mut stream = loop {
        match timeout(Duration::from_millis(50), shaking.as_mut()).await {
            Ok(stream) => break stream.unwrap(),
            Err(_) => passes(Duration::from_secs(1)).await,
        }
        seconds += 1;
        assert!(seconds < 15, "still waiting");
    };
    for _ in 0..5 {
        assert_eq!(ask(&mut stream).await.unwrap(), 200);
    }
    open.stop.cancel();
}

/// Strangers that hold their connections by asking all the time, and come again when they are cut.
async fn active_strangers(open: &Open, peers: usize, asked: &'static [u8], at_once: usize) {
    let came = Arc::new(AtomicUsize::new(0));
    for _ in 0..peers {
        let (address, came) = (open.address, Arc::clone(&came));
        open.house.tasks.spawn(async move {
            while let Ok(mut stream) = TcpStream::connect(address).await {
                came.fetch_add(1, Ordering::Relaxed);
                while stream.write_all(&asked.repeat(at_once)).await.is_ok() {
                    if stream.read(&mut [0; 4096]).await.unwrap_or(0) == 0 {
                        break;
                    }
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                tokio::task::yield_now().await;
            }
        });
    }
    while came.load(Ordering::Relaxed) < peers {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

const REFUSED: &[u8] = b"POST /firehose HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n{}";

#[tokio::test]
async fn strangers_that_ask_all_the_time_lock_nobody_out() {
    for (asked, at_once) in [(HEALTH, 1), (REFUSED, 1), (REFUSED, 50)] {
        let open = open(|config| config.max_connections = 8, true).await;
        let body = whole(&envelope(ID, &[line(1).as_bytes()]));
        let mut known = connect(&open, &body, 1).await;
        assert_eq!(answer(&mut known).await.0.status, 200);
        active_strangers(&open, 16, asked, at_once).await;
        let mut late = connect(&open, &body, 8).await;
        let served = timeout(Duration::from_secs(30), answer(&mut late)).await;
        assert_eq!(served.expect("still waiting").0.status, 200);
        for _ in 0..10 {
            passes(A_WHILE).await;
            for stream in [&mut known, &mut late] {
                stream.write_all(&body).await.unwrap();
                assert_eq!(answer(stream).await.0.status, 200, "it rested, but is of use");
            }
        }
        open.stop.cancel();
    }
}
