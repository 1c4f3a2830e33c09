//! A receiver whose clock is not ours: AWS refuses a signature whose date is more than five minutes
//! off, and tells its time in the answer.

#![allow(clippy::unwrap_used, clippy::panic)] // A test may end so.

use std::time::{Duration, SystemTime};

use sluicegate::demo::records::records;
use sluicegate::demo::stream::{Format, MetricStream};

use crate::amp_front::{AmpFront, Answer, Guard, Key};
use crate::house::Standing;
use crate::rotation_kit::fresh_minute;

const SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";

async fn front() -> AmpFront {
    let key = Key { id: "AKIDEXAMPLE".into(), secret: SECRET.into(), token: None };
    let (region, service) = ("eu-west-1".to_owned(), "aps".to_owned());
    AmpFront::start(Guard::Sigv4 { region, service, keys: vec![key] }).await
}

async fn house(front: &AmpFront, server: &str) -> Standing {
    let rest = format!(
        "remote_write: [{{ name: amp, url: \"{}\", metadata_config: {{ send: false }}, sigv4: {{ \
         region: eu-west-1, access_key: AKIDEXAMPLE, secret_key: {SECRET} }}, queue_config: {{ \
         max_shards: 1, min_backoff: 10ms, max_backoff: 100ms }} }}]",
        front.url("/workspaces/ws-x/api/v1/remote_write")
    );
    Standing::start(server, &rest).await
}

/// Sends a request in one attempt; its statuses and what was said last.
async fn send(standing: &Standing) -> (Vec<u16>, String) {
    let stream = MetricStream::new(10, 1);
    let points: Vec<_> = stream.points(fresh_minute(), 0..10).collect();
    let delivery = standing.firehose_once().deliver(records(Format::Json, &points)).await;
    (delivery.statuses, delivery.last_error.map(|(_, said)| said).unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread")]
async fn signatures_are_dated_by_the_receiver_once_it_refuses_ours() {
    let front = front().await;
    let standing = house(&front, "").await;
    let (minutes, hours, days) = (60, 3_600, 86_400);
    // How far its clock is ahead of ours, and how many requests it has refused by then.
    for (ahead_s, refused) in [
        (0, 0),
        (4 * minutes, 0),
        (6 * minutes, 1),
        (7 * minutes, 1),
        (-6 * minutes, 2),
        (26 * hours, 3),
        (400 * days, 4),
        (-3_000 * days, 5),
        // What was wrong is set right again.
        (0, 6),
    ] {
        front.clock(ahead_s);
        for _ in 0..2 {
            let answered = send(&standing).await;
            assert_eq!(answered.0, [200], "{ahead_s} s ahead: {answered:?} {:?}", front.faults());
        }
        let faults = front.faults();
        assert_eq!(faults.len(), refused, "{ahead_s} s ahead: {faults:?}");
    }
    let words = ["Signature expired", "Signature not yet current"];
    assert!(words.iter().all(|words| front.faults().iter().any(|said| said.contains(words))));
    standing.rest().await;
    standing.house.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_nothing_mends_is_503_at_the_deadline() {
    // It refuses whatever the date, and its own is right, missing or nonsense.
    for date in [httpdate::fmt_http_date(SystemTime::now()).as_str(), "yesterday", ""] {
        let front = front().await;
        let refusal = r#"{"message":"Signature expired: 20260101T000000Z is now earlier"}"#;
        let date = date.to_owned();
        front.react(move |_| Some(Answer::new(403, refusal).header("date", &date)));
        let standing = house(&front, "  request_deadline: 2s").await;
        let (statuses, said) = send(&standing).await;
        assert_eq!(statuses, [503], "{said}");
        assert!(said.contains("amp") && said.contains("Signature expired"), "{said}");
        assert!(front.received().len() > 2, "tried again and again");
        standing.rest().await;
        standing.house.stop().await;
    }
}

/// A refusal for another reason does not turn the clock, and doubts the credentials instead.
#[tokio::test(flavor = "multi_thread")]
async fn a_right_date_turns_no_clock() {
    let front = front().await;
    let standing = house(&front, "").await;
    let near = SystemTime::now() - Duration::from_secs(200);
    let date = httpdate::fmt_http_date(near);
    front.script([Answer::new(403, "no").header("date", &date)]);
    assert_eq!(send(&standing).await.0, [200]);
    assert_eq!(front.received().len(), 2);
    assert_eq!(front.faults(), Vec::<String>::new());
    standing.house.stop().await;
}
