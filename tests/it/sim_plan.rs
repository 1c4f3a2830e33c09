//! What one seed means: senders, receivers, settings and faults of a simulated world.

use std::time::Duration;

use sluicegate::deliver::config::Destination;
use sluicegate::demo::dice::Dice;
use sluicegate::demo::stream::Format;
use sluicegate::receive::Config;

use super::lane_kit;
use super::receive_door;
use super::sim_batches::EPOCH_MS;

/// Everything that is decided before time begins.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    /// Everything is decoded where it was read: threads, which may take turns as they like, have no
    /// part in it.
    pub(crate) is_exact: bool,
    pub(crate) senders: Vec<Sender>,
    pub(crate) receivers: Vec<Receiver>,
    pub(crate) server: Server,
    /// How the lives of the gateway end, one after the other; the one after the last of them lasts.
    pub(crate) fates: Vec<Fate>,
    /// When the configuration is loaded again, and how many lanes each destination has from then on.
    pub(crate) reloads: Vec<(u64, Vec<u32>)>,
}

/// One Firehose stream.
#[derive(Clone, Debug)]
pub(crate) struct Sender {
    pub(crate) format: Format,
    pub(crate) gzip: bool,
    pub(crate) metrics: usize,
    pub(crate) minutes: u32,
    /// Time between two batches: a minute, or less for a backlog that is delivered late.
    pub(crate) pace_ms: u64,
    /// Attempts at once.
    pub(crate) in_flight: usize,
    /// Nothing later is sent before a batch has ended; else others go on while it waits.
    pub(crate) patient: bool,
    pub(crate) retry: Duration,
    /// Percent of attempts that end early, or are sent slowly.
    pub(crate) gone: u64,
    pub(crate) slow: u64,
    /// Percent of batches with something undecodable, with an unreadable envelope, with a data point
    /// again that has been sent with other values.
    pub(crate) spoilt: u64,
    pub(crate) unreadable: u64,
    pub(crate) restated: u64,
}

/// What a receiver does with a request of which it refuses a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stores {
    /// Prometheus: nothing is stored.
    AllOrNothing,
    /// Cortex: the other samples are stored.
    TheRest,
}

/// One destination and what stands behind it.
#[derive(Clone, Debug)]
pub(crate) struct Receiver {
    pub(crate) name: String,
    pub(crate) required: bool,
    pub(crate) stores: Stores,
    /// How far back a series may go.
    pub(crate) window_ms: i64,
    /// Larger requests are answered 413.
    pub(crate) samples_max: usize,
    /// What begins before is aged out by the gateway.
    pub(crate) cutoff_ms: Option<i64>,
    pub(crate) latency_ms: u64,
    pub(crate) outages: Vec<Outage>,
    /// Percent of requests that meet a trouble of their own.
    pub(crate) mishaps: u64,
    pub(crate) lanes: u32,
    pub(crate) samples_per_send: usize,
    pub(crate) bytes_per_send: u64,
    pub(crate) isolation_max: u32,
    pub(crate) timeout: Duration,
    pub(crate) backoff_max: Duration,
}

/// A time of trouble.
#[derive(Clone, Debug)]
pub(crate) struct Outage {
    pub(crate) from_ms: u64,
    pub(crate) to_ms: u64,
    pub(crate) trouble: Trouble,
}

/// What may happen to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// Nobody listens.
    Closed,
    /// 503.
    Unavailable,
    /// 429, with `Retry-After` in seconds.
    Throttled(Option<u64>),
    /// Credentials are not taken.
    Forbidden,
    /// 404.
    WrongPath,
    /// The connection breaks before anything is stored.
    ResetBefore,
    /// The request is stored, and its answer lost.
    ResetAfter,
    /// No answer; nothing is stored.
    Hangs,
    /// No answer; the request is stored long after.
    HangsAndStores,
    /// The answer takes longer than the gateway waits.
    Crawls,
}

impl Trouble {
    const ALL: [Self; 11] = [
        Self::Closed,
        Self::Unavailable,
        Self::Throttled(None),
        Self::Throttled(Some(1)),
        Self::Throttled(Some(15)),
        Self::Forbidden,
        Self::WrongPath,
        Self::ResetBefore,
        Self::ResetAfter,
        Self::HangsAndStores,
        Self::Crawls,
    ];

