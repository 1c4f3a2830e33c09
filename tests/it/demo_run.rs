//! The demo as a whole, short: the real gateway in each format and with each fault.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::time::Duration;

use sluicegate::demo::stream::Format;
use sluicegate::demo::{self, Options, Trouble};

#[tokio::test(flavor = "multi_thread")]
async fn the_books_balance_in_every_format_and_with_every_fault() {
    let formats = Format::ALL.map(Some);
    let plain = [None].into_iter().chain(formats).map(|format| (format, Trouble::None, true));
    let rest = [(None, Trouble::None, false), (None, Trouble::Outage, true)];
    let rest = rest.into_iter();
    let rest = rest.chain([(None, Trouble::Throttle, true), (None, Trouble::Mixed, true)]);
    for (format, fault, gzip) in plain.chain(rest) {
        let duration = Duration::from_secs(if fault == Trouble::None { 1 } else { 3 });
        let (metrics, duration) = (Some(600), Some(duration));
        let options = Options { format, metrics, duration, fault, gzip, ..Options::default() };
        let mut out = Vec::new();
        let good = demo::run(options, &mut out, false).await.unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(good, "{format:?}, {fault:?}, gzip {gzip}\n{text}");
        let refused = figure(&text, "remote writes refused");
        assert_eq!(refused > 0, fault != Trouble::None, "the fault took place\n{text}");
        let minutes = if fault == Trouble::None { 2 } else { 7 };
        assert_eq!(figure(&text, "data points sent"), minutes * 600, "{text}");
        assert!(text.contains("\nSome of the series\n  aws_"), "{text}");
    }
}

/// A figure of the books.
fn figure(text: &str, what: &str) -> u64 {
    let line = text.lines().find_map(|line| line.trim_start().strip_prefix(what)).unwrap();
    line.split_whitespace().next().unwrap().replace(',', "").parse().unwrap()
}
