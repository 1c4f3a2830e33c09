//! The books: what was sent, what was acknowledged, and what of it is stored.

use std::collections::BTreeMap;
use std::ops::Range;

use serde::Serialize;

use crate::attack::Attacked;
use crate::points::Points;

/// What a receiver has.
#[derive(Clone, Debug, Default)]
pub struct Stored {
    /// Numbers of the data points whose `_sum` sample is stored.
    pub points: Points,
    /// `_sum` samples stored again.
    pub duplicated: u64,
    /// All samples.
    pub samples: u64,
    /// Whether nothing that was stored can be absent from this.
    pub exact: bool,
}

/// The books of attacks.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Books {
    /// Requests that were sent.
    pub requests: u64,
    /// Requests by the status of their answer.
    pub answers: BTreeMap<u16, u64>,
    /// Requests without an answer.
    pub unanswered: u64,
    /// Answers with 200 that did not repeat the request id.
    pub breaches: u64,
    /// Data points that were sent.
    pub points_sent: u64,
    /// Data points of requests that were answered 200.
    pub points_acknowledged: u64,
    /// What is known of what is stored.
    pub stored: Option<StoredBooks>,
}

/// The books of what is stored.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct StoredBooks {
    /// All samples.
    pub samples: u64,
    /// Data points.
    pub points: u64,
    /// Acknowledged and not stored. None if the data points are not numbered.
    pub missing: Option<u64>,
    /// The first of those.
    pub first_missing: Vec<Range<u64>>,
    /// Stored more than once, counted each time again.
    pub duplicated: u64,
    /// Sent, not acknowledged, stored nevertheless: legal, Firehose would send them again.
    pub unacknowledged: u64,
    /// Stored and in no answered or unanswered request: of a vegeta that was killed, or of others.
    pub unknown: u64,
    /// Whether nothing that was stored can be absent from this.
    pub exact: bool,
}

impl Books {
    /// Closes the books of attacks that share no numbers.
    #[must_use]
    pub fn close(_attacked: &[Attacked], _stored: Option<&Stored>) -> Self {
        Self::default()
    }

    /// Whether nothing acknowledged is known to be missing.
    #[must_use]
    pub fn balance(&self) -> bool {
        self.stored.as_ref().is_none_or(|stored| stored.missing.unwrap_or(0) == 0)
    }
}
