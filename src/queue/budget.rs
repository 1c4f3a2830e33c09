//! The one budget of bytes. A permit gives its bytes back when it is dropped, and travels with what
//! it was taken for.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes that may be held at once.
#[derive(Debug)]
pub struct Budget {
    limit: u64,
    used: AtomicU64,
}

impl Budget {
    /// A budget of `limit` bytes, none of them used.
    #[must_use]
    pub fn new(limit: u64) -> Arc<Self> {
        Arc::new(Self { limit, used: AtomicU64::new(0) })
    }

    /// All its bytes.
    #[must_use]
    pub fn limit(&self) -> u64 {
        self.limit
    }

    /// Bytes held by permits now.
    #[must_use]
    pub fn used(&self) -> u64 {
        self.used.load(Ordering::Acquire)
    }

    /// Takes bytes, or nothing if there is no room for all of them.
    #[must_use]
    pub fn try_take(self: &Arc<Self>, bytes: u64) -> Option<Permit> {
        self.add(bytes, self.limit).then(|| Permit { budget: Arc::clone(self), bytes })
    }

    /// Takes bytes; more than the limit only if nothing else is held. For shares of a budget, where
    /// one large request must not be refused for ever.
    #[must_use]
    pub fn try_take_or_idle(self: &Arc<Self>, bytes: u64) -> Option<Permit> {
        self.add(bytes, self.limit.max(bytes)).then(|| Permit { budget: Arc::clone(self), bytes })
    }

    fn add(&self, bytes: u64, limit: u64) -> bool {
        self.used
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |used| {
                used.checked_add(bytes).filter(|total| *total <= limit)
            })
            .is_ok()
    }
}

/// Bytes taken from a [`Budget`]; given back on drop.
#[derive(Debug)]
#[must_use = "a permit gives its bytes back when it is dropped"]
pub struct Permit {
    budget: Arc<Budget>,
    bytes: u64,
}

impl Permit {
    /// Bytes held.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Makes the permit hold `bytes`. Shrinking always succeeds; growing fails, and changes nothing,
    /// if the budget has no room.
    #[must_use]
    pub fn try_resize(&mut self, bytes: u64) -> bool {
        if bytes <= self.bytes {
            self.budget.used.fetch_sub(self.bytes - bytes, Ordering::AcqRel);
        } else if !self.budget.add(bytes - self.bytes, self.budget.limit) {
            return false;
        }
        self.bytes = bytes;
        true
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.budget.used.fetch_sub(self.bytes, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_back_when_permits_are_dropped() {
        let budget = Budget::new(100);
        let first = budget.try_take(60).expect("room");
        assert!(budget.try_take(41).is_none());
        let mut second = budget.try_take(40).expect("room");
        assert_eq!(budget.used(), 100);
        assert!(!second.try_resize(41));
        assert_eq!((second.bytes(), budget.used()), (40, 100));
        assert!(second.try_resize(10));
        assert_eq!(budget.used(), 70);
        drop(first);
        assert!(second.try_resize(100));
        drop(second);
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn more_than_the_limit_is_taken_only_when_nothing_else_is_held() {
        let budget = Budget::new(100);
        let small = budget.try_take_or_idle(1).expect("room");
        assert!(budget.try_take_or_idle(101).is_none());
        drop(small);
        let large = budget.try_take_or_idle(101).expect("idle");
        assert!(budget.try_take_or_idle(1).is_none());
        drop(large);
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn a_request_near_the_largest_number_does_not_wrap() {
        let budget = Budget::new(100);
        let _held = budget.try_take(1).expect("room");
        assert!(budget.try_take(u64::MAX).is_none());
    }
}
