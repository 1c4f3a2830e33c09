//! `sluicegate demo`: the real gateway between a metric stream that follows Firehose's rules and a
//! remote-write receiver that keeps everything, all on loopback; it ends with the books.
//!
//! Nothing in here knows the gateway's insides: the stream is written with the formats' own
//! definitions and the receiver reads with remote write's, so that both are honest counterparts.

use std::io::Write;
use std::net::Ipv4Addr;
use std::str::FromStr;
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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
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

impl FromStr for Trouble {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|trouble| trouble.name() == text)
            .ok_or_else(|| format!("{text:?} is none of {}", Self::ALL.map(Self::name).join(", ")))
    }
}

/// What the demo is told.
#[derive(Clone, Debug)]
pub struct Options {
    /// Formats of the stream, request by request in turn.
    pub formats: Vec<Format>,
    /// CloudWatch metrics in the stream.
    pub metrics: usize,
    /// How long data points are sent.
    pub duration: Duration,
    /// What happens meanwhile.
    pub fault: Trouble,
    /// Whether Firehose compresses.
    pub gzip: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            formats: Format::ALL.to_vec(),
            metrics: 1000,
            duration: Duration::from_secs(10),
            fault: Trouble::None,
            gzip: true,
        }
    }
}

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
    options: &Options,
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
    let config = gateway::config(&access_key, &receiver.url());
    let house = House::start(config, listeners).await.context("the gateway cannot be started")?;
    let url = format!("http://{}{}", house.ingest_address, gateway::PATH);

    let formats: Vec<_> = options.formats.iter().map(|format| format.name()).collect();
    screen.line(&format!(
        "{} metrics, {}{}, {:?}, fault: {}",
        books::Thousands(options.metrics as u64),
        formats.join(" + "),
        if options.gzip { ", gzip" } else { "" },
        options.duration,
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
        plan: plan(options, minute),
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
        formats: options.formats.clone(),
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
