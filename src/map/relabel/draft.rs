//! A rule as it is written, and all that can be wrong with it.

use std::num::NonZeroU64;

use serde::Serialize;

use super::pattern::Pattern;
use super::template::Template;
use super::{Action, Rule};

const SEPARATOR: &str = ";";
const REGEX: &str = "(.*)";
const REPLACEMENT: &str = "$1";
const REPLACE: &str = "replace";

const ACTIONS: [&str; 11] = [
    REPLACE,
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
];

/// One relabelling rule as it is said; what is not said is Prometheus's default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Draft {
    /// Labels whose values are joined; a missing label counts as an empty one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub source_labels: Vec<String>,
    /// What stands between the joined values; `;` by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub separator: Option<String>,
    /// RE2 expression that has to match all of the joined value; `(.*)` by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub regex: Option<String>,
    /// Divisor of `hashmod`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub modulus: Option<u64>,
    /// Label to write; for `replace` a template.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_label: Option<String>,
    /// Template of the new value, or of the new name for `labelmap`; `$1` by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replacement: Option<String>,
    /// What to do, in upper or lower case; `replace` by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
}

/// One thing that is wrong with a rule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {message}")]
pub struct Fault {
    /// The key of the rule.
    pub key: &'static str,
    /// What was expected of it.
    pub message: String,
}

fn fault(key: &'static str, message: impl Into<String>) -> Fault {
    Fault { key, message: message.into() }
}

impl Draft {
    /// The rule, or everything that is wrong with it.
    ///
    /// # Errors
    /// Whatever Prometheus refuses, and the few expressions that are beyond the regular
    /// expressions here (surrogates, what takes too much memory).
    pub fn build(self) -> Result<Rule, Vec<Fault>> {
        let mut faults = Vec::new();
        if self.source_labels.iter().any(String::is_empty) {
            faults.push(fault("source_labels", "a label name must not be empty"));
        }
        let pattern = Pattern::new(self.regex.as_deref().unwrap_or(REGEX))
            .map_err(|reason| {
                faults.push(fault("regex", format!("expected an RE2 expression: {reason}")));
            })
            .ok();
        let said = self.without_defaults();
        let name = said.action.clone().unwrap_or_else(|| REPLACE.to_owned());
        self.check_extra_keys(&name, &mut faults);
        let action = self.action(&name, pattern, &mut faults);
        match action {
            Some(action) if faults.is_empty() => Ok(Rule {
                said,
                separator: self.separator.unwrap_or_else(|| SEPARATOR.to_owned()),
                action,
            }),
            _ => Err(faults),
        }
    }

    /// None only if there are faults.
    fn action(
        &self,
        name: &str,
        pattern: Option<Pattern>,
        faults: &mut Vec<Fault>,
    ) -> Option<Action> {
        let replacement = self.replacement.as_deref().unwrap_or(REPLACEMENT);
        let mut target = || {
            let target = self.target_label.clone().filter(|label| !label.is_empty());
            if target.is_none() {
                faults.push(fault("target_label", format!("required for action {name}")));
            }
            target
        };
        Some(match name {
            REPLACE => {
                let (target, pattern) = (target(), pattern?);
                Action::Replace {
                    target: Template::new(&target?, &pattern),
                    replacement: Template::new(replacement, &pattern),
                    pattern,
                }
            }
            "keep" => Action::Keep(pattern?),
            "drop" => Action::Drop(pattern?),
            "keepequal" => Action::KeepEqual { target: target()? },
            "dropequal" => Action::DropEqual { target: target()? },
            "hashmod" => {
                let target = target();
                let modulus = self.modulus.and_then(NonZeroU64::new);
                if modulus.is_none() {
                    faults.push(fault("modulus", "required for action hashmod: 1 or more"));
                }
                Action::HashMod { target: target?, modulus: modulus? }
            }
            "labelmap" => {
                if replacement.is_empty() {
                    faults.push(fault(
                        "replacement",
                        "expected a label name or a template of one for action labelmap",
                    ));
                }
                let pattern = pattern?;
                Action::LabelMap { replacement: Template::new(replacement, &pattern), pattern }
            }
            "labeldrop" => Action::LabelDrop(pattern?),
            "labelkeep" => Action::LabelKeep(pattern?),
            "lowercase" => Action::Lowercase { target: target()? },
            "uppercase" => Action::Uppercase { target: target()? },
            unknown => {
                faults.push(fault("action", expected_actions(unknown)));
                return None;
            }
        })
    }

