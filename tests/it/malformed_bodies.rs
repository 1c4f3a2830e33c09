//! Malformed requests by the hundred, made as data: every cut, every flipped byte, every wrong type
//! of a valid request. Each is answered within the contract, none panics, none keeps anything of the
//! budget, and the next good request is served.

#![allow(clippy::unwrap_used, clippy::panic)] // A test may end so.

use std::io::Read as _;

use axum::body::Body;
use axum::http::{HeaderValue, Request};

use super::receive_door::{ARN, Answer, House, ID, KEY, envelope, gzip, line, request, with};

/// A house that is asked many things; each answer is held to what may come.
struct Asked {
    house: House,
    asked: u64,
    by_status: std::collections::BTreeMap<u16, u64>,
}

impl Asked {
    fn new() -> Self {
        let house = House::delivering(|config| config.max_body_size = 4 << 20);
        Self { house, asked: 0, by_status: Default::default() }
    }

    /// Asks and checks all that holds for every answer.
    async fn ask(&mut self, what: &str, request: Request<Body>, allowed: &[u16]) -> Answer {
        let ids: Vec<_> = request.headers().get_all("x-amz-firehose-request-id").iter().collect();
        let sent = match ids[..] {
            [id] => id.to_str().ok().filter(|id| id.len() <= 256).map(str::to_owned),
            _ => None,
        };
        let answer = self.house.call(request).await;
        assert!(allowed.contains(&answer.status), "{what}: {answer:?}");
        if let Some(id) = sent {
            assert_eq!(answer.request_id, id, "{what}");
        }
        assert!(answer.error.len() < 8192 && !answer.error.contains(KEY), "{what}: {answer:?}");
        assert_eq!((self.house.budget.used(), self.house.door.in_flight()), (0, 0), "{what}");
        self.asked += 1;
        *self.by_status.entry(answer.status).or_default() += 1;
        answer
    }

    async fn body(&mut self, what: &str, body: impl Into<Body>, allowed: &[u16]) -> Answer {
        self.ask(what, request(body), allowed).await
    }

    /// Nothing panicked, at least so many were asked, and the next good request is served.
    async fn ends(self, at_least: u64) {
        assert!(self.asked >= at_least, "{} only", self.asked);
        let panics = self.house.metric("sluicegate_panics_total");
        assert!(panics == 0.0 || panics.is_nan(), "{panics} panics");
        let before = self.house.metric("sluicegate_datapoints_total{format=\"json\"}");
        let before = if before.is_nan() { 0.0 } else { before };
        assert_eq!(self.house.call(request(good())).await.status, 200);
        let after = self.house.metric("sluicegate_datapoints_total{format=\"json\"}");
        assert_eq!(after - before, 1.0);
    }
}

fn good() -> Vec<u8> {
    envelope(ID, &[line(1).as_bytes()])
}

/// A frame of OTLP 1.0.
fn frame() -> Vec<u8> {
    use sluicegate::demo::records::records;
    use sluicegate::demo::stream::{Format, MetricStream};
    let stream = MetricStream::new(3, 1);
    let points: Vec<_> = stream.points(1_760_000_040_000, 0..1).collect();
    records(Format::OpenTelemetry10, &points).concat()
}

const FLIPS: [u8; 5] = [0x01, 0x20, 0x40, 0x80, 0xff];

#[tokio::test]
async fn an_envelope_cut_at_every_byte_is_400() {
    let mut asked = Asked::new();
    let body = good();
    for end in 0..body.len() {
        asked.body(&format!("cut at {end}"), body[..end].to_vec(), &[400]).await;
    }
    asked.ends(400).await;
}

#[tokio::test]
async fn an_envelope_with_any_byte_flipped_is_200_or_400() {
    let mut asked = Asked::new();
    let body = good();
    for at in 0..body.len() {
        for flip in FLIPS {
            let mut body = body.clone();
            body[at] ^= flip;
            asked.body(&format!("byte {at} ^ {flip:#x}"), body, &[200, 400]).await;
        }
    }
    // Most of it is base64, which is a matter of the record.
    assert!(asked.by_status[&400] > 300, "{:?}", asked.by_status);
    asked.ends(2_000).await;
}

