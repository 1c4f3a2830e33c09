//! Every row of the status table, and what a request leaves behind.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::time::Duration;

use axum::body::Body;
use axum::http::{Method, Request};
use sluicegate::receive::OnUndecodable;

use crate::receive_door::{House, ID, envelope, gzip, line, request, taken, with};

fn good() -> Vec<u8> {
    envelope(ID, &[line(1).as_bytes(), b"", line(2).as_bytes()])
}

#[tokio::test]
async fn every_row_of_the_status_table() {
    let house = House::delivering(|config| config.max_body_size = 100_000);
    let good = || request(good());
    let gz = |body: Vec<u8>| with(request(body), "content-encoding", "gzip");
    let packed = gzip(&self::good());
    let trailing = [&packed[..], b"tail"].concat();
    let long = envelope(ID, &[&vec![b' '; 100_000]]);
    let cases = [
        ("good", good(), 200, ""),
        ("good, gzip", gz(packed.clone()), 200, ""),
        ("identity", with(good(), "content-encoding", "identity"), 200, ""),
        ("no records", request(envelope(ID, &[])), 200, ""),
        ("empty records", request(envelope(ID, &[b"", b"", b""])), 200, ""),
        ("nothing decodable", request(envelope(ID, &[b"hello"])), 200, ""),
        (
            "not base64",
            request(format!(r#"{{"requestId":"{ID}","records":[{{"data":"%"}}]}}"#)),
            200,
            "",
        ),
        ("no key", with(good(), "x-amz-firehose-access-key", ""), 401, "access key"),
        ("wrong key", with(good(), "x-amz-firehose-access-key", "x"), 401, "access key"),
        (
            "no version",
            with(good(), "x-amz-firehose-protocol-version", ""),
            400,
            "protocol-version",
        ),
        ("version 2", with(good(), "x-amz-firehose-protocol-version", "2.0"), 400, "2.0"),
        ("no id", with(good(), "x-amz-firehose-request-id", ""), 400, "request-id"),
        ("other id", with(good(), "x-amz-firehose-request-id", "other"), 400, "request id"),
        ("brotli", with(good(), "content-encoding", "br"), 400, "`br`"),
        ("not JSON", request("nonsense"), 400, "cannot be read"),
        ("no body", request(""), 400, "cannot be read"),
        ("an array", request("[]"), 400, "cannot be read"),
        ("cut off", request(self::good()[..100].to_vec()), 400, "cannot be read"),
        ("not gzip", gz(self::good()), 400, "gzip"),
        ("broken gzip", gz(packed[..packed.len() - 9].to_vec()), 400, "gzip"),
        ("trailing garbage", gz(trailing), 400, "gzip"),
        ("empty gzip", gz(Vec::new()), 400, "gzip"),
        ("too long", request(long.clone()), 400, "max_body_size"),
        ("too long, gzip", gz(gzip(&long)), 400, "max_body_size"),
        ("claims too much", with(good(), "content-length", "100001"), 400, "max_body_size"),
    ];
    for (name, request, status, error) in cases {
        let id = request.headers().get("x-amz-firehose-request-id");
        let id = id.map_or(String::new(), |id| id.to_str().unwrap().to_owned());
        let answer = house.call(request).await;
        assert_eq!(answer.status, status, "{name}: {answer:?}");
        assert!(answer.error.contains(error), "{name}: {answer:?}");
        assert_eq!(answer.request_id, id, "{name}");
        assert_eq!(house.budget.used(), 0, "{name}: a permit stayed behind");
        assert_eq!(house.door.in_flight(), 0, "{name}");
    }
    for (code, requests) in [("200", 7.0), ("400", 16.0), ("401", 2.0), ("413", f64::NAN)] {
        let metric =
            house.metric(&format!("sluicegate_firehose_requests_total{{code=\"{code}\"}}"));
        assert!(metric == requests || metric.is_nan() && requests.is_nan(), "{code}: {metric}");
    }
}

#[tokio::test]
async fn other_paths_and_methods_are_answered_in_the_same_shape() {
    let house = House::delivering(|_| {});
    for (method, path, status, allow) in [
        (Method::GET, "/firehose", 405, Some("POST")),
        (Method::PUT, "/firehose", 405, Some("POST")),
        (Method::DELETE, "/firehose?x=1", 405, Some("POST")),
        (Method::POST, "/", 404, None),
        (Method::GET, "/firehose/", 404, None),
        (Method::GET, "/metrics", 404, None),
        (Method::GET, "/healthz", 200, None),
        (Method::GET, "/readyz", 200, None),
        (Method::POST, "/readyz", 405, Some("GET, HEAD")),
    ] {
        let request = Request::builder().method(&method).uri(path).body(Body::empty()).unwrap();
        let answer = house.call(request).await;
        assert_eq!(answer.status, status, "{method} {path}");
        assert_eq!(answer.allow.as_deref(), allow, "{method} {path}");
    }
}

#[tokio::test]
async fn a_draining_door_serves_until_it_gives_up() {
    let house = House::delivering(|_| {});
    let probe = |path| Request::get(path).body(Body::empty()).unwrap();
    house.door.set_ready(false);
    assert_eq!(house.call(probe("/readyz")).await.status, 503);
    house.door.set_ready(true);
    assert_eq!(house.call(probe("/readyz")).await.status, 200);
    house.door.drain();
    house.door.set_ready(true);
    assert_eq!(house.call(probe("/readyz")).await.status, 503);
    assert_eq!(house.call(probe("/healthz")).await.status, 200);
    assert_eq!(house.metric("sluicegate_ready"), 0.0);
    assert_eq!(house.call(request(good())).await.status, 200);
    house.door.give_up();
    let answer = house.call(request(good())).await;
    assert_eq!((answer.status, answer.error.as_str()), (503, "shutting down"));
    assert_eq!(house.call(probe("/healthz")).await.status, 200);
}

#[tokio::test]
async fn giving_up_answers_those_who_wait() {
    let mut house = House::idle(|_| {});
    let (answer, ()) = tokio::join!(house.call(request(good())), async {
        assert!(house.inboxes[0].ready().await);
        assert_eq!(house.door.in_flight(), 1);
        house.door.give_up();
    });
    assert_eq!((answer.status, answer.error.as_str()), (503, "shutting down"));
    // The handler is gone, the data is not: its bytes are held until the lanes let go.
    assert_eq!(house.budget.used(), 16 << 10);
    house.inboxes.clear();
    assert_eq!(house.budget.used(), 0);
}

#[tokio::test(start_paused = true)]
async fn the_deadline_ends_the_wait_and_names_the_last_trouble() {
    let mut house = House::idle(|_| {});
    let mut inboxes = std::mem::take(&mut house.inboxes);
    let lanes = house.tasks.spawn(async move {
        let mut held = Vec::new();
        // One of the lanes gets it.
        while held.is_empty() {
            for inbox in &mut inboxes {
                if let Some(mut part) = taken(inbox) {
                    part.note_trouble("429 from the remote");
                    held.push(part);
                }
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        std::future::pending::<()>().await;
    });
    let started = tokio::time::Instant::now();
    let answer = house.call(request(envelope(ID, &[line(1).as_bytes()]))).await;
    assert_eq!(answer.status, 503);
    assert!(answer.error.contains("2m30s") || answer.error.contains("150s"), "{}", answer.error);
    assert!(answer.error.contains("429 from the remote"), "{}", answer.error);
    assert_eq!(started.elapsed().as_secs(), 150);
    lanes.abort();
    let _ = lanes.await;
    assert_eq!(house.budget.used(), 0);
}

#[tokio::test]
async fn a_lost_part_is_503_with_its_reason() {
    let house = House::idle(|_| {});
    drop(house.inboxes);
    let house = House { inboxes: Vec::new(), ..house };
    let answer = house.call(request(good())).await;
    assert_eq!(answer.status, 503);
    assert!(answer.error.contains("destination `amp`"), "{}", answer.error);
    assert_eq!(house.budget.used(), 0);
}

#[tokio::test]
async fn what_cannot_be_decoded_is_skipped_or_rejected_after_the_rest_is_delivered() {
    let bad = format!("{}{{broken\n{}", line(1), line(2));
    let body = envelope(ID, &[bad.as_bytes(), line(3).as_bytes(), b"hello"]);
    for (on_undecodable, status) in [(OnUndecodable::Skip, 200), (OnUndecodable::Reject, 400)] {
        let house = House::delivering(|config| config.on_undecodable = on_undecodable);
        let answer = house.call(request(body.clone())).await;
        assert_eq!(answer.status, status);
        if status == 400 {
            assert!(answer.error.contains("1 json, 1 unknown_format"), "{}", answer.error);
        }
        let delivered = r#"sluicegate_samples_total{destination="amp",outcome="delivered"}"#;
        assert_eq!(house.metric(delivered), 15.0, "three points of five statistics");
        for (reason, pieces) in [("json", 1.0), ("unknown_format", 1.0), ("frame", 0.0)] {
            let metric = format!("sluicegate_records_skipped_total{{reason=\"{reason}\"}}");
            assert_eq!(house.metric(&metric), pieces, "{reason}");
        }
        assert_eq!(house.metric("sluicegate_records_total"), 3.0);
        assert_eq!(house.metric(r#"sluicegate_datapoints_total{format="json"}"#), 3.0);
        let success = r#"sluicegate_stream_last_success_timestamp_seconds{stream="metrics"}"#;
        assert_eq!(house.metric(success) > 1.6e9, status == 200);
        let ages = r#"sluicegate_datapoint_age_seconds_count{namespace="AWS/EC2"}"#;
        assert_eq!(house.metric(ages), 3.0);
        let house = House::idle(|config| config.on_undecodable = on_undecodable);
        assert_eq!(house.call(request(envelope(ID, &[b"hello"]))).await.status, status);
    }
}

#[tokio::test]
async fn listed_common_attributes_become_labels() {
    let mut house = House::idle(|config| config.common_attributes = vec!["team-x".to_owned()]);
    let header = r#"{"commonAttributes":{"team-x":"infra","other":"no"}}"#;
    let request = |header| with(request(good()), "x-amz-firehose-common-attributes", header);
    let mut inboxes = std::mem::take(&mut house.inboxes);
    let (answer, labels) = tokio::join!(house.call(request(header)), async {
        let mut labels = Vec::new();
        while labels.is_empty() {
            for inbox in &mut inboxes {
                while let Some(mut part) = taken(inbox) {
                    let samples = part.samples().to_vec();
                    for sample in &samples {
                        let sample = part.load().batch.sample(0, *sample);
                        labels.push(sample.labels.concat());
                    }
                    part.tally.delivered = samples.len() as u64;
                }
            }
            tokio::task::yield_now().await;
        }
        drop(inboxes);
        labels
    });
    let _ = answer;
    for label in labels {
        let label = String::from_utf8_lossy(&label).into_owned();
        assert!(label.contains("team_x") && label.contains("infra") && !label.contains("other"));
    }
    assert_eq!(house.call(request("nonsense")).await.status, 400);
    let house = House::delivering(|_| {});
    assert_eq!(house.call(request("nonsense")).await.status, 200, "nothing is listed");
}

#[tokio::test]
async fn a_panic_is_answered_500_and_ends_nothing_else() {
    struct Panics;
    impl axum::body::HttpBody for Panics {
        type Data = axum::body::Bytes;
        type Error = std::convert::Infallible;
        fn poll_frame(
            self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<Result<http_body::Frame<Self::Data>, Self::Error>>> {
            panic!("on purpose")
        }
    }
    let house = House::delivering(|_| {});
    let answer = house.call(request(Body::new(Panics))).await;
    assert_eq!((answer.status, answer.request_id.as_str()), (500, ID));
    assert!(!answer.error.contains("purpose"));
    assert_eq!(house.metric("sluicegate_panics_total"), 1.0);
    assert_eq!((house.budget.used(), house.door.in_flight()), (0, 0));
    assert_eq!(house.call(request(good())).await.status, 200);
}
