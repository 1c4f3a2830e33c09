//! Where receivers of metric streams have lost samples, or sent them twice, or where they should not
//! have: what becomes of samples behind the door. Each test names the surprise and its source.

#![allow(clippy::unwrap_used, clippy::panic)] // A test may end so.

use std::time::Duration;

use tokio::time::Instant;

use super::amp_front::{AmpFront, Answer, Guard};
use super::field_kit::{Field, head_with};
use super::house::{Standing, minute};
use super::process_kit::{Gateway, Mode, Receiver, config, fresh_id};
use super::receive_door::{envelope, line};

const QUICK: &str =
    "metadata_config: { send: false }, queue_config: { min_backoff: 10ms, max_backoff: 50ms }";

/// A data point of one series.
fn point(at_ms: i64, sum: f64) -> String {
    format!(
        "{{\"namespace\":\"N\",\"metric_name\":\"M\",\"dimensions\":{{}},\"timestamp\":{at_ms},\
         \"value\":{{\"sum\":{sum:?}}}}}\n"
    )
}

async fn post(field: &Field, lines: &[String]) -> (u16, String, Duration) {
    let id = fresh_id();
    let head = head_with("x-amz-firehose-request-id", &id);
    let begun = Instant::now();
    let answer = field.post(head, envelope(&id, &[lines.concat().as_bytes()])).await;
    (answer.status, answer.error, begun.elapsed())
}

/// <https://github.com/open-telemetry/opentelemetry-collector-contrib/issues/23647>
#[tokio::test(flavor = "multi_thread")]
async fn a_429_without_retry_after_is_tried_again() {
    let field = Field::open_with("", "", QUICK).await;
    field.front.script([Answer::new(429, ""), Answer::new(429, "slow down")]);
    assert_eq!(post(&field, &[point(minute(1), 1.0)]).await.0, 200);
    assert_eq!((field.stored().len(), field.front.received().len()), (1, 3));
    field.goes_on().await;
}

/// <https://github.com/open-telemetry/opentelemetry-collector-contrib/issues/31924>
#[tokio::test(flavor = "multi_thread")]
async fn a_429_with_retry_after_is_tried_again_that_much_later() {
    let field = Field::open_with("", "", QUICK).await;
    field.front.script([Answer::new(429, "").header("retry-after", "1")]);
    let (status, _, took) = post(&field, &[point(minute(1), 1.0)]).await;
    assert!(status == 200 && took >= Duration::from_secs(1), "{status} after {took:?}");
    assert_eq!(field.front.received().len(), 2);
    field.goes_on().await;
}

/// A 400 of Amazon Managed Service for Prometheus may say nothing at all, and means that some
/// samples were refused: the request is settled, and the samples are counted.
/// <https://github.com/aws/amazon-managed-service-for-prometheus-roadmap/issues/24>
#[tokio::test(flavor = "multi_thread")]
async fn a_400_with_an_empty_body_settles_the_request() {
    for (meaning, outcome) in [("partial", 1), ("isolate", 2)] {
        let field = Field::open_with("", "", &format!("{QUICK}, bad_request: {meaning}")).await;
        field.front.react(|_| Some(Answer::new(400, "")));
        let (status, error, _) = post(&field, &[point(minute(1), 1.0)]).await;
        assert_eq!((status, error.as_str()), (200, ""), "{meaning}");
        let figures = field.standing.rest().await;
        let mut outcomes = [0.0; 6];
        outcomes[outcome] = 1.0;
        assert_eq!(figures.outcomes("front"), outcomes, "{meaning}\n{}", figures.0);
        assert!(field.front.received().len() <= 3, "{meaning}");
    }
}

