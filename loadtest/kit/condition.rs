//! What a scenario must show to pass: said before, judged after, each on what was seen.

use std::time::Duration;

use serde::Serialize;
use sluicegate::units::{format_bytes, format_duration};

use crate::evidence::{Evidence, in_words, share};

/// One thing that must hold.
#[derive(Clone, Debug, PartialEq)]
pub enum Condition {
    /// Every request was answered 200.
    AllAccepted,
    /// There was no answer but these.
    Only(&'static [u16]),
    /// The load was more than could be taken: some requests were answered 503.
    Saturated,
    /// The last stage, after all trouble, was answered 200 throughout.
    Recovered,
    /// No accepted request took longer, but for one in a hundred.
    P99(Duration),
    /// No accepted request took longer.
    Longest(Duration),
    /// Everything acknowledged is stored.
    NothingMissing,
    /// Nothing is stored twice.
    NothingTwice,
    /// At least this share of the wanted rate was sent in every stage.
    Kept(f64),
    /// Resident memory stayed under this many bytes.
    MemoryUnder(u64),
    /// From the middle third to the last, memory grew by no more than this share and 4 MiB.
    MemoryFlat(f64),
    /// No byte of the budget is held after the load.
    BudgetReturned,
    /// The trouble was felt: requests were sent again, or answered 503.
    TroubleFelt,
    /// Requests with a wrong key came, and each was answered 401.
    StrangersRefused,
    /// Nothing of them is stored.
    StrangersStoreNothing,
    /// At least so many connections were opened that never finished a request; those that are hung
    /// up on and come again count again.
    HalfOpen(u64),
    /// So many restarts were made under load.
    Restarted(u64),
    /// Each gateway ended by itself, with exit code 0, when it was told to.
    EndedWell,
    /// Every remote-write request kept the contract.
    ContractKept,
    /// One stage of at least this many data points a second was answered 200 throughout, 99 of 100
    /// requests within the time.
    Carries(f64, Duration),
}

/// What became of a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It held.
    Passed,
    /// It did not.
    Failed,
    /// What it takes to judge it was not seen.
    NotSeen,
}

/// A condition with what became of it.
#[derive(Clone, Debug, Serialize)]
pub struct Judged {
    /// The condition in words.
    pub condition: String,
    /// What became of it.
    pub verdict: Verdict,
    /// What was seen.
    pub seen: String,
}

/// Memory may move so far without growing.
const FLAT_SLACK_BYTES: f64 = 4_194_304.0;

impl Condition {
    /// In words, before the run.
    #[must_use]
    pub fn text(&self) -> String {
        let duration = |duration: &Duration| format_duration(*duration);
        match self {
            Self::AllAccepted => "every request is answered 200".to_owned(),
            Self::Only(codes) => {
                let codes: Vec<String> = codes.iter().map(u16::to_string).collect();
                format!("no answer but {}", codes.join(" and "))
            }
            Self::Saturated => "beyond capacity requests are answered 503".to_owned(),
            Self::Recovered => "the last stage is answered 200 throughout".to_owned(),
            Self::P99(bound) => format!("p99 of accepted requests is at most {}", duration(bound)),
            Self::Longest(bound) => format!("no accepted request takes over {}", duration(bound)),
            Self::NothingMissing => "nothing acknowledged is missing".to_owned(),
            Self::NothingTwice => "nothing is stored twice".to_owned(),
            Self::Kept(share) => format!("at least {} of the wanted rate is sent", percent(*share)),
            Self::MemoryUnder(bytes) => {
                format!("resident memory stays under {}", format_bytes(*bytes))
            }
            Self::MemoryFlat(share) => format!(
                "memory grows by at most {} and 4MiB from the middle third to the last",
                percent(*share)
            ),
            Self::BudgetReturned => "no byte of the budget is held after the load".to_owned(),
            Self::TroubleFelt => "the trouble is felt: retries, or answers 503".to_owned(),
            Self::StrangersRefused => "every request with a wrong key is answered 401".to_owned(),
            Self::StrangersStoreNothing => "nothing sent with a wrong key is stored".to_owned(),
            Self::HalfOpen(count) => {
                format!("at least {count} connections are opened and left half open")
            }
            Self::Restarted(count) => format!("{count} restarts under load"),
            Self::EndedWell => "each gateway ends with exit code 0 when told to".to_owned(),
            Self::ContractKept => "every remote-write request keeps the contract".to_owned(),
            Self::Carries(points, bound) => format!(
                "{points:.0} points/s are answered 200 throughout, p99 at most {}",
                duration(bound)
            ),
        }
    }

    /// Judges it on what was seen.
    #[must_use]
    pub fn judge(&self, evidence: &Evidence) -> Judged {
        let (verdict, seen) = match self.verdict(evidence) {
            Some((true, seen)) => (Verdict::Passed, seen),
            Some((false, seen)) => (Verdict::Failed, seen),
            None => (Verdict::NotSeen, "not seen from here".to_owned()),
        };
        Judged { condition: self.text(), verdict, seen }
    }

