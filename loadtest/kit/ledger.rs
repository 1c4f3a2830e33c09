//! What came to the kit's receiver: every data point by its number, and every breach of remote
//! write's contract.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher as _, BuildHasherDefault};

use foldhash::fast::FixedState;

use crate::books::Stored;
use crate::points::Points;
use crate::wire::{IsSum, Request, check_labels};

/// The keys are hashes already.
#[derive(Clone, Copy, Debug, Default)]
struct AsIs(u64);

impl std::hash::Hasher for AsIs {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, _: &[u8]) {}
    fn write_u64(&mut self, value: u64) {
        self.0 = value;
    }
}

/// A series that has come before, by the hash of its labels.
#[derive(Clone, Copy, Debug)]
struct Known {
    newest_ms: i64,
    checked: Result<IsSum, &'static str>,
}

/// Figures of a receiver, without its points.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Figures {
    /// Requests stored.
    pub requests: u64,
    /// Samples stored, repeated ones included.
    pub samples: u64,
    /// Samples of the smallest request stored.
    pub samples_per_request_min: u64,
    /// Samples of the largest request stored.
    pub samples_per_request_max: u64,
    /// Distinct series.
    pub series: u64,
    /// Metadata entries.
    pub metadata: u64,
    /// Requests not stored, by status; 0 is a reset.
    pub refused: BTreeMap<u16, u64>,
    /// What breaks remote write's contract, in words: how often.
    pub breaches: BTreeMap<&'static str, u64>,
    /// Pieces of a series that began before the newest sample of the series, or with it. Firehose
    /// sends requests at the same time and again, so that this is no breach.
    pub late: u64,
    /// Samples of `..._sum` series whose value is no number of a data point.
    pub unnumbered: u64,
}

/// All that a receiver has to remember.
#[derive(Debug)]
pub struct Ledger {
    figures: Figures,
    points: Points,
    duplicated: u64,
    series: HashMap<u64, Known, BuildHasherDefault<AsIs>>,
    hash: FixedState,
}

/// Numbers that are kept: at a million a second nine hours' worth, a GiB of bits if all are used.
pub const POINTS_LIMIT: u64 = 1 << 33;

/// The number of the data point that has this sum.
#[must_use]
pub fn number_of(sum: f64) -> Option<u64> {
    let number = sum as u64; // Saturates; what is no such number is found next.
    (number < POINTS_LIMIT && number as f64 == sum).then_some(number)
}

impl Default for Ledger {
    fn default() -> Self {
        Self {
            figures: Figures::default(),
            points: Points::new(POINTS_LIMIT),
            duplicated: 0,
            series: HashMap::default(),
            hash: FixedState::default(),
        }
    }
}

impl Ledger {
    /// Takes a request in, `raw` being what it was read from.
    pub fn store(&mut self, raw: &[u8], request: &Request) {
        let samples = request.values.len() as u64;
        let figures = &mut self.figures;
        figures.samples_per_request_min = match figures.requests {
            0 => samples,
            _ => figures.samples_per_request_min.min(samples),
        };
        figures.samples_per_request_max = figures.samples_per_request_max.max(samples);
        figures.requests += 1;
        figures.samples += samples;
        figures.metadata += request.metadata;
        for piece in &request.pieces {
            let labels = raw.get(piece.labels.clone()).unwrap_or_default();
            let hash = self.hash.hash_one(labels);
            let series = self.series.entry(hash).or_insert_with(|| {
                figures.series += 1;
                Known { newest_ms: i64::MIN, checked: check_labels(labels) }
            });
            let mut breach = |what| *figures.breaches.entry(what).or_default() += 1;
            if piece.samples.is_empty() {
                breach("a series without samples");
                continue;
            }
            if !piece.ordered {
                breach("samples of a series that are not in the order of time");
            }
            if let Err(what) = series.checked {
                breach(what);
            }
            figures.late += u64::from(piece.first_ms <= series.newest_ms);
            series.newest_ms = series.newest_ms.max(piece.last_ms);
            if series.checked != Ok(IsSum(true)) {
                continue;
            }
            for value in request.values.get(piece.samples.clone()).unwrap_or_default() {
                match number_of(*value) {
                    Some(number) => self.duplicated += u64::from(!self.points.insert(number)),
                    None => figures.unnumbered += 1,
                }
            }
        }
    }

    /// A request that was not stored; status 0 is a reset.
    pub fn refuse(&mut self, status: u16) {
        *self.figures.refused.entry(status).or_default() += 1;
    }

    /// What a request does against the contract.
    pub fn breach(&mut self, what: &'static str) {
        *self.figures.breaches.entry(what).or_default() += 1;
    }

    /// A copy of the figures.
    #[must_use]
    pub fn figures(&self) -> Figures {
        self.figures.clone()
    }

    /// A copy of what the books are closed with.
    #[must_use]
    pub fn stored(&self) -> Stored {
        Stored {
            points: self.points.clone(),
            duplicated: self.duplicated,
            samples: self.figures.samples,
            exact: true,
        }
    }
}
