//! What senders of metric streams have surprised receivers with: headers, bodies and answers. Each
//! test names the surprise and its source. Every answer here has passed the checks of Firehose
//! (`receive_door::Answer`), that of an error as well.

#![allow(clippy::unwrap_used, clippy::panic)] // A test may end so.

use axum::http::Response;

use super::field_kit::{Field, head, head_with};
use super::house::KEY;
use super::receive_door::{ARN, Answer, ID, envelope, gzip, line};

const KEY_HEADER: &str = "x-amz-firehose-access-key";

fn good() -> Vec<u8> {
    envelope(ID, &[line(1).as_bytes()])
}

/// <https://docs.aws.amazon.com/firehose/latest/dev/httpdeliveryrequestresponse.html>
#[tokio::test(flavor = "multi_thread")]
async fn a_body_with_another_request_id_is_400() {
    let field = Field::open("", "").await;
    let answer = field.post(head(), envelope("another", &[line(1).as_bytes()])).await;
    assert_eq!((answer.status, answer.request_id.as_str()), (400, ID), "{answer:?}");
    assert!(answer.error.contains("request id"), "{answer:?}");
    assert_eq!(field.stored(), Vec::<String>::new());
    field.goes_on().await;
}

/// <https://github.com/advisories/GHSA-prf6-xjxh-p698>
#[tokio::test(flavor = "multi_thread")]
async fn a_missing_key_header_is_401() {
    let field = Field::open("", "").await;
    for shown in ["", "wrong", " "] {
        let answer = field.post(head_with(KEY_HEADER, shown), good()).await;
        assert_eq!((answer.status, answer.request_id.as_str()), (401, ID), "{shown:?}: {answer:?}");
    }
    assert_eq!(field.stored(), Vec::<String>::new());
    field.goes_on().await;
}

/// <https://docs.aws.amazon.com/firehose/latest/dev/secrets-manager-whats-secret.html>
#[tokio::test(flavor = "multi_thread")]
async fn keys_rotate_and_a_secrets_manager_secret_is_its_api_key() {
    let wrapped = r#"{"api_key":"of the secret"}"#;
    let more = format!("[{{ key: {KEY} }}, {{ key: the old one }}, {{ key: '{wrapped}' }}]");
    let text = format!("server: {{ access_keys: {more} }}");
    let config = sluicegate::config::load_within(
        sluicegate::config::Source::Content(&format!(
            "{text}\nremote_write: [{{ url: \"http://127.0.0.1:9/x\" }}]"
        )),
        &|_| None,
        None,
    );
    let keys = config.unwrap().config.server.access_keys;
    let house = super::receive_door::House::delivering(|config| config.access_keys = keys);
    for (shown, status) in
        [(KEY, 200), ("the old one", 200), ("of the secret", 200), (wrapped, 401), ("new", 401)]
    {
        let request = super::receive_door::request(good());
        let answer = house.call(super::receive_door::with(request, KEY_HEADER, shown)).await;
        assert_eq!(answer.status, status, "{shown}");
    }
}

/// No addresses are published for HTTP endpoints, and headers about addresses are anybody's.
/// <https://docs.aws.amazon.com/firehose/latest/dev/controlling-access.html>
#[tokio::test(flavor = "multi_thread")]
async fn the_key_decides_whatever_the_address() {
    let field = Field::open("", "").await;
    for address in ["203.0.113.9", "127.0.0.1", "nonsense"] {
        for (key, status) in [(KEY, 200), ("", 401)] {
            let mut head = head_with(KEY_HEADER, key);
            head.insert("x-forwarded-for", address.parse().unwrap());
            assert_eq!(field.post(head, good()).await.status, status, "{address}");
        }
    }
    field.goes_on().await;
}

/// <https://github.com/open-telemetry/opentelemetry-collector-contrib/issues/49230> and
/// <https://github.com/vectordotdev/vector/pull/25819>
#[tokio::test(flavor = "multi_thread")]
async fn a_gzip_bomb_around_the_body_is_400() {
    let field = Field::open("  max_body_size: 4MiB", "").await;
    let bomb = gzip(&vec![b' '; 40 << 20]);
    assert!(bomb.len() < 100_000);
    let answer = field.post(head_with("content-encoding", "gzip"), bomb).await;
    assert_eq!((answer.status, answer.request_id.as_str()), (400, ID), "{answer:?}");
    field.goes_on().await;
}

/// <https://docs.aws.amazon.com/firehose/latest/dev/httpdeliveryrequestresponse.html>: records of 64
/// MiB, which is a third more in base64.
#[tokio::test(flavor = "multi_thread")]
async fn a_legal_body_of_64_mib_is_taken() {
    let field = Field::open("", "").await;
    let blank = vec![b'\n'; 1_024_000];
    let last = line(1);
    let mut records = vec![blank.as_slice(); 66];
    records.push(last.as_bytes());
    let body = envelope(ID, &records);
    assert!(body.len() > 85_000_000);
    let answer = field.post(head(), body.clone()).await;
    assert_eq!((answer.status, answer.request_id.as_str()), (200, ID), "{answer:?}");
    let answer = field.post(head_with("content-encoding", "gzip"), gzip(&body)).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(!field.stored().is_empty());
    field.goes_on().await;
}

