//! Relabelling rules and labels as bytes that mutate well: texts between ASCII's own separators.
//!
//! Groups end in RS (0x1e). In the first stand labels, name and value in turn, between US (0x1f); in
//! each further one a rule: action, source labels (between GS, 0x1d), separator, regex, modulus, target
//! label, replacement. What is missing or NUL is not said.

use sluicegate::map::relabel::{Draft, Rule};

/// Rules cost memory and time to build; what a configuration has of them is its author's choice.
const RULES_MAX: usize = 6;
const REGEX_BYTES_MAX: usize = 200;

/// Labels with unique names, and the rules that could be built.
pub fn read(data: &[u8]) -> (Vec<(String, String)>, Vec<Draft>) {
    let text = String::from_utf8_lossy(data);
    let mut groups = text.split('\x1e');
    let fields: Vec<&str> = groups.next().unwrap_or_default().split('\x1f').collect();
    let mut labels: Vec<(String, String)> = Vec::new();
    for pair in fields.chunks_exact(2) {
        if labels.iter().all(|(name, _)| name != pair[0]) {
            labels.push((pair[0].to_owned(), pair[1].to_owned()));
        }
    }
    (labels, groups.take(RULES_MAX).map(draft).collect())
}

fn draft(group: &str) -> Draft {
    let mut fields = group.split('\x1f').map(|field| (field != "\0").then(|| field.to_owned()));
    let mut next = || fields.next().flatten();
    Draft {
        action: next(),
        source_labels: next()
            .filter(|sources| !sources.is_empty())
            .map(|sources| sources.split('\x1d').map(str::to_owned).collect())
            .unwrap_or_default(),
        separator: next(),
        regex: next().filter(|regex| regex.len() <= REGEX_BYTES_MAX),
        modulus: next().and_then(|modulus| modulus.parse().ok()),
        target_label: next(),
        replacement: next(),
    }
}

/// The drafts that are rules.
pub fn built(drafts: &[Draft]) -> Vec<Rule> {
    drafts.iter().filter_map(|draft| draft.clone().build().ok()).collect()
}

/// The inverse of [`read`], for seeds.
pub fn write(labels: &[(String, String)], drafts: &[Draft]) -> Vec<u8> {
    let labels: Vec<_> = labels.iter().flat_map(|(name, value)| [name.as_str(), value]).collect();
    let mut groups = vec![labels.join("\x1f")];
    for draft in drafts {
        let said = |field: &Option<String>| field.clone().unwrap_or_else(|| "\0".to_owned());
        let modulus = draft.modulus.map(|modulus| modulus.to_string());
        groups.push(
            [
                said(&draft.action),
                draft.source_labels.join("\x1d"),
                said(&draft.separator),
                said(&draft.regex),
                said(&modulus),
                said(&draft.target_label),
                said(&draft.replacement),
            ]
            .join("\x1f"),
        );
    }
    groups.join("\x1e").into_bytes()
}
