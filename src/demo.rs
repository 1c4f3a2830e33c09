//! `sluicegate demo`: the real gateway between a metric stream that follows Firehose's rules and a
//! remote-write receiver that keeps everything, all on loopback; it ends with the books.
//!
//! Nothing in here knows the gateway's insides: the stream is written with the formats' own
//! definitions and the receiver reads with remote write's, so that both are honest counterparts.

use std::io::Write;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::pipeline::{House, Listeners};
use crate::secret::Secret;
use crate::tasks::Tasks;
use crate::units;

// What is sent, and by whom.
pub mod catalogue;
pub mod stream;
pub mod records;
pub mod contract;
pub mod firehose;
pub mod dice;
// The gateway between.
pub mod gateway;
// Where it arrives, and whether it did.
pub mod receiver;
pub mod books;
pub mod screen;

use books::{Balance, Plan, Tally};
use firehose::{Firehose, FirehoseConfig};
use receiver::{Fault, Receiver};
use screen::Screen;
use stream::{Format, MetricStream};

/// What happens to the receiver during the demo.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Trouble {
    /// Nothing.
    #[default]
    None,
    /// It answers 503 in the middle third.
    Outage,
    /// It answers some requests 429 with `Retry-After`.
    Throttle,
}

impl Trouble {
    /// Every trouble.
    pub const ALL: [Self; 3] = [Self::None, Self::Outage, Self::Throttle];

    /// Its name on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Outage => "outage",
            Self::Throttle => "throttle",
        }
    }

    /// What the receiver does at a time of the demo.
    fn at(self, elapsed: Duration, duration: Duration) -> Fault {
        match self {
            Self::Outage if elapsed >= duration / 3 && elapsed < duration / 3 * 2 => Fault::Outage,
            Self::Throttle if elapsed < duration => {
                Fault::Throttle { one_in: 10, retry_after: Some(Duration::from_secs(1)) }
            }
            Self::None | Self::Outage | Self::Throttle => Fault::None,
        }
    }
}

/// What the demo is told.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Format of the stream; all of them, request by request in turn, if left out.
    #[arg(long, value_enum)]
    pub format: Option<Format>,
    /// CloudWatch metrics in the stream.
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = metrics)]
    pub metrics: usize,
    /// How long data points are sent: seconds, or a duration such as 1m30s.
    #[arg(long, value_name = "S", default_value = "10s", value_parser = seconds)]
    pub duration: Duration,
    /// What happens to the receiver meanwhile.
    #[arg(long, value_enum, default_value_t)]
    pub fault: Trouble,
    /// Whether Firehose compresses.
    #[arg(long, value_name = "BOOL", default_value_t = true, action = clap::ArgAction::Set)]
    pub gzip: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            format: None,
            metrics: 1000,
            duration: Duration::from_secs(10),
            fault: Trouble::None,
            gzip: true,
        }
    }
}

impl Options {
    fn formats(&self) -> Vec<Format> {
        self.format.map_or_else(|| Format::ALL.to_vec(), |format| vec![format])
    }
}

/// The longest demo: a day, so that no sum of times overflows.
const DURATION_MAX: Duration = Duration::from_secs(86_400);

/// Reads a duration; a bare number is seconds.
fn seconds(text: &str) -> Result<Duration, String> {
    let bare = text.parse().ok().map(Duration::from_secs);
    bare.or_else(|| units::parse_duration(text))
        .filter(|duration| (Duration::from_secs(1)..=DURATION_MAX).contains(duration))
        .ok_or_else(|| "a time from 1s to 24h is needed".to_owned())
}

/// Reads a number of metrics, of which all data points are kept until the books are balanced.
fn metrics(text: &str) -> Result<usize, String> {
    let number = text.parse().ok().filter(|number| (1..=METRICS_MAX).contains(number));
    number.ok_or_else(|| format!("a number from 1 to {METRICS_MAX} is needed"))
}

/// The largest demo: some gigabytes.
const METRICS_MAX: usize = 1_000_000;

/// Data points of one delivery.
const POINTS_PER_REQUEST: usize = 500;

/// Deliveries at the same time. Firehose does not say how many it has; more than one it does have.
const DELIVERIES_MAX: usize = 64;

