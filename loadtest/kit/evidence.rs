//! What a run leaves behind for its judge: plain figures, each absent where it was not seen.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

/// Answers by HTTP status; 0 stands for none.
pub type Codes = BTreeMap<u16, u64>;

/// What was seen of a run.
#[derive(Clone, Debug, Default)]
pub struct Evidence {
    /// Requests by answer.
    pub codes: Codes,
    /// Acknowledged data points that are not stored.
    pub missing: Option<u64>,
    /// Data points that are stored more than once.
    pub duplicated: Option<u64>,
    /// 99 of 100 requests that were answered 200 took no longer.
    pub accepted_p99: Option<Duration>,
    /// Nor did any take longer than this.
    pub accepted_max: Option<Duration>,
    /// The stages, in order.
    pub stages: Vec<StageFigures>,
    /// The most resident memory that a gateway ever had.
    pub peak_rss_bytes: Option<u64>,
    /// Resident memory over time: seconds since the start, bytes.
    pub rss_bytes: Vec<(f64, f64)>,
    /// Bytes of the budget in use after the load.
    pub budget_left_bytes: Option<u64>,
    /// Requests to the destination that were sent again after a failure.
    pub retries: Option<u64>,
    /// Requests beside the load whose key is wrong, by answer.
    pub strangers: Option<Codes>,
    /// Data points of theirs that are stored.
    pub strangers_stored: Option<u64>,
    /// Connections that were opened and never finished a request.
    pub half_open: Option<u64>,
    /// How often a gateway was restarted under load.
    pub restarts: Option<u64>,
    /// Exit codes of the gateways on SIGTERM; none where it had to be killed.
    pub exits: Option<Vec<Option<i32>>>,
    /// Remote-write requests out of contract.
    pub breaches: Option<u64>,
}

/// One stage of a load.
#[derive(Clone, Debug, Default, Serialize)]
pub struct StageFigures {
    /// Data points per second that were to be sent.
    pub wanted_points_per_s: f64,
    /// That were sent.
    pub sent_points_per_s: f64,
    /// That were acknowledged.
    pub acknowledged_points_per_s: f64,
    /// How long it was to last.
    pub seconds: f64,
    /// Its requests by answer.
    pub codes: Codes,
    /// Half of those answered 200 took no longer, in milliseconds.
    pub p50_ms: Option<f64>,
    /// 99 of 100 of those answered 200 took no longer, in milliseconds.
    pub p99_ms: Option<f64>,
    /// The longest of those answered 200, in milliseconds.
    pub max_ms: Option<f64>,
}

impl StageFigures {
    /// The share of requests that were answered 200; 0 without requests.
    #[must_use]
    pub fn accepted(&self) -> f64 {
        share(&self.codes, 200)
    }

    /// The share of the wanted rate that was sent.
    #[must_use]
    pub fn kept(&self) -> f64 {
        if self.wanted_points_per_s > 0.0 {
            self.sent_points_per_s / self.wanted_points_per_s
        } else {
            1.0
        }
    }
}

/// The share of one answer among all; 0 without any.
#[must_use]
pub fn share(codes: &Codes, code: u16) -> f64 {
    let all: u64 = codes.values().sum();
    let of = codes.get(&code).copied().unwrap_or_default();
    if all == 0 { 0.0 } else { of as f64 / all as f64 }
}

/// Answers in words: `990 x 200, 10 x 503, 1 without an answer`.
#[must_use]
pub fn in_words(codes: &Codes) -> String {
    let word = |(code, count): (&u16, &u64)| match code {
        0 => format!("{count} without an answer"),
        code => format!("{count} x {code}"),
    };
    // None at last.
    let answered = codes.iter().filter(|(code, _)| **code != 0);
    let words: Vec<String> = answered.chain(codes.get_key_value(&0)).map(word).collect();
    if words.is_empty() { "no request".to_owned() } else { words.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_and_words_of_answers() {
        let codes = Codes::from([(0, 1), (200, 98), (503, 1)]);
        assert!((share(&codes, 200) - 0.98).abs() < 1e-12);
        assert!(share(&Codes::new(), 200).abs() < 1e-12);
        assert_eq!(in_words(&codes), "98 x 200, 1 x 503, 1 without an answer");
        assert_eq!(in_words(&Codes::new()), "no request");
    }

    #[test]
    fn a_stage_knows_how_much_of_its_rate_it_kept() {
        let stage = StageFigures {
            wanted_points_per_s: 100.0,
            sent_points_per_s: 80.0,
            ..StageFigures::default()
        };
        assert!((stage.kept() - 0.8).abs() < 1e-12);
        assert!((StageFigures::default().kept() - 1.0).abs() < 1e-12);
    }
}
