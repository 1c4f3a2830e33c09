//! The Firehose sender against servers that answer word for word as they are told; time is paused.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::io::Read as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sluicegate::demo::firehose::{Firehose, FirehoseConfig, Outcome};
use sluicegate::secret::Secret;
use sluicegate::tasks::Tasks;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;

/// A request as it came.
struct Seen {
    head: String,
    body: Vec<u8>,
    at: Instant,
    answered_at: Instant,
}

impl Seen {
    fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }
}

/// Answers one request per connection with the next text, the last one for ever. `{id}` in it
/// becomes the request's id; an empty text closes the connection.
struct Scripted {
    url: String,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Scripted {
    async fn start(answers: Vec<String>, delay: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/firehose?x=1", listener.local_addr().unwrap());
        let seen = Arc::<Mutex<Vec<Seen>>>::default();
        let theirs = Arc::clone(&seen);
        Tasks::new().spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let (head, body) = read_request(&mut stream).await;
                let mut request =
                    Seen { head, body, at: Instant::now(), answered_at: Instant::now() };
                tokio::time::sleep(delay).await;
                request.answered_at = Instant::now();
                let id = request.header("x-amz-firehose-request-id").unwrap().to_owned();
                let turn = theirs.lock().unwrap().len().min(answers.len() - 1);
                theirs.lock().unwrap().push(request);
                // The sender may have hung up on an answer that is too long or too late.
                let _ = stream.write_all(answers[turn].replace("{id}", &id).as_bytes()).await;
                let _ = stream.shutdown().await;
            }
        });
        Self { url, seen }
    }
}

async fn read_request(stream: &mut TcpStream) -> (String, Vec<u8>) {
    let mut bytes = Vec::new();
    loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            let length: usize = length.unwrap().parse().unwrap();
            if bytes.len() == end + 4 + length {
                return (head, bytes[end + 4..].to_vec());
            }
        }
        assert_ne!(stream.read_buf(&mut bytes).await.unwrap(), 0, "request cut short");
    }
}

const JSON: &str = "content-type: application/json";
const GOOD: &str = r#"{"requestId":"{id}","timestamp":1760000000000}"#;
/// What `{id}` becomes has 36 characters.
const ID_GROWTH: usize = 36 - 4;

fn answer(status: u16, headers: &[&str], body: &str) -> String {
    let length = body.len() + body.matches("{id}").count() * ID_GROWTH;
    let length = format!("content-length: {length}");
    raw(status, &[headers, &[&length]].concat(), body)
}

fn raw(status: u16, headers: &[&str], body: &str) -> String {
    format!("HTTP/1.1 {status} X\r\nconnection: close\r\n{}\r\n\r\n{body}", headers.join("\r\n"))
}

fn config(url: &str) -> FirehoseConfig {
    FirehoseConfig { seed: 7, ..FirehoseConfig::new(url, Some(Secret::new("open sesame"))) }
}