#[tokio::test]
async fn a_line_cut_or_flipped_at_every_byte_costs_itself_only() {
    let mut asked = Asked::new();
    let (line, other) = (line(1), line(2));
    for at in 0..line.len() - 1 {
        let cut = format!("{}\n", &line[..at]);
        asked
            .body(
                &format!("cut at {at}"),
                envelope(ID, &[cut.as_bytes(), other.as_bytes()]),
                &[200],
            )
            .await;
        for flip in FLIPS {
            let mut record = line.clone().into_bytes();
            record[at] ^= flip;
            let body = envelope(ID, &[&record, other.as_bytes()]);
            asked.body(&format!("byte {at} ^ {flip:#x}"), body, &[200]).await;
        }
    }
    // The other line is there every time.
    let points = asked.house.metric("sluicegate_datapoints_total{format=\"json\"}");
    assert!(points >= asked.asked as f64, "{points} of {}", asked.asked);
    asked.ends(1_500).await;
}

#[tokio::test]
async fn a_frame_cut_or_flipped_at_every_byte_costs_itself_only() {
    let mut asked = Asked::new();
    let (frame, other) = (frame(), line(2));
    for at in 0..frame.len() {
        let body = envelope(ID, &[&frame[..at], other.as_bytes()]);
        asked.body(&format!("cut at {at}"), body, &[200]).await;
        for flip in FLIPS {
            let mut record = frame.clone();
            record[at] ^= flip;
            let body = envelope(ID, &[&record, other.as_bytes()]);
            asked.body(&format!("byte {at} ^ {flip:#x}"), body, &[200]).await;
        }
    }
    let points = asked.house.metric("sluicegate_datapoints_total{format=\"json\"}");
    assert_eq!(points, asked.asked as f64, "the line beside it is there every time");
    asked.ends(1_500).await;
}

#[tokio::test]
async fn a_packed_body_cut_or_flipped_at_every_byte_is_200_or_400() {
    let mut asked = Asked::new();
    let packed = gzip(&good());
    let gz = |body: Vec<u8>| with(request(body), "content-encoding", "gzip");
    for at in 0..packed.len() {
        asked.ask(&format!("cut at {at}"), gz(packed[..at].to_vec()), &[400]).await;
        for flip in FLIPS {
            let mut packed = packed.clone();
            packed[at] ^= flip;
            let mut unpacked = Vec::new();
            let mut other = flate2::read::MultiGzDecoder::new(packed.as_slice());
            let same = other.read_to_end(&mut unpacked).is_ok() && unpacked == good();
            let answer =
                asked.ask(&format!("byte {at} ^ {flip:#x}"), gz(packed), &[200, 400]).await;
            // Times, systems and bits that pad the last byte say nothing.
            assert!(same || answer.status == 400, "byte {at} ^ {flip:#x}: taken though damaged");
        }
    }
    let double = [gzip(&good()[..50]), gzip(&good()[50..])].concat();
    let named = [&[0x1f, 0x8b, 8, 8, 0, 0, 0, 0, 0, 3][..], b"name\0", &packed[10..]].concat();
    for (what, body, status) in [
        ("two members", double.clone(), 200),
        ("an empty member first", [gzip(b""), packed.clone()].concat(), 200),
        ("an empty member last", [packed.clone(), gzip(b"")].concat(), 200),
        ("a member with a name", named, 200),
        ("two whole bodies", [packed.clone(), gzip(&envelope(ID, &[]))].concat(), 400),
        // Members that are all the same are taken for one: no JSON text repeats another.
        ("the same member twice", [packed.clone(), packed.clone()].concat(), 200),
        ("garbage behind", [&packed[..], b"garbage"].concat(), 400),
        ("zeros behind", [&packed[..], &[0; 64]].concat(), 400),
        ("a second member cut", double[..double.len() - 3].to_vec(), 400),
        ("packed twice", gzip(&packed), 400),
        ("not packed", good(), 400),
        ("zlib", [0x78, 0x9c].iter().chain(&packed[10..]).copied().collect(), 400),
    ] {
        asked.ask(what, gz(body), &[status]).await;
    }
    asked.ends(500).await;
}

