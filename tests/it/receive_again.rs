//! Requests that come again, with lanes that the test settles by hand.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use sluicegate::queue::{Inbox, Part};
use sluicegate::receive::OnUndecodable;
use tokio::task::JoinHandle;
use tower::ServiceExt as _;

use crate::receive_door::{
    Answer, House, ID, config, envelope, line, request, rules, settle, waiting, with,
};

pub(crate) const SUCCESS: &str =
    r#"sluicegate_stream_last_success_timestamp_seconds{stream="metrics"}"#;

/// Five samples, all in one lane.
pub(crate) fn good() -> Vec<u8> {
    envelope(ID, &[line(1).as_bytes()])
}

/// A request that is decoded where it is read, and on its own if its client goes.
pub(crate) fn sent(house: &House, body: Vec<u8>) -> JoinHandle<Answer> {
    let length = body.len().to_string();
    call(house, with(request(body), "content-length", &length))
}

pub(crate) fn call(house: &House, request: Request<Body>) -> JoinHandle<Answer> {
    let router = house.door.router();
    house.tasks.spawn(async move { Answer::checked(router.oneshot(request).await.unwrap()).await })
}

/// Waits until a metric has a value, without time passing.
pub(crate) async fn until(house: &House, metric: &str, value: f64) {
    for _ in 0..10_000 {
        if house.metric(metric) == value {
            return;
        }
        tokio::task::yield_now().await;
    }
    panic!("{metric} is {}, not {value}", house.metric(metric));
}

pub(crate) fn repeated(outcome: &str) -> String {
    format!("sluicegate_firehose_requests_repeated_total{{outcome=\"{outcome}\"}}")
}

pub(crate) fn received(house: &House, destination: &str) -> f64 {
    house.metric(&format!("sluicegate_samples_received_total{{destination=\"{destination}\"}}"))
}

/// Waits for one part in some lanes.
pub(crate) async fn part(inboxes: &mut [Inbox]) -> Part {
    for _ in 0..10_000 {
        let mut parts = waiting(inboxes);
        if let Some(part) = parts.pop() {
            assert!(parts.is_empty(), "more than one part");
            return part;
        }
        tokio::task::yield_now().await;
    }
    panic!("no part came");
}

pub(crate) fn lose(mut part: Part, because: &str) {
    part.note_trouble(because);
}

fn two(required: bool) -> House {
    House::try_with(&config(), &[("a", true), ("b", required)]).expect("a door")
}