/// A minute of the stream passes in no less than this, and all of them lie within the last hour,
/// since receivers refuse older samples.
const MINUTE_MIN: Duration = Duration::from_millis(400);
const MINUTES_MAX: u32 = 50;

/// After the last data point is sent: time for the rest to be acknowledged.
const GRACE: Duration = Duration::from_secs(60);

/// For the gateway to stop, its drain deadline included.
const STOP_TIMEOUT: Duration = Duration::from_secs(15);

/// Runs the demo and writes to `out`; `terminal` allows lines to be written over. Gives whether
/// everything sent was acknowledged and everything acknowledged is stored, to the bit.
///
/// # Errors
/// If a part cannot be started, or `out` cannot be written to.
pub async fn run(
    options: Options,
    out: &mut (dyn Write + Send),
    terminal: bool,
) -> anyhow::Result<bool> {
    let mut screen = Screen::new(out, terminal);
    let receiver = Receiver::start().await.context("the receiver cannot be started")?;
    let access_key = Secret::new(format!("{:016x}", dice::fresh_seed()));
    let loopback = (Ipv4Addr::LOCALHOST, 0);
    let listeners = Listeners {
        ingest: TcpListener::bind(loopback).await.context("no free port")?,
        telemetry: TcpListener::bind(loopback).await.context("no free port")?,
    };
    let config = gateway::config(&access_key, &receiver.url())?;
    let house = House::start(config, listeners).await.context("the gateway cannot be started")?;
    let url = format!("http://{}{}", house.ingest_address, gateway::PATH);

    let formats: Vec<_> = options.formats().into_iter().map(Format::name).collect();
    screen.line(&format!(
        "{} metrics, {}{}, {}, fault: {}",
        books::Thousands(options.metrics as u64),
        formats.join(" + "),
        if options.gzip { ", gzip" } else { "" },
        units::format_duration(options.duration),
        options.fault.name(),
    ))?;
    screen.line(&format!("firehose -> {url} -> {}", receiver.url()))?;

    let firehose = FirehoseConfig {
        gzip: options.gzip,
        retry_duration: options.duration + GRACE,
        ..FirehoseConfig::new(url, Some(access_key))
    };
    let minute = MINUTE_MIN.max(options.duration / MINUTES_MAX);
    let sender = Arc::new(Sender {
        plan: plan(&options, minute),
        firehose: Firehose::new(firehose)?,
        tally: Mutex::default(),
        room: Arc::new(Semaphore::new(DELIVERIES_MAX)),
        tasks: Tasks::new(),
        stop: CancellationToken::new(),
    });
    let began = Instant::now();
    let sending = Arc::clone(&sender).send(began, minute);
    let over = began + options.duration + GRACE;
    show(sending, over, || {
        let elapsed = began.elapsed();
        let fault = options.fault.at(elapsed, options.duration);
        receiver.ensure_fault(fault);
        let stored = receiver.read(|ledger| ledger.stored);
        screen.progress(elapsed, &sender.tally(), stored, fault.name())
    })
    .await?;
    // What is still under way counts as not acknowledged.
    sender.stop.cancel();
    sender.tasks.ended().await;
    let stopped = tokio::time::timeout(STOP_TIMEOUT, house.stop()).await;
    stopped.context("the gateway does not stop")?;

    let tally = sender.tally().clone();
    let (balance, ledger) =
        receiver.read(|ledger| (Balance::of(&sender.plan, &tally, ledger), ledger.clone()));
    screen.books(&tally, &balance, &ledger)?;
    let kept = balance.missing == 0 && balance.wrong == 0 && balance.unexpected == 0;
    let clean = kept && ledger.conflicts == 0 && ledger.mislabelled == 0 && ledger.malformed == 0;
    let settled = tally.acknowledged == tally.sent && tally.breaches.is_empty();
    screen.line(match (clean, settled) {
        (true, true) => "\nEverything sent was acknowledged; nothing acknowledged is missing.",
        (true, false) => "\nNothing acknowledged is missing, but not all went by the contract.",
        (false, _) => "\nThe books do not balance.",
    })?;
    Ok(clean && settled)
}