    pub(crate) fn any(dice: &mut Dice) -> Self {
        match dice.below(Self::ALL.len() as u64 + 1) {
            0 => Self::Hangs,
            other => Self::ALL[other as usize - 1],
        }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Server {
    pub(crate) budget: u64,
    pub(crate) deadline: Duration,
    pub(crate) drain_deadline: Duration,
}

/// How a life of the gateway ends.
#[derive(Clone, Debug)]
pub(crate) struct Fate {
    /// So many remote-write requests after its beginning, and so long after that.
    pub(crate) after_sends: u64,
    pub(crate) and_ms: u64,
    /// Told to stop; else all of it is gone at once.
    pub(crate) gracefully: bool,
    /// How long there is no gateway afterwards.
    pub(crate) down_ms: u64,
}

fn percent(dice: &mut Dice, chance: u64) -> bool {
    dice.below(100) < chance
}

fn one_of<T: Copy>(dice: &mut Dice, choices: &[T]) -> T {
    choices[dice.below(choices.len() as u64) as usize]
}

impl Plan {
    /// The world of a seed.
    pub(crate) fn of(seed: u64) -> Self {
        let dice = &mut Dice::of(seed, 1, 0);
        // A third of the worlds are at peace: there every count has to be exact.
        let stormy = percent(dice, 67);
        let is_exact = percent(dice, 50);
        let receivers = 1 + dice.below(3) as usize;
        let deadline = Duration::from_secs(one_of(dice, &[30, 150, 150]));
        Self {
            seed,
            is_exact,
            senders: (0..1 + dice.below(3)).map(|_| Sender::any(dice, stormy, is_exact)).collect(),
            receivers: (0..receivers).map(|n| Receiver::any(dice, n, stormy, deadline)).collect(),
            server: Server {
                budget: one_of(dice, &[1, 2, 16]) << 20,
                deadline,
                drain_deadline: Duration::from_secs(one_of(dice, &[5, 100])),
            },
            fates: (0..if stormy { dice.below(4) } else { 0 }).map(|_| Fate::any(dice)).collect(),
            reloads: reloads(dice, receivers),
        }
    }

    pub(crate) fn config(&self) -> Config {
        Config {
            request_deadline: self.server.deadline,
            budget: self.server.budget,
            read_timeout: Duration::from_secs(20),
            max_body_size: 512 << 10,
            drain_deadline: self.server.drain_deadline,
            ..receive_door::config()
        }
    }
}

/// None in most worlds; else several, in order.
fn reloads(dice: &mut Dice, receivers: usize) -> Vec<(u64, Vec<u32>)> {
    let times = if percent(dice, 40) { 1 + dice.below(4) } else { 0 };
    let mut at_ms = 0;
    (0..times)
        .map(|_| {
            at_ms += dice.below(120_000);
            (at_ms, (0..receivers).map(|_| 1 + dice.below(4) as u32).collect())
        })
        .collect()
}

impl Sender {
    fn any(dice: &mut Dice, stormy: bool, is_exact: bool) -> Self {
        let rarely = |dice: &mut Dice, chance| if percent(dice, 40) { chance } else { 0 };
        Self {
            format: Format::ALL[dice.below(3) as usize],
            gzip: percent(dice, 40) && !is_exact,
            metrics: 1 + dice.below(4) as usize,
            minutes: 3 + dice.below(6) as u32,
            pace_ms: one_of(dice, &[60_000, 60_000, 5_000, 300]),
            in_flight: 1 + dice.below(3) as usize,
            patient: percent(dice, 30),
            retry: Duration::from_secs(if stormy && percent(dice, 15) { 60 } else { 7200 }),
            gone: if stormy { rarely(dice, 25) } else { 0 },
            slow: rarely(dice, 25),
            spoilt: rarely(dice, 40),
            unreadable: rarely(dice, 10),
            restated: rarely(dice, 20),
        }
    }
}

impl Receiver {
    fn any(dice: &mut Dice, number: usize, stormy: bool, deadline: Duration) -> Self {
        let outages = if stormy { dice.below(4) } else { 0 };
        // A refused batch is told apart sample by sample, anew in each attempt: with a slow receiver
        // that takes more than a short deadline.
        let (timeouts, slowest_ms) =
            if deadline.as_secs() < 60 { ([5, 10], 200) } else { ([5, 30], 900) };
        Self {
            name: format!("r{number}"),
            required: number == 0 || percent(dice, 60),
            stores: one_of(dice, &[Stores::AllOrNothing, Stores::TheRest]),
            window_ms: one_of(dice, &[0, 90_000, 600_000, 86_400_000]),
            samples_max: if percent(dice, 20) { 7 } else { usize::MAX },
            cutoff_ms: percent(dice, 12).then_some(EPOCH_MS + 90_000),
            latency_ms: one_of(dice, &[4, 60, slowest_ms]),
            outages: (0..outages).map(|_| Outage::any(dice)).collect(),
            mishaps: if stormy { one_of(dice, &[0, 3, 20]) } else { 0 },
            lanes: 1 + dice.below(4) as u32,
            samples_per_send: one_of(dice, &[3, 10, 1000]),
            bytes_per_send: one_of(dice, &[600, 1_000_000]),
            isolation_max: if percent(dice, 15) { 3 } else { 512 },
            timeout: Duration::from_secs(one_of(dice, &timeouts)),
            backoff_max: Duration::from_secs(one_of(dice, &[1, 10])),
        }
    }

    /// The destination as the gateway is told of it. `now_ms` is the wall clock's time.
    pub(crate) fn destination(&self, lanes: u32, now_ms: u64) -> Destination {
        let mut to = lane_kit::destination(&self.name, lanes);
        to.required = self.required;
        to.queue_config.max_samples_per_send = self.samples_per_send;
        to.queue_config.max_bytes_per_send = self.bytes_per_send;
        to.queue_config.max_backoff = self.backoff_max;
        to.queue_config.sample_age_limit = self
            .cutoff_ms
            .map(|cutoff_ms| Duration::from_millis(now_ms.saturating_sub(cutoff_ms as u64)));
        to.max_isolation_requests = self.isolation_max;
        to.remote_timeout = self.timeout;
        to
    }

    /// Whether isolation may end before it is done.
    pub(crate) fn may_stop_isolating(&self) -> bool {
        self.stores == Stores::AllOrNothing && self.isolation_max < 512
    }
}

impl Outage {
    fn any(dice: &mut Dice) -> Self {
        let from_ms = dice.below(480_000);
        let lasts_ms = one_of(dice, &[2_000, 20_000, 60_000, 240_000]);
        Self { from_ms, to_ms: from_ms + 1 + dice.below(lasts_ms), trouble: Trouble::any(dice) }
    }
}

impl Fate {
    fn any(dice: &mut Dice) -> Self {
        let soon_ms = one_of(dice, &[2, 50, 1_000, 60_000]);
        Self {
            after_sends: 1 + dice.below(25),
            and_ms: dice.below(soon_ms),
            gracefully: percent(dice, 40),
            down_ms: one_of(dice, &[0, 3_000, 45_000]),
        }
    }
}
