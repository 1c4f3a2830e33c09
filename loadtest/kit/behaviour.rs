//! What a destination may do to the gateway.

use std::time::Duration;

/// What the kit's receiver does with requests, from the next one on.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Behaviour {
    /// Stores and answers at once.
    #[default]
    Store,
    /// Stores and answers after a while; a sender that hangs up before then has not written.
    Delay(Duration),
    /// Answers every request with this status; what is not 2xx is not stored.
    Status {
        /// The status.
        code: u16,
        /// `Retry-After`, in whole seconds.
        retry_after: Option<Duration>,
    },
    /// Nobody listens: open connections are reset, new ones refused.
    Refuse,
    /// Connections are taken and reset in place of an answer.
    Reset,
    /// No answer until the behaviour changes; then as that one says.
    Hang,
    /// Stores up to so many samples per second, with a second's worth at once; beyond that, 429.
    Throttle {
        /// Samples per second.
        samples: u64,
        /// `Retry-After` of the 429, in whole seconds.
        retry_after: Option<Duration>,
    },
}

impl Behaviour {
    /// In a word, for reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Store => "up",
            Self::Delay(_) => "slow",
            Self::Status { .. } => "answering errors",
            Self::Refuse => "refusing connections",
            Self::Reset => "resetting connections",
            Self::Hang => "hanging",
            Self::Throttle { .. } => "throttling",
        }
    }
}
