//! Half-open clients do what they say.

use tokio::net::TcpListener;

use super::*;

async fn until(holds: impl Fn() -> bool) {
    for _ in 0..3_000 {
        if holds() {
            return;
        }
        sleep(Duration::from_millis(10)).await;
    }
    panic!("it never came to that");
}

#[tokio::test]
async fn each_kind_begins_and_does_not_finish() {
    for kind in Unfinished::ALL {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let url = format!("http://{}/firehose", listener.local_addr().unwrap());
        let half_open = HalfOpen::start(&url, "a key", &[kind], 1).unwrap();
        let (mut stream, _) = listener.accept().await.unwrap();
        // What came within a while that is long enough for all but those who drip.
        let mut came = Vec::new();
        let mut buffer = [0; 4096];
        while let Ok(read) = timeout(Duration::from_millis(300), stream.read(&mut buffer)).await {
            came.extend_from_slice(&buffer[..read.unwrap()]);
            if came.len() > 100_000 {
                break;
            }
        }
        let text = String::from_utf8(came).unwrap();
        let is = match kind {
            Unfinished::Silent => text.is_empty(),
            Unfinished::Headers => {
                text.contains("X-Amz-Firehose-Access-Key: a key\r\n") && !text.contains("\r\n\r\n")
            }
            Unfinished::DrippingHeaders => text == "P",
            Unfinished::Body => text.ends_with("\r\n\r\n{\"requestId\":"),
            Unfinished::DrippingBody => text.ends_with("\r\n\r\n{\"requestId\": "),
            Unfinished::Answers => text.matches("POST /firehose").count() > 2,
        };
        assert!(is, "{kind:?}: {text:?}");
        assert_eq!(half_open.figures().open, 1, "{kind:?}");
    }
}

#[tokio::test]
async fn who_is_hung_up_on_comes_again_and_answers_are_counted() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("http://{}/firehose", listener.local_addr().unwrap());
    let half_open = HalfOpen::start(&url, "a key", &[Unfinished::Headers], 2).unwrap();
    let (first, _) = listener.accept().await.unwrap();
    let (mut second, _) = listener.accept().await.unwrap();
    second.write_all(b"HTTP/1.1 408 x\r\n\r\n").await.unwrap();
    until(|| half_open.figures().answered == 1).await;
    drop(first);
    until(|| half_open.figures().closed == 1).await;
    let _again = [listener.accept().await.unwrap(), listener.accept().await.unwrap()];
    until(|| half_open.figures().open == 2).await;
    let figures = half_open.figures();
    assert_eq!((figures.opened, figures.refused), (4, 0));
    drop((listener, _again));
    until(|| half_open.figures().refused > 0).await;
}

#[test]
fn tls_is_not_spoken() {
    assert!(HalfOpen::start("https://example.com/", "k", &Unfinished::ALL, 1).is_err());
}