/// Waits for the work or the end of its time, and calls `tick` meanwhile.
async fn show<E>(
    work: impl Future<Output = ()>,
    over: Instant,
    mut tick: impl FnMut() -> Result<(), E>,
) -> Result<(), E> {
    let mut ticker = tokio::time::interval(Duration::from_millis(100));
    tokio::pin!(work);
    loop {
        tokio::select! {
            () = &mut work => return tick(),
            () = tokio::time::sleep_until(over) => return tick(),
            _ = ticker.tick() => tick()?,
        }
    }
}

/// The minutes before now, as many as the duration has room for.
fn plan(options: &Options, minute: Duration) -> Plan {
    let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    let this_minute = i64::try_from(now_ms / 60_000).unwrap_or_default();
    let minutes = options.duration.as_millis() / minute.as_millis().max(1);
    let minutes = i64::try_from(minutes).unwrap_or_default().clamp(1, i64::from(MINUTES_MAX));
    Plan {
        stream: MetricStream::new(options.metrics, dice::fresh_seed()),
        minutes: (1..=minutes).rev().map(|ago| (this_minute - ago) * 60_000).collect(),
        points_per_request: POINTS_PER_REQUEST,
        formats: options.formats(),
    }
}

/// Hands the stream's minutes to Firehose, one after the other, several deliveries at a time.
struct Sender {
    plan: Plan,
    firehose: Firehose,
    tally: Mutex<Tally>,
    room: Arc<Semaphore>,
    tasks: Tasks,
    stop: CancellationToken,
}

impl Sender {
    fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends when every delivery has.
    async fn send(self: Arc<Self>, began: Instant, minute: Duration) {
        let mut due = began;
        for index in 0..self.plan.minutes.len() {
            tokio::time::sleep_until(due).await;
            due += minute;
            for request in 0..self.plan.requests_per_minute() {
                let Ok(room) = Arc::clone(&self.room).acquire_owned().await else { return };
                let sender = Arc::clone(&self);
                self.tasks.spawn(async move {
                    tokio::select! {
                        () = sender.stop.cancelled() => {}
                        () = sender.deliver((index, request)) => {}
                    }
                    drop(room);
                });
            }
        }
        self.tasks.ended().await;
    }

    async fn deliver(&self, request: (usize, usize)) {
        let (records, count) = {
            let points: Vec<_> = self.plan.points(request.0, request.1).collect();
            let format = self.plan.format(request.0, request.1);
            (records::records(format, &points), points.len())
        };
        self.tally().send(request, count);
        let delivery = self.firehose.deliver(records).await;
        self.tally().settle(request, count, delivery);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_may_be_bare_seconds() {
        for (text, duration_s) in
            [("10", Some(10)), ("10s", Some(10)), ("1m30s", Some(90)), ("0", None), ("2d", None)]
        {
            assert_eq!(seconds(text).ok(), duration_s.map(Duration::from_secs), "{text}");
        }
        assert!(seconds("soon").is_err());
        assert!(seconds("18446744073709551615").is_err());
    }

    #[test]
    fn an_outage_is_the_middle_third() {
        let duration = Duration::from_secs(30);
        let at = |second| Trouble::Outage.at(Duration::from_secs(second), duration);
        assert_eq!(
            [9, 10, 19, 20].map(at),
            [Fault::None, Fault::Outage, Fault::Outage, Fault::None]
        );
        assert_eq!(Trouble::Throttle.at(duration, duration), Fault::None, "the end is undisturbed");
    }

    #[test]
    fn minutes_end_before_now_and_lie_within_the_hour() {
        for duration_s in [1, 10, 3600] {
            let options =
                Options { duration: Duration::from_secs(duration_s), ..Options::default() };
            let minute = MINUTE_MIN.max(options.duration / MINUTES_MAX);
            let minutes = plan(&options, minute).minutes;
            let now_ms =
                SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
            let now_ms = i64::try_from(now_ms).unwrap_or_default();
            assert!(minutes.windows(2).all(|two| two[1] - two[0] == 60_000));
            assert!(minutes.last().is_some_and(|last| last + 60_000 <= now_ms));
            assert!(minutes.first().is_some_and(|first| now_ms - first < 3_600_000));
        }
    }
}