#[tokio::test]
async fn envelope_fields_of_every_wrong_type_and_number() {
    let mut asked = Asked::new();
    let deep = format!("{}{}", "[".repeat(5_000), "]".repeat(5_000));
    let deep_objects = format!("{}1{}", "{\"a\":".repeat(5_000), "}".repeat(5_000));
    let values = [
        "null",
        "true",
        "false",
        "0",
        "-1",
        "1.5",
        "1e400",
        "-1e400",
        "1E-999",
        "\"\"",
        "\"x\"",
        "[]",
        "{}",
        "[[]]",
        "[{}]",
        "[null]",
        "[1]",
        "[\"a\"]",
        "{\"data\":\"\"}",
        "99999999999999999999999",
        "0.1e1",
        "9223372036854775808",
        &deep,
        &deep_objects,
    ];
    let record = "[{\"data\":\"\"}]";
    for value in values {
        for (what, body, allowed) in [
            (
                "requestId",
                format!("{{\"requestId\":{value},\"timestamp\":1,\"records\":{record}}}"),
                &[400][..],
            ),
            (
                "timestamp",
                format!("{{\"requestId\":\"{ID}\",\"timestamp\":{value},\"records\":{record}}}"),
                &[200, 400],
            ),
            (
                "records",
                format!("{{\"requestId\":\"{ID}\",\"timestamp\":1,\"records\":{value}}}"),
                &[200, 400],
            ),
            ("record", format!("{{\"requestId\":\"{ID}\",\"records\":[{value}]}}"), &[200, 400]),
            (
                "data",
                format!("{{\"requestId\":\"{ID}\",\"records\":[{{\"data\":{value}}}]}}"),
                &[200, 400],
            ),
            (
                "another key",
                format!("{{\"requestId\":\"{ID}\",\"x\":{value},\"records\":{record}}}"),
                &[200, 400],
            ),
            ("behind", format!("{{\"requestId\":\"{ID}\",\"records\":[]}}{value}"), &[400]),
            ("whole", value.to_owned(), &[400]),
        ] {
            asked.body(&format!("{what} {value:.40}"), body, allowed).await;
        }
    }
    for (what, body, status) in [
        (
            "the id twice, good last",
            format!("{{\"requestId\":\"x\",\"requestId\":\"{ID}\",\"records\":[]}}"),
            200,
        ),
        (
            "the id twice, good first",
            format!("{{\"requestId\":\"{ID}\",\"requestId\":\"x\",\"records\":[]}}"),
            400,
        ),
        (
            "records twice",
            format!("{{\"requestId\":\"{ID}\",\"records\":[],\"records\":[{{\"data\":\"\"}}]}}"),
            200,
        ),
        (
            "data twice",
            format!("{{\"requestId\":\"{ID}\",\"records\":[{{\"data\":1,\"data\":\"\"}}]}}"),
            200,
        ),
        ("keys of other case", format!("{{\"RequestId\":\"{ID}\",\"Records\":[]}}"), 400),
        ("a byte order mark", format!("\u{feff}{{\"requestId\":\"{ID}\",\"records\":[]}}"), 400),
        ("a comma too many", format!("{{\"requestId\":\"{ID}\",\"records\":[],}}"), 400),
        ("a comment", format!("{{/**/\"requestId\":\"{ID}\",\"records\":[]}}"), 400),
        ("single quotes", format!("{{'requestId':'{ID}','records':[]}}"), 400),
        ("two envelopes", "{\"requestId\":\"x\",\"records\":[]}".repeat(2), 400),
        (
            "half a surrogate in the id",
            "{\"requestId\":\"\\ud800\",\"records\":[]}".to_owned(),
            400,
        ),
        (
            "half a surrogate in another key",
            format!("{{\"x\":\"\\udc00\",\"requestId\":\"{ID}\",\"records\":[]}}"),
            200,
        ),
        (
            "half a surrogate in data",
            format!("{{\"requestId\":\"{ID}\",\"records\":[{{\"data\":\"\\ud800\"}}]}}"),
            200,
        ),
        ("an escape cut short", format!("{{\"requestId\":\"{ID}\\u00\",\"records\":[]}}"), 400),
        ("a raw line feed in the id", format!("{{\"requestId\":\"{ID}\n\",\"records\":[]}}"), 400),
        ("a raw NUL", format!("{{\"requestId\":\"{ID}\0\",\"records\":[]}}"), 400),
        (
            "escaped solidus in data",
            format!("{{\"requestId\":\"{ID}\",\"records\":[{{\"data\":\"\\/\\/\\/\\/\"}}]}}"),
            200,
        ),
        (
            "data without padding",
            format!("{{\"requestId\":\"{ID}\",\"records\":[{{\"data\":\"aGk\"}}]}}"),
            200,
        ),
        (
            "data of the URL alphabet",
            format!("{{\"requestId\":\"{ID}\",\"records\":[{{\"data\":\"__--\"}}]}}"),
            200,
        ),
    ] {
        asked.body(what, body, &[status]).await;
    }
    for bytes in [&b"\xff"[..], b"\xc3", b"\xed\xa0\x80", b"\xf8\x88\x80\x80\x80", b"\xc0\xaf"] {
        for at in [14, 20] {
            let mut body = good();
            body.splice(at..at, bytes.iter().copied());
            asked.body(&format!("{bytes:?} at {at}"), body, &[400]).await;
        }
        let record = [b"{\"namespace\":\"", bytes, b"\"}\n", line(1).as_bytes()].concat();
        asked.body(&format!("{bytes:?} in a line"), envelope(ID, &[&record]), &[200]).await;
    }
    asked.ends(200).await;
}

