//! The books: what was sent against what is stored, to the bit.

use std::collections::{BTreeSet, HashMap};
use std::fmt::{self, Write as _};
use std::time::Duration;

use super::firehose::{Delivery, Outcome};
use super::receiver::{Labels, Ledger, Series, exposition};
use super::stream::{Format, MetricStream, Point};

/// How a stream was cut into Firehose requests: enough to tell again what each one held.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The stream.
    pub stream: MetricStream,
    /// Starts of the minutes, milliseconds since 1970.
    pub minutes: Vec<i64>,
    /// Data points of a request.
    pub points_per_request: usize,
    /// Formats, taken in turn.
    pub formats: Vec<Format>,
}

impl Plan {
    /// Requests of one minute.
    #[must_use]
    pub fn requests_per_minute(&self) -> usize {
        self.stream.metrics().len().div_ceil(self.points_per_request.max(1))
    }

    /// The data points of a request.
    pub fn points(&self, minute: usize, request: usize) -> impl Iterator<Item = Point<'_>> {
        let start_ms = self.minutes.get(minute).copied().unwrap_or_default();
        let first = request.saturating_mul(self.points_per_request);
        self.stream.points(start_ms, first..first.saturating_add(self.points_per_request))
    }

    /// The format of a request.
    #[must_use]
    pub fn format(&self, minute: usize, request: usize) -> Format {
        let turn = (minute + request).checked_rem(self.formats.len()).unwrap_or_default();
        self.formats.get(turn).copied().unwrap_or(Format::Json)
    }

    /// The request of a minute that holds a metric's data point.
    fn request_of(&self, metric: usize) -> usize {
        metric.checked_div(self.points_per_request).unwrap_or_default()
    }
}

/// What the sender knows. A request is named by its minute and its number within it.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Data points handed to Firehose.
    pub sent: u64,
    /// Data points of acknowledged requests.
    pub acknowledged: u64,
    /// Whether it was told to send no more before all was sent and settled.
    pub broken_off: bool,
    /// Requests handed to Firehose.
    pub requests: BTreeSet<(usize, usize)>,
    /// Requests acknowledged.
    pub acknowledged_requests: BTreeSet<(usize, usize)>,
    /// Attempts of the requests that are settled.
    pub attempts: u64,
    /// Attempts that were not the first.
    pub retries: u64,
    /// Batches lost by a 413 or left to the backup bucket.
    pub given_up: u64,
    /// Breaches of Firehose's contract.
    pub breaches: Vec<String>,
    /// Time to the answer that settled each request.
    pub latencies: Vec<Duration>,
}

impl Tally {
    /// Writes a request in that goes out.
    pub fn send(&mut self, request: (usize, usize), points: usize) {
        self.sent += points as u64;
        self.requests.insert(request);
    }

    /// Writes in how it ended.
    pub fn settle(&mut self, request: (usize, usize), points: usize, delivery: Delivery) {
        self.attempts += u64::from(delivery.attempts);
        self.retries += u64::from(delivery.attempts.saturating_sub(1));
        self.breaches.extend(delivery.breaches);
        match delivery.outcome {
            Outcome::Delivered => {
                self.acknowledged += points as u64;
                self.acknowledged_requests.insert(request);
                self.latencies.push(delivery.latency);
            }
            Outcome::Backup | Outcome::Dropped413 => self.given_up += 1,
        }
    }

    /// Requests that are neither acknowledged nor given up.
    #[must_use]
    pub fn in_flight(&self) -> u64 {
        let settled = self.acknowledged_requests.len() as u64 + self.given_up;
        (self.requests.len() as u64).saturating_sub(settled)
    }

    /// The time within which a share of the acknowledged requests was answered.
    #[must_use]
    pub fn latency(&self, share: f64) -> Duration {
        let mut sorted = self.latencies.clone();
        sorted.sort_unstable();
        // Nearest rank; the cast saturates.
        let rank = (share * sorted.len() as f64).ceil() as usize;
        sorted.get(rank.saturating_sub(1)).copied().unwrap_or_default()
    }
}

/// Sent against stored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Balance {
    /// Data points sent of which every sample is stored with its value.
    pub points_stored: u64,
    /// Samples that must come of the acknowledged data points.
    pub owed: u64,
    /// Samples stored.
    pub stored: u64,
    /// Samples owed that are not stored.
    pub missing: u64,
    /// Samples stored with other bits than were sent.
    pub wrong: u64,
    /// Samples stored that nothing sent accounts for.
    pub unexpected: u64,
    /// A few lines on what does not balance.
    pub examples: Vec<String>,
}

const EXAMPLES_MAX: usize = 5;

impl Balance {
    /// Holds the receiver's ledger against what was sent.
    #[must_use]
    pub fn of(plan: &Plan, tally: &Tally, ledger: &Ledger) -> Self {
        let mut balance = Self { stored: ledger.stored, ..Self::default() };
        let mut accounted = 0;
        // One identity at a time for all minutes, so that its labels are made once.
        let mut series_of: HashMap<(usize, &'static str), (Labels, Option<&Series>)> =
            HashMap::new();
        for (minute, &start_ms) in plan.minutes.iter().enumerate() {
            for (index, point) in plan.stream.points(start_ms, 0..usize::MAX).enumerate() {
                let request = (minute, plan.request_of(index));
                if !tally.requests.contains(&request) {
                    continue;
                }
                let acknowledged = tally.acknowledged_requests.contains(&request);
                let mut whole = true;
                for (suffix, value) in point.samples(plan.format(minute, request.1)) {
                    let (labels, series) = series_of.entry((index, suffix)).or_insert_with(|| {
                        let labels = point.metric.labels(suffix);
                        let series = ledger.series.get(&labels);
                        (labels, series)
                    });
                    balance.owed += u64::from(acknowledged);
                    let stored = series.and_then(|series| series.at(start_ms));
                    whole &= stored == Some(value.to_bits());
                    match stored {
                        Some(bits) => {
                            accounted += 1;
                            if bits != value.to_bits() {
                                balance.wrong += 1;
                                balance.note("wrong", labels, start_ms, value, Some(bits));
                            }
                        }
                        None if acknowledged => {
                            balance.missing += 1;
                            balance.note("missing", labels, start_ms, value, None);
                        }
                        None => {}
                    }
                }
                balance.points_stored += u64::from(whole);
            }
        }
        balance.unexpected = ledger.stored.saturating_sub(accounted);
        balance
    }

    fn note(&mut self, what: &str, labels: &Labels, at: i64, sent: f64, stored: Option<u64>) {
        if self.examples.len() < EXAMPLES_MAX {
            let mut line = format!("{what}: {} {sent:?} {at}", exposition(labels));
            if let Some(bits) = stored {
                let _ = write!(line, ", stored {:?}", f64::from_bits(bits));
            }
            self.examples.push(line);
        }
    }
}

impl Series {
    /// Bits of the value at a time.
    #[must_use]
    pub fn at(&self, timestamp_ms: i64) -> Option<u64> {
        let place = self.samples.binary_search_by_key(&timestamp_ms, |sample| sample.0).ok()?;
        self.samples.get(place).map(|sample| sample.1)
    }
}

/// A number with its thousands set apart.
#[derive(Clone, Copy, Debug)]
pub struct Thousands(pub u64);

impl fmt::Display for Thousands {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.0.to_string();
        let mut text = String::with_capacity(digits.len() * 2);
        for (index, digit) in digits.chars().enumerate() {
            if index > 0 && (digits.len() - index).is_multiple_of(3) {
                text.push(',');
            }
            text.push(digit);
        }
        f.pad_integral(true, "", &text)
    }
}
