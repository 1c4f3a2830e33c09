//! What is remembered across reloads: a 200 is for the destinations that it was given for.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::sync::Arc;

use sluicegate::map::Mapper;
use sluicegate::queue::{Budget, Inbox};

use crate::receive_again::{good, lose, part, received, repeated, sent, until};
use crate::receive_again_content::{large, settling};
use crate::receive_door::{
    House, ID, config, envelope, line, mapper, rules, rules_of, serial, settle, waiting,
};

/// From now on the house has these destinations.
fn follow(house: &House, to: &[(&str, u64, bool)], mapper: &Arc<Mapper>) -> Vec<Inbox> {
    let (new, inboxes) = rules_of(&config(), to, mapper, &house.budget, &house.meters).unwrap();
    house.door.follow(new);
    inboxes
}

fn two() -> House {
    House::try_with(&config(), &[("a", true), ("b", true)]).expect("a door")
}

#[tokio::test(start_paused = true)]
async fn a_reload_forgets_nothing() {
    let mut house = House::try_with(&config(), &[("a", true), ("b", true)]).expect("a door");
    let first = sent(&house, good());
    settle(part(&mut house.inboxes[..2]).await);
    lose(part(&mut house.inboxes[2..]).await, "no");
    assert_eq!(first.await.unwrap().status, 503);
    let to = [("c", true), ("b", true), ("a", true)];
    let (new, mut inboxes) = rules(&config(), &to, &house.budget, &house.meters).unwrap();
    house.door.follow(new);
    let retry = sent(&house, good());
    settle(part(&mut inboxes[..2]).await);
    settle(part(&mut inboxes[2..4]).await);
    assert_eq!(retry.await.unwrap().status, 200);
    assert!(waiting(&mut inboxes).is_empty(), "a has settled it before");
    let (new, mut inboxes) =
        rules(&config(), &[("d", true)], &house.budget, &house.meters).unwrap();
    house.door.follow(new);
    let added = sent(&house, good());
    settle(part(&mut inboxes).await);
    assert_eq!(added.await.unwrap().status, 200, "d has it now, too");
    assert_eq!(received(&house, "d"), 5.0);

    // What failed at a destination that is no longer there has nothing left to do.
    let (new, mut inboxes) =
        rules(&config(), &[("a", true), ("b", true)], &house.budget, &house.meters).unwrap();
    house.door.follow(new);
    let body = envelope(ID, &[line(2).as_bytes()]);
    let first = sent(&house, body.clone());
    settle(part(&mut inboxes[..2]).await);
    lose(part(&mut inboxes[2..]).await, "no");
    assert_eq!(first.await.unwrap().status, 503);
    let (new, mut inboxes) =
        rules(&config(), &[("a", true)], &house.budget, &house.meters).unwrap();
    house.door.follow(new);
    assert_eq!(sent(&house, body).await.unwrap().status, 200);
    assert!(waiting(&mut inboxes).is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_same_name_in_another_place_has_settled_nothing() {
    let (a, b) = (serial("a"), serial("b"));
    for is_moved in [false, true] {
        // Half of it is settled when `a` moves.
        let mut house = two();
        let first = sent(&house, good());
        settle(part(&mut house.inboxes[..2]).await);
        lose(part(&mut house.inboxes[2..]).await, "no");
        assert_eq!(first.await.unwrap().status, 503);
        let there = if is_moved { a + 1 } else { a };
        let mut inboxes = follow(&house, &[("a", there, true), ("b", b, true)], &mapper(2));
        let retry = sent(&house, good());
        settle(part(&mut inboxes[2..]).await);
        if is_moved {
            settle(part(&mut inboxes[..2]).await);
        }
        assert_eq!(retry.await.unwrap().status, 200);
        // And when all of it is.
        let again = if is_moved { a + 2 } else { a };
        let mut inboxes = follow(&house, &[("a", again, true), ("b", b, true)], &mapper(2));
        let retry = sent(&house, good());
        if is_moved {
            settle(part(&mut inboxes[..2]).await);
        }
        assert_eq!(retry.await.unwrap().status, 200);
        assert!(waiting(&mut inboxes).is_empty());
        assert_eq!(house.metric(&repeated("settled")), f64::from(!is_moved));
    }
}

#[tokio::test(start_paused = true)]
async fn best_effort_that_dropped_it_gets_it_once_it_is_required() {
    let mut house = House::try_with(&config(), &[("a", true), ("b", false)]).expect("a door");
    let first = sent(&house, good());
    lose(part(&mut house.inboxes[2..]).await, "no");
    settle(part(&mut house.inboxes[..2]).await);
    assert_eq!(first.await.unwrap().status, 200);
    let to = [("a", serial("a"), true), ("b", serial("b"), true)];
    let mut inboxes = follow(&house, &to, &mapper(2));
    let retry = sent(&house, good());
    let missing = part(&mut inboxes).await;
    assert_eq!(missing.destination(), 1);
    settle(missing);
    assert_eq!(retry.await.unwrap().status, 200);
}

#[tokio::test(start_paused = true)]
async fn nobody_joins_one_that_works_for_others() {
    let mut house = House::try_with(&config(), &[("a", true)]).expect("a door");
    let first = sent(&house, good());
    let old = part(&mut house.inboxes).await;
    let to = [("a", serial("a"), true), ("b", serial("b"), true)];
    let mut inboxes = follow(&house, &to, &mapper(2));
    let retry = sent(&house, good());
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert!(waiting(&mut inboxes).is_empty(), "it waits for the first to end");
    settle(old);
    assert_eq!(first.await.unwrap().status, 200);
    let missing = part(&mut inboxes).await;
    assert_eq!(missing.destination(), 1, "what is left of it");
    let other = sent(&house, good());
    until(&house, &repeated("joined"), 1.0).await;
    settle(missing);
    assert_eq!((retry.await.unwrap().status, other.await.unwrap().status), (200, 200));
    assert_eq!((received(&house, "a"), received(&house, "b")), (5.0, 5.0));
}

/// A large request of which a part was lost, and the mapper that goes on cutting it so.
async fn slices_that_failed() -> (House, Vec<u8>, Arc<Mapper>) {
    let (mut house, body) = large();
    let inbox = house.inboxes.drain(..).next().unwrap();
    let lanes = settling(&house, inbox, 6..7);
    assert_eq!(sent(&house, body.clone()).await.unwrap().status, 503);
    let mapper = house.door.mapper();
    drop(lanes);
    (house, body, mapper)
}

#[tokio::test]
async fn slices_that_another_place_has_are_sent_again() {
    let (house, body, mapper) = slices_that_failed().await;
    // The plan is the same, so the slices are.
    let inboxes = follow(&house, &[("amp", serial("amp") + 1, true)], &mapper);
    let before = received(&house, "amp");
    let lanes = settling(&house, inboxes.into_iter().next().unwrap(), 0..0);
    assert_eq!(sent(&house, body.clone()).await.unwrap().status, 200);
    assert_eq!(received(&house, "amp") - before, 25_000.0, "all of it");
    assert_eq!(sent(&house, body).await.unwrap().status, 200);
    assert_eq!(received(&house, "amp") - before, 25_000.0);
    drop((house, lanes));
}

#[tokio::test]
async fn who_has_settled_the_whole_gets_no_slice_of_it() {
    let mut house = two();
    let lines: String = (0..5_000).map(line).collect();
    let body = envelope(ID, &[lines.as_bytes()]);
    let mapper = house.door.mapper();
    let mut inboxes = house.inboxes.drain(..).step_by(2).collect::<Vec<_>>().into_iter();
    let lanes = [0..0, 0..2].map(|lost| settling(&house, inboxes.next().unwrap(), lost));
    assert_eq!(sent(&house, body.clone()).await.unwrap().status, 503);
    let sent_whole = (received(&house, "a"), received(&house, "b"));
    assert_eq!(sent_whole, (25_000.0, 25_000.0));
    // The retry finds less room.
    let to = [("a", serial("a"), true), ("b", serial("b"), true)];
    let mut small = config();
    (small.budget, small.max_body_size) = (5 << 20, 3 << 20);
    let budget = Budget::new(small.budget);
    let (new, inboxes) = rules_of(&small, &to, &mapper, &budget, &house.meters).unwrap();
    house.door.follow(new);
    let more = inboxes.into_iter().step_by(2).map(|inbox| settling(&house, inbox, 0..0));
    let more: Vec<_> = more.collect();
    let answer = sent(&house, body).await.unwrap();
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(house.metric("sluicegate_request_memory_entries") > 1.0, "it was sliced");
    assert_eq!((received(&house, "a"), received(&house, "b")), (25_000.0, 50_000.0));
    assert_eq!(house.metric(&repeated("resumed")), 1.0);
    drop((house, lanes, more));
}