    /// Keys that an action does not know are refused as Prometheus refuses them: most actions
    /// overlook them, some do not. Saying the default is allowed, except of a regex.
    fn check_extra_keys(&self, name: &str, faults: &mut Vec<Fault>) {
        let (label, equal, allowed) = match name {
            "labeldrop" | "labelkeep" => (true, false, "only regex"),
            "keepequal" | "dropequal" => (false, true, "only source_labels and target_label"),
            "lowercase" | "uppercase" => (false, false, "no replacement"),
            _ => return,
        };
        let differs = |value: &Option<String>, default| {
            value.as_deref().is_some_and(|value| value != default)
        };
        let extra = [
            ("source_labels", label && !self.source_labels.is_empty()),
            ("separator", (label || equal) && differs(&self.separator, SEPARATOR)),
            ("regex", equal && self.regex.is_some()),
            ("modulus", (label || equal) && self.modulus.is_some_and(|modulus| modulus != 0)),
            ("target_label", label && differs(&self.target_label, "")),
            ("replacement", differs(&self.replacement, REPLACEMENT)),
        ];
        for (key, _) in extra.into_iter().filter(|(_, extra)| *extra) {
            faults.push(fault(key, format!("action {name} takes {allowed}")));
        }
    }

    fn without_defaults(&self) -> Self {
        let unless =
            |value: &Option<String>, default: &str| value.clone().filter(|value| value != default);
        Self {
            source_labels: self.source_labels.clone(),
            separator: unless(&self.separator, SEPARATOR),
            regex: unless(&self.regex, REGEX),
            modulus: self.modulus.filter(|modulus| *modulus != 0),
            target_label: unless(&self.target_label, ""),
            replacement: unless(&self.replacement, REPLACEMENT),
            action: unless(&self.action.as_ref().map(|action| action.to_lowercase()), REPLACE),
        }
    }
}

fn expected_actions(unknown: &str) -> String {
    let nearest = ACTIONS
        .iter()
        .map(|action| (edits(unknown, action), action))
        .filter(|(edits, action)| edits * 2 <= action.len())
        .min();
    match nearest {
        Some((_, action)) => format!("unknown action {unknown:?}: did you mean {action}?"),
        None => format!("unknown action {unknown:?}: expected one of {}", ACTIONS.join(", ")),
    }
}

/// How many letters have to be added, removed or exchanged to get from `a` to `b`.
fn edits(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.chars().count()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut left = i + 1;
        let mut diagonal = i;
        for (above, to) in row.iter_mut().skip(1).zip(b.chars()) {
            let here = (diagonal + usize::from(from != to)).min(left + 1).min(*above + 1);
            diagonal = std::mem::replace(above, here);
            left = here;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn draft(action: &str) -> Draft {
        Draft { action: Some(action.to_owned()), ..Draft::default() }
    }

    fn faults(draft: Draft) -> Vec<String> {
        draft.build().unwrap_err().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn every_fault_is_reported_with_its_key() {
        let wrong = Draft {
            source_labels: vec![String::new()],
            regex: Some("(".to_owned()),
            ..draft("hashmod")
        };
        assert_eq!(
            faults(wrong),
            [
                "source_labels: a label name must not be empty",
                "regex: expected an RE2 expression: missing closing )",
                "target_label: required for action hashmod",
                "modulus: required for action hashmod: 1 or more",
            ]
        );
        let extra = Draft {
            target_label: Some("a".to_owned()),
            separator: Some(",".to_owned()),
            ..draft("labeldrop")
        };
        assert_eq!(
            faults(extra),
            [
                "separator: action labeldrop takes only regex",
                "target_label: action labeldrop takes only regex",
            ]
        );
    }

    #[test]
    fn a_misspelt_action_is_answered_with_the_nearest() {
        for (misspelt, nearest) in
            [("keeep", "keep"), ("label_drop", "labeldrop"), ("hasmod", "hashmod")]
        {
            let expected = format!("did you mean {nearest}?");
            assert!(faults(draft(misspelt)).concat().ends_with(&expected), "{misspelt}");
        }
        assert!(faults(draft("frobnicate")).concat().contains("one of replace, keep, drop"));
    }

    #[test]
    fn reasons_speak_of_what_was_written() {
        for (regex, reason) in [
            ("a**", "repetition of a repetition"),
            ("(?=a)", "no look-around"),
            (r"\1", "no back-references"),
            (r"\pL{1000}", "too big once compiled"),
            (r"\p{Alphabetic}", r"unknown Unicode class \p{Alphabetic}"),
            (r"\x{D800}", "not a Unicode character"),
        ] {
            let wrong = Draft { regex: Some(regex.to_owned()), ..draft("keep") };
            let faults = faults(wrong).concat();
            assert!(faults.contains(reason), "{regex}: {faults}");
        }
    }

    #[test]
    fn a_rule_prints_as_it_is_written_without_defaults() {
        let rule = Draft {
            source_labels: vec!["a".to_owned()],
            separator: Some(";".to_owned()),
            regex: Some("(.*)".to_owned()),
            replacement: Some("x$1".to_owned()),
            target_label: Some("b".to_owned()),
            ..draft("Replace")
        }
        .build()
        .unwrap();
        assert_eq!(
            serde_json::to_string(&rule).unwrap(),
            r#"{"source_labels":["a"],"target_label":"b","replacement":"x$1"}"#
        );
    }
}
