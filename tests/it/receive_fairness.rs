//! What one access key can take of the budget, and what the others keep.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::http::Request;
use http_body::Frame;

use crate::receive_door::{Answer, House, ID, envelope, key, line, request, with};

const MIB: u64 = 1 << 20;
const KEY_HEADER: &str = "x-amz-firehose-access-key";

fn two_keys() -> House {
    House::delivering(|config| config.access_keys = vec![key("noisy", "n"), key("quiet", "q")])
}

/// A body that never comes.
struct Never;

impl HttpBody for Never {
    type Data = Bytes;
    type Error = Infallible;
    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Pending
    }
}

/// A request that is charged for a body of this length as soon as it is admitted.
fn claims(key: &str, bytes: u64) -> Request<Body> {
    let request = with(request(Body::new(Never)), "content-length", &bytes.to_string());
    with(request, KEY_HEADER, key)
}

fn good(key: &str) -> Request<Body> {
    with(request(envelope(ID, &[line(1).as_bytes()])), KEY_HEADER, key)
}

fn refused(key: &str, reason: &str) -> String {
    format!("sluicegate_firehose_requests_refused_total{{key=\"{key}\",reason=\"{reason}\"}}")
}

/// What becomes of a request that is either refused at once or waits for its body.
async fn at_once(house: &House, request: Request<Body>) -> Option<Answer> {
    let call = house.call(request);
    tokio::time::timeout(Duration::from_millis(50), call).await.ok()
}

#[tokio::test]
async fn a_noisy_key_is_refused_and_a_quiet_one_served() {
    let house = two_keys();
    // Each is charged a quarter more than it claims, so 50 of the 56 MiB that a key may hold.
    let mut waiting = Vec::new();
    for _ in 0..5 {
        waiting.push(Box::pin(house.call(claims("n", 8 * MIB))));
        let _ = tokio::time::timeout(Duration::ZERO, waiting.last_mut().unwrap()).await;
    }
    assert_eq!(house.budget.used(), 50 * MIB);
    let answer = at_once(&house, claims("n", 8 * MIB)).await.expect("refused");
    assert_eq!(answer.status, 503);
    assert!(answer.error.contains("access key hold its part, 56MiB, of the budget of 64MiB"));
    assert_eq!(house.metric(&refused("noisy", "key_budget")), 1.0);

    assert_eq!(house.call(good("q")).await.status, 200);
    // The quiet one's reserve of 8 MiB, and the 6 MiB that the noisy one has left.
    assert!(at_once(&house, claims("q", 11 * MIB)).await.is_none(), "admitted");
    let answer = at_once(&house, claims("q", 12 * MIB)).await.expect("refused");
    assert!(answer.error.contains("the budget of 64MiB is used up"), "{}", answer.error);
    assert_eq!(house.metric(&refused("quiet", "budget")), 1.0);
    let held = |name: &str| {
        let all = house.budget.used_by_name();
        all.into_iter().find(|(of, _)| of == name).map(|(_, bytes)| bytes)
    };
    assert_eq!((held("noisy"), held("quiet")), (Some(50 * MIB), Some(0)));
    drop(waiting);
    assert_eq!(house.budget.used(), 0);
    assert_eq!(house.call(good("n")).await.status, 200);
}

#[tokio::test]
async fn one_key_or_none_has_all_of_the_budget() {
    for keys in [0, 1] {
        let house = House::delivering(|config| {
            config.access_keys = vec![key("only", "n")];
            config.access_keys.truncate(keys);
            config.insecure_allow_unauthenticated = keys == 0;
            config.max_body_size = 60 * MIB;
        });
        assert!(at_once(&house, claims("n", 51 * MIB)).await.is_none(), "admitted");
        let held = house.budget.try_take(64 * MIB).expect("nothing is reserved");
        let answer = house.call(good("n")).await;
        assert_eq!(answer.status, 503);
        assert!(answer.error.contains("the budget of 64MiB is used up"), "{}", answer.error);
        let name = if keys == 0 { "" } else { "only" };
        assert_eq!(house.metric(&refused(name, "budget")), 1.0);
        drop(held);
        assert_eq!(house.call(good("n")).await.status, 200);
    }
}

#[tokio::test]
async fn an_unknown_key_is_no_label() {
    let house = two_keys();
    assert_eq!(house.call(claims("stranger", 8 * MIB)).await.status, 401);
    assert!(!house.meters.render().contains("stranger"));
    assert_eq!(house.budget.used_by_name().len(), 2);
}

#[tokio::test]
async fn slices_are_charged_to_the_key_that_sent_them() {
    let lines: String = (0..5_000).map(line).collect();
    let body = envelope(ID, &[lines.as_bytes()]);
    let house = House::delivering(|config| {
        config.access_keys = vec![key("noisy", "n"), key("quiet", "q")];
        (config.budget, config.max_body_size) = (5 * MIB, 3 * MIB);
    });
    let sized = with(request(body.clone()), "content-length", &body.len().to_string());
    let call = house.call(with(sized, KEY_HEADER, "n"));
    tokio::pin!(call);
    let mut looks = 0;
    let answer = loop {
        tokio::select! {
            biased;
            answer = &mut call => break answer,
            () = tokio::time::sleep(Duration::from_millis(1)) => {
                let before = house.budget.used();
                let held = house.budget.used_by_name();
                if before == house.budget.used() {
                    looks += 1;
                    assert_eq!(held[0].1, before, "another account was charged");
                }
            }
        }
    };
    assert_eq!(answer.status, 200, "{answer:?}");
    let delivered = r#"sluicegate_samples_total{destination="amp",outcome="delivered"}"#;
    assert_eq!(house.metric(delivered), 25_000.0);
    assert!(looks > 0);
    assert_eq!(house.budget.used(), 0);
}
