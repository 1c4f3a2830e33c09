//! HTTP as senders, proxies and scanners bend it, byte by byte over a real connection: chunks, lengths
//! that lie, old versions, odd targets. What reaches the door is answered within the contract; what is
//! no HTTP is answered 400 or cut; neither keeps the next request from being served.

#![allow(clippy::unwrap_used, clippy::panic)] // A test may end so.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::field_kit::Field;
use super::house::KEY;
use super::receive_door::{ARN, Answer, ID, envelope, gzip, line};

/// What may come back.
#[derive(Clone, Copy, Debug)]
enum Due {
    /// An answer within the contract, with this status.
    Answer(u16),
    /// The same, to `HEAD`: without its body.
    Head(u16),
    /// No HTTP, so that no door is reached: 400 without a body, 431, or nothing.
    NoHttp,
    /// A request that never comes whole: 400 within the contract, or nothing.
    Cut,
}
use Due::{Answer as A, Cut, Head, NoHttp};

/// For what should take far less.
const PATIENCE: Duration = Duration::from_secs(60);

/// Sends bytes and gives the answer, whole or up to the end of the connection. Closes the direction
/// of the request only where it has no end otherwise: who does so with a request that is whole may
/// be taken for gone.
async fn exchange(address: SocketAddr, what: &str, bytes: &[u8], due: Due) -> Vec<u8> {
    let (mut reading, mut writing) = TcpStream::connect(address).await.unwrap().into_split();
    // Whoever is answered early may find the other end closed.
    let _ = writing.write_all(bytes).await;
    if matches!(due, Cut | NoHttp) {
        let _ = writing.shutdown().await;
    }
    let mut answer = Vec::new();
    let read = async {
        // An error ends a connection, too.
        while !is_whole(&answer, due) && reading.read_buf(&mut answer).await.unwrap_or(0) > 0 {}
    };
    assert!(timeout(PATIENCE, read).await.is_ok(), "{what}: no end of {}", answer.escape_ascii());
    answer
}

/// What stands before an answer to whoever has asked first.
const INTERIM: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// Headers of an answer with their empty line, and what follows them.
fn parted(answer: &[u8]) -> Option<(&[u8], &[u8])> {
    let answer = answer.strip_prefix(INTERIM).unwrap_or(answer);
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n")?;
    Some(answer.split_at(end + 4))
}

fn content_length(head: &str) -> Option<usize> {
    let (_, rest) = head.split_once("content-length: ")?;
    rest.split_once("\r\n")?.0.parse().ok()
}

/// Whether all bytes that an answer promises are there.
fn is_whole(answer: &[u8], due: Due) -> bool {
    parted(answer).is_some_and(|(head, rest)| {
        let head = String::from_utf8_lossy(head).to_lowercase();
        let length = if let Head(_) = due { Some(0) } else { content_length(&head) };
        length.is_some_and(|length| rest.len() >= length)
    })
}

fn held(what: &str, due: Due, bytes: &[u8]) {
    let shown = bytes.escape_ascii().to_string();
    let what = format!("{what}: {shown:.600}");
    let Some((head, rest)) = parted(bytes) else {
        assert!(matches!(due, NoHttp | Cut) && bytes.is_empty(), "{what}");
        return;
    };
    let head = std::str::from_utf8(head).unwrap().to_lowercase();
    let status: u16 = head[9..12].parse().unwrap();
    if let NoHttp = due {
        assert!([400, 431].contains(&status), "{what}");
        return;
    }
    let expected = match due {
        A(status) | Head(status) => status,
        NoHttp | Cut => 400,
    };
    assert_eq!(status, expected, "{what}");
    assert!(head.contains("content-type: application/json\r\n"), "{what}");
    assert!(!head.contains("transfer-encoding") && !head.contains("content-encoding"), "{what}");
    let length = content_length(&head).expect(&what);
    if let Head(_) = due {
        assert!(rest.is_empty(), "{what}");
    } else {
        let answer = Answer::of_json(status, &rest[..length]);
        assert!([ID, ""].contains(&answer.request_id.as_str()), "{what}");
    }
}

fn fields() -> String {
    format!(
        "host: x\r\ncontent-type: application/json\r\nx-amz-firehose-protocol-version: 1.0\r\n\
         x-amz-firehose-request-id: {ID}\r\nx-amz-firehose-source-arn: {ARN}\r\n\
         x-amz-firehose-access-key: {KEY}\r\n"
    )
}

/// A request line with Firehose's headers, more of them, and a body.
fn raw(start: &str, more: &str, body: &[u8]) -> Vec<u8> {
    [format!("{start}\r\n{}{more}\r\n", fields()).as_bytes(), body].concat()
}

/// The same with the right length.
fn sized(start: &str, more: &str, body: &[u8]) -> Vec<u8> {
    raw(start, &format!("content-length: {}\r\n{more}", body.len()), body)
}

