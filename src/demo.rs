//! `sluicegate demo`: the real gateway between a metric stream that follows Firehose's rules and a
//! remote-write receiver that keeps everything, all on loopback; it ends with the books.
//!
//! Nothing in here knows the gateway's insides: the stream is written with the formats' own
//! definitions and the receiver reads with remote write's, so that both are honest counterparts.

use std::io::Write;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::Context as _;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::secret::Secret;
use crate::units;

// What is sent, and by whom.
pub mod options;
pub mod catalogue;
pub mod stream;
pub mod records;
pub mod contract;
pub mod firehose;
pub mod sender;
pub mod feed;
pub mod dice;
pub mod signals;
// The gateway between.
pub mod gateway;
pub mod child;
// Where it arrives, and whether it did.
pub mod receiver;
pub mod trouble;
pub mod books;
pub mod screen;

use books::{Balance, Thousands};
use firehose::{Firehose, FirehoseConfig};
use gateway::Gateway;
pub use options::Options;
use receiver::{Fault, Receiver};
use screen::{Moment, Screen};
use sender::Sender;
use signals::Signals;
pub use trouble::Trouble;
use trouble::{Progress, Script};

/// Without an acknowledgement for this long, beyond what the run may take by itself, nothing more
/// is waited for. Firehose's longest wait between two attempts is 138 s.
const GRACE: Duration = Duration::from_secs(150);

/// What is in flight when the demo is broken off has so long to be settled.
const FLIGHT_TIMEOUT: Duration = Duration::from_secs(10);

/// Runs the demo and writes to `out`; `terminal` allows lines to be written over. The first signal
/// breaks it off, the second ends it at once. Gives whether all was sent and acknowledged and
/// everything acknowledged is stored, to the bit.
///
/// # Errors
/// If a part cannot be started or ends by itself, or `out` cannot be written to.
pub async fn run(
    options: Options,
    out: &mut (dyn Write + Send),
    terminal: bool,
) -> anyhow::Result<bool> {
    let mut signals = Signals::listen()?;
    let enough = CancellationToken::new();
    let told = async {
        signals.next().await;
        enough.cancel();
        anyhow::anyhow!("ended at once by a second signal, {}", signals.next().await)
    };
    tokio::select! {
        twice = told => Err(twice),
        outcome = run_until(options, out, terminal, &enough) => outcome,
    }
}

/// As [`run`], without an ear for signals: when it is `enough`, no more is sent, what is in flight
/// has a moment to be settled, and the books are shown.
///
/// # Errors
/// As for [`run`].
pub async fn run_until(
    options: Options,
    out: &mut (dyn Write + Send),
    terminal: bool,
    enough: &CancellationToken,
) -> anyhow::Result<bool> {
    if let Some(url) = &options.url {
        return feed::feed(&options, url, out, enough).await;
    }
    let course = options.course()?;
    let mut screen = Screen::new(out, terminal);
    let receiver = Receiver::start().await.context("the receiver cannot be started")?;
    let access_key = Secret::new(format!("{:016x}", dice::fresh_seed()));
    let mut gateway = Gateway::start(&access_key, &receiver.url(), options.kill).await?;
    screen.line(&heading(&options, course))?;
    screen.line(&format!("firehose -> {} -> {}", gateway.url(), receiver.url()))?;

    let firehose = FirehoseConfig::new(gateway.url(), Some(access_key));
    let patience = course.duration.unwrap_or_default() + GRACE;
    let firehose = FirehoseConfig {
        gzip: options.gzip,
        retry_duration: firehose.retry_duration.max(patience),
        ..firehose
    };
    let sender =
        Sender::new(course.plan(options.formats(), dice::fresh_seed()), Firehose::new(firehose)?);
    let (kills, calm) = (gateway.kills(), CancellationToken::new());
    let kills = || kills.as_ref().map(|kills| kills.load(Ordering::Relaxed));
    let mut script = Script::new(options.fault, course.duration);
    let began = Instant::now();
    let mut last = (0, began);
    let mut over = None;
    let sending = show(sender.clone().send(course.pace), || {
        if over.is_none() && enough.is_cancelled() {
            sender.break_off();
            over = Some(Instant::now() + FLIGHT_TIMEOUT);
        }
        let tally = sender.tally();
        let progress =
            Progress { elapsed: began.elapsed(), sent: tally.sent, planned: course.points() };
        // What is in flight is to arrive.
        let fault = if over.is_some() { Fault::None } else { script.fault(progress) };
        receiver.ensure_fault(fault);
        if over.is_some() || !script.is_on(progress) {
            calm.cancel();
        }
        if tally.acknowledged > last.0 {
            last = (tally.acknowledged, Instant::now());
        }
        let stored = receiver.read(|ledger| ledger.stored);
        let moment = Moment { elapsed: progress.elapsed, stored, fault, kills: kills() };
        screen.progress(&tally, &moment)?;
        Ok(over.map_or(last.1.elapsed() <= patience, |over| Instant::now() < over))
    });
    tokio::select! {
        shown = sending => shown?,
        error = gateway.live(&calm) => return Err(error),
    }
    sender.stop().await;
    let errors = gateway.stop().await?;

    let tally = sender.tally();
    let clean = receiver.read(|ledger| {
        let balance = Balance::of(&sender.plan, &tally, ledger);
        screen.books(&tally, &balance, ledger, kills(), &errors)?;
        let kept = balance.missing == 0 && balance.wrong == 0 && balance.unexpected == 0;
        let clean = ledger.conflicts == 0 && ledger.mislabelled == 0 && ledger.malformed == 0;
        anyhow::Ok(kept && clean)
    })?;
    let settled = tally.acknowledged == tally.sent && tally.breaches.is_empty();
    screen.line(match (clean, settled) {
        (true, _) if tally.broken_off => "\nBroken off; nothing acknowledged is missing.",
        (true, true) => "\nEverything sent was acknowledged; nothing acknowledged is missing.",
        (true, false) => "\nNothing acknowledged is missing, but not all went by the contract.",
        (false, _) => "\nThe books do not balance.",
    })?;
    Ok(clean && settled && !tally.broken_off)
}

/// What is about to happen.
fn heading(options: &Options, course: options::Course) -> String {
    let formats: Vec<_> = options.formats().into_iter().map(stream::Format::name).collect();
    let mut line = format!(
        "{} data points of {} metrics, {}{}, fault: {}",
        Thousands(course.points()),
        Thousands(course.metrics as u64),
        formats.join(" + "),
        if options.gzip { ", gzip" } else { "" },
        options.fault.name(),
    );
    if let Some(duration) = course.duration {
        line.push_str(&format!(", within {}", units::format_duration(duration)));
    }
    if let Some(interval) = options.kill {
        line.push_str(&format!(", killed about every {}", units::format_duration(interval)));
    }
    line
}

/// Waits for the work and calls `tick` meanwhile, until that gives `false`.
async fn show(
    work: impl Future<Output = ()>,
    mut tick: impl FnMut() -> anyhow::Result<bool>,
) -> anyhow::Result<()> {
    let mut ticker = tokio::time::interval(Duration::from_millis(100));
    tokio::pin!(work);
    loop {
        tokio::select! {
            () = &mut work => return tick().map(|_| ()),
            _ = ticker.tick() => if !tick()? {
                return Ok(());
            }
        }
    }
}
