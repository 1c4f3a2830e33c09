//! Bodies of every size and kind, and what they may cost.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::convert::Infallible;
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use tokio::time::Instant;

use crate::receive_door::{House, ID, envelope, gzip, line, request, with};

const MIB: u64 = 1 << 20;

/// A body of unknown length in small pieces, `pause` before each.
fn pieces(bytes: Vec<u8>, pause: Duration) -> Body {
    let (sender, receiver) = tokio::sync::mpsc::channel::<Bytes>(1);
    #[allow(clippy::disallowed_methods)]
    tokio::spawn(async move {
        for piece in bytes.chunks(9_999) {
            tokio::time::sleep(pause).await;
            if sender.send(Bytes::copy_from_slice(piece)).await.is_err() {
                return;
            }
        }
    });
    struct Pieces(tokio::sync::mpsc::Receiver<Bytes>);
    impl HttpBody for Pieces {
        type Data = Bytes;
        type Error = Infallible;
        fn poll_frame(
            mut self: std::pin::Pin<&mut Self>,
            context: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, Infallible>>> {
            self.0.poll_recv(context).map(|piece| piece.map(|p| Ok(http_body::Frame::data(p))))
        }
    }
    Body::new(Pieces(receiver))
}

#[tokio::test]
async fn a_large_body_arrives_whole_however_it_comes() {
    let lines: String = (0..5_000).map(line).collect();
    let records: Vec<&[u8]> = lines.as_bytes().split_inclusive(|b| *b == b'\n').collect();
    let records: Vec<Vec<u8>> = records.chunks(500).map(|some| some.concat()).collect();
    let records: Vec<&[u8]> = records.iter().map(Vec::as_slice).collect();
    let plain = envelope(ID, &records);
    let packed = gzip(&plain);
    assert!(plain.len() > 1 << 20);
    // The trailer is that of the last member.
    let claims_little = [gzip(&plain[..plain.len() - 9]), gzip(&plain[plain.len() - 9..])].concat();
    let gz = |body| with(request(body), "content-encoding", "gzip");
    for (name, request) in [
        ("with length", {
            let length = plain.len().to_string();
            with(request(plain.clone()), "content-length", &length)
        }),
        ("in pieces", request(pieces(plain.clone(), Duration::ZERO))),
        ("gzip", gz(Body::from(packed.clone()))),
        ("gzip in pieces", gz(pieces(packed.clone(), Duration::ZERO))),
        ("gzip that claims to be small", gz(Body::from(claims_little.clone()))),
    ] {
        let house = House::delivering(|_| {});
        let answer = house.call(request).await;
        assert_eq!(answer.status, 200, "{name}: {answer:?}");
        let points = house.metric(r#"sluicegate_datapoints_total{format="json"}"#);
        assert_eq!(points, 5_000.0, "{name}");
        let delivered = r#"sluicegate_samples_total{destination="amp",outcome="delivered"}"#;
        assert_eq!(house.metric(delivered), 25_000.0, "{name}");
        assert_eq!(house.budget.used(), 0, "{name}");
    }
}

#[tokio::test]
async fn a_body_whose_samples_exceed_the_budget_is_taken_in_slices() {
    let lines: String = (0..5_000).map(line).collect();
    let foreign = b"{\"TICKER_SYMBOL\":\"QXZ\"}\n";
    let body = envelope(ID, &[lines.as_bytes(), foreign]);
    assert!(body.len() as u64 <= 5 * MIB / 2);
    for packed in [false, true] {
        let house = House::delivering(|config| {
            config.budget = 5 * MIB;
            config.max_body_size = 3 * MIB;
        });
        let request = match packed {
            false => with(request(body.clone()), "content-length", &body.len().to_string()),
            true => with(request(gzip(&body)), "content-encoding", "gzip"),
        };
        let answer = house.call(request).await;
        assert_eq!(answer.status, 200, "{packed}: {answer:?}");
        for (metric, value) in [
            (r#"sluicegate_samples_total{destination="amp",outcome="delivered"}"#, 25_000.0),
            (r#"sluicegate_datapoints_total{format="json"}"#, 5_000.0),
            ("sluicegate_records_total", 2.0),
            (r#"sluicegate_records_skipped_total{reason="foreign_json"}"#, 1.0),
        ] {
            assert_eq!(house.metric(metric), value, "{packed}: {metric}");
        }
        assert_eq!(house.budget.used(), 0, "{packed}");
    }
}

#[tokio::test]
async fn ten_thousand_empty_records_are_nothing_to_do() {
    let house = House::delivering(|_| {});
    let records = vec![&b""[..]; 10_000];
    assert_eq!(house.call(request(envelope(ID, &records))).await.status, 200);
    assert_eq!(house.metric("sluicegate_records_total"), 10_000.0);
    let records = vec![&b""[..]; 10_001];
    assert_eq!(house.call(request(envelope(ID, &records))).await.status, 400);
    assert_eq!(house.budget.used(), 0);
}

#[tokio::test]
async fn a_body_at_the_limit_is_taken_and_one_beyond_it_is_400() {
    let body = envelope(ID, &[line(1).as_bytes()]);
    let length = body.len() as u64;
    for (limit, status) in [(length, 200), (length - 1, 400)] {
        for packed in [false, true] {
            let house = House::delivering(|config| config.max_body_size = limit);
            let plain = pieces(body.clone(), Duration::ZERO);
            let request = match packed {
                false => request(plain),
                true => with(request(gzip(&body)), "content-encoding", "gzip"),
            };
            assert_eq!(house.call(request).await.status, status, "{limit} {packed}");
            assert_eq!(house.budget.used(), 0);
        }
    }
}

#[tokio::test]
async fn a_bomb_costs_bounded_memory_and_time() {
    // A trailer that claims nothing, and many members, make no difference.
    let bomb = gzip(&vec![0; 64 << 20]);
    let mut quiet = bomb.clone();
    let end = quiet.len();
    quiet[end - 4..].copy_from_slice(&[0; 4]);
    let many: Vec<u8> = (0..100).flat_map(|n| gzip(&vec![n; 1 << 20])).collect();
    for (name, bomb) in [("bomb", bomb), ("quiet", quiet), ("many members", many)] {
        let house = House::delivering(|_| {});
        let mut most = 0;
        let started = Instant::now();
        let call = house.call(with(request(bomb), "content-encoding", "gzip"));
        tokio::pin!(call);
        let answer = loop {
            tokio::select! {
                biased;
                answer = &mut call => break answer,
                () = tokio::time::sleep(Duration::from_millis(1)) => {
                    most = most.max(house.budget.used());
                }
            }
        };
        assert_eq!(answer.status, 400, "{name}: {answer:?}");
        assert!(answer.error.contains("max_body_size"), "{name}: {answer:?}");
        // 16 MiB unpacked, what it is packed in, and the margin.
        assert!(most <= 24 * MIB, "{name}: {most}");
        assert!(started.elapsed() < Duration::from_secs(20), "{name}");
        assert_eq!(house.budget.used(), 0, "{name}");
    }
}

#[tokio::test]
async fn a_full_budget_is_503_before_the_body_is_read() {
    let house = House::delivering(|_| {});
    let held = house.budget.try_take(house.budget.limit() - (16 << 10) + 1).expect("room");
    let body = Body::new(Unready);
    let answer = house.call(with(request(body), "content-length", "10")).await;
    assert_eq!(answer.status, 503);
    assert!(answer.error.contains("budget of 64MiB"), "{}", answer.error);
    drop(held);
    assert_eq!(house.call(request(envelope(ID, &[]))).await.status, 200);
}

/// Never has anything, so that whoever waits for it waits for ever.
struct Unready;

impl HttpBody for Unready {
    type Data = Bytes;
    type Error = Infallible;
    fn poll_frame(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, Infallible>>> {
        std::task::Poll::Pending
    }
}

#[tokio::test]
async fn a_budget_that_fills_up_meanwhile_is_503() {
    let house = House::delivering(|config| config.budget = 4 * MIB);
    let plain = envelope(ID, &[&vec![b' '; 4 << 20]]);
    for request in [
        request(pieces(plain.clone(), Duration::ZERO)),
        with(request(gzip(&plain)), "content-encoding", "gzip"),
    ] {
        let answer = house.call(request).await;
        assert_eq!(answer.status, 503, "{answer:?}");
        assert!(answer.error.contains("budget"), "{answer:?}");
        assert_eq!(house.budget.used(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_sender_that_dribbles_loses_its_place() {
    let house = House::delivering(|config| config.read_timeout = Duration::from_secs(30));
    let body = envelope(ID, &[&vec![b' '; 1 << 20]]);
    let started = Instant::now();
    let answer = house.call(request(pieces(body, Duration::from_secs(1)))).await;
    assert_eq!(answer.status, 503, "{answer:?}");
    assert!(answer.error.contains("30s"), "{answer:?}");
    assert_eq!(started.elapsed().as_secs(), 30);
    assert_eq!(house.budget.used(), 0);
}
