//! Reads lists of relabelling rules. Nothing in them is expanded: `${1}` and `${name}` are
//! references to what the regular expression captured.

use super::reader::Section;
use crate::map::relabel::{Draft, Rule};

pub(super) fn read(section: &Section<'_>, key: &'static str) -> Vec<Rule> {
    let rules = section.sections(key, |entry| {
        let draft = Draft {
            source_labels: entry.strings("source_labels").unwrap_or_default(),
            separator: entry.string("separator"),
            regex: entry.string("regex"),
            modulus: entry.number("modulus", 0..=u64::MAX),
            target_label: entry.string("target_label"),
            replacement: entry.string("replacement"),
            action: entry.string("action"),
        };
        match draft.build() {
            Ok(rule) => Some(rule),
            Err(faults) => {
                for fault in faults {
                    entry.fault(fault.key, fault.message);
                }
                None
            }
        }
    });
    rules.unwrap_or_default().into_iter().flatten().collect()
}
