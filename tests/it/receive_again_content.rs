//! What makes a request another one; what is remembered of slices.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::ops::Range;
use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use sluicegate::queue::Inbox;
use tokio::task::JoinHandle;

use crate::receive_again::{call, good, lose, part, received, repeated, sent, until};
use crate::receive_door::{
    House, ID, config, envelope, gzip, line, next_part, request, rules, settle, waiting, with,
};

/// A body of records that are given as the JSON of their objects.
fn body_of(id: &str, timestamp: u64, records: &[String]) -> String {
    let records = records.join(",");
    format!(r#"{{"requestId":"{id}","timestamp":{timestamp},"records":[{records}]}}"#)
}

fn data(record: &str) -> String {
    format!(r#"{{"data":"{}"}}"#, base64_simd::STANDARD.encode_to_string(record))
}

fn attributes(request: Request<Body>, team: &str, other: &str) -> Request<Body> {
    let header = format!(r#"{{"commonAttributes":{{"team":"{team}","other":"{other}"}}}}"#);
    with(request, "x-amz-firehose-common-attributes", &header)
}

#[tokio::test]
async fn the_same_content_is_the_same_request_however_it_comes() {
    let (one, two) = (data(&line(1)), data(&line(2)));
    let records = [one.clone(), two.clone(), r#"{"data":"%"}"#.to_owned(), "{}".to_owned()];
    let with_records = |records: &[&str]| {
        let records: Vec<String> = records.iter().map(|r| (*r).to_owned()).collect();
        request(body_of(ID, 1, &records))
    };
    let base = || body_of(ID, 1, &records);
    let [_, _, bad, missing] = records.each_ref().map(String::as_str);
    // Base64 of `{"` begins with `eyJ`.
    assert!(one.starts_with(r#"{"data":"eyJ"#));
    let escaped = one.replacen(r#":"e"#, r#":"\u0065"#, 1);
    let pretty: serde_json::Value = serde_json::from_str(&base()).unwrap();
    let pretty = serde_json::to_string_pretty(&pretty).unwrap();
    let length = base().len().to_string();
    let both = data(&(line(1) + &line(2)));
    let spaced = data(&(line(1) + " "));
    let another = "ed4acda5-034f-9f42-bba1-f29aea6d7d90";
    let cases = [
        ("as it was", request(base()), true),
        ("another timestamp", request(body_of(ID, 2, &records)), true),
        ("with a length", with(request(base()), "content-length", &length), true),
        ("gzip", with(request(gzip(base().as_bytes())), "content-encoding", "gzip"), true),
        ("other white space", request(pretty), true),
        ("other escapes", with_records(&[&escaped, &two, bad, missing]), true),
        ("an attribute that is no label", attributes(request(base()), "", "x"), true),
        ("an attribute that is a label", attributes(request(base()), "x", ""), false),
        (
            "another id",
            with(request(body_of(another, 1, &records)), "x-amz-firehose-request-id", another),
            false,
        ),
        ("another order", with_records(&[&two, &one, bad, missing]), false),
        ("another order of what is bad", with_records(&[&one, &two, missing, bad]), false),
        ("other bad data", with_records(&[&one, &two, r#"{"data":"%%"}"#, missing]), false),
        ("nothing for bad data", with_records(&[&one, &two, missing, missing]), false),
        ("bad data for nothing", with_records(&[&one, &two, bad, r#"{"data":""}"#]), false),
        ("cut elsewhere", with_records(&[&both, bad, missing]), false),
        ("a blank more", with_records(&[&spaced, &two, bad, missing]), false),
        (
            "an empty record more",
            with_records(&[&one, r#"{"data":""}"#, &two, bad, missing]),
            false,
        ),
        ("a record less", with_records(&[&one, &two, bad]), false),
    ];
    for (name, again, is_same) in cases {
        let house = House::delivering(|config| config.common_attributes = vec!["team".to_owned()]);
        let first = attributes(request(base()), "", "");
        assert_eq!(house.call(first).await.status, 200, "{name}");
        let has = again.headers().contains_key("x-amz-firehose-common-attributes");
        let again = if has { again } else { attributes(again, "", "") };
        assert_eq!(house.call(again).await.status, 200, "{name}");
        assert_eq!(house.metric(&repeated("settled")), f64::from(is_same), "{name}");
        let sent_again = received(&house, "amp") - 10.0;
        assert_eq!(sent_again == 0.0, is_same, "{name}: {sent_again}");
    }
}

/// A body whose samples a budget of 5 MiB cannot hold: 25,000 of them.
pub(crate) fn large() -> (House, Vec<u8>) {
    let lines: String = (0..5_000).map(line).collect();
    let house = House::idle(|config| {
        config.budget = 5 << 20;
        config.max_body_size = 3 << 20;
    });
    (house, envelope(ID, &[lines.as_bytes()]))
}

/// Settles what comes to a destination, but for the parts of these numbers; ends with the parts' sizes.
pub(crate) fn settling(
    house: &House,
    mut inbox: Inbox,
    lost: Range<usize>,
) -> JoinHandle<Vec<usize>> {
    house.tasks.spawn(async move {
        let mut sizes = Vec::new();
        while let Some(part) = next_part(&mut inbox).await {
            sizes.push(part.samples().len());
            if lost.contains(&(sizes.len() - 1)) { lose(part, "no") } else { settle(part) }
        }
        sizes
    })
}

#[tokio::test]
async fn a_retry_begins_with_the_slice_that_failed() {
    let (mut house, body) = large();
    let inbox = house.inboxes.drain(..).next().unwrap();
    // Of the fourth slice the part of one of the two lanes.
    let lanes = settling(&house, inbox, 6..7);
    assert_eq!(sent(&house, body.clone()).await.unwrap().status, 503);
    assert_eq!(house.metric("sluicegate_request_memory_entries"), 3.0);
    assert_eq!(sent(&house, body.clone()).await.unwrap().status, 200);
    assert_eq!(sent(&house, body).await.unwrap().status, 200);
    assert_eq!(house.metric("sluicegate_request_memory_entries"), 11.0);
    let counts = ["joined", "settled", "resumed"].map(|o| house.metric(&repeated(o)));
    assert_eq!(counts, [0.0, 1.0, 1.0]);
    assert_eq!(house.budget.used(), 0);
    drop(house);
    // The destination got all of that slice again.
    let sizes = lanes.await.unwrap();
    assert_eq!(sizes.len(), 22, "{sizes:?}");
    assert_eq!(sizes[6..8], sizes[8..10]);
}

#[tokio::test]
async fn a_retry_joins_the_slice_that_its_client_has_left() {
    let (mut house, body) = large();
    let first = sent(&house, body.clone());
    let in_flight = r#"sluicegate_samples_in_flight{destination="amp"}"#;
    let mut parts = Vec::new();
    while parts.len() < 2 {
        tokio::time::sleep(Duration::from_millis(1)).await;
        parts.extend(waiting(&mut house.inboxes));
    }
    first.abort();
    let _ = first.await;
    let slice = house.metric(in_flight);
    assert!(slice > 1_000.0 && slice < 6_000.0, "{slice}");
    let retry = sent(&house, body.clone());
    // It has begun when it has made its own whole entry beside that of the slice.
    while house.metric("sluicegate_request_memory_entries") < 2.0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    parts.into_iter().for_each(settle);
    let inbox = house.inboxes.drain(..).next().unwrap();
    let lanes = settling(&house, inbox, 0..0);
    assert_eq!(retry.await.unwrap().status, 200);
    assert_eq!(received(&house, "amp"), 25_000.0);
    assert_eq!(house.budget.used(), 0);
    drop((house, lanes));
}

#[tokio::test(start_paused = true)]
async fn whoever_joins_waits_no_longer_than_its_own_deadline() {
    let mut house = House::idle(|_| {});
    let first = sent(&house, good());
    let held = part(&mut house.inboxes).await;
    let mut hasty = config();
    hasty.request_deadline = Duration::from_secs(10);
    let (hasty, _inboxes) = rules(&hasty, &[("amp", true)], &house.budget, &house.meters).unwrap();
    house.door.follow(hasty);
    let length = good().len().to_string();
    let retry = call(&house, with(request(good()), "content-length", &length));
    until(&house, &repeated("joined"), 1.0).await;
    let answer = retry.await.unwrap();
    assert_eq!(answer.status, 503);
    assert!(answer.error.contains("10s") && answer.error.contains("at work"), "{answer:?}");
    settle(held);
    assert_eq!(first.await.unwrap().status, 200);
}
