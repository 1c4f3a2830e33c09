//! What one access key can take of the budget, and what the others keep.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::http::Request;
use http_body::Frame;
use sluicegate::queue::Inbox;

use crate::receive_door::{
    Answer, House, ID, config, envelope, key, line, next_part, request, waiting, with,
};

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

/// Delivers all that comes out of a lane. The number of parts.
async fn deliver_all(mut inbox: Inbox) -> usize {
    let mut parts = 0;
    while let Some(mut part) = next_part(&mut inbox).await {
        part.tally.delivered = part.samples().len() as u64;
        parts += 1;
    }
    parts
}

/// A small request of its own id.
fn small(key: &str, number: usize) -> Request<Body> {
    let id = format!("{key}-{number}");
    let body = envelope(&id, &[line(number).as_bytes()]);
    let length = body.len().to_string();
    let request = with(request(body), "x-amz-firehose-request-id", &id);
    with(with(request, "content-length", &length), KEY_HEADER, key)
}

#[tokio::test]
async fn a_slow_destination_leaves_a_quiet_key_its_reserve() {
    const CHARGE: u64 = 16 << 10;
    let mut config = config();
    config.access_keys = vec![key("noisy", "n"), key("quiet", "q")];
    config.budget = 2 * MIB;
    let to = [("slow", true), ("fast", true)];
    let mut house = House::try_within(&config, &to, config.budget / 4 * 3).unwrap();
    let fast = house.inboxes.split_off(2);
    let slow = std::mem::take(&mut house.inboxes);
    for inbox in fast {
        house.tasks.spawn(async move {
            deliver_all(inbox).await;
        });
    }
    // Of 2 MiB each key has an eighth for itself; of the slow one's share of 1.5 MiB it is the same.
    let mut waiting = Vec::new();
    for (key, most) in [("n", (MIB + MIB / 4) / CHARGE), ("q", MIB / 4 / CHARGE)] {
        for number in 0..most as usize {
            let mut call = Box::pin(house.call(small(key, number)));
            let answer = tokio::time::timeout(Duration::ZERO, call.as_mut()).await;
            assert!(answer.is_err(), "{key} {number}: {answer:?}");
            waiting.push(call);
        }
        if key == "n" {
            let answer = house.call(small(key, 1_000)).await;
            assert_eq!(answer.status, 503);
            assert!(answer.error.contains("destination `slow` holds its share"), "{answer:?}");
        }
    }
    assert_eq!(house.metric(&refused("noisy", "destination")), 1.0);
    let answer = house.call(small("q", 1_000)).await;
    assert_eq!(answer.status, 503, "beyond its reserve it is one of all: {answer:?}");
    assert_eq!(house.metric(&refused("quiet", "destination")), 1.0);

    for inbox in slow {
        house.tasks.spawn(async move {
            deliver_all(inbox).await;
        });
    }
    for call in waiting {
        assert_eq!(call.await.status, 200);
    }
    assert_eq!(house.budget.used(), 0);
}

#[tokio::test]
async fn a_batch_above_a_destinations_share_is_taken_in_slices() {
    let lines: String = (0..1_000).map(line).collect();
    let large = || with(request(envelope(ID, &[lines.as_bytes()])), KEY_HEADER, "n");
    let mut config = config();
    config.access_keys = vec![key("noisy", "n")];
    let to = [("one", true), ("other", true)];
    let mut house = House::try_within(&config, &to, config.budget).unwrap();
    let mut call = Box::pin(house.call(large()));
    let received = r#"sluicegate_samples_received_total{destination="other"}"#;
    while house.metric(received).is_nan() || house.metric(received) < 5_000.0 {
        let _ = tokio::time::timeout(Duration::from_millis(1), call.as_mut()).await;
    }
    let whole_bytes = house.budget.used();
    drop(call);
    house.inboxes.clear();

    let mut house = House::try_within(&config, &to, whole_bytes / 2).unwrap();
    // Something that one of them does not settle: a batch larger than its share could wait for ever.
    let mut held = Box::pin(house.call(small("n", 0)));
    let _ = tokio::time::timeout(Duration::ZERO, held.as_mut()).await;
    drop(held);
    let unsettled = waiting(&mut house.inboxes[..2]);
    assert!(!unsettled.is_empty());
    let inboxes: Vec<_> = house.inboxes.drain(..).collect();
    let lanes: Vec<_> = inboxes.into_iter().map(|of| house.tasks.spawn(deliver_all(of))).collect();
    let answer = house.call(large()).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let delivered = r#"sluicegate_samples_total{destination="one",outcome="delivered"}"#;
    assert_eq!(house.metric(delivered), 5_000.0);
    drop((unsettled, house));
    for lane in lanes {
        assert!(lane.await.unwrap() >= 8, "a part of each slice");
    }
}
