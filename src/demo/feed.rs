//! The demo's stream alone, for a gateway that runs elsewhere: the last minutes at once, then each
//! minute when it has passed, as CloudWatch does.

use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio_util::sync::CancellationToken;

use super::books::{Tally, Thousands};
use super::firehose::{Firehose, FirehoseConfig};
use super::options::Options;
use super::sender::Sender;
use crate::secret::hidden_in_url;

const MINUTE_MS: i64 = 60_000;

/// Minutes before now that are sent at once, so that there is something to see.
const PAST_MINUTES: i64 = 30;

/// Always the same metrics and values: what is sent again after a restart is what was sent before.
const SEED: u64 = 1;

/// From the end of a minute to the sending of its data points.
const DELAY_MS: i64 = 2_000;

/// Sends to `url` until it is `enough` or the duration has passed; writes a line for each minute.
/// Gives whether all that was sent was acknowledged.
///
/// # Errors
/// If the stream cannot be set up, or `out` cannot be written to.
pub async fn feed(
    options: &Options,
    url: &str,
    out: &mut (dyn Write + Send),
    enough: &CancellationToken,
) -> anyhow::Result<bool> {
    let course = options.course()?;
    let mut plan = course.plan(options.formats(), SEED);
    let config = FirehoseConfig::new(url, options.access_key.clone());
    let config = FirehoseConfig { gzip: options.gzip, ..config };
    let metrics = Thousands(course.metrics as u64);
    writeln!(out, "{metrics} data points a minute -> {}", hidden_in_url(url))?;
    let over = over(options.duration, enough);
    tokio::pin!(over);
    let mut start_ms = now_ms() / MINUTE_MS * MINUTE_MS - PAST_MINUTES * MINUTE_MS;
    let mut all = true;
    let mut ended = false;
    while !ended {
        tokio::select! {
            biased;
            () = &mut over => break,
            () = tokio::time::sleep(until(start_ms + MINUTE_MS + DELAY_MS)) => {}
        }
        plan.minutes = vec![start_ms];
        // One minute after the other: receivers take series in order.
        let sender = Sender::new(plan.clone(), Firehose::new(config.clone())?);
        ended = tokio::select! {
            () = Arc::clone(&sender).send(Duration::ZERO) => false,
            () = &mut over => true,
        };
        sender.stop().await;
        let tally = sender.tally().clone();
        all &= tally.acknowledged == tally.sent && tally.breaches.is_empty();
        report(out, start_ms, &tally)?;
        start_ms += MINUTE_MS;
        plan.formats.rotate_left(1);
    }
    Ok(all)
}

/// Ends when there was enough of it.
async fn over(duration: Option<Duration>, enough: &CancellationToken) {
    let passed = async {
        match duration {
            Some(duration) => tokio::time::sleep(duration).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        () = enough.cancelled() => {}
        () = passed => {}
    }
}

/// What became of a minute.
fn report(out: &mut (dyn Write + Send), start_ms: i64, tally: &Tally) -> std::io::Result<()> {
    let minute = start_ms / MINUTE_MS;
    write!(
        out,
        "{:02}:{:02} UTC  sent {}  acknowledged {}  retries {}",
        minute / 60 % 24,
        minute % 60,
        Thousands(tally.sent),
        Thousands(tally.acknowledged),
        tally.retries,
    )?;
    if let Some(breach) = tally.breaches.first() {
        write!(out, "  {breach}")?;
    }
    writeln!(out)?;
    out.flush()
}

/// The time until then; none if it has passed.
fn until(then_ms: i64) -> Duration {
    Duration::from_millis(u64::try_from(then_ms - now_ms()).unwrap_or_default())
}

fn now_ms() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_millis()).unwrap_or_default()
}
