//! Replacement templates: `$1`, `${1}`, `$name`, `${name}`, `$$`, by the rules of Go's
//! `regexp.Expand`, which differ from the `regex` crate's in what is malformed.

use std::sync::LazyLock;

use regex::{Captures, Regex};

use super::pattern::Pattern;

/// Letters and digits to Go: the categories L and Nd, not more.
static NAME: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"^[\pL\p{Nd}_]+").expect("a constant expression"));

/// Numbers from here on are names to Go, and no group has such a name.
const NUMBER_MAX: usize = 1_000_000_000;

/// A template, resolved against the groups of its expression.
#[derive(Clone)]
pub(super) struct Template(Vec<Piece>);

#[derive(Clone)]
enum Piece {
    Text(String),
    /// The first of these groups that took part in the match; nothing if none did.
    Groups(Vec<usize>),
}

impl Template {
    pub(super) fn new(source: &str, pattern: &Pattern) -> Self {
        let mut pieces = Vec::new();
        let mut text = String::new();
        let mut rest = source;
        while let Some((before, after)) = rest.split_once('$') {
            text.push_str(before);
            rest = after;
            if let Some(after) = rest.strip_prefix('$') {
                text.push('$');
                rest = after;
            } else if let Some((name, after)) = reference(rest) {
                if !text.is_empty() {
                    pieces.push(Piece::Text(std::mem::take(&mut text)));
                }
                pieces.push(Piece::Groups(
                    number(name).map_or_else(|| pattern.groups(name), |group| vec![group]),
                ));
                rest = after;
            } else {
                // Malformed: the sign stands for itself.
                text.push('$');
            }
        }
        text.push_str(rest);
        if !text.is_empty() {
            pieces.push(Piece::Text(text));
        }
        Self(pieces)
    }

    /// The template with the groups of one match in place of its references.
    pub(super) fn expand(&self, groups: &Captures<'_>) -> String {
        let mut expanded = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => expanded.push_str(text),
                Piece::Groups(numbers) => {
                    let found = numbers.iter().find_map(|number| groups.get(*number));
                    expanded.push_str(found.map_or("", |found| found.as_str()));
                }
            }
        }
        expanded
    }
}

/// What is referred to behind a `$`, and what follows. The longest name counts: `$1x` is `${1x}`.
fn reference(text: &str) -> Option<(&str, &str)> {
    let (text, braced) = text.strip_prefix('{').map_or((text, false), |inner| (inner, true));
    let (name, rest) = text.split_at_checked(NAME.find(text)?.end())?;
    Some((name, if braced { rest.strip_prefix('}')? } else { rest }))
}

/// The group's number, if it is one: ASCII digits without a leading zero.
fn number(name: &str) -> Option<usize> {
    let leading_zero = name.len() > 1 && name.starts_with('0');
    if leading_zero || !name.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    name.parse().ok().filter(|number| *number < NUMBER_MAX)
}
