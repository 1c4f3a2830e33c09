//! The demo's stream for a gateway that runs elsewhere: what has passed comes at once, in order, and
//! all of it arrives.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::io::Write;
use std::time::Duration;

use sluicegate::demo::receiver::Receiver;
use sluicegate::demo::{self, Options};
use sluicegate::secret::Secret;
use tokio_util::sync::CancellationToken;

use crate::house::{KEY, Standing};

/// Minutes that are sent at once.
const PAST: usize = 30;

#[tokio::test(flavor = "multi_thread")]
async fn the_last_minutes_are_sent_at_once_and_stored() {
    let receiver = Receiver::start().await.unwrap();
    let rest = format!("remote_write: [{{ name: receiver, url: \"{}\" }}]", receiver.url());
    let house = Standing::start("", &rest).await;
    let options = Options { metrics: Some(600), ..to(&house, KEY) };
    let (good, text) = feed(options, PAST).await;
    assert!(good, "{text}");
    assert!(text.starts_with("600 data points a minute -> http://127.0.0.1:"), "{text}");
    let minutes: Vec<_> = text.lines().skip(1).collect();
    assert!(minutes.len() >= PAST, "{text}");
    for minute in &minutes {
        assert!(minute.ends_with(" UTC  sent 600  acknowledged 600  retries 0"), "{minute}");
    }
    house.rest().await;
    let samples = receiver.read(|ledger| (ledger.stored, ledger.conflicts, ledger.malformed));
    assert!(samples.0 >= (600 * 4 * PAST) as u64, "{samples:?}");
    assert_eq!((samples.1, samples.2), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_refuses_the_key_is_told_of_and_the_demo_can_be_stopped() {
    let receiver = Receiver::start().await.unwrap();
    let rest = format!("remote_write: [{{ name: receiver, url: \"{}\" }}]", receiver.url());
    let house = Standing::start("", &rest).await;
    let options = Options { duration: Some(Duration::from_secs(1)), ..to(&house, "another key") };
    let (good, text) = feed(options, usize::MAX).await;
    assert!(!good, "{text}");
    assert!(text.contains("  acknowledged 0  "), "{text}");
    assert_eq!(receiver.read(|ledger| ledger.stored), 0);
}

fn to(house: &Standing, key: &str) -> Options {
    let (url, access_key) = (house.ingest_url("/firehose"), Secret::new(key.to_owned()));
    Options { url: Some(url), access_key: Some(access_key), ..Options::default() }
}

/// Feeds until so many minutes are sent: whether all was well, and what was written.
async fn feed(options: Options, minutes: usize) -> (bool, String) {
    let enough = CancellationToken::new();
    let mut out = Lines { text: String::new(), minutes, enough: &enough };
    let good = demo::run_until(options, &mut out, false, &enough).await.unwrap();
    (good, out.text)
}

/// Has enough of it after so many minutes.
struct Lines<'a> {
    text: String,
    minutes: usize,
    enough: &'a CancellationToken,
}

impl Write for Lines<'_> {
    fn write(&mut self, text: &[u8]) -> std::io::Result<usize> {
        self.text.push_str(std::str::from_utf8(text).unwrap());
        if self.text.lines().filter(|line| line.contains(" UTC ")).count() >= self.minutes
            && self.text.ends_with('\n')
        {
            self.enough.cancel();
        }
        Ok(text.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
