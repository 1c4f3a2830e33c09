//! The remote's words, translated into ours: one table.
//!
//! What each answer does to the samples of its request was measured on Cortex (the engine of Amazon
//! Managed Service for Prometheus), Prometheus, Thanos and VictoriaMetrics;
//! `tests/fixtures/receiver-answers.jsonl` has every answer word for word.

mod retry_after;
mod words;

use std::time::Duration;

use super::config::{BadRequest, Destination};

pub use retry_after::parse_retry_after;

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

/// What a 400 is taken for where its words do not say it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lean {
    /// The good samples were stored, whatever the words.
    Partial,
    /// Nothing was stored, whatever the words.
    Isolate,
    /// Told from the words: partial where they are of Cortex, Amazon Managed Service for Prometheus
    /// or Mimir, which store the good samples; nothing stored otherwise, as with Prometheus, which
    /// rolls the whole request back. Isolating after a partial refusal does no harm.
    Told,
}

impl Lean {
    /// What the configuration and the host of a destination say.
    #[must_use]
    pub fn of(destination: &Destination) -> Self {
        match destination.bad_request {
            BadRequest::Partial => Self::Partial,
            BadRequest::Isolate => Self::Isolate,
            BadRequest::Auto if destination.is_amp() => Self::Partial,
            BadRequest::Auto => Self::Told,
        }
    }
}

/// What an answer means. `body` is the text of the answer, `retry_after` its parsed `Retry-After`.
pub fn judge(status: u16, retry_after: Option<Duration>, body: &str, lean: Lean) -> Verdict {
    let again = |over_rate, misconfigured, trouble| Verdict::TryAgain {
        after: retry_after,
        over_rate,
        misconfigured,
        trouble,
    };
    let answered = || match words::cut(body) {
        message if message.is_empty() => format!("answered {status}"),
        message => format!("answered {status}: {message}"),
    };
    match status {
        200..=299 => Verdict::Accepted,
        // To follow one could sign for, and send samples to, a host that nobody configured.
        300..=399 => again(false, true, format!("answered {status}: redirects are not followed")),
        400 if words::unsigned(body) => Verdict::Resign { trouble: answered() },
        400 if words::throttled(body) => again(false, false, answered()),
        400 => bad_request(body, lean, answered),
        401 | 403 => Verdict::Resign { trouble: answered() },
        408 | 425 => again(false, false, answered()),
        // Thanos: the other samples are stored.
        409 => Verdict::Partial(words::refusal(body)),
        413 => Verdict::Split { trouble: answered() },
        422 => Verdict::Isolate(words::refusal(body)),
        // Series limits used to be answered 429; like their 400 they concern the new series alone,
        // and no waiting helps.
        429 if words::series_limit(body) => refused_in_part(body, lean),
        429 => again(words::over_rate(body), false, answered()),
        500..=599 => again(false, false, answered()),
        // 404 wrong workspace, 405 wrong path, 415 another protocol: nothing that time heals.
        _ => again(false, true, answered()),
    }
}

fn bad_request(body: &str, lean: Lean, answered: impl Fn() -> String) -> Verdict {
    if words::too_large(body) {
        return Verdict::Split { trouble: answered() };
    }
    if words::undecodable(body) {
        return Verdict::Refused(words::refusal(body));
    }
    match lean {
        Lean::Told if !words::partial(body) => Verdict::Isolate(words::refusal(body)),
        lean => refused_in_part(body, lean),
    }
}

fn refused_in_part(body: &str, lean: Lean) -> Verdict {
    match lean {
        Lean::Isolate => Verdict::Isolate(words::refusal(body)),
        Lean::Partial | Lean::Told => Verdict::Partial(words::refusal(body)),
    }
}
