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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn millis(some: impl IntoIterator<Item = u64>) -> Vec<Duration> {
        some.into_iter().map(Duration::from_millis).collect()
    }

    #[test]
    fn percentiles_are_the_nearest_ranks() {
        let latency = Latency::among(millis((1..=1000).rev())).unwrap();
        let expected = Latency {
            answers: 1000,
            p50: 0.5,
            p90: 0.9,
            p95: 0.95,
            p99: 0.99,
            p999: 0.999,
            max: 1.0,
        };
        assert_eq!(latency, expected);
        let few = Latency::among(millis([3, 1, 2])).unwrap();
        assert_eq!((few.p50, few.p90, few.p999, few.max), (0.002, 0.003, 0.003, 0.003));
        let one = Latency::among(millis([7])).unwrap();
        assert_eq!((one.p50, one.max, one.answers), (0.007, 0.007, 1));
        assert_eq!(Latency::among(vec![]), None);
    }

    proptest::proptest! {
        #[test]
        fn so_many_were_no_slower(some in proptest::collection::vec(0u64..1000, 1..400)) {
            let latency = Latency::among(millis(some.iter().copied())).unwrap();
            for (per_mille, value) in [
                (500, latency.p50),
                (900, latency.p90),
                (950, latency.p95),
                (990, latency.p99),
                (999, latency.p999),
                (1000, latency.max),
            ] {
                let seconds = |ms: &u64| Duration::from_millis(*ms).as_secs_f64();
                let no_slower = some.iter().filter(|ms| seconds(ms) <= value).count();
                let faster = some.iter().filter(|ms| seconds(ms) < value).count();
                let needed = some.len() * per_mille;
                proptest::prop_assert!(no_slower * 1000 >= needed && faster * 1000 < needed);
            }
        }
    }

    #[test]
    fn classes_are_kept_apart() {
        let answer = |code, ms| Answer {
            number: None,
            stage: 0,
            code,
            at: Duration::ZERO,
            latency: Duration::from_millis(ms),
            bytes_out: 0,
            error: String::new(),
        };
        let answers = [answer(200, 1), answer(503, 2), answer(0, 3), answer(202, 4)];
        let max =
            |class| Latency::of(&answers, class).map(|latency| (latency.answers, latency.max));
        assert_eq!(max(Class::Accepted), Some((1, 0.001)));
        assert_eq!(max(Class::Refused), Some((2, 0.004)));
        assert_eq!(max(Class::None), Some((1, 0.003)));
        assert_eq!(Latency::of(&answers[..1], Class::None), None);
    }
}