#[tokio::test]
async fn headers_missing_doubled_empty_too_long_and_beyond_ascii() {
    let mut asked = Asked::new();
    let long = "x".repeat(5_000);
    // Missing, empty, doubled, too long, beyond ASCII.
    let rows: [(&'static str, [u16; 5]); 8] = [
        ("x-amz-firehose-access-key", [401; 5]),
        ("x-amz-firehose-request-id", [400; 5]),
        ("x-amz-firehose-protocol-version", [400, 400, 200, 400, 400]),
        ("x-amz-firehose-source-arn", [200; 5]),
        ("x-amz-firehose-common-attributes", [200; 5]),
        ("content-type", [200; 5]),
        ("content-encoding", [200, 200, 400, 400, 400]),
        ("x-amzn-trace-id", [200; 5]),
    ];
    for (name, statuses) in rows {
        let original = request(good()).headers().get(name).cloned();
        let original = original.unwrap_or_else(|| HeaderValue::from_static("gzip"));
        let values: [&[HeaderValue]; 5] = [
            &[],
            &[HeaderValue::from_static("")],
            &[original.clone(), original],
            &[HeaderValue::from_str(&long).unwrap()],
            &[HeaderValue::from_bytes(b"caf\xc3\xa9 \xff").unwrap()],
        ];
        for (number, (values, status)) in values.into_iter().zip(statuses).enumerate() {
            let mut request = request(good());
            request.headers_mut().remove(name);
            for value in values {
                request.headers_mut().append(name, value.clone());
            }
            // One of two equal ids may be taken.
            let both = [200, 400];
            let doubled = name == "x-amz-firehose-request-id" && number == 2;
            let allowed = if doubled { &both[..] } else { std::slice::from_ref(&status) };
            asked.ask(&format!("{name} {number}"), request, allowed).await;
        }
    }
    for (name, value, status) in [
        ("content-encoding", "GZIP", 400),
        ("content-encoding", "gzip, gzip", 400),
        ("content-encoding", "deflate", 400),
        ("content-encoding", "identity", 200),
        ("content-length", "0", 200),
        ("content-length", "-1", 200),
        ("content-length", "1e3", 200),
        ("content-length", "99999999999999999999", 200),
        ("content-length", "9999999999", 400),
        ("x-amz-firehose-protocol-version", "1", 400),
        ("x-amz-firehose-protocol-version", "1.0 ", 200),
        ("x-amz-firehose-source-arn", "arn:", 200),
        ("x-amz-firehose-source-arn", "deliverystream/", 200),
        ("x-amz-firehose-source-arn", ARN, 200),
        ("content-type", "text/plain", 200),
        ("content-type", "application/json; charset=utf-16", 200),
        ("x-amz-firehose-common-attributes", "{", 200),
    ] {
        let request = with(request(good()), name, value.trim_end());
        asked.ask(&format!("{name}: {value}"), request, &[status]).await;
    }
    asked.ends(50).await;
}
