//! The remote's words, translated into ours: one table.

use std::time::Duration;

/// What an answer means for the samples of the request.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Verdict {
    /// Stored.
    Accepted,
    /// Some were stored and at least one was refused; the receiver names only the first.
    Partial(Refusal),
    /// At least one is refused and nothing was stored: find the bad ones by halving.
    Isolate(Refusal),
    /// Refused for good, all of it.
    Refused(Refusal),
    /// Nothing is decided: send the same again later.
    TryAgain {
        /// The receiver's own wish (`Retry-After`).
        after: Option<Duration>,
        /// The request holds more samples than the receiver's rate limit ever admits: if it happens
        /// twice, halve it.
        over_rate: bool,
        /// Something is set up wrongly and a person must act: go slowly, say so loudly.
        misconfigured: bool,
        /// For logs and the answer to Firehose.
        trouble: String,
    },
    /// Too large: halve it and go on.
    Split {
        /// For the log.
        trouble: String,
    },
    /// The signature or the credentials were not taken: fetch credentials, sign again.
    Resign {
        /// For logs and the answer to Firehose.
        trouble: String,
    },
}

/// Why samples were refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The `reason` label.
    pub reason: Reason,
    /// The receiver's words, cut short, for the log.
    pub message: String,
}

/// Classes of refusals.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// Older than the series' newest sample, outside of the out-of-order window.
    OutOfOrder,
    /// The timestamp is there with another value.
    Duplicate,
    /// Too old for the receiver.
    TooOld,
    /// Too far in the future.
    TooNew,
    /// A limit on series, labels or sizes.
    Limit,
    /// Anything else.
    Other,
    /// Isolation ended before this sample was told from the good ones.
    Unisolated,
}

impl Reason {
    /// Every reason.
    pub const ALL: [Self; 7] = [
        Self::OutOfOrder,
        Self::Duplicate,
        Self::TooOld,
        Self::TooNew,
        Self::Limit,
        Self::Other,
        Self::Unisolated,
    ];

    /// The label value.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::OutOfOrder => "out_of_order",
            Self::Duplicate => "duplicate",
            Self::TooOld => "too_old",
            Self::TooNew => "too_new",
            Self::Limit => "limit",
            Self::Other => "other",
            Self::Unisolated => "unisolated",
        }
    }
}