/// A limit that is held against `Content-Length` alone holds for neither.
/// <https://github.com/influxdata/telegraf/tree/master/plugins/inputs/cloudwatch_metric_streams>
#[tokio::test(flavor = "multi_thread")]
async fn a_limit_holds_for_chunked_and_packed_bodies() {
    let field = Field::open("  max_body_size: 1MiB", "").await;
    let large = envelope(ID, &[&vec![b'\n'; 1 << 20]]);
    let pieces: Vec<_> =
        large.chunks(10_000).map(|c| Ok::<_, std::io::Error>(c.to_vec())).collect();
    let chunked = reqwest::Body::wrap(Pieces(pieces.into()));
    let answers = [
        ("plain", field.post(head(), large.clone()).await),
        ("chunked", field.post(head(), chunked).await),
        ("packed", field.post(head_with("content-encoding", "gzip"), gzip(&large)).await),
    ];
    for (how, answer) in answers {
        assert_eq!((answer.status, answer.request_id.as_str()), (400, ID), "{how}: {answer:?}");
        assert!(answer.error.contains("max_body_size"), "{how}: {answer:?}");
    }
    field.goes_on().await;
}

/// A body of unknown length.
struct Pieces(std::collections::VecDeque<Result<Vec<u8>, std::io::Error>>);

impl http_body::Body for Pieces {
    type Data = bytes::Bytes;
    type Error = std::io::Error;
    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<Self::Data>, Self::Error>>> {
        let next = self.0.pop_front();
        std::task::Poll::Ready(next.map(|piece| piece.map(|p| http_body::Frame::data(p.into()))))
    }
}

/// <https://github.com/vectordotdev/vector/pull/8069>
#[tokio::test(flavor = "multi_thread")]
async fn a_packed_body_of_no_bytes_is_400_and_one_of_no_records_is_200() {
    let field = Field::open("", "").await;
    for (body, status) in [
        (gzip(b""), 400),
        (Vec::new(), 400),
        (gzip(&envelope(ID, &[])), 200),
        (gzip(&envelope(ID, &[b""])), 200),
    ] {
        let answer = field.post(head_with("content-encoding", "gzip"), body).await;
        assert_eq!((answer.status, answer.request_id.as_str()), (status, ID), "{answer:?}");
    }
    field.goes_on().await;
}

/// <https://github.com/vectordotdev/vector/blob/master/src/sources/aws_kinesis_firehose/errors.rs>
#[tokio::test(flavor = "multi_thread")]
async fn malformed_json_is_400_and_not_401() {
    let field = Field::open("", "").await;
    for body in ["", "nonsense", "[]", "{}", r#"{"requestId":"x"}"#, "{\"requestId\":"] {
        let answer = field.post(head(), body).await;
        assert_eq!((answer.status, answer.request_id.as_str()), (400, ID), "{body}: {answer:?}");
    }
    field.goes_on().await;
}

/// <https://github.com/VictoriaMetrics/VictoriaMetrics/issues/6037>,
/// <https://github.com/openobserve/openobserve/issues/1831>
#[tokio::test(flavor = "multi_thread")]
async fn success_is_200_with_the_id_and_a_numeric_time_and_nothing_else() {
    let field = Field::open("", "").await;
    let url = field.standing.ingest_url("/firehose");
    let sent = field.client.post(url).headers(head()).body(good()).send().await.unwrap();
    let (parts, body) = Response::<reqwest::Body>::from(sent).into_parts();
    assert_eq!(parts.status, 200);
    assert_eq!(parts.headers["content-type"], "application/json");
    let body = http_body_util::BodyExt::collect(body).await.unwrap().to_bytes();
    let json: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(&body).unwrap();
    assert_eq!(json.keys().map(String::as_str).collect::<Vec<_>>(), ["requestId", "timestamp"]);
    assert!(json["timestamp"].is_u64() && json["requestId"] == ID);
    field.goes_on().await;
}

