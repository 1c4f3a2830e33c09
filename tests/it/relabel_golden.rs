//! Relabelling against the recorded answers of Prometheus.
//!
//! `tests/fixtures/relabel_golden` is the program that recorded them.

use std::collections::{BTreeMap, BTreeSet};

use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use serde::Deserialize;
use sluicegate::map::relabel::{self, Draft, Rule};

/// What Prometheus takes and this gateway refuses, with a reason: an expression of several
/// megabytes once compiled.
const REFUSED_HERE: [&str; 1] = [r"configuration of the regex \pL{1000}"];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    case: String,
    #[serde(default)]
    rules: Option<Vec<Said>>,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    #[serde(default)]
    error: bool,
    #[serde(default)]
    kept: bool,
    #[serde(default)]
    result: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Said {
    #[serde(default)]
    source_labels: Vec<String>,
    separator: Option<String>,
    regex: Option<String>,
    modulus: Option<u64>,
    target_label: Option<String>,
    replacement: Option<String>,
    action: Option<String>,
}

impl From<Said> for Draft {
    fn from(said: Said) -> Self {
        let Said { source_labels, separator, regex, modulus, target_label, replacement, action } =
            said;
        Self { source_labels, separator, regex, modulus, target_label, replacement, action }
    }
}

fn cases() -> Vec<Case> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/relabel-golden.jsonl");
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// What this gateway says to a case, in the words of the fixture.
fn answer(case: &mut Case, reversed: bool) -> String {
    let drafts = case.rules.take().unwrap_or_default().into_iter().map(Draft::from);
    let rules: Result<Vec<Rule>, _> = drafts.map(Draft::build).collect();
    let rules = match rules {
        Ok(rules) => rules,
        Err(faults) => {
            assert!(!faults.is_empty(), "{}: refused without a reason", case.case);
            return "refused".to_owned();
        }
    };
    let mut labels: Vec<_> = case.labels.clone().into_iter().collect();
    if reversed {
        labels.reverse();
    }
    if !relabel::apply(&rules, &mut labels) {
        return "dropped".to_owned();
    }
    let count = labels.len();
    let labels: BTreeMap<_, _> = labels.into_iter().collect();
    assert_eq!(labels.len(), count, "{}: a label stands there twice", case.case);
    format!("{labels:?}")
}

fn replay(reversed: bool) {
    let mut wrong = Vec::new();
    let mut replayed = 0;
    for mut case in cases() {
        let refused = case.error || REFUSED_HERE.contains(&case.case.as_str());
        let expected = match (refused, case.kept) {
            (true, _) => "refused".to_owned(),
            (_, false) => "dropped".to_owned(),
            _ => format!("{:?}", case.result),
        };
        let answer = answer(&mut case, reversed);
        if answer != expected {
            wrong.push(format!("{}\n  expected {expected}\n  got      {answer}", case.case));
        }
        replayed += 1;
    }
    assert!(replayed > 800, "only {replayed} cases");
    assert!(wrong.is_empty(), "{} of {replayed} are wrong:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn every_case_ends_as_in_prometheus() {
    replay(false);
}

#[test]
fn the_order_of_the_labels_given_does_not_matter() {
    replay(true);
}

fn text() -> impl Strategy<Value = String> {
    // Mostly from few letters and the signs that mean something, so that rules meet labels.
    prop_oneof![
        4 => r"[ab1_$(){}\[\]|*+?.^\\dwQEpPx:<>;-]{0,8}",
        2 => "[ab]{0,2}",
        1 => r"\PC{0,6}",
        1 => Just("(.*)".to_owned()),
        1 => Just("(a)?(.*)".to_owned()),
    ]
}

fn draft() -> impl Strategy<Value = Draft> {
    let action = prop::sample::select(vec![
        "replace",
        "keep",
        "drop",
        "labelmap",
        "labeldrop",
        "labelkeep",
        "hashmod",
        "lowercase",
        "uppercase",
        "keepequal",
        "dropequal",
    ]);
    let sources = vec(text(), 0..3);
    let optional = || option::of(text());
    (sources, optional(), optional(), option::of(0..5_u64), optional(), optional(), action)
        .prop_map(
            |(source_labels, separator, regex, modulus, target_label, replacement, action)| {
                let action = Some(action.to_owned());
                Draft {
                    source_labels,
                    separator,
                    regex,
                    modulus,
                    target_label,
                    replacement,
                    action,
                }
            },
        )
}

proptest! {
    #[test]
    fn no_rule_panics_and_names_stay_unique(
        drafts in vec(draft(), 0..12),
        labels in btree_map(text(), text(), 0..6),
    ) {
        let rules: Vec<Rule> =
            drafts.into_iter().filter_map(|draft| draft.build().ok()).collect();
        let mut labels: Vec<_> = labels.into_iter().collect();
        relabel::apply(&rules, &mut labels);
        let names: BTreeSet<_> = labels.iter().map(|(name, _)| name).collect();
        prop_assert_eq!(names.len(), labels.len());
        prop_assert!(labels.iter().all(|(_, value)| !value.is_empty()));
    }
}