/// <https://github.com/open-telemetry/opentelemetry-collector-contrib/issues/20289>
#[tokio::test(flavor = "multi_thread")]
async fn a_413_is_split_and_all_arrives() {
    let field = Field::open_with("", "", QUICK).await;
    field.front.react(|write| {
        let samples: usize = write.timeseries.iter().map(|series| series.samples.len()).sum();
        (samples > 5).then(|| Answer::new(413, "too large"))
    });
    let points: Vec<_> = (1..41).map(|n| point(minute(n), n as f64)).collect();
    assert_eq!(post(&field, &points).await.0, 200);
    assert_eq!(field.stored().len(), 40);
    assert!(field.front.received().len() < 40, "{}", field.front.received().len());
    field.goes_on().await;
}

/// The same: a receiver to which everything is too large must not be asked for ever.
#[tokio::test(flavor = "multi_thread")]
async fn a_413_for_everything_never_loops() {
    let field = Field::open_with("  request_deadline: 1s", "", QUICK).await;
    field.front.react(|_| Some(Answer::new(413, "too large")));
    let points: Vec<_> = (1..5).map(|n| point(minute(n), n as f64)).collect();
    let (status, error, _) = post(&field, &points).await;
    assert!(status == 503 && error.contains("413"), "{status} {error}");
    assert!(field.front.received().len() < 200, "{}", field.front.received().len());
}

/// <https://github.com/influxdata/telegraf/tree/master/plugins/outputs/http>
#[tokio::test(flavor = "multi_thread")]
async fn without_credentials_nothing_is_sent_unsigned() {
    let sigv4 = "sigv4: { region: eu-west-1, access_key: AKIDEXAMPLE, secret_key: nothing, \
                 role_arn: 'arn:aws:iam::111122223333:role/r', sts_endpoint: 'http://127.0.0.1:9' }";
    let field =
        Field::open_with("  request_deadline: 1500ms", "", &format!("{QUICK}, {sigv4}")).await;
    let (status, error, _) = post(&field, &[point(minute(1), 1.0)]).await;
    assert!(status == 503 && error.contains("credentials"), "{status} {error}");
    assert_eq!(field.front.received().len(), 0, "something was sent");
}

/// <https://github.com/VictoriaMetrics/VictoriaMetrics/blob/master/app/vmagent/remotewrite/remotewrite.go>
#[tokio::test(flavor = "multi_thread")]
async fn a_slow_destination_does_not_hold_up_a_healthy_one() {
    for (required, status, deadline_s) in [(false, 200, 20), (true, 503, 5)] {
        let (slow, healthy) =
            (Receiver::start(Mode::Hang).await, AmpFront::start(Guard::Open).await);
        let rest = format!(
            "remote_write:\n  - {{ name: slow, url: \"{}\", required: {required}, {QUICK} }}\n  \
             - {{ name: healthy, url: \"{}\", {QUICK} }}",
            slow.url,
            healthy.url("/w")
        );
        let standing = Standing::start(&format!("  request_deadline: {deadline_s}s"), &rest).await;
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let field = Field { standing, front: healthy, client };
        let points = [point(minute(1), 1.0)];
        let sending = post(&field, &points);
        tokio::pin!(sending);
        let answer = tokio::select! {
            answer = &mut sending => Some(answer),
            () = field.front.requests(1) => None,
        };
        // The healthy one has it before the slow one has answered or time is up.
        assert_eq!(field.stored().len(), 1, "required {required}");
        let (got, error, took) = match answer {
            Some(answer) => answer,
            None => sending.await,
        };
        assert_eq!(got, status, "{error}");
        // The slow one hangs to the end, and whoever waits for it waits for the deadline.
        slow.reached().await;
        assert_eq!(took >= Duration::from_secs(deadline_s), required, "{took:?}");
        assert_eq!(error.contains("`slow`"), required, "{error}");
    }
}