async fn all(rows: Vec<(String, Vec<u8>, Due)>) {
    let field = Field::open("  max_body_size: 1MiB\n  max_header_size: 64KiB", "").await;
    let address = field.standing.house.ingest_address;
    for (what, bytes, due) in &rows {
        held(what, *due, &exchange(address, what, bytes, *due).await);
    }
    field.goes_on().await;
    field.standing.house.stop().await;
}

const POST: &str = "POST /firehose HTTP/1.1";

fn good() -> Vec<u8> {
    envelope(ID, &[line(1).as_bytes()])
}

fn row(what: impl Into<String>, bytes: Vec<u8>, due: Due) -> (String, Vec<u8>, Due) {
    (what.into(), bytes, due)
}

#[tokio::test(flavor = "multi_thread")]
async fn targets_and_methods() {
    let mut rows = Vec::new();
    for (target, status) in [
        ("/firehose", 200),
        ("/firehose?", 200),
        ("/firehose?a=b&c", 200),
        ("/firehose?%zz", 200),
        ("http://x/firehose", 200),
        ("http://other.example:80/firehose?q", 200),
        ("/firehose/", 404),
        ("//firehose", 404),
        ("/firehose//", 404),
        ("/./firehose", 404),
        ("/x/../firehose", 404),
        ("/%2e/firehose", 404),
        ("/firehos%65", 404),
        ("/FIREHOSE", 404),
        ("/firehose;a=b", 404),
        ("/firehose%00", 404),
        ("/firehose%2f", 404),
        ("/firehose.json", 404),
        ("/", 404),
        ("http://x", 404),
        ("/metrics", 404),
        ("/config", 404),
        ("/%", 404),
        ("firehose", 404),
    ] {
        rows.push(row(target, sized(&format!("POST {target} HTTP/1.1"), "", &good()), A(status)));
    }
    let long = format!("POST /{} HTTP/1.1", "x".repeat(20_000));
    rows.push(row("a long path", sized(&long, "", &good()), A(404)));
    for method in ["GET", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "post", "BREW", "PROPFIND"]
    {
        let start = format!("{method} /firehose HTTP/1.1");
        rows.push(row(method, sized(&start, "", &good()), A(405)));
    }
    rows.push(row("HEAD", raw("HEAD /firehose HTTP/1.1", "", b""), Head(405)));
    rows.push(row("HEAD of health", raw("HEAD /healthz HTTP/1.1", "", b""), Head(200)));
    rows.push(row("OPTIONS *", raw("OPTIONS * HTTP/1.1", "", b""), A(404)));
    rows.push(row("CONNECT", raw("CONNECT x:443 HTTP/1.1", "", b""), A(404)));
    rows.push(row("POST to health", sized("POST /healthz HTTP/1.1", "", b"{}"), A(405)));
    for start in [
        "POST /firehose",
        "POST /firehose HTTP/1.2",
        "POST /firehose HTTP/3.0",
        "POST  /firehose HTTP/1.1",
        "POST /fire hose HTTP/1.1",
        "P\u{f6}ST /firehose HTTP/1.1",
        "\u{1}\u{2}",
        "POST /fire\u{1}hose HTTP/1.1",
        "",
    ] {
        rows.push(row(start, sized(start, "", &good()), NoHttp));
    }
    rows.push(row("TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(), NoHttp));
    rows.push(row("nothing", Vec::new(), NoHttp));
    rows.push(row("half a head", raw(POST, "", b"")[..60].to_vec(), NoHttp));
    rows.push(row(
        "HTTP/2 and then nothing like it",
        b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n".to_vec(),
        NoHttp,
    ));
    all(rows).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lengths_and_chunks() {
    let body = good();
    let packed = gzip(&body);
    let chunked = "transfer-encoding: chunked\r\n";
    let pieces = |of: &[u8], size: usize| -> Vec<u8> {
        let piece = |p: &[u8]| [format!("{:x}\r\n", p.len()).as_bytes(), p, b"\r\n"].concat();
        of.chunks(size).flat_map(piece).collect()
    };
    let ended = |of: &[u8], size| [&pieces(of, size)[..], b"0\r\n\r\n"].concat();
    let length = |n: usize| format!("content-length: {n}\r\n");
    let twice = format!("{0}{0}", length(body.len()));
    let differing = format!("{}{}", length(body.len()), length(1));
    let one = |more: &str| raw(POST, more, &body);
    let mut rows = vec![
        row("the right length", one(&length(body.len())), A(200)),
        row("chunked by 1", raw(POST, chunked, &ended(&body, 1)), A(200)),
        row("chunked by 100", raw(POST, chunked, &ended(&body, 100)), A(200)),
        row(
            "chunked and packed",
            raw(POST, &format!("{chunked}content-encoding: gzip\r\n"), &ended(&packed, 7)),
            A(200),
        ),
        row(
            "chunk extensions",
            raw(
                POST,
                chunked,
                &[format!("{:X};a=b\r\n", body.len()).as_bytes(), &body, b"\r\n0\r\n\r\n"].concat(),
            ),
            A(200),
        ),
        row(
            "trailers",
            raw(POST, chunked, &[&pieces(&body, 99)[..], b"0\r\nx-more: y\r\n\r\n"].concat()),
            A(200),
        ),
        row("no length and no body", raw(POST, "", b""), A(400)),
        row("length 0", raw(POST, &length(0), b""), A(400)),
        row("a length beyond what comes", one(&length(body.len() + 10)), Cut),
        row("a length below what comes", one(&length(body.len() - 1)), A(400)),
        row("a length of half", one(&length(body.len() / 2)), A(400)),
        row("the same length twice", one(&twice), A(200)),
        row("two lengths", one(&differing), NoHttp),
        row("a length that is none", one("content-length: many\r\n"), NoHttp),
        row("a negative length", one("content-length: -1\r\n"), NoHttp),
        row("a signed length", one(&format!("content-length: +{}\r\n", body.len())), NoHttp),
        row("a length beyond all", one("content-length: 99999999999999999999999\r\n"), NoHttp),
        row("a length beyond the limit", one("content-length: 9999999999999\r\n"), A(400)),
        row("chunks that are cut", raw(POST, chunked, &pieces(&body, 50)), Cut),
        row("a chunk size that is none", raw(POST, chunked, b"zz\r\nab\r\n0\r\n\r\n"), A(400)),
        row("a chunk size beyond all", raw(POST, chunked, b"fffffffffffffffff\r\nab\r\n"), A(400)),
        row("an endless chunk size", raw(POST, chunked, &[b'0'; 100_000]), Cut),
        row("a chunk without its end", raw(POST, chunked, b"2\r\nabX0\r\n\r\n"), A(400)),
        row("another transfer encoding", one("transfer-encoding: gzip\r\n"), NoHttp),
        row(
            "more than the limit, chunked",
            raw(POST, chunked, &ended(&vec![b' '; 3 << 20], 65_536)),
            A(400),
        ),
        row("more than the limit", sized(POST, "", &vec![b' '; 3 << 20]), A(400)),
        row("asks first", sized(POST, "expect: 100-continue\r\n", &body), A(200)),
        row("expects something else", sized(POST, "expect: the-unexpected\r\n", &body), A(200)),
        row("HTTP/1.0", sized("POST /firehose HTTP/1.0", "", &body), A(200)),
        row(
            "HTTP/1.0 kept alive",
            sized("POST /firehose HTTP/1.0", "connection: keep-alive\r\n", &body),
            A(200),
        ),
        row(
            "HTTP/1.0 asks first",
            sized("POST /firehose HTTP/1.0", "expect: 100-continue\r\n", &body),
            A(200),
        ),
        row(
            "wants another protocol",
            sized(POST, "connection: upgrade\r\nupgrade: h2c\r\n", &body),
            A(200),
        ),
        row("closes", sized(POST, "connection: close\r\n", &body), A(200)),
        row(
            "garbage behind",
            [sized(POST, "", &body), b"garbage\r\n\r\n".to_vec()].concat(),
            A(200),
        ),
        row("two at once", sized(POST, "", &body).repeat(2), A(200)),
        row("a folded header", sized(POST, "x-more: a\r\n b\r\n", &body), NoHttp),
        row("a header without a colon", sized(POST, "nonsense\r\n", &body), NoHttp),
        row("a space before the colon", sized(POST, "x-more : a\r\n", &body), NoHttp),
        row("a NUL in a header", sized(POST, "x-more: a\0b\r\n", &body), NoHttp),
        row(
            "line feeds alone",
            String::from_utf8(sized(POST, "", b"")).unwrap().replace("\r\n", "\n").into_bytes(),
            A(400),
        ),
        row("a thousand headers", sized(POST, &"x: y\r\n".repeat(1_000), &body), NoHttp),
        row(
            "a header of 80 KB",
            sized(POST, &format!("x: {}\r\n", "y".repeat(80_000)), &body),
            A(400),
        ),
        row(
            "a header of 1 MB",
            sized(POST, &format!("x: {}\r\n", "y".repeat(1 << 20)), &body),
            NoHttp,
        ),
        row("two hosts", sized(POST, "host: y\r\n", &body), A(200)),
    ];
    // Every cut of a whole request: nothing comes of it but an end.
    let whole = sized(POST, "", &body);
    for end in (0..whole.len()).step_by(97) {
        rows.push(row(format!("cut at {end}"), whole[..end].to_vec(), Cut));
    }
    all(rows).await;
}
