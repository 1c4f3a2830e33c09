//! Waits between attempts: longer each time, and never in step with anybody else's.

use std::time::Duration;

/// Exponential backoff with jitter. The n-th wait lies between half of `2ⁿ · min` and the whole,
/// within the bounds.
#[derive(Clone, Debug)]
pub struct Backoff {
    min: Duration,
    max: Duration,
    ceiling: Duration,
    random: fastrand::Rng,
}

impl Backoff {
    /// Waits between `min` and `max`.
    #[must_use]
    pub fn new(min: Duration, max: Duration) -> Self {
        Self::seeded(min, max, fastrand::u64(..))
    }

    /// The same waits for the same seed.
    #[must_use]
    pub fn seeded(min: Duration, max: Duration, seed: u64) -> Self {
        let max = max.max(min);
        Self { min, max, ceiling: min, random: fastrand::Rng::with_seed(seed) }
    }

    /// The next wait.
    #[allow(clippy::should_implement_trait)] // It never ends.
    pub fn next(&mut self) -> Duration {
        self.ceiling = self.ceiling.saturating_mul(2).min(self.max);
        let floor = (self.ceiling / 2).max(self.min);
        floor + (self.ceiling - floor).mul_f64(self.random.f64())
    }

    /// Starts over: the next wait is a short one.
    pub fn reset(&mut self) {
        self.ceiling = self.min;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn grows_within_its_bounds(min in 0_u64..10_000, max in 0_u64..100_000, seed: u64) {
            let (min, max) = (Duration::from_millis(min), Duration::from_millis(max));
            let mut backoff = Backoff::seeded(min, max, seed);
            let mut again = Backoff::seeded(min, max, seed);
            let longest = max.max(min);
            for n in 1..80 {
                let wait = backoff.next();
                let whole = min.saturating_mul(2_u32.saturating_pow(n)).min(longest);
                prop_assert!(wait >= min && wait >= whole / 2 && wait <= whole, "{n}: {wait:?}");
                prop_assert_eq!(wait, again.next());
            }
            backoff.reset();
            prop_assert!(backoff.next() <= min * 2);
        }
    }

    #[test]
    fn two_of_them_are_not_in_step() {
        let bounds = (Duration::from_millis(100), Duration::from_secs(10));
        let waits = |seed| {
            let mut backoff = Backoff::seeded(bounds.0, bounds.1, seed);
            (0..8).map(|_| backoff.next()).collect::<Vec<_>>()
        };
        assert_ne!(waits(1), waits(2));
    }
}
