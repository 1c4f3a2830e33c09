//! A regular expression of a rule: RE2's syntax, anchored at both ends.

use regex::{Captures, Regex, RegexBuilder};

use super::re2;
use super::template::Template;

/// Memory that one compiled expression may take. Configuration can be wrong, it should not be
/// able to eat the machine.
const COMPILED_BYTES_MAX: usize = 4 << 20;

/// A compiled expression.
#[derive(Clone)]
pub(super) struct Pattern {
    regex: Regex,
    names: Vec<(String, usize)>,
}

impl Pattern {
    /// Compiles `source` as Prometheus does; otherwise says what is wrong with it.
    pub(super) fn new(source: &str) -> Result<Self, String> {
        // Textually, like Prometheus: so `a)|(b` is legal here too, and half anchored.
        let translation = re2::translate(&format!("^(?s:{source})$"))?;
        let regex = RegexBuilder::new(&translation.pattern)
            .size_limit(COMPILED_BYTES_MAX)
            .build()
            .map_err(|error| match error {
                regex::Error::CompiledTooBig(_) => "too big once compiled".to_owned(),
                // The message ends with the reason; before it stands the translated pattern,
                // which nobody wrote.
                error => {
                    let text = error.to_string();
                    let reason = text.lines().next_back().unwrap_or_default();
                    reason.trim_start_matches("error: ").to_owned()
                }
            })?;
        Ok(Self { regex, names: translation.names })
    }

    pub(super) fn is_match(&self, value: &str) -> bool {
        self.regex.is_match(value)
    }

    pub(super) fn captures<'v>(&self, value: &'v str) -> Option<Captures<'v>> {
        self.regex.captures(value)
    }

    /// `value` with every match replaced; none if there is no match.
    pub(super) fn replace_all(&self, value: &str, replacement: &Template) -> Option<String> {
        if !self.regex.is_match(value) {
            return None;
        }
        let replaced =
            self.regex.replace_all(value, |groups: &Captures<'_>| replacement.expand(groups));
        Some(replaced.into_owned())
    }

    /// The numbers of the groups of this name: RE2 refuses a second one, Go takes it.
    pub(super) fn groups(&self, name: &str) -> Vec<usize> {
        self.names.iter().filter(|(n, _)| n == name).map(|(_, group)| *group).collect()
    }
}
