//! A set of numbers, one bit each.

use std::ops::Range;

/// Numbers of data points.
#[derive(Clone, Debug, Default)]
pub struct Points {}

impl Points {
    /// An empty set of numbers below `limit`.
    #[must_use]
    pub fn new(_limit: u64) -> Self {
        Self::default()
    }

    /// Puts a number in. False if it was in already, or is not below the limit.
    pub fn insert(&mut self, _number: u64) -> bool {
        false
    }

    /// Puts numbers in; gives how many were not in before.
    pub fn insert_range(&mut self, _numbers: Range<u64>) -> u64 {
        0
    }

    /// Whether a number is in.
    #[must_use]
    pub fn contains(&self, _number: u64) -> bool {
        false
    }

    /// How many are in.
    #[must_use]
    pub fn len(&self) -> u64 {
        0
    }

    /// Whether none is in.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many of a range are in.
    #[must_use]
    pub fn count(&self, _range: Range<u64>) -> u64 {
        0
    }

    /// What of a range is not in, as ranges in order.
    pub fn gaps(&self, _range: Range<u64>) -> impl Iterator<Item = Range<u64>> + '_ {
        std::iter::empty()
    }
}
