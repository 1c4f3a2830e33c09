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
    /// Answers of any status that broke Firehose's contract.
    pub breaches: u64,
    /// Requests whose number is not known; their data points are not in here.
    pub unnumbered: u64,
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
    pub fn close(attacked: &[Attacked], stored: Option<&Stored>) -> Self {
        let mut books = Self::default();
        let (mut acknowledged, mut others) = (Vec::new(), Vec::new());
        for attacked in attacked {
            books.breaches += attacked.breaches;
            for answer in &attacked.answers {
                books.requests += 1;
                match answer.code {
                    0 => books.unanswered += 1,
                    code => *books.answers.entry(code).or_default() += 1,
                }
                let points = answer.number.and_then(|number| attacked.points_of(number));
                let Some(points) = points else {
                    books.unnumbered += 1;
                    continue;
                };
                let count = points.end - points.start;
                books.points_sent += count;
                if answer.code == 200 {
                    books.points_acknowledged += count;
                    acknowledged.push(points.clone());
                } else {
                    others.push(points.clone());
                }
            }
        }
        let numbered = attacked.iter().all(|attacked| attacked.numbered);
        books.stored =
            stored.map(|stored| StoredBooks::close(stored, acknowledged, &others, numbered));
        books
    }
}

/// Ranges of missing data points that are shown.
const MISSING_SHOWN: usize = 10;

impl StoredBooks {
    fn close(
        stored: &Stored,
        mut acknowledged: Vec<Range<u64>>,
        others: &[Range<u64>],
        numbered: bool,
    ) -> Self {
        let mut books = Self {
            samples: stored.samples,
            points: stored.points.len(),
            duplicated: stored.duplicated,
            exact: stored.exact && numbered,
            ..Self::default()
        };
        if !numbered {
            return books;
        }
        acknowledged.sort_unstable_by_key(|range| range.start);
        let held = |range: &Range<u64>| stored.points.count(range.clone());
        let size = |range: &Range<u64>| range.end - range.start;
        let kept = acknowledged.iter().map(held).sum::<u64>();
        books.missing = Some(acknowledged.iter().map(size).sum::<u64>() - kept);
        let gaps = acknowledged.iter().flat_map(|range| stored.points.gaps(range.clone()));
        books.first_missing = gaps.take(MISSING_SHOWN).collect();
        books.unacknowledged = others.iter().map(held).sum();
        books.unknown = stored.points.len().saturating_sub(kept + books.unacknowledged);
        books
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::single_range_in_vec_init)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::attack::Answer;

    fn answer(number: Option<u64>, code: u16) -> Answer {
        Answer {
            number,
            stage: 0,
            code,
            at: Duration::ZERO,
            latency: Duration::ZERO,
            bytes_out: 0,
            error: String::new(),
        }
    }

    /// Requests 4.. of ten data points each, numbered from 41.
    fn attacked(codes: &[u16]) -> Attacked {
        let numbers = 4..4 + codes.len() as u64;
        Attacked {
            answers: numbers.clone().zip(codes).map(|(n, code)| answer(Some(n), *code)).collect(),
            first: 4,
            // Two more were made, and not sent.
            points: (4..numbers.end + 2).map(|n| n * 10 + 1..n * 10 + 11).collect(),
            numbered: true,
            ..Attacked::default()
        }
    }

    fn stored(ranges: &[Range<u64>]) -> Stored {
        let mut points = Points::default();
        for range in ranges {
            points.insert_range(range.clone());
        }
        Stored { samples: points.len() * 4, points, duplicated: 0, exact: true }
    }

    #[test]
    fn what_was_acknowledged_and_is_stored_balances() {
        let books = Books::close(&[attacked(&[200, 200])], Some(&stored(&[41..61])));
        assert_eq!(books.answers, BTreeMap::from([(200, 2)]));
        assert_eq!((books.requests, books.unanswered, books.unnumbered), (2, 0, 0));
        assert_eq!((books.points_sent, books.points_acknowledged), (20, 20));
        let stored = books.stored.unwrap();
        assert_eq!((stored.samples, stored.points, stored.missing), (80, 20, Some(0)));
        assert_eq!((stored.unacknowledged, stored.unknown, stored.exact), (0, 0, true));
    }

    #[test]
    fn what_is_missing_is_counted_and_named() {
        let books = Books::close(&[attacked(&[200, 200])], Some(&stored(&[41..45, 46..60])));
        let stored = books.stored.unwrap();
        assert_eq!((stored.missing, stored.first_missing), (Some(2), vec![45..46, 60..61]));
    }

    #[test]
    fn what_nobody_acknowledged_may_be_stored_or_not() {
        let attacked = attacked(&[503, 200, 0, 429]);
        let books = Books::close(&[attacked], Some(&stored(&[41..51, 51..61, 61..64, 81..83])));
        assert_eq!(books.answers, BTreeMap::from([(200, 1), (429, 1), (503, 1)]));
        assert_eq!((books.unanswered, books.points_sent, books.points_acknowledged), (1, 40, 10));
        let stored = books.stored.unwrap();
        assert_eq!((stored.missing, stored.unacknowledged, stored.unknown), (Some(0), 13, 2));
    }

    #[test]
    fn several_attacks_are_one_book_and_duplicates_are_told() {
        let mut other = attacked(&[200]);
        other.first = 100;
        other.points = vec![1001..1011];
        other.answers = vec![answer(Some(100), 200), answer(None, 200), answer(Some(7), 0)];
        other.breaches = 3;
        let mut held = stored(&[41..51, 1001..1011]);
        held.duplicated = 5;
        held.exact = false;
        let books = Books::close(&[attacked(&[200]), other], Some(&held));
        assert_eq!((books.requests, books.unnumbered, books.breaches), (4, 2, 3));
        assert_eq!((books.points_acknowledged, books.unanswered), (20, 1));
        let stored = books.stored.unwrap();
        assert_eq!((stored.missing, stored.duplicated, stored.exact), (Some(0), 5, false));
    }

    #[test]
    fn without_numbers_missing_is_not_known() {
        let mut attacked = attacked(&[200, 500]);
        attacked.numbered = false;
        let books = Books::close(&[attacked.clone()], Some(&stored(&[])));
        assert_eq!((books.points_sent, books.points_acknowledged), (20, 10));
        let stored = books.stored.clone().unwrap();
        assert_eq!((stored.missing, stored.exact), (None, false));
        assert_eq!(Books::close(&[attacked], None).stored, None);
        let json = serde_json::to_value(&books).unwrap();
        assert_eq!(json["answers"]["500"], 1);
        assert!(json["stored"]["missing"].is_null());
    }
}
