//! A set of numbers, one bit each, in pieces that are there only if anything is in them.

use std::ops::Range;

/// Words of a piece: 32 KiB.
const WORDS: usize = 4096;

/// Numbers of a piece.
const NUMBERS: u64 = WORDS as u64 * 64;

/// Numbers that a set has room for if nothing else is said: 1 GiB if all are in.
const LIMIT_DEFAULT: u64 = 1 << 33;

/// Numbers of data points.
#[derive(Clone, Debug)]
pub struct Points {
    pieces: Vec<Option<Box<[u64]>>>,
    limit: u64,
    len: u64,
}

impl Default for Points {
    /// An empty set of numbers below 2^33.
    fn default() -> Self {
        Self::new(LIMIT_DEFAULT)
    }
}

impl Points {
    /// An empty set of numbers below `limit`. It takes an eighth of a byte for each number between
    /// those that are in, and 8 bytes for each 262,144 up to the greatest.
    #[must_use]
    pub fn new(limit: u64) -> Self {
        Self { pieces: Vec::new(), limit, len: 0 }
    }

    /// Puts a number in. False if it was in already, or is not below the limit.
    pub fn insert(&mut self, number: u64) -> bool {
        number < self.limit && self.set(number / 64, 1 << (number % 64)) > 0
    }

    /// Puts numbers in, those below the limit; gives how many were not in before.
    pub fn insert_range(&mut self, numbers: Range<u64>) -> u64 {
        let numbers = numbers.start..numbers.end.min(self.limit);
        words(numbers).map(|(word, mask)| self.set(word, mask)).sum()
    }

    /// Whether a number is in.
    #[must_use]
    pub fn contains(&self, number: u64) -> bool {
        self.word(number / 64) >> (number % 64) & 1 == 1
    }

    /// How many are in.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether none is in.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How many of a range are in.
    #[must_use]
    pub fn count(&self, range: Range<u64>) -> u64 {
        let end = range.end.min(self.pieces.len() as u64 * NUMBERS);
        let some = words(range.start..end);
        some.map(|(word, mask)| u64::from((self.word(word) & mask).count_ones())).sum()
    }

    /// What of a range is not in, as ranges in order.
    pub fn gaps(&self, range: Range<u64>) -> impl Iterator<Item = Range<u64>> + '_ {
        let mut from = range.start;
        std::iter::from_fn(move || {
            let start = self.next(from, range.end, false)?;
            from = self.next(start, range.end, true).unwrap_or(range.end);
            Some(start..from)
        })
    }

    /// The next number from `from` on, below `end`, that is in or not.
    fn next(&self, mut from: u64, end: u64, wanted: bool) -> Option<u64> {
        while from < end {
            let word = self.word(from / 64);
            let word = (if wanted { word } else { !word }) >> (from % 64);
            if word != 0 {
                let found = from + u64::from(word.trailing_zeros());
                return (found < end).then_some(found);
            }
            // What lies in no piece is in no set.
            let absent = self.piece(from / 64).is_none();
            let step = if wanted && absent { NUMBERS } else { 64 };
            from = (from / step + 1) * step;
        }
        None
    }

    fn piece(&self, word: u64) -> Option<&[u64]> {
        let piece = usize::try_from(word / WORDS as u64).ok()?;
        self.pieces.get(piece)?.as_deref()
    }

    fn word(&self, word: u64) -> u64 {
        let index = usize::try_from(word % WORDS as u64).unwrap_or_default();
        self.piece(word).and_then(|words| words.get(index)).copied().unwrap_or_default()
    }

    /// Sets bits of a word; gives how many were not set before.
    fn set(&mut self, word: u64, mask: u64) -> u64 {
        let piece = usize::try_from(word / WORDS as u64).unwrap_or(usize::MAX);
        let index = usize::try_from(word % WORDS as u64).unwrap_or_default();
        if self.pieces.len() <= piece {
            self.pieces.resize_with(piece.saturating_add(1), || None);
        }
        let Some(slot) = self.pieces.get_mut(piece) else { return 0 };
        let words = slot.get_or_insert_with(|| vec![0; WORDS].into_boxed_slice());
        let Some(word) = words.get_mut(index) else { return 0 };
        let fresh = u64::from((mask & !*word).count_ones());
        *word |= mask;
        self.len += fresh;
        fresh
    }
}

/// The words that hold numbers, with a mask of them.
fn words(numbers: Range<u64>) -> impl Iterator<Item = (u64, u64)> {
    let last = numbers.end.wrapping_sub(1);
    let words = if numbers.is_empty() { 0..0 } else { numbers.start / 64..last / 64 + 1 };
    words.map(move |word| {
        let low =
            if word == numbers.start / 64 { u64::MAX << (numbers.start % 64) } else { u64::MAX };
        let high = if word == last / 64 { u64::MAX >> (63 - last % 64) } else { u64::MAX };
        (word, low & high)
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    const LIMIT: u64 = 3 * NUMBERS;

    fn numbers() -> impl Strategy<Value = u64> {
        prop_oneof![0u64..200, NUMBERS - 70..NUMBERS + 70, LIMIT - 70..LIMIT + 9]
    }

    proptest! {
        #[test]
        fn it_is_a_set(
            steps in proptest::collection::vec((numbers(), prop_oneof![Just(1u64), 0u64..200]), 1..40),
            asked in proptest::collection::vec((numbers(), 0u64..300_000), 1..8),
        ) {
            let mut model = BTreeSet::new();
            let mut points = Points::new(LIMIT);
            for (number, count) in steps {
                let range = number..number + count;
                let fresh = range.clone().filter(|n| *n < LIMIT && model.insert(*n)).count() as u64;
                if count == 1 {
                    prop_assert_eq!(points.insert(number), fresh == 1);
                } else {
                    prop_assert_eq!(points.insert_range(range), fresh);
                }
                prop_assert_eq!(points.len(), model.len() as u64);
            }
            for (start, count) in asked {
                let range = start..start + count;
                prop_assert_eq!(points.contains(start), model.contains(&start));
                prop_assert_eq!(points.count(range.clone()), model.range(range.clone()).count() as u64);
                let gaps: Vec<_> = points.gaps(range.clone()).collect();
                prop_assert!(gaps.windows(2).all(|two| two[0].end < two[1].start));
                prop_assert!(gaps.iter().all(|gap| !gap.is_empty()));
                let outside: u64 = gaps.iter().map(|gap| gap.end - gap.start).sum();
                prop_assert_eq!(outside + points.count(range), count);
                prop_assert!(gaps.iter().all(|gap| model.range(gap.clone()).next().is_none()));
            }
        }
    }
}
