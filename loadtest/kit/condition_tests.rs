//! Every condition is seen to hold on good books, to fail on bad ones, and not to pass unseen.

use std::time::Duration;

use super::*;
use crate::evidence::{Codes, StageFigures};

const SECOND: Duration = Duration::from_secs(1);

fn stage(points_per_s: f64, codes: Codes, p99_ms: f64) -> StageFigures {
    StageFigures {
        wanted_points_per_s: points_per_s,
        sent_points_per_s: points_per_s,
        acknowledged_points_per_s: points_per_s,
        seconds: 10.0,
        codes,
        p99_ms: Some(p99_ms),
        ..StageFigures::default()
    }
}

/// A run in which all is well: trouble was there, and was taken.
fn good() -> Evidence {
    Evidence {
        codes: [(200, 100)].into(),
        missing: Some(0),
        duplicated: Some(0),
        accepted_p99: Some(SECOND / 10),
        accepted_max: Some(SECOND / 5),
        stages: vec![
            stage(100.0, [(200, 80), (503, 1)].into(), 10.0),
            stage(50.0, [(200, 20)].into(), 10.0),
        ],
        peak_rss_bytes: Some(99 << 20),
        rss_bytes: (0..9).map(|s| (f64::from(s), 5e7)).collect(),
        budget_left_bytes: Some(0),
        retries: Some(3),
        strangers: Some([(401, 7)].into()),
        strangers_stored: Some(0),
        half_open: Some(64),
        restarts: Some(2),
        exits: Some(vec![Some(0), Some(0)]),
        breaches: Some(0),
    }
}

fn verdict(condition: &Condition, evidence: &Evidence) -> Verdict {
    condition.judge(evidence).verdict
}

/// Condition, what spoils it, and whether it cannot be judged at all without what it looks at.
fn spoilt() -> Vec<(Condition, Evidence)> {
    let bad = |spoil: &dyn Fn(&mut Evidence)| {
        let mut evidence = good();
        spoil(&mut evidence);
        evidence
    };
    use Condition as C;
    vec![
        (C::AllAccepted, bad(&|e| e.codes.extend([(503, 1)]))),
        (C::AllAccepted, bad(&|e| e.codes.extend([(0, 1)]))),
        (C::AllAccepted, bad(&|e| e.codes.clear())),
        (C::Only(&[200, 503]), bad(&|e| e.codes.extend([(500, 1)]))),
        (C::Only(&[200, 503]), bad(&|e| e.codes.extend([(0, 1)]))),
        (C::Only(&[200]), bad(&|e| e.codes.clear())),
        (C::Saturated, good()),
        (C::Recovered, bad(&|e| e.stages.truncate(1))),
        (C::P99(SECOND), bad(&|e| e.accepted_p99 = Some(SECOND * 2))),
        (C::Longest(SECOND), bad(&|e| e.accepted_max = Some(SECOND * 2))),
        (C::NothingMissing, bad(&|e| e.missing = Some(1))),
        (C::NothingTwice, bad(&|e| e.duplicated = Some(1))),
        (C::Kept(0.95), bad(&|e| e.stages[0].sent_points_per_s = 90.0)),
        (C::Kept(0.95), bad(&|e| e.stages.clear())),
        (C::MemoryUnder(100 << 20), bad(&|e| e.peak_rss_bytes = Some(100 << 20))),
        (C::MemoryUnder(100 << 20), bad(&|e| e.peak_rss_bytes = Some(0))),
        (
            C::MemoryFlat(0.05),
            bad(&|e| {
                e.rss_bytes = (0..9).map(|s| (f64::from(s), 5e7 + f64::from(s) * 4e6)).collect();
            }),
        ),
        (C::BudgetReturned, bad(&|e| e.budget_left_bytes = Some(1))),
        (C::TroubleFelt, bad(&|e| e.retries = Some(0))),
        (C::StrangersRefused, bad(&|e| e.strangers = Some([(401, 7), (200, 1)].into()))),
        (C::StrangersRefused, bad(&|e| e.strangers = Some(Codes::new()))),
        (C::StrangersStoreNothing, bad(&|e| e.strangers_stored = Some(1))),
        (C::HalfOpen(64), bad(&|e| e.half_open = Some(63))),
        (C::Restarted(2), bad(&|e| e.restarts = Some(1))),
        (C::EndedWell, bad(&|e| e.exits = Some(vec![Some(0), Some(1)]))),
        (C::EndedWell, bad(&|e| e.exits = Some(vec![None]))),
        (C::EndedWell, bad(&|e| e.exits = Some(vec![]))),
        (C::ContractKept, bad(&|e| e.breaches = Some(1))),
        (C::Carries(50.0, SECOND), bad(&|e| e.stages[1].codes.extend([(503, 1)]))),
        (C::Carries(50.0, SECOND), bad(&|e| e.stages[1].p99_ms = Some(1001.0))),
        (C::Carries(50.0, SECOND), bad(&|e| e.stages[1].acknowledged_points_per_s = 40.0)),
    ]
}

#[test]
fn each_condition_fails_on_bad_books() {
    for (condition, evidence) in spoilt() {
        let judged = condition.judge(&evidence);
        assert_eq!(judged.verdict, Verdict::Failed, "{condition:?}: {}", judged.seen);
    }
}

#[test]
fn each_condition_holds_on_good_books() {
    let mut saturated = good();
    saturated.codes.insert(503, 5);
    for (condition, _) in spoilt() {
        let evidence = if condition == Condition::Saturated { &saturated } else { &good() };
        let judged = condition.judge(evidence);
        assert_eq!(judged.verdict, Verdict::Passed, "{condition:?}: {}", judged.seen);
    }
}

#[test]
fn nothing_passes_on_no_books() {
    for (condition, _) in spoilt() {
        let verdict = verdict(&condition, &Evidence::default());
        assert_ne!(verdict, Verdict::Passed, "{condition:?}");
    }
}

#[test]
fn a_run_passes_if_nothing_failed_and_what_must_be_seen_was() {
    let judged = |verdict| Judged { condition: String::new(), verdict, seen: String::new() };
    use Verdict::{Failed, NotSeen, Passed};
    for (verdicts, strict, lenient) in [
        (&[Passed, Passed][..], true, true),
        (&[Passed, Failed], false, false),
        (&[Passed, NotSeen], false, true),
        (&[NotSeen], false, false),
        (&[], false, false),
    ] {
        let all: Vec<Judged> = verdicts.iter().copied().map(judged).collect();
        assert_eq!(all_hold(&all, true), strict, "{verdicts:?}");
        assert_eq!(all_hold(&all, false), lenient, "{verdicts:?}");
    }
}

#[test]
fn conditions_are_told_in_words() {
    for (condition, words) in [
        (Condition::Only(&[200, 503]), "no answer but 200 and 503"),
        (Condition::MemoryUnder(192 << 20), "resident memory stays under 192MiB"),
    ] {
        assert_eq!(condition.text(), words);
    }
}
