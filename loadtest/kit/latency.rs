//! Latencies of answers.

use std::time::Duration;

use serde::Serialize;

use crate::attack::Answer;

/// Percentiles of latencies, by nearest rank, in seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Latency {
    /// Of so many answers.
    pub answers: u64,
    /// Median.
    pub p50: f64,
    /// 90 of 100 were no slower.
    pub p90: f64,
    /// 95 of 100 were no slower.
    pub p95: f64,
    /// 99 of 100 were no slower.
    pub p99: f64,
    /// 999 of 1000 were no slower.
    pub p999: f64,
    /// The slowest.
    pub max: f64,
}

/// What kind of answer it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// 200.
    Accepted,
    /// Any other status.
    Refused,
    /// No answer.
    None,
}

impl Class {
    /// Of a status.
    #[must_use]
    pub const fn of(code: u16) -> Self {
        match code {
            200 => Self::Accepted,
            0 => Self::None,
            _ => Self::Refused,
        }
    }
}

impl Latency {
    /// Of answers of a class; None if there are none.
    #[must_use]
    pub fn of<'a>(answers: impl IntoIterator<Item = &'a Answer>, class: Class) -> Option<Self> {
        let some = answers.into_iter().filter(|answer| Class::of(answer.code) == class);
        Self::among(some.map(|answer| answer.latency).collect())
    }

    /// Of any latencies.
    #[must_use]
    pub fn among(mut latencies: Vec<Duration>) -> Option<Self> {
        latencies.sort_unstable();
        let max = latencies.last()?.as_secs_f64();
        let rank = |per_mille: usize| {
            let rank = (latencies.len() * per_mille).div_ceil(1000).max(1);
            latencies.get(rank - 1).map_or(max, Duration::as_secs_f64)
        };
        Some(Self {
            answers: latencies.len() as u64,
            p50: rank(500),
            p90: rank(900),
            p95: rank(950),
            p99: rank(990),
            p999: rank(999),
            max,
        })
    }
}
