//! An attack: stages of load, each sent by one vegeta, and the answers.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::load::Load;
use crate::vegeta::Vegeta;

/// Part of an attack at one rate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stage {
    /// Bodies per second; 0: as fast as the workers allow.
    pub rate: f64,
    /// How long.
    pub duration: Duration,
}

/// What is sent where, and how.
#[derive(Clone, Debug)]
pub struct Attack<'a> {
    /// The vegeta that sends.
    pub vegeta: &'a Vegeta,
    /// Where the gateway takes deliveries.
    pub url: &'a str,
    /// Access key.
    pub key: &'a str,
    /// Common attributes of the delivery stream.
    pub common_attributes: &'a [(String, String)],
    /// What the bodies are made of.
    pub load: &'a Load,
    /// Name of the run: a dimension of every metric and a part of every request id.
    pub run: &'a str,
    /// Number of the first request; attacks on one receiver must not share numbers.
    pub first: u64,
    /// One after the other; each begins on time, even if answers of the one before are awaited.
    pub stages: &'a [Stage],
    /// Requests in flight at most.
    pub workers: usize,
    /// Of one request.
    pub timeout: Duration,
    /// Certificate authorities (PEM) to trust instead of the system's.
    pub root_certs: Option<&'a Path>,
    /// Whether any certificate will do.
    pub insecure: bool,
    /// Where vegeta's results and plot are kept; must exist.
    pub directory: &'a Path,
}

/// What became of one request.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// Number of the request.
    pub number: Option<u64>,
    /// Index of its stage.
    pub stage: usize,
    /// HTTP status; 0: there was no answer.
    pub code: u16,
    /// When it was sent, since the first stage began.
    pub at: Duration,
    /// Until the end of the answer. Vegeta counts the reading of the target in.
    pub latency: Duration,
    /// Size of the body that was sent.
    pub bytes_out: u64,
    /// What went wrong; empty if nothing did.
    pub error: String,
}

/// An attack that is over.
#[derive(Clone, Debug, Default)]
pub struct Attacked {
    /// Of every request that was sent, in the order of `at`.
    pub answers: Vec<Answer>,
    /// Number of the first request.
    pub first: u64,
    /// Data points of every request that was made, sent or not; the first of `first`.
    pub points: Vec<Range<u64>>,
    /// Whether the data points are numbered.
    pub numbered: bool,
    /// Stages whose vegeta did not end by itself: they may have sent more than is in the answers.
    pub killed: usize,
    /// Answers with 200 that did not repeat the request id, as Firehose demands.
    pub breaches: u64,
    /// Vegeta's plot of all stages.
    pub plot: PathBuf,
    /// Vegeta's own report.
    pub vegeta_report: String,
}

impl Attacked {
    /// Data points of a request; none if it was never made.
    #[must_use]
    pub fn points_of(&self, number: u64) -> Option<&Range<u64>> {
        let index = usize::try_from(number.checked_sub(self.first)?).ok()?;
        self.points.get(index)
    }

    /// What `first` of a further attack on the same receiver may be.
    #[must_use]
    pub fn next(&self) -> u64 {
        self.first + self.points.len() as u64
    }
}

impl Attack<'_> {
    /// Runs all stages. Ends within their durations, two timeouts and some seconds, even if the
    /// target hangs.
    ///
    /// # Errors
    /// If vegeta or the load cannot be started, or the results cannot be read.
    pub async fn run(&self) -> anyhow::Result<Attacked> {
        anyhow::bail!("not yet")
    }
}
