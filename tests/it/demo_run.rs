//! The demo as a whole: the real gateway in each format and with each fault, and broken off.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::io::Write;
use std::time::Duration;

use sluicegate::demo::stream::Format;
use sluicegate::demo::{self, Options, Trouble};
use tokio_util::sync::CancellationToken;

#[tokio::test(flavor = "multi_thread")]
async fn the_books_balance_in_every_format_and_with_every_fault() {
    let formats = Format::ALL.map(Some);
    let plain = [None].into_iter().chain(formats).map(|format| (format, Trouble::None, true));
    let rest = [(None, Trouble::None, false), (None, Trouble::Outage, true)];
    let rest = rest.into_iter().chain([(None, Trouble::Throttle, true)]);
    for (format, fault, gzip) in plain.chain(rest) {
        let duration = Duration::from_secs(if fault == Trouble::None { 1 } else { 3 });
        let (metrics, duration) = (Some(600), Some(duration));
        let options = Options { format, metrics, duration, fault, gzip, ..Options::default() };
        let (good, text) = run_until(options, &CancellationToken::new()).await;
        assert!(good, "{format:?}, {fault:?}, gzip {gzip}\n{text}");
        let refused = figure(&text, "remote writes refused");
        assert_eq!(refused > 0, fault != Trouble::None, "the fault took place\n{text}");
        let minutes = if fault == Trouble::None { 2 } else { 7 };
        assert_eq!(figure(&text, "data points sent"), minutes * 600, "{text}");
        assert!(text.contains("\nSome of the series\n  aws_"), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_fault_of_the_mixture_takes_place_within_ten_seconds() {
    // So little every 200 ms that a busy machine keeps up, and each fault meets some of it.
    let (metrics, points, duration) = (Some(100), Some(5000), Some(Duration::from_secs(10)));
    let fault = Trouble::Mixed;
    let options = Options { metrics, points, duration, fault, ..Options::default() };
    let (good, text) = run_until(options, &CancellationToken::new()).await;
    assert!(good, "{text}");
    for fault in ["down", "throttling", "hanging up", "losing answers", "hanging"] {
        assert!(figure(&text, &format!("while {fault}  ")) > 0, "{fault}\n{text}");
    }
    for what in ["remote writes refused", "stored, not answered", "duplicated"] {
        assert!(figure(&text, what) > 0, "{what}\n{text}");
    }
    for what in ["missing", "wrong value", "unexpected"] {
        assert_eq!(figure(&text, what), 0, "{what}\n{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_demo_that_is_broken_off_settles_what_is_in_flight_and_shows_the_books() {
    let duration = Some(Duration::from_secs(3600));
    let options = Options { metrics: Some(600), duration, ..Options::default() };
    let enough = CancellationToken::new();
    let mut reader = Reader { read: Vec::new(), word: "sent       600", enough: &enough };
    let good = demo::run_until(options, &mut reader, false, &enough).await.unwrap();
    let text = String::from_utf8(reader.read).unwrap();
    assert!(!good, "it is no success");
    assert!(text.contains("\nThe books, broken off\n"), "{text}");
    assert!(text.ends_with("\nBroken off; nothing acknowledged is missing.\n"), "{text}");
    let [sent, acknowledged] = ["data points sent", "acknowledged"].map(|what| figure(&text, what));
    assert_eq!(sent, 600, "no more is sent\n{text}");
    assert_eq!(acknowledged, sent, "what was in flight had its moment\n{text}");
}

/// Has enough of it once it has read a certain word.
struct Reader<'a> {
    read: Vec<u8>,
    word: &'static str,
    enough: &'a CancellationToken,
}

impl Write for Reader<'_> {
    fn write(&mut self, text: &[u8]) -> std::io::Result<usize> {
        self.read.extend_from_slice(text);
        if String::from_utf8_lossy(&self.read).contains(self.word) {
            self.enough.cancel();
        }
        Ok(text.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Runs a demo: whether all was well, and what it wrote.
async fn run_until(options: Options, enough: &CancellationToken) -> (bool, String) {
    let mut out = Vec::new();
    let good = demo::run_until(options, &mut out, false, enough).await.unwrap();
    (good, String::from_utf8(out).unwrap())
}

/// A figure of the books.
fn figure(text: &str, what: &str) -> u64 {
    let line = text.lines().find_map(|line| line.trim_start().strip_prefix(what));
    let line = line.unwrap_or_else(|| panic!("no {what}\n{text}"));
    line.split_whitespace().next().unwrap().replace(',', "").parse().unwrap()
}