#[tokio::test(start_paused = true)]
async fn four_at_once_are_sent_once() {
    let mut house = House::idle(|_| {});
    let calls: Vec<_> = (0..4).map(|_| sent(&house, good())).collect();
    until(&house, &repeated("joined"), 3.0).await;
    let part = part(&mut house.inboxes).await;
    assert_eq!(received(&house, "amp"), 5.0);
    assert_eq!(house.budget.used(), 4 * (16 << 10), "those who wait are charged for their place");
    assert_eq!(house.metric("sluicegate_request_memory_entries"), 1.0);
    settle(part);
    for call in calls {
        assert_eq!(call.await.unwrap().status, 200);
    }
    assert!(waiting(&mut house.inboxes).is_empty());
    assert_eq!((house.budget.used(), house.door.in_flight()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_retry_joins_what_its_client_has_left() {
    let mut house = House::idle(|_| {});
    let first = sent(&house, good());
    let part = part(&mut house.inboxes).await;
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    let retry = sent(&house, good());
    until(&house, &repeated("joined"), 1.0).await;
    // One that hangs up while it waits leaves nothing behind.
    let other = sent(&house, good());
    until(&house, &repeated("joined"), 2.0).await;
    other.abort();
    let _ = other.await;
    assert_eq!(house.budget.used(), 2 * (16 << 10));
    settle(part);
    assert_eq!(retry.await.unwrap().status, 200);
    assert!(house.metric(SUCCESS) > 1.6e9);
    assert_eq!(received(&house, "amp"), 5.0);
}

#[tokio::test(start_paused = true)]
async fn a_settled_request_is_remembered_for_ten_minutes() {
    let mut house = House::idle(|_| {});
    let first = sent(&house, good());
    settle(part(&mut house.inboxes).await);
    assert_eq!(first.await.unwrap().status, 200);
    for seconds in [0, 300, 299] {
        tokio::time::advance(Duration::from_secs(seconds)).await;
        assert_eq!(sent(&house, good()).await.unwrap().status, 200);
    }
    assert!(waiting(&mut house.inboxes).is_empty());
    assert_eq!(house.metric(&repeated("settled")), 3.0);
    tokio::time::advance(Duration::from_secs(1)).await;
    let again = sent(&house, good());
    settle(part(&mut house.inboxes).await);
    assert_eq!(again.await.unwrap().status, 200);
    assert_eq!(received(&house, "amp"), 10.0);
    assert_eq!(house.metric("sluicegate_request_memory_entries"), 1.0);
}

#[tokio::test(start_paused = true)]
async fn those_who_joined_share_a_failure_and_the_next_retry_sends() {
    let mut house = House::idle(|_| {});
    let calls: Vec<_> = (0..3).map(|_| sent(&house, good())).collect();
    until(&house, &repeated("joined"), 2.0).await;
    lose(part(&mut house.inboxes).await, "gone fishing");
    for call in calls {
        let answer = call.await.unwrap();
        assert_eq!(answer.status, 503);
        assert!(answer.error.contains("`amp`: gone fishing"), "{answer:?}");
    }
    assert_eq!(house.metric("sluicegate_request_memory_entries"), 0.0);
    let retry = sent(&house, good());
    settle(part(&mut house.inboxes).await);
    assert_eq!(retry.await.unwrap().status, 200);
    assert_eq!(house.metric(&repeated("resumed")), 0.0);
}

#[tokio::test(start_paused = true)]
async fn a_destination_that_has_settled_is_not_sent_to_again() {
    let mut house = two(true);
    let first = sent(&house, good());
    settle(part(&mut house.inboxes[..2]).await);
    lose(part(&mut house.inboxes[2..]).await, "no");
    assert_eq!(first.await.unwrap().status, 503);
    for attempt in 1..=3 {
        let retry = sent(&house, good());
        let part = part(&mut house.inboxes).await;
        assert_eq!(part.destination(), 1);
        assert_eq!(house.metric(&repeated("resumed")), f64::from(attempt));
        if attempt < 3 {
            lose(part, "still no");
            assert!(retry.await.unwrap().error.contains("still no"));
        } else {
            settle(part);
            assert_eq!(retry.await.unwrap().status, 200);
        }
    }
    assert_eq!(sent(&house, good()).await.unwrap().status, 200);
    assert!(waiting(&mut house.inboxes).is_empty());
    assert_eq!((received(&house, "a"), received(&house, "b")), (5.0, 20.0));
    assert_eq!(house.budget.used(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_destination_has_settled_when_each_of_its_lanes_has() {
    let mut house = two(true);
    // So many series that each destination has a part in both lanes.
    let lines: String = (0..20).map(line).collect();
    let body = envelope(ID, &[lines.as_bytes()]);
    let first = sent(&house, body.clone());
    until(&house, r#"sluicegate_samples_in_flight{destination="b"}"#, 100.0).await;
    let parts = waiting(&mut house.inboxes);
    assert_eq!(parts.iter().map(Part::destination).collect::<Vec<_>>(), [0, 0, 1, 1]);
    for (index, part) in parts.into_iter().enumerate() {
        if index == 2 { lose(part, "half of it") } else { settle(part) }
    }
    assert_eq!(first.await.unwrap().status, 503);
    let retry = sent(&house, body);
    until(&house, r#"sluicegate_samples_in_flight{destination="b"}"#, 100.0).await;
    let parts = waiting(&mut house.inboxes);
    assert_eq!(parts.iter().map(Part::destination).collect::<Vec<_>>(), [1, 1]);
    parts.into_iter().for_each(settle);
    assert_eq!(retry.await.unwrap().status, 200);
}

#[tokio::test(start_paused = true)]
async fn a_retry_waits_for_the_end_of_what_has_failed_already() {
    let mut house = two(true);
    let first = sent(&house, good());
    let busy = part(&mut house.inboxes[2..]).await;
    lose(part(&mut house.inboxes[..2]).await, "no");
    // Answered, while the other destination is at work.
    assert_eq!(first.await.unwrap().status, 503);
    let retries = [sent(&house, good()), sent(&house, good())];
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert!(waiting(&mut house.inboxes).is_empty());
    settle(busy);
    let part = part(&mut house.inboxes).await;
    assert_eq!(part.destination(), 0, "the busy one has settled it meanwhile");
    settle(part);
    for retry in retries {
        assert_eq!(retry.await.unwrap().status, 200);
    }
    let counts = ["joined", "settled", "resumed"].map(|o| house.metric(&repeated(o)));
    assert_eq!(counts, [1.0, 0.0, 1.0]);
}

#[tokio::test(start_paused = true)]
async fn a_retry_right_after_the_deadline_is_taken_up() {
    let mut house = two(true);
    let first = sent(&house, good());
    settle(part(&mut house.inboxes[..2]).await);
    let late = part(&mut house.inboxes[2..]).await;
    let answer = first.await.unwrap();
    assert!(answer.error.contains("deadline"), "{answer:?}");
    // The lane is about to notice that time is up.
    let retry = sent(&house, good());
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    lose(late, "late");
    let part = part(&mut house.inboxes).await;
    assert_eq!(part.destination(), 1);
    settle(part);
    assert_eq!(retry.await.unwrap().status, 200);
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_best_effort() {
    let mut house = two(false);
    let first = sent(&house, good());
    let slow = part(&mut house.inboxes[2..]).await;
    settle(part(&mut house.inboxes[..2]).await);
    assert_eq!(first.await.unwrap().status, 200);
    // Remembered from the answer on.
    assert_eq!(sent(&house, good()).await.unwrap().status, 200);
    lose(slow, "too slow");
    assert_eq!(sent(&house, good()).await.unwrap().status, 200);
    assert!(waiting(&mut house.inboxes).is_empty());
    assert_eq!(house.metric(&repeated("settled")), 2.0);

    // After a failure the retry does not wait for it either.
    let body = envelope(ID, &[line(2).as_bytes()]);
    let first = sent(&house, body.clone());
    let slow = part(&mut house.inboxes[2..]).await;
    lose(part(&mut house.inboxes[..2]).await, "no");
    assert_eq!(first.await.unwrap().status, 503);
    let retry = sent(&house, body);
    settle(part(&mut house.inboxes[..2]).await);
    assert_eq!(retry.await.unwrap().status, 200);
    drop(slow);
}

#[tokio::test(start_paused = true)]
async fn what_a_best_effort_destination_has_is_not_sent_to_it_again_and_what_it_dropped_is() {
    for dropped in [false, true] {
        let mut house = two(false);
        let first = sent(&house, good());
        let optional = part(&mut house.inboxes[2..]).await;
        if dropped {
            lose(optional, "no");
        } else {
            settle(optional);
        }
        lose(part(&mut house.inboxes[..2]).await, "no");
        assert_eq!(first.await.unwrap().status, 503);
        let retry = sent(&house, good());
        settle(part(&mut house.inboxes[..2]).await);
        assert_eq!(retry.await.unwrap().status, 200);
        assert_eq!(waiting(&mut house.inboxes).len(), usize::from(dropped));
        assert_eq!(house.metric(&repeated("resumed")), f64::from(!dropped));
    }
}

#[tokio::test(start_paused = true)]
async fn a_rejected_request_is_rejected_again_and_sent_once() {
    let mut house = House::idle(|config| config.on_undecodable = OnUndecodable::Reject);
    let body = || envelope(ID, &[line(1).as_bytes(), b"hello"]);
    let (first, joined) = (sent(&house, body()), sent(&house, body()));
    until(&house, &repeated("joined"), 1.0).await;
    settle(part(&mut house.inboxes).await);
    let remembered = sent(&house, body());
    for answer in [first, joined, remembered] {
        let answer = answer.await.unwrap();
        assert_eq!(answer.status, 400);
        assert!(answer.error.contains("1 unknown_format"), "{answer:?}");
    }
    assert!(waiting(&mut house.inboxes).is_empty());
    assert!(house.metric(SUCCESS).is_nan());
}

#[tokio::test(start_paused = true)]
async fn a_claim_that_vanishes_is_503_for_those_who_joined() {
    // The lanes end.
    let mut house = House::idle(|_| {});
    let calls: Vec<_> = (0..3).map(|_| sent(&house, good())).collect();
    until(&house, &repeated("joined"), 2.0).await;
    house.inboxes.clear();
    for call in calls {
        assert_eq!(call.await.unwrap().status, 503);
    }
    assert_eq!(house.metric("sluicegate_request_memory_entries"), 0.0);
    assert_eq!(sent(&house, good()).await.unwrap().status, 503);

    // The house closes.
    let house = House::idle(|_| {});
    let calls: Vec<_> = (0..3).map(|_| sent(&house, good())).collect();
    until(&house, &repeated("joined"), 2.0).await;
    house.door.give_up();
    for call in calls {
        assert_eq!(call.await.unwrap().error, "shutting down");
    }

    // A part dies in a lane's panic.
    let mut house = House::idle(|_| {});
    let calls: Vec<_> = (0..3).map(|_| sent(&house, good())).collect();
    until(&house, &repeated("joined"), 2.0).await;
    let part = part(&mut house.inboxes).await;
    let lane = house.tasks.spawn(async move {
        let _part = part;
        panic!("on purpose");
    });
    assert!(lane.await.unwrap_err().is_panic());
    for call in calls {
        assert_eq!(call.await.unwrap().status, 503);
    }
    assert_eq!(house.budget.used(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_finds_no_room_leaves_no_claim() {
    let house = two(true);
    let (full, mut inboxes) =
        rules(&config(), &[("a", true), ("b", true)], &house.budget, &house.meters).unwrap();
    house.door.follow(full);
    let first = sent(&house, good());
    settle(part(&mut inboxes[..2]).await);
    lose(part(&mut inboxes[2..]).await, "no");
    assert_eq!(first.await.unwrap().status, 503);
    // A share of nothing, of which others hold something already, has no room.
    let (narrow, mut narrow_inboxes) = narrow_rules(&house);
    house.door.follow(narrow);
    let holder = sent(&house, envelope(ID, &[line(2).as_bytes()]));
    let held = part(&mut narrow_inboxes[2..]).await;
    let answer = sent(&house, good()).await.unwrap();
    assert_eq!(answer.status, 503);
    assert!(answer.error.contains("share of the budget"), "{answer:?}");
    settle(held);
    settle(part(&mut narrow_inboxes[..2]).await);
    assert_eq!(holder.await.unwrap().status, 200);
    // What was settled before is not forgotten.
    let retry = sent(&house, good());
    let part = part(&mut narrow_inboxes).await;
    assert_eq!(part.destination(), 1);
    settle(part);
    assert_eq!(retry.await.unwrap().status, 200);
}

fn narrow_rules(house: &House) -> (sluicegate::receive::Rules, Vec<Inbox>) {
    let mut narrow = config();
    narrow.budget = 1;
    rules(&narrow, &[("a", true), ("b", true)], &house.budget, &house.meters).unwrap()
}