/// The request is Firehose's again once it is answered: what is sent later comes twice, and late.
/// <https://github.com/open-telemetry/opentelemetry-collector/issues/2949>
#[tokio::test(flavor = "multi_thread")]
async fn work_that_outlived_its_request_is_not_sent_later() {
    let receiver = Receiver::start(Mode::Echo(503)).await;
    let rest = format!("remote_write:\n  - {{ name: front, url: \"{}\", {QUICK} }}", receiver.url);
    let standing = Standing::start("  request_deadline: 10s", &rest).await;
    let (front, client) = (AmpFront::start(Guard::Open).await, reqwest::Client::new());
    let field = Field { standing, front, client };
    let points: Vec<_> = (1..9).map(|n| point(minute(n), n as f64)).collect();
    assert_eq!(post(&field, &points).await.0, 503);
    let figures = field.standing.rest().await;
    assert_eq!(figures.outcomes("front"), [0.0, 0.0, 0.0, 0.0, 0.0, 8.0]);
    let before = receiver.requests();
    receiver.set(Mode::Store);
    // A later request finds its lane free, and nothing of the earlier one before it.
    assert_eq!(post(&field, &[point(minute(0), 9.0)]).await.0, 200);
    assert_eq!(receiver.requests(), before + 1);
    let figures = field.standing.rest().await;
    assert_eq!(figures.outcomes("front"), [1.0, 0.0, 0.0, 0.0, 0.0, 8.0]);
}

/// <https://github.com/open-telemetry/opentelemetry-collector-contrib/issues/11438>
#[tokio::test(flavor = "multi_thread")]
async fn samples_of_one_series_leave_in_order_of_their_time() {
    let field =
        Field::open_with("", "", &QUICK.replace("10ms", "10ms, max_samples_per_send: 3")).await;
    field.front.script([Answer::new(503, ""), Answer::new(429, "")]);
    let points: Vec<_> = [7, 3, 9, 1, 5, 2, 8, 4, 6].map(|n| point(minute(n), n as f64)).into();
    assert_eq!(post(&field, &points).await.0, 200);
    let samples = field.front.samples().into_values().next().unwrap();
    assert_eq!(samples.len(), 9);
    assert!(samples.is_sorted_by(|one, next| one.0 < next.0), "{samples:?}");
    field.goes_on().await;
}

/// Totals are restated for minutes: the new one replaces the old one and is never added to it.
/// <https://github.com/prometheus/cloudwatch_exporter/issues/396>
#[tokio::test(flavor = "multi_thread")]
async fn a_total_that_is_restated_later_is_sent_as_it_is() {
    let field = Field::open_with("", "", QUICK).await;
    for sum in [3.0, 10.0, 4.0] {
        assert_eq!(post(&field, &[point(60_000, sum)]).await.0, 200);
    }
    let samples = field.front.samples().into_values().next().unwrap();
    assert_eq!(samples, [(60_000, 3.0), (60_000, 10.0), (60_000, 4.0)]);
    field.goes_on().await;
}

/// The same where the receiver takes the first value only: its refusal has a reason of its own.
#[tokio::test(flavor = "multi_thread")]
async fn a_restatement_that_is_refused_is_counted_as_a_duplicate() {
    let field = Field::open_with("", "", QUICK).await;
    let words = "user=fake: err: duplicate sample for timestamp 1795253787000; overrides not \
                 allowed: existing 1, new value 2. series={__name__=\"m\", a=\"1\"}";
    field.front.react(move |_| Some(Answer::new(400, words)));
    assert_eq!(post(&field, &[point(60_000, 3.0)]).await.0, 200);
    let figures = field.standing.rest().await;
    assert_eq!(figures.refused("front", "duplicate"), 1.0, "{}", figures.0);
}

/// <https://github.com/DataDog/documentation/pull/38392>
#[tokio::test(flavor = "multi_thread")]
async fn a_408_of_a_proxy_is_tried_again() {
    let field = Field::open_with("", "", QUICK).await;
    field.front.script([Answer::new(408, "<html>Request Timeout</html>")]);
    assert_eq!(post(&field, &[point(minute(1), 1.0)]).await.0, 200);
    assert_eq!(field.stored().len(), 1);
    field.goes_on().await;
}

