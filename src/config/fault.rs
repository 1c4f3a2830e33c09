//! What is wrong with a configuration, and where: collected, sorted, bounded.

use std::fmt;

/// Faults beyond this number are only counted.
const FAULTS_MAX: usize = 100;

/// A place in the text; both count from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mark {
    /// Line.
    pub line: usize,
    /// Column, in characters.
    pub column: usize,
}

/// One fault, or one note: what the file says at this place cannot hold, or has no effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Where; none if it comes from the environment or from what is missing altogether.
    pub mark: Option<Mark>,
    /// The setting: `remote_write[0].url`. Empty for the text as a whole.
    pub path: String,
    /// What is wrong with it, never with a secret in it.
    pub message: String,
}

impl Fault {
    pub(super) fn at(mark: Mark, path: impl Into<String>, message: impl Into<String>) -> Self {
        Self { mark: Some(mark), path: path.into(), message: message.into() }
    }

    pub(super) fn nowhere(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self { mark: None, path: path.into(), message: message.into() }
    }

    /// The fault as one line: `file:line:column: path: message`.
    #[must_use]
    pub fn line(&self, origin: &str) -> String {
        let mut line = origin.to_owned();
        if let Some(Mark { line: number, column }) = self.mark {
            line.push_str(&format!(":{number}:{column}"));
        }
        if !self.path.is_empty() {
            line.push_str(": ");
            // A key may be any text, also one with line feeds.
            let shown =
                |c: char| if c.is_control() { c.escape_default().to_string() } else { c.into() };
            line.extend(self.path.chars().map(shown));
        }
        line.push_str(": ");
        // A regular expression's fault is drawn over several lines.
        line.push_str(&self.message.split_whitespace().collect::<Vec<_>>().join(" "));
        line
    }
}

/// Every fault of a configuration, in the order of the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Faults {
    origin: String,
    list: Vec<Fault>,
    further: usize,
}

impl Faults {
    pub(super) fn new(origin: impl Into<String>, mut list: Vec<Fault>) -> Self {
        list.sort_by_key(|fault| fault.mark);
        list.dedup();
        let further = list.len().saturating_sub(FAULTS_MAX);
        list.truncate(FAULTS_MAX);
        Self { origin: origin.into(), list, further }
    }

    /// A single fault that concerns the text as a whole.
    pub(super) fn whole(origin: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(origin, vec![Fault::nowhere("", message)])
    }

    /// Where the text came from: a file's path or a variable's name.
    #[must_use]
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// The faults, at most 100 of them.
    #[must_use]
    pub fn list(&self) -> &[Fault] {
        &self.list
    }

    /// How many there are beyond those in the list.
    #[must_use]
    pub fn further(&self) -> usize {
        self.further
    }

    /// One line for each fault.
    pub fn lines(&self) -> impl Iterator<Item = String> {
        let further = (self.further > 0)
            .then(|| format!("{}: and {} faults more", self.origin, self.further));
        self.list.iter().map(|fault| fault.line(&self.origin)).chain(further)
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, line) in self.lines().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            f.write_str(&line)?;
        }
        Ok(())
    }
}

impl std::error::Error for Faults {}

/// The known word nearest to `word`, if it is near enough to be what was meant.
pub(super) fn nearest<'k>(word: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    let lower = |word: &str| word.chars().take(64).flat_map(char::to_lowercase).collect::<Vec<_>>();
    let word = lower(word);
    known
        .into_iter()
        .map(|candidate| (distance(&word, &lower(candidate)), candidate))
        .filter(|(steps, candidate)| *steps <= (candidate.len() / 3).max(near_enough(candidate)))
        .min_by_key(|(steps, _)| *steps)
        .map(|(_, candidate)| candidate)
}

/// Two letters that changed places are two steps; in a word of three that is anything.
fn near_enough(candidate: &str) -> usize {
    if candidate.len() < 4 { 1 } else { 2 }
}

/// Insertions, deletions and replacements that make one word of the other.
fn distance(from: &[char], to: &[char]) -> usize {
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.iter().enumerate() {
        let mut last = i + 1;
        let mut diagonal = i;
        for (cell, b) in row.iter_mut().skip(1).zip(to) {
            let above = *cell;
            last = (diagonal + usize::from(a != b)).min(above + 1).min(last + 1);
            diagonal = above;
            *cell = last;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_known_word_is_the_one_that_was_meant() {
        let known = ["max_shards", "min_shards", "max_backoff", "min_backoff", "key", "key_file"];
        for (word, meant) in [
            ("max_shard", Some("max_shards")),
            ("maxshards", Some("max_shards")),
            ("Max_Shards", Some("max_shards")),
            ("min_backof", Some("min_backoff")),
            ("kez", Some("key")),
            ("kye_flie", None),
            ("key_flie", Some("key_file")),
            ("keyfile", Some("key_file")),
            ("password", None),
            ("", None),
        ] {
            assert_eq!(nearest(word, known), meant, "{word}");
        }
    }

    #[test]
    fn a_flood_of_faults_is_cut_and_counted() {
        let list = (1..=250).map(|line| Fault::at(Mark { line, column: 1 }, "", "no")).collect();
        let faults = Faults::new("file", list);
        assert_eq!((faults.list().len(), faults.further()), (100, 150));
        assert_eq!(faults.lines().last().as_deref(), Some("file: and 150 faults more"));
    }
}
