//! Relabelling: rules whose text comes from a file, labels that come from CloudWatch.

use std::collections::BTreeMap;

use regex::Regex;
use sluicegate::map::relabel::{self, Draft, Rule};

use super::rules;

type Labels = Vec<(String, String)>;

/// Builds rules and applies them to labels.
pub fn run(data: &[u8]) {
    let (labels, drafts) = rules::read(data);
    for draft in &drafts {
        match draft.clone().build() {
            Ok(rule) => alone(&rule, draft, &labels),
            Err(faults) => assert!(!faults.is_empty(), "{draft:?} is refused without a reason"),
        }
    }
    let rules = rules::built(&drafts);
    let result = applied(&rules, &labels);
    // The order in which labels are given decides nothing.
    let reversed: Labels = labels.iter().rev().cloned().collect();
    assert_eq!(result, applied(&rules, &reversed));
    // Rules are pure: one after the other they end as all at once.
    let mut step = Some(labels);
    for rule in &rules {
        step = step.and_then(|mut labels| {
            relabel::apply(std::slice::from_ref(rule), &mut labels).then_some(labels)
        });
    }
    assert_eq!(result.is_none(), step.is_none());
}

/// What comes of labels; none if the series is dropped.
fn applied(rules: &[Rule], labels: &Labels) -> Option<BTreeMap<String, String>> {
    let mut labels = labels.clone();
    if !relabel::apply(rules, &mut labels) {
        return None;
    }
    let count = labels.len();
    let map: BTreeMap<_, _> = labels.into_iter().collect();
    assert_eq!(map.len(), count, "a label stands there twice");
    assert!(map.values().all(|value| !value.is_empty()));
    Some(map)
}

/// One rule, held against the simple meaning of its action.
fn alone(rule: &Rule, draft: &Draft, labels: &Labels) {
    let shown = serde_json::to_value(rule).expect("a rule that prints");
    let again = read_back(&shown).build().expect("a printed rule that can be built");
    assert!(again == *rule, "{rule:?} prints as {shown}");

    let before: BTreeMap<String, String> =
        labels.iter().filter(|(_, value)| !value.is_empty()).cloned().collect();
    let get = |name: &str| before.get(name).map_or("", String::as_str);
    let sources: Vec<&str> = draft.source_labels.iter().map(|name| get(name)).collect();
    let value = sources.join(draft.separator.as_deref().unwrap_or(";"));
    let target = draft.target_label.as_deref().unwrap_or_default();
    let result = applied(std::slice::from_ref(rule), labels);
    let matches = plain(draft.regex.as_deref().unwrap_or("(.*)"));
    let matches = |text: &str| matches.as_ref().map(|regex| regex.is_match(text));
    let set = |name: &str, value: String| {
        let mut after = before.clone();
        after.remove(name);
        if !value.is_empty() {
            after.insert(name.to_owned(), value);
        }
        Some(after)
    };
    let kept = |keep: bool| keep.then(|| before.clone());
    let filtered = |keep: &dyn Fn(&str) -> bool| {
        let names = before.iter().filter(|(name, _)| keep(name));
        Some(names.map(|(name, value)| (name.clone(), value.clone())).collect())
    };
    let action = draft.action.as_deref().unwrap_or("replace").to_lowercase();
    let expected = match action.as_str() {
        "keep" => matches(&value).map(kept),
        "drop" => matches(&value).map(|matches| kept(!matches)),
        "keepequal" => Some(kept(get(target) == value)),
        "dropequal" => Some(kept(get(target) != value)),
        "labelkeep" => matches("").map(|_| filtered(&|name| matches(name) == Some(true))),
        "labeldrop" => matches("").map(|_| filtered(&|name| matches(name) == Some(false))),
        "lowercase" if value.is_ascii() => Some(set(target, value.to_ascii_lowercase())),
        "uppercase" if value.is_ascii() => Some(set(target, value.to_ascii_uppercase())),
        "replace" if !format!("{target}{:?}", draft.replacement).contains('$') => {
            let replacement = draft.replacement.clone();
            replacement
                .and_then(|new| Some(if matches(&value)? { set(target, new) } else { kept(true) }))
        }
        "hashmod" => {
            let share = result.as_ref().and_then(|labels| labels.get(target)?.parse::<u64>().ok());
            assert!(share < draft.modulus, "{share:?}");
            None
        }
        _ => None,
    };
    if let Some(expected) = expected {
        assert_eq!(result, expected, "{rule:?} on {labels:?}");
    }
}

/// Expressions that mean the same to RE2 and here, so that nothing has to be translated.
fn plain(source: &str) -> Option<Regex> {
    let common = |c: char| c.is_ascii_alphanumeric() || "_-./:*+?|()^ ".contains(c);
    let odd = ["(?", "**", "*+", "+*", "++", "?*", "?+", "*??", "+??", "???", "^*", "^+", "^?"];
    if !source.chars().all(common) || odd.iter().any(|odd| source.contains(odd)) {
        return None;
    }
    Regex::new(&format!("^(?s:{source})$")).ok()
}

fn read_back(shown: &serde_json::Value) -> Draft {
    let text = |key: &str| shown.get(key).map(|text| text.as_str().expect("a text").to_owned());
    let sources = shown.get("source_labels").and_then(serde_json::Value::as_array);
    let source = |name: &serde_json::Value| name.as_str().expect("a text").to_owned();
    Draft {
        source_labels: sources.map(|names| names.iter().map(source).collect()).unwrap_or_default(),
        separator: text("separator"),
        regex: text("regex"),
        modulus: shown.get("modulus").and_then(serde_json::Value::as_u64),
        target_label: text("target_label"),
        replacement: text("replacement"),
        action: text("action"),
    }
}