/// <https://github.com/vectordotdev/vector/blob/master/src/sources/aws_kinesis_firehose/errors.rs>
#[tokio::test(flavor = "multi_thread")]
async fn a_failed_delivery_is_503_and_says_why() {
    let field = Field::open_with("  request_deadline: 1s", "", QUICK).await;
    field.front.react(|_| Some(Answer::new(500, "ouch")));
    let (status, error, _) = post(&field, &[point(minute(1), 1.0)]).await;
    assert!(status == 503 && error.contains("500: ouch"), "{status} {error}");
}

/// 200 is the only acknowledgement there is.
/// <https://github.com/elastic/integrations/issues/10148>
#[tokio::test(flavor = "multi_thread")]
async fn no_200_before_the_destination_has_answered() {
    let receiver = Receiver::start(Mode::Hang).await;
    let gateway = Gateway::start(&config(&receiver.url, "", "", "")).await;
    let acknowledged = async || {
        let figures = gateway.figures().await;
        figures.value("sluicegate_firehose_requests_total", &[("code", "200")])
    };
    let sent = gateway.send(&[line(1).as_bytes()], &[]);
    receiver.reached().await;
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_millis(300) {
        assert_eq!(acknowledged().await, 0.0, "answered before the receiver did");
        assert!(!sent.is_finished());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    receiver.set(Mode::Store);
    assert_eq!(sent.await.unwrap().0, 200);
    assert_eq!(acknowledged().await, 1.0);
}

/// <https://github.com/open-telemetry/opentelemetry-collector-contrib/tree/main/receiver/awsfirehosereceiver>:
/// a stop that cuts requests off makes their data come twice.
#[tokio::test(flavor = "multi_thread")]
async fn a_stop_with_fifty_requests_in_flight_settles_them_all() {
    let receiver = Receiver::start(Mode::Hang).await;
    let text = config(&receiver.url, "shutdown_delay: 0s", "", "");
    let mut gateway = Gateway::start(&text).await;
    let sent: Vec<_> = (0..50).map(|n| gateway.send(&[line(n).as_bytes()], &[])).collect();
    // All are in the house: none waits for its headers to be read any more.
    loop {
        let (_, text) = gateway.get_path(&gateway.telemetry, "/metrics").await;
        let records = text.lines().find_map(|l| l.strip_prefix("sluicegate_records_total "));
        if records == Some("50") {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    gateway.signal("TERM").await;
    receiver.set(Mode::Store);
    for request in sent {
        let (status, text) = request.await.unwrap();
        assert_eq!(status, 200, "{text}");
    }
    assert_eq!(gateway.ended().await, 0);
}

/// Whoever polls and streams at once sees every metric twice, and must be able to tell them apart.
/// <https://docs.datadoghq.com/integrations/guide/aws-cloudwatch-metric-streams-with-kinesis-data-firehose/>
#[tokio::test(flavor = "multi_thread")]
async fn streamed_series_are_told_from_polled_ones_by_their_job() {
    for (said, job) in [("", "cloudwatch"), ("cloudwatch: { job: streamed }", "streamed")] {
        let field = Field::open_with("", said, QUICK).await;
        assert_eq!(post(&field, &[point(minute(1), 1.0)]).await.0, 200);
        let labels = field.front.samples().into_keys().next().unwrap();
        assert!(labels.contains(&("job".to_owned(), job.to_owned())), "{labels:?}");
    }
}

/// Scanners have no key; what they leave behind is no alarm.
/// <https://github.com/vectordotdev/vector/issues/18486>
#[tokio::test(flavor = "multi_thread")]
async fn gets_and_strangers_write_no_error() {
    let receiver = Receiver::start(Mode::Store).await;
    let gateway = Gateway::start(&config(&receiver.url, "", "", "")).await;
    for path in ["/", "/firehose", "/healthz", "/.env"] {
        gateway.get_path(&gateway.ingest, path).await;
    }
    assert_eq!(gateway.post(&[line(1).as_bytes()]).await.0, 200);
    let log = gateway.log();
    assert!(!log.contains("\"ERROR\"") && !log.contains("\"WARN\""), "{log}");
}
