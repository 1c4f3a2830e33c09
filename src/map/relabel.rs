//! Relabelling with Prometheus's semantics.
//!
//! The oracle is Prometheus 3.5 (`model/relabel` of v0.305.0) with its default, UTF-8 scheme of
//! names: `tests/fixtures/relabel-golden.jsonl` holds its own answers. Under the legacy scheme
//! Prometheus would refuse target labels outside `[a-zA-Z_][a-zA-Z0-9_]*`; here, as with its
//! default, every name that is not empty may be written, and what is legal for a receiver is
//! decided after relabelling. A `labelmap` can even make an empty name, as it can there.

use std::borrow::Cow;
use std::fmt;
use std::num::NonZeroU64;

use md5::{Digest, Md5};
use serde::{Serialize, Serializer};

mod draft;
mod letters;
mod pattern;
mod re2;
mod template;

pub use draft::{Draft, Fault};

use pattern::Pattern;
use template::Template;

/// One finished relabelling rule: it cannot be wrong any more. [`Draft::build`] makes it.
#[derive(Clone)]
pub struct Rule {
    /// The keys as they were said, without those that say the default.
    said: Draft,
    separator: String,
    action: Action,
}

/// What a rule does, with what that action needs and nothing else.
#[derive(Clone)]
enum Action {
    Replace { pattern: Pattern, target: Template, replacement: Template },
    Keep(Pattern),
    Drop(Pattern),
    KeepEqual { target: String },
    DropEqual { target: String },
    HashMod { target: String, modulus: NonZeroU64 },
    LabelMap { pattern: Pattern, replacement: Template },
    LabelDrop(Pattern),
    LabelKeep(Pattern),
    Lowercase { target: String },
    Uppercase { target: String },
}

/// Applies `rules` in order. False: the series is dropped, and `labels` is left in between.
///
/// Names in `labels` have to be unique, and stay so; their order is neither needed nor kept.
/// Labels with an empty value are removed: to Prometheus they are the same as missing ones.
pub fn apply(rules: &[Rule], labels: &mut Vec<(String, String)>) -> bool {
    labels.retain(|(_, value)| !value.is_empty());
    let mut set = Set { given: labels.len(), labels };
    rules.iter().all(|rule| rule.apply(&mut set))
}

impl Rule {
    /// False if the series is dropped.
    fn apply(&self, set: &mut Set<'_>) -> bool {
        match &self.action {
            Action::Replace { pattern, target, replacement } => {
                let value = self.value(set);
                let Some(groups) = pattern.captures(&value) else { return true };
                let target = target.expand(&groups);
                // An empty name is the only invalid one.
                if !target.is_empty() {
                    let replacement = replacement.expand(&groups);
                    set.put(target, replacement);
                }
            }
            Action::Keep(pattern) => return pattern.is_match(&self.value(set)),
            Action::Drop(pattern) => return !pattern.is_match(&self.value(set)),
            Action::KeepEqual { target } => return set.get(target) == self.value(set),
            Action::DropEqual { target } => return set.get(target) != self.value(set),
            Action::HashMod { target, modulus } => {
                let hash = u128::from_be_bytes(Md5::digest(self.value(set).as_bytes()).into());
                // The low half: Prometheus takes the last eight bytes.
                let share = hash as u64 % modulus.get();
                set.put(target.clone(), share.to_string());
            }
            Action::LabelMap { pattern, replacement } => {
                // All names are mapped before the first is written; of two that map to the same
                // name the later one in Prometheus's order wins.
                set.sort_given();
                let mapped: Vec<_> = set
                    .labels
                    .iter()
                    .filter_map(|(name, value)| {
                        Some((pattern.replace_all(name, replacement)?, value.clone()))
                    })
                    .collect();
                for (name, value) in mapped {
                    set.put(name, value);
                }
            }
            Action::LabelDrop(pattern) => set.retain(|name| !pattern.is_match(name)),
            Action::LabelKeep(pattern) => set.retain(|name| pattern.is_match(name)),
            Action::Lowercase { target } => {
                let value = letters::lower(&self.value(set));
                set.put(target.clone(), value);
            }
            Action::Uppercase { target } => {
                let value = letters::upper(&self.value(set));
                set.put(target.clone(), value);
            }
        }
        true
    }

    /// The values of the source labels, joined.
    fn value<'a>(&self, set: &'a Set<'_>) -> Cow<'a, str> {
        match self.said.source_labels.as_slice() {
            [] => Cow::Borrowed(""),
            [name] => Cow::Borrowed(set.get(name)),
            [first, rest @ ..] => {
                let mut joined = set.get(first).to_owned();
                for name in rest {
                    joined.push_str(&self.separator);
                    joined.push_str(set.get(name));
                }
                Cow::Owned(joined)
            }
        }
    }
}

impl fmt::Debug for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.said.fmt(f)
    }
}

impl PartialEq for Rule {
    fn eq(&self, other: &Self) -> bool {
        self.said == other.said
    }
}

impl Serialize for Rule {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.said.serialize(serializer)
    }
}

/// The labels of one series while rules work on them: first those that no rule has written,
/// then the written ones in the order in which they were first written. `labelmap` meets them
/// in this order, and with two labels that map to one name the order decides.
struct Set<'a> {
    labels: &'a mut Vec<(String, String)>,
    /// How many no rule has written.
    given: usize,
}

impl Set<'_> {
    /// The value; empty if there is no such label.
    fn get(&self, name: &str) -> &str {
        self.labels.iter().find(|(n, _)| n == name).map_or("", |(_, value)| value)
    }

    /// Writes a label; an empty value removes it.
    fn put(&mut self, name: String, value: String) {
        if let Some(at) = self.labels.iter().position(|(n, _)| *n == name) {
            if at >= self.given && !value.is_empty() {
                if let Some((_, old)) = self.labels.get_mut(at) {
                    *old = value;
                }
                return;
            }
            self.labels.remove(at);
            if at < self.given {
                self.given -= 1;
            }
        }
        if !value.is_empty() {
            self.labels.push((name, value));
        }
    }

    fn retain(&mut self, keep: impl Fn(&str) -> bool) {
        let before = self.given;
        let mut at = 0;
        self.labels.retain(|(name, _)| {
            let kept = keep(name);
            if !kept && at < before {
                self.given -= 1;
            }
            at += 1;
            kept
        });
    }

    /// Prometheus holds the labels of a series sorted by name.
    fn sort_given(&mut self) {
        if let Some(given) = self.labels.get_mut(..self.given) {
            given.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        }
    }
}