    /// Whether it held, and what was seen; none if that cannot be said.
    fn verdict(&self, evidence: &Evidence) -> Option<(bool, String)> {
        let codes = &evidence.codes;
        let requests: u64 = codes.values().sum();
        let zero = |count: Option<u64>, noun: &str| count.map(|n| (n == 0, format!("{n} {noun}")));
        Some(match self {
            Self::AllAccepted => {
                let accepted = codes.get(&200).copied().unwrap_or_default();
                (requests > 0 && accepted == requests, in_words(codes))
            }
            Self::Only(allowed) => {
                (requests > 0 && codes.keys().all(|code| allowed.contains(code)), in_words(codes))
            }
            Self::Saturated => (codes.get(&503).is_some_and(|count| *count > 0), in_words(codes)),
            Self::Recovered => {
                let last = evidence.stages.last()?;
                (last.accepted() >= 1.0, in_words(&last.codes))
            }
            Self::P99(bound) => within(evidence.accepted_p99?, *bound),
            Self::Longest(bound) => within(evidence.accepted_max?, *bound),
            Self::NothingMissing => zero(evidence.missing, "missing")?,
            Self::NothingTwice => zero(evidence.duplicated, "stored twice")?,
            Self::Kept(least) => {
                let kept = evidence.stages.iter().map(|stage| stage.kept()).fold(1.0, f64::min);
                (
                    !evidence.stages.is_empty() && kept >= *least,
                    format!("{} at the least", percent(kept)),
                )
            }
            Self::MemoryUnder(bytes) => {
                let peak = evidence.peak_rss_bytes?;
                (peak > 0 && peak < *bytes, format!("at most {:.1} MiB", mib(peak as f64)))
            }
            Self::MemoryFlat(growth) => {
                let (before, after) = thirds(&evidence.rss_bytes)?;
                let flat = after <= before * (1.0 + growth) + FLAT_SLACK_BYTES;
                (flat, format!("from {:.1} to {:.1} MiB", mib(before), mib(after)))
            }
            Self::BudgetReturned => zero(evidence.budget_left_bytes, "bytes held")?,
            Self::TroubleFelt => {
                let retries = evidence.retries?;
                let refused = codes.get(&503).copied().unwrap_or_default();
                (retries + refused > 0, format!("{retries} retries, {refused} answers 503"))
            }
            Self::StrangersRefused => {
                let strangers = evidence.strangers.as_ref()?;
                (share(strangers, 401) >= 1.0, in_words(strangers))
            }
            Self::StrangersStoreNothing => zero(evidence.strangers_stored, "stored")?,
            Self::HalfOpen(least) => {
                let open = evidence.half_open?;
                (open >= *least, format!("{open} were opened"))
            }
            Self::Restarted(count) => {
                let restarts = evidence.restarts?;
                (restarts >= *count, format!("{restarts} made"))
            }
            Self::EndedWell => {
                let exits = evidence.exits.as_ref()?;
                let well = !exits.is_empty() && exits.iter().all(|code| *code == Some(0));
                let words: Vec<String> = exits
                    .iter()
                    .map(|code| code.map_or("killed".to_owned(), |code| code.to_string()))
                    .collect();
                (well, format!("exit codes: {}", words.join(", ")))
            }
            Self::ContractKept => zero(evidence.breaches, "breaches")?,
            Self::Carries(points, bound) => {
                let bound_ms = bound.as_secs_f64() * 1e3;
                let best = evidence
                    .stages
                    .iter()
                    .filter(|stage| stage.accepted() >= 1.0)
                    .filter(|stage| stage.p99_ms.is_some_and(|p99_ms| p99_ms <= bound_ms))
                    .map(|stage| stage.acknowledged_points_per_s)
                    .fold(0.0, f64::max);
                // A stage begins and ends within a request.
                (best >= points * 0.97, format!("{best:.0} points/s"))
            }
        })
    }
}

/// Whether all of them held: none failed and, where everything `must_be_seen`, none was not.
#[must_use]
pub fn all_hold(judged: &[Judged], must_be_seen: bool) -> bool {
    let held = |verdict| match verdict {
        Verdict::Passed => true,
        Verdict::Failed => false,
        Verdict::NotSeen => !must_be_seen,
    };
    judged.iter().all(|judged| held(judged.verdict))
        && judged.iter().any(|judged| judged.verdict == Verdict::Passed)
}

fn within(seen: Duration, bound: Duration) -> (bool, String) {
    (seen <= bound, format!("{:.1} ms", seen.as_secs_f64() * 1e3))
}

/// The medians of the middle and of the last third, the first being for warming up; none of fewer
/// than six values.
fn thirds(values: &[(f64, f64)]) -> Option<(f64, f64)> {
    let third = values.len() / 3;
    if third < 2 {
        return None;
    }
    let median = |part: &[(f64, f64)]| {
        let mut part: Vec<f64> = part.iter().map(|at| at.1).collect();
        part.sort_by(f64::total_cmp);
        part.get(part.len() / 2).copied()
    };
    Some((median(values.get(third..third * 2)?)?, median(values.get(values.len() - third..)?)?))
}

fn mib(bytes: f64) -> f64 {
    bytes / 1_048_576.0
}

fn percent(share: f64) -> String {
    let text = format!("{:.2}", share * 100.0);
    format!("{} %", text.trim_end_matches('0').trim_end_matches('.'))
}

#[cfg(test)]
#[path = "condition_tests.rs"]
mod tests;
