//! What a destination's couriers count and tell of refusals and failures.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use metrics::Counter;
use tracing::{error, warn};

use super::judge::{Reason, Refusal};
use crate::meters::{self, Meters};
use crate::seldom::Seldom;

/// One destination's counters of refusals, and the log lines about it: one per kind and minute.
#[derive(Debug)]
pub struct Report {
    destination: String,
    refused: HashMap<Reason, Counter>,
    logged: Mutex<HashMap<Kind, Seldom>>,
}

/// What is logged apart; a closed set, so that the limiter is bounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Kind {
    Partial(Reason),
    Isolated(Reason),
    Refused(Reason),
    Unisolated,
    AgedOut,
    TooNew,
    Trouble,
    Misconfigured,
}

impl Report {
    /// A report on the destination of that name.
    #[must_use]
    pub fn new(destination: &str, meters: &Meters) -> Self {
        let refused = Reason::ALL
            .into_iter()
            .map(|reason| {
                let labels = [destination, reason.name()];
                (reason, meters.counter(&meters::SAMPLES_REFUSED, &labels))
            })
            .collect();
        Self { destination: destination.to_owned(), refused, logged: Mutex::new(HashMap::new()) }
    }

    /// The receiver stored some samples of a request and refused at least one.
    pub fn partial(&self, refusal: &Refusal, samples: usize, request_id: &str) {
        self.count(refusal.reason, 1);
        if let Some(unsaid) = self.due(Kind::Partial(refusal.reason)) {
            warn!(
                destination = self.destination,
                request_id,
                reason = refusal.reason.name(),
                samples,
                unsaid,
                answer = refusal.message,
                "receiver stored a request in part"
            );
        }
    }

    /// One sample was refused, told from the good ones.
    pub fn isolated(&self, refusal: &Refusal, request_id: &str) {
        self.count(refusal.reason, 1);
        if let Some(unsaid) = self.due(Kind::Isolated(refusal.reason)) {
            warn!(
                destination = self.destination,
                request_id,
                reason = refusal.reason.name(),
                unsaid,
                answer = refusal.message,
                "receiver refused a sample"
            );
        }
    }

    /// A whole request was refused for good.
    pub fn refused(&self, refusal: &Refusal, samples: usize, request_id: &str) {
        self.count(refusal.reason, samples as u64);
        if let Some(unsaid) = self.due(Kind::Refused(refusal.reason)) {
            error!(
                destination = self.destination,
                request_id,
                reason = refusal.reason.name(),
                samples,
                unsaid,
                answer = refusal.message,
                "receiver cannot read what was sent"
            );
        }
    }

    /// Samples were given up since isolating them would have cost too many requests.
    pub fn unisolated(&self, samples: u64, request_id: &str) {
        self.count(Reason::Unisolated, samples);
        if let Some(unsaid) = self.due(Kind::Unisolated) {
            error!(
                destination = self.destination,
                request_id,
                samples,
                unsaid,
                "too many refused samples in one request: the rest of it counts as refused"
            );
        }
    }

    /// Samples were too old for the destination by the time they could be sent.
    pub fn aged_out(&self, samples: u64) {
        if let Some(unsaid) = self.due(Kind::AgedOut) {
            let destination = self.destination.as_str();
            error!(
                destination,
                samples, unsaid, "samples too old for the destination were left out"
            );
        }
    }

    /// Samples were further ahead of the clock than the destination is sent.
    pub fn too_new(&self, samples: u64) {
        if let Some(unsaid) = self.due(Kind::TooNew) {
            let destination = self.destination.as_str();
            error!(
                destination,
                samples, unsaid, "samples too far ahead of the clock were left out"
            );
        }
    }

    /// A request failed and is sent again.
    pub fn trouble(&self, trouble: &str, misconfigured: bool) {
        let kind = if misconfigured { Kind::Misconfigured } else { Kind::Trouble };
        let Some(unsaid) = self.due(kind) else { return };
        let destination = self.destination.as_str();
        if misconfigured {
            error!(destination, unsaid, trouble, "remote write is set up wrongly, trying again");
        } else {
            warn!(destination, unsaid, trouble, "remote write failed, trying again");
        }
    }

    fn count(&self, reason: Reason, samples: u64) {
        if let Some(counter) = self.refused.get(&reason) {
            counter.increment(samples);
        }
    }

    /// Whether a line of that kind may be logged now; if so, how many were not since the last one.
    fn due(&self, kind: Kind) -> Option<u64> {
        self.logged.lock().unwrap_or_else(PoisonError::into_inner).entry(kind).or_default().due()
    }
}