#[tokio::test(start_paused = true)]
async fn only_a_200_in_contract_counts() {
    let good = answer(200, &[JSON], GOOD);
    let body = |text: &str| answer(200, &[JSON], text);
    let message = |length: usize| {
        let words = "ä".repeat(length);
        answer(
            503,
            &[JSON],
            &format!(r#"{{"requestId":"{{id}}","timestamp":1,"errorMessage":"{words}"}}"#),
        )
    };
    let wide = "x".repeat(60_000);
    // What the first answer is, what it counts as, and the breach if it is one.
    let rows: Vec<(String, u16, Option<&str>)> = vec![
        (answer(202, &[JSON], GOOD), 202, None),
        (answer(204, &[JSON], GOOD), 500, Some("")),
        (answer(400, &[JSON], GOOD), 400, None),
        (answer(401, &[JSON], GOOD), 401, None),
        (answer(403, &[JSON], GOOD), 403, None),
        (answer(404, &[JSON], GOOD), 404, None),
        (answer(429, &[JSON, "retry-after: 60"], GOOD), 429, None),
        (answer(500, &[JSON], GOOD), 500, None),
        (message(8192), 503, None),
        (message(8193), 500, Some("8192 characters")),
        (answer(302, &[JSON, "location: /elsewhere"], GOOD), 500, Some("status 302")),
        (answer(600, &[JSON], GOOD), 500, Some("status 600")),
        (answer(200, &[], GOOD), 500, Some("no content type")),
        (answer(200, &["content-type: text/plain"], GOOD), 500, Some("text/plain")),
        (answer(200, &[&format!("{JSON}; charset=utf-8")], GOOD), 500, Some("charset")),
        (answer(200, &[JSON, "content-encoding: gzip"], GOOD), 500, Some("content encoding")),
        (
            raw(200, &[JSON, "transfer-encoding: chunked"], "0\r\n\r\n"),
            500,
            Some("transfer encoding"),
        ),
        (raw(200, &[JSON], GOOD), 500, Some("no content length")),
        (body(&format!("{GOOD}{}", " ".repeat(1 << 20))), 500, Some("larger than 1 MiB")),
        (answer(200, &[JSON, &format!("x-a: {wide}")], GOOD), 200, None),
        (body(""), 500, Some("not a JSON object")),
        (body(r#"["{id}",1,null]"#), 500, Some("not a JSON object")),
        (body("{"), 500, Some("not as agreed")),
        (body(&format!("{GOOD}x")), 500, Some("trailing")),
        (body(r#"{"requestId":"0","timestamp":1}"#), 500, Some("requestId is")),
        (body(r#"{"timestamp":1}"#), 500, Some("requestId")),
        (body(r#"{"requestId":"{id}"}"#), 500, Some("timestamp")),
        (body(r#"{"requestId":"{id}","timestamp":"1"}"#), 500, Some("expected a")),
        (body(r#"{"requestId":"{id}","timestamp":1,"status":"ok"}"#), 500, Some("status")),
        (body(r#"{"requestId":"{id}","timestamp":1,"errorMessage":null}"#), 500, Some("null")),
        (body(r#"{"requestId":"{id}","timestamp":1,"timestamp":1}"#), 500, Some("duplicate")),
        (answer(413, &["content-type: text/html"], "too large"), 500, Some("text/html")),
        (String::new(), 0, None),
    ];
    for (first, status, breach) in rows {
        let server = Scripted::start(vec![first.clone(), good.clone()], Duration::ZERO).await;
        let firehose = Firehose::new(config(&server.url)).unwrap();
        let delivery = firehose.deliver(vec![b"record".to_vec()]).await;
        let shown = &first[..first.len().min(200)];
        assert_eq!(delivery.outcome, Outcome::Delivered, "{shown}");
        let expected = if status == 200 { vec![200] } else { vec![status, 200] };
        assert_eq!(delivery.statuses, expected, "{shown}: {:?}", delivery.last_error);
        assert_eq!(delivery.attempts as usize, expected.len(), "{shown}");
        assert_eq!(delivery.breaches.len(), usize::from(breach.is_some()), "{shown}");
        if let Some(breach) = breach {
            assert!(delivery.breaches[0].contains(breach), "{shown}: {:?}", delivery.breaches);
        }
        let seen = server.seen.lock().unwrap();
        let paths = seen.iter().filter(|seen| seen.head.starts_with("POST /firehose?x=1 "));
        assert_eq!(paths.count(), expected.len(), "{shown}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_413_in_contract_loses_the_batch() {
    let server = Scripted::start(vec![answer(413, &[JSON], GOOD)], Duration::ZERO).await;
    let firehose = Firehose::new(config(&server.url)).unwrap();
    let delivery = firehose.deliver(vec![b"record".to_vec()]).await;
    assert_eq!(delivery.outcome, Outcome::Dropped413);
    assert_eq!((delivery.attempts, delivery.statuses), (1, vec![413]));
    assert!(firehose.backup().is_empty(), "not even the bucket has it");
}

#[tokio::test(start_paused = true)]
async fn waits_double_with_jitter_up_to_two_minutes_until_the_retry_duration_ends() {
    let refusal =
        answer(503, &[JSON], r#"{"requestId":"{id}","timestamp":1,"errorMessage":"not now"}"#);
    let server = Scripted::start(vec![refusal], Duration::ZERO).await;
    let firehose = Firehose::new(config(&server.url)).unwrap();
    let records = vec![b"one".to_vec(), Vec::new(), b"three".to_vec()];
    let delivery = firehose.deliver(records.clone()).await;
    assert_eq!(delivery.outcome, Outcome::Backup);
    assert_eq!(delivery.statuses, vec![503; delivery.attempts as usize]);

    let backup = firehose.backup();
    assert_eq!(backup.len(), 1);
    assert_eq!(backup[0].records, records);
    assert_eq!(backup[0].attempts, delivery.attempts);
    assert_eq!(backup[0].request_id, delivery.request_id);
    assert_eq!(backup[0].error_code, "HttpEndpoint.DestinationException");
    assert_eq!(backup[0].error_message, "not now");

    let seen = server.seen.lock().unwrap();
    let waits: Vec<_> =
        seen.windows(2).map(|two| (two[1].at - two[0].answered_at).as_secs_f64()).collect();
    let (mut shortest, mut longest) = (f64::MAX, 0.0_f64);
    for (retry, wait) in waits.iter().enumerate() {
        let plain = 2_f64.powi(retry as i32).min(120.0);
        let slack = 0.01;
        assert!(*wait >= plain * 0.85 - slack, "retry {retry} after {wait} s");
        assert!(*wait <= (plain * 1.15).min(120.0) + slack, "retry {retry} after {wait} s");
        shortest = shortest.min(wait / plain);
        longest = longest.max(wait / plain);
    }
    assert!(shortest < 0.95 && longest > 0.99, "waits do not jitter: {shortest}..{longest}");
    let total: f64 = waits.iter().sum();
    assert!(total <= 7201.0 && total > 7200.0 - 121.0, "gave up after {total} s");
    let ids: Vec<_> = seen.iter().map(|s| s.header("x-amz-firehose-request-id")).collect();
    assert!(ids.iter().all(|id| *id == Some(delivery.request_id.as_str())));
}

#[tokio::test(start_paused = true)]
async fn waiting_for_answers_does_not_use_up_the_retry_duration() {
    let refusal = answer(503, &[JSON], GOOD);
    for (delay_s, retry_s, attempts, status, code) in [
        (100, 10, 4, 503, "HttpEndpoint.DestinationException"),
        (100, 0, 1, 503, "HttpEndpoint.DestinationException"),
        (200, 2, 2, 0, "HttpEndpoint.RequestTimeout"),
    ] {
        let server = Scripted::start(vec![refusal.clone()], Duration::from_secs(delay_s)).await;
        let firehose = Firehose::new(FirehoseConfig {
            retry_duration: Duration::from_secs(retry_s),
            ..config(&server.url)
        });
        let firehose = firehose.unwrap();
        let delivery = firehose.deliver(vec![b"record".to_vec()]).await;
        assert_eq!(delivery.outcome, Outcome::Backup);
        assert_eq!(delivery.statuses, vec![status; attempts], "{delay_s} s, {retry_s} s");
        assert_eq!(firehose.backup()[0].error_code, code);
        let took = delivery.latency.as_secs();
        assert_eq!(took, delay_s.min(180), "an answer is waited for 180 s at most");
    }
}

#[tokio::test]
async fn nobody_there_is_a_failure_without_a_status() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    drop(listener);
    let config = FirehoseConfig { retry_duration: Duration::ZERO, ..config(&url) };
    let delivery = Firehose::new(config).unwrap().deliver(Vec::new()).await;
    assert_eq!(delivery.statuses, [0]);
    assert_eq!(delivery.last_error.unwrap().0, "HttpEndpoint.ConnectionFailed");
}

#[tokio::test(start_paused = true)]
async fn a_request_is_as_the_protocol_says() {
    for gzip in [false, true] {
        let server = Scripted::start(vec![answer(200, &[JSON], GOOD)], Duration::ZERO).await;
        let firehose = Firehose::new(FirehoseConfig {
            gzip,
            common_attributes: vec![("team".to_owned(), "billing \"ä\"".to_owned())],
            ..config(&server.url)
        });
        let records = vec![(0..=255).collect(), Vec::new(), b"{}\n".to_vec()];
        let delivery = firehose.unwrap().deliver(records.clone()).await;
        assert_eq!(delivery.outcome, Outcome::Delivered);
        let seen = server.seen.lock().unwrap();
        let header = |name| seen[0].header(name);
        assert_eq!(header("x-amz-firehose-protocol-version"), Some("1.0"));
        assert_eq!(header("x-amz-firehose-access-key"), Some("open sesame"));
        assert_eq!(header("content-type"), Some("application/json"));
        assert_eq!(header("content-encoding"), gzip.then_some("gzip"));
        assert_eq!(header("user-agent"), Some("Amazon Kinesis Data Firehose Agent/1.0"));
        assert_eq!(
            header("x-amz-firehose-source-arn"),
            Some("arn:aws:firehose:eu-west-1:111122223333:deliverystream/demo")
        );
        assert_eq!(
            header("x-amz-firehose-common-attributes"),
            Some(r#"{"commonAttributes":{"team":"billing \"ä\""}}"#)
        );
        let mut text = String::new();
        let body = seen[0].body.as_slice();
        if gzip {
            flate2::read::GzDecoder::new(body).read_to_string(&mut text).unwrap();
        } else {
            text = String::from_utf8(body.to_vec()).unwrap();
        }
        let body: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(body["requestId"], header("x-amz-firehose-request-id").unwrap());
        assert_eq!(delivery.request_id.len(), 36);
        assert!(body["timestamp"].is_u64());
        let held = body["records"].as_array().unwrap().iter();
        let held: Vec<_> = held
            .map(|record| {
                base64_simd::STANDARD.decode_to_vec(record["data"].as_str().unwrap()).unwrap()
            })
            .collect();
        assert_eq!(held, records);
    }
}