/// On 413 Firehose drops the batch for good, and it follows no redirect.
/// <https://docs.aws.amazon.com/firehose/latest/dev/httpdeliveryrequestresponse.html>
#[tokio::test(flavor = "multi_thread")]
async fn no_answer_is_413_or_a_redirect_and_errors_keep_the_contract() {
    let field = Field::open("  max_body_size: 1MiB", "").await;
    let ask = async |method: &str, path: &str, key: &str, body: Vec<u8>| {
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        let request = field.client.request(method, field.standing.ingest_url(path));
        let sent = request.headers(head_with(KEY_HEADER, key)).body(body).send().await.unwrap();
        Answer::checked(Response::from(sent)).await
    };
    for (method, path, key, bytes, status) in [
        ("POST", "/firehose", KEY, 2 << 20, 400),
        ("POST", "/firehose", KEY, 9, 400),
        ("POST", "/firehose", "", 9, 401),
        ("POST", "/firehose/", KEY, 9, 404),
        ("POST", "//firehose", KEY, 9, 404),
        ("POST", "/", KEY, 9, 404),
        ("PUT", "/firehose", KEY, 9, 405),
        ("GET", "/firehose", KEY, 0, 405),
    ] {
        let answer = ask(method, path, key, vec![b' '; bytes]).await;
        let what = format!("{method} {path} {bytes}: {answer:?}");
        assert_eq!((answer.status, answer.request_id.as_str()), (status, ID), "{what}");
        assert!(!answer.error.is_empty(), "{what}");
    }
    let figures = field.goes_on().await;
    assert_eq!(figures.value("sluicegate_firehose_requests_total", &[("code", "413")]), 0.0);
}

/// <https://github.com/open-telemetry/opentelemetry-collector-contrib/issues/16583>,
/// <https://github.com/vectordotdev/vector/issues/8109>,
/// <https://github.com/vectordotdev/vector/issues/18486>
#[tokio::test(flavor = "multi_thread")]
async fn gets_of_load_balancers_and_scanners_are_answered_without_a_key() {
    let field = Field::open("", "").await;
    for (path, status) in [
        ("/", 404),
        ("/favicon.ico", 404),
        ("/.git/config", 404),
        ("/firehose", 405),
        ("/healthz", 200),
        ("/readyz", 200),
    ] {
        let sent = field.client.get(field.standing.ingest_url(path)).send().await.unwrap();
        let answer = Answer::checked(Response::from(sent)).await;
        assert_eq!((answer.status, answer.request_id.as_str()), (status, ""), "{path}");
    }
    field.goes_on().await;
}

/// A proxy or a client that asks for it must not get one.
/// <https://docs.aws.amazon.com/firehose/latest/dev/httpdeliveryrequestresponse.html>
#[tokio::test(flavor = "multi_thread")]
async fn answers_have_a_length_and_are_never_packed() {
    let field = Field::open("", "").await;
    for (key, status) in [(KEY, 200), ("wrong", 401)] {
        let mut head = head_with(KEY_HEADER, key);
        head.insert("accept-encoding", "gzip, br, zstd".parse().unwrap());
        head.insert("te", "trailers".parse().unwrap());
        assert_eq!(field.post(head, good()).await.status, status);
    }
    field.goes_on().await;
}

/// The request id is the same in every attempt only as far as that goes, and a batch may come twice:
/// under its id it is known again, under another one it is delivered again.
/// <https://docs.aws.amazon.com/firehose/latest/dev/basic-deliver.html>
#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_comes_again_under_another_id_is_delivered_again() {
    let field = Field::open("", "cloudwatch: { statistics: [sum] }").await;
    for id in [ID, ID, "another"] {
        let head = head_with("x-amz-firehose-request-id", id);
        let answer = field.post(head, envelope(id, &[line(1).as_bytes()])).await;
        assert_eq!((answer.status, answer.request_id.as_str()), (200, id));
    }
    assert_eq!(field.front.samples().into_values().next().unwrap().len(), 2);
    field.goes_on().await;
}

/// 50 pairs of 256 and 1024 characters: about 64 KB in one header line.
/// <https://docs.aws.amazon.com/firehose/latest/APIReference/API_HttpEndpointCommonAttribute.html>
#[tokio::test(flavor = "multi_thread")]
async fn fifty_common_attributes_of_full_length_are_taken() {
    let field = Field::open("  common_attributes: [team]", "").await;
    let mut pairs: Vec<_> =
        (10..59).map(|n| format!("\"{n}{}\":\"{}\"", "k".repeat(254), "v".repeat(1024))).collect();
    pairs.push("\"team\":\"a\"".to_owned());
    let attributes = format!("{{\"commonAttributes\":{{{}}}}}", pairs.join(","));
    let answer =
        field.post(head_with("x-amz-firehose-common-attributes", &attributes), good()).await;
    assert_eq!((answer.status, answer.request_id.as_str()), (200, ID), "{answer:?}");
    assert!(field.stored().iter().all(|series| series.contains("team=\"a\"")));
    field.goes_on().await;
}

/// A leaked key alone is no use where sources are listed.
/// <https://docs.aws.amazon.com/firehose/latest/dev/httpdeliveryrequestresponse.html>
#[tokio::test(flavor = "multi_thread")]
async fn a_source_beyond_the_keys_list_is_403() {
    let house = super::receive_door::House::delivering(|config| {
        config.access_keys[0].accounts = vec!["111122223333".to_owned()];
    });
    for (arn, status) in
        [(ARN, 200), (&ARN.replace("111122223333", "444455556666"), 403), ("", 403)]
    {
        let request = super::receive_door::request(good());
        let request = super::receive_door::with(request, "x-amz-firehose-source-arn", arn);
        assert_eq!(house.call(request).await.status, status, "{arn}");
    }
}
