//! Reads settings out of the tree. The list of known keys is the reading code itself: a section
//! remembers what it was asked for, and what nobody asked for is a fault.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;

use super::expand::{Expanded, expand};
use super::fault::{Fault, Mark, nearest};
use super::yaml::{Entry, Node, Value, join};

const WITHOUT_VALUE: &str = "stands without a value";

/// What one reading of a configuration knows and finds.
pub(super) struct Reader<'a> {
    /// The environment.
    pub(super) env: &'a dyn Fn(&str) -> Option<String>,
    /// Where relative paths start; the working directory if none.
    pub(super) base: Option<PathBuf>,
    found: RefCell<Found>,
}

#[derive(Default)]
struct Found {
    faults: Vec<Fault>,
    notes: Vec<Fault>,
    marks: HashMap<String, Mark>,
    settings: BTreeSet<String>,
}

/// What was found: faults, notes, and the paths of all settings that were asked for.
pub(super) struct Findings {
    pub(super) faults: Vec<Fault>,
    pub(super) notes: Vec<Fault>,
    pub(super) settings: BTreeSet<String>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(
        env: &'a dyn Fn(&str) -> Option<String>,
        base: Option<PathBuf>,
        faults: Vec<Fault>,
    ) -> Self {
        Self { env, base, found: RefCell::new(Found { faults, ..Found::default() }) }
    }

    /// A fault at a setting's place, or at the nearest place around it.
    pub(super) fn fault(&self, path: &str, message: impl Into<String>) {
        let mut found = self.found.borrow_mut();
        let fault =
            Fault { mark: found.mark(path), path: path.to_owned(), message: message.into() };
        found.faults.push(fault);
    }

    /// Something that is accepted but wants to be said.
    pub(super) fn note(&self, path: &str, message: impl Into<String>) {
        let mut found = self.found.borrow_mut();
        let note = Fault { mark: found.mark(path), path: path.to_owned(), message: message.into() };
        found.notes.push(note);
    }

    /// A fault in the relation of two settings, at the first of them that the file says. Nothing is
    /// reported if one of them has a fault of its own: its value is not known then.
    pub(super) fn relation(&self, paths: [&str; 2], message: impl Into<String>) {
        let spoilt = |path: &str| self.found.borrow().faults.iter().any(|fault| fault.path == path);
        if paths.iter().any(|path| spoilt(path)) {
            return;
        }
        let said = |path: &&&str| self.found.borrow().marks.contains_key(**path);
        let path = paths.iter().find(said).unwrap_or(&paths[0]);
        self.fault(path, message);
    }

    /// Whether no fault was found so far.
    pub(super) fn is_faultless(&self) -> bool {
        self.found.borrow().faults.is_empty()
    }

    pub(super) fn findings(self) -> Findings {
        let Found { faults, notes, settings, .. } = self.found.into_inner();
        Findings { faults, notes, settings }
    }

    /// The text of a node, expanded.
    fn text(&self, node: &Node, path: &str, verbatim: bool) -> Option<Text> {
        let Value::Scalar { text, plain } = &node.value else {
            self.fault(path, format!("{} (expected a single value)", node.kind()));
            return None;
        };
        if verbatim {
            let text = text.clone();
            return Some(Text { text, plain: *plain, from_environment: false });
        }
        match expand(text, self.env) {
            Ok(Expanded { text, from_environment }) => {
                // An environment variable has no type: quotes around it say nothing about it.
                Some(Text { text, plain: *plain || from_environment, from_environment })
            }
            Err(troubles) => {
                for trouble in troubles {
                    self.fault(path, trouble);
                }
                None
            }
        }
    }
}

impl Found {
    fn mark(&self, path: &str) -> Option<Mark> {
        let mut path = path;
        loop {
            if let Some(mark) = self.marks.get(path) {
                return Some(*mark);
            }
            path = path.get(..path.rfind(['.', '['])?)?;
        }
    }
}

/// The text of a value.
pub(super) struct Text {
    pub(super) text: String,
    /// Without quotes: it may be a number or a boolean.
    pub(super) plain: bool,
    from_environment: bool,
}

impl Text {
    /// The text for a message, unless it came from the environment and may be a secret.
    fn shown(&self) -> String {
        if self.from_environment {
            return "what the environment holds".to_owned();
        }
        let short: String = self.text.chars().take(60).collect();
        format!("`{}`", short.escape_debug())
    }
}

/// A mapping that is being read.
pub(super) struct Section<'a> {
    pub(super) reader: &'a Reader<'a>,
    pub(super) path: String,
    entries: &'a [Entry],
    verbatim: bool,
    asked: RefCell<Vec<&'static str>>,
}

/// Runs `read` on a mapping and reports every key that it did not ask for.
pub(super) fn read_section<'a, T>(
    reader: &'a Reader<'a>,
    path: &str,
    node: Option<&'a Node>,
    verbatim: bool,
    read: impl FnOnce(&Section<'a>) -> T,
) -> T {
    let (entries, wrong_kind): (&[Entry], _) = match node.map(|node| (node, &node.value)) {
        None | Some((_, Value::Null)) => (&[], None),
        Some((_, Value::Map(entries))) => (entries, None),
        Some((node, _)) => (&[], Some(node.kind())),
    };
    let faults_before = reader.found.borrow().faults.len();
    let path = path.to_owned();
    let asked = RefCell::default();
    let section = Section { reader, path, entries, verbatim, asked };
    let value = read(&section);
    let asked = section.asked.into_inner();
    if let Some(kind) = wrong_kind {
        // What such a section lacks is not worth saying.
        reader.found.borrow_mut().faults.truncate(faults_before);
        reader.fault(&section.path, format!("{kind} (expected a mapping)"));
    }
    for entry in entries {
        if !asked.iter().any(|key| *key == entry.key) {
            let hint = match nearest(&entry.key, asked.iter().copied()) {
                Some(key) => format!("did you mean `{key}`?"),
                None => format!("expected one of: {}", asked.join(", ")),
            };
            let path = join(&section.path, &entry.key);
            let fault = Fault::at(entry.mark, path, format!("unknown key ({hint})"));
            reader.found.borrow_mut().faults.push(fault);
        }
    }
    value
}

impl<'a> Section<'a> {
    /// The path of one of its keys.
    pub(super) fn at(&self, key: &str) -> String {
        join(&self.path, key)
    }

    /// Reports a fault at one of its keys.
    pub(super) fn fault(&self, key: &str, message: impl Into<String>) {
        self.reader.fault(&self.at(key), message);
    }

    /// Reports a note at one of its keys.
    pub(super) fn note(&self, key: &str, message: impl Into<String>) {
        self.reader.note(&self.at(key), message);
    }

    /// Whether the file gives this key a value.
    pub(super) fn says(&self, key: &str) -> bool {
        let mut entries = self.entries.iter();
        entries.any(|entry| entry.key == key && !matches!(entry.value.value, Value::Null))
    }

    /// Whether the file holds this key, be it without a value.
    pub(super) fn holds(&self, key: &str) -> bool {
        self.entries.iter().any(|entry| entry.key == key)
    }

    /// Reports a key that stands without a value, where leaving it out would be another thing.
    pub(super) fn needs_value(&self, key: &str) {
        if self.holds(key) && !self.says(key) {
            self.fault(key, WITHOUT_VALUE);
        }
    }

    fn find(&self, key: &'static str) -> Option<&'a Node> {
        self.asked.borrow_mut().push(key);
        let entry = self.entries.iter().find(|entry| entry.key == key)?;
        self.reader.found.borrow_mut().marks.insert(self.at(key), entry.mark);
        Some(&entry.value)
    }

    fn setting(&self, key: &'static str) -> Option<&'a Node> {
        let path = self.at(key);
        let shape = path.split('[').map(|part| part.split_once(']').map_or(part, |(_, rest)| rest));
        let shape = shape.collect::<Vec<_>>().join("[]");
        self.reader.found.borrow_mut().settings.insert(shape);
        self.find(key).filter(|node| !matches!(node.value, Value::Null))
    }

    /// The text of a setting.
    pub(super) fn text(&self, key: &'static str) -> Option<Text> {
        let node = self.setting(key)?;
        self.reader.text(node, &self.at(key), self.verbatim)
    }

    /// A value that `parse` understands; `expected` says what that is.
    pub(super) fn parsed<T>(
        &self,
        key: &'static str,
        expected: &str,
        parse: impl FnOnce(&Text) -> Option<T>,
    ) -> Option<T> {
        let text = self.text(key)?;
        let value = parse(&text);
        if value.is_none() {
            self.fault(key, format!("{} is not understood (expected {expected})", text.shown()));
        }
        value
    }

    /// A list of texts.
    pub(super) fn strings(&self, key: &'static str) -> Option<Vec<String>> {
        let node = self.setting(key);
        self.needs_value(key);
        let node = node?;
        let path = self.at(key);
        let Value::List(items) = &node.value else {
            self.fault(key, format!("{} (expected a list)", node.kind()));
            return None;
        };
        let mut texts = Vec::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            let path = format!("{path}[{index}]");
            self.reader.found.borrow_mut().marks.insert(path.clone(), item.mark);
            texts.extend(self.reader.text(item, &path, self.verbatim).map(|text| text.text));
        }
        Some(texts)
    }

    /// A mapping whose keys are free, sorted by key.
    pub(super) fn pairs(&self, key: &'static str) -> Vec<(String, String)> {
        let Some(node) = self.setting(key) else { return Vec::new() };
        let Value::Map(entries) = &node.value else {
            self.fault(key, format!("{} (expected a mapping)", node.kind()));
            return Vec::new();
        };
        let mut pairs = Vec::with_capacity(entries.len());
        for entry in entries {
            let path = join(&self.at(key), &entry.key);
            self.reader.found.borrow_mut().marks.insert(path.clone(), entry.mark);
            let text = match &entry.value.value {
                Value::Null => {
                    self.reader.fault(&path, WITHOUT_VALUE);
                    None
                }
                _ => self.reader.text(&entry.value, &path, self.verbatim).map(|text| text.text),
            };
            pairs.extend(text.map(|text| (entry.key.clone(), text)));
        }
        pairs.sort();
        pairs
    }

    /// A section that has defaults: it is read as an empty one if the file leaves it out.
    pub(super) fn section<T>(&self, key: &'static str, read: impl FnOnce(&Section<'a>) -> T) -> T {
        let node = self.find(key);
        read_section(self.reader, &self.at(key), node, self.verbatim, read)
    }

    /// A section that is either there or not.
    pub(super) fn optional<T>(
        &self,
        key: &'static str,
        read: impl FnOnce(&Section<'a>) -> T,
    ) -> Option<T> {
        let node = self.find(key)?;
        Some(read_section(self.reader, &self.at(key), Some(node), self.verbatim, read))
    }

    /// A section that is not there or holds something.
    pub(super) fn block<T>(
        &self,
        key: &'static str,
        read: impl FnOnce(&Section<'a>) -> T,
    ) -> Option<T> {
        let node = self.find(key).filter(|node| !matches!(node.value, Value::Null));
        self.needs_value(key);
        let node = node?;
        Some(read_section(self.reader, &self.at(key), Some(node), self.verbatim, read))
    }

    /// A list of sections; none if the file leaves it out.
    pub(super) fn sections<T>(
        &self,
        key: &'static str,
        mut read: impl FnMut(&Section<'a>) -> T,
    ) -> Option<Vec<T>> {
        let node = self.find(key).filter(|node| !matches!(node.value, Value::Null))?;
        let verbatim = self.verbatim || key.ends_with("relabel_configs");
        let Value::List(items) = &node.value else {
            self.fault(key, format!("{} (expected a list)", node.kind()));
            return None;
        };
        let read = items.iter().enumerate().map(|(index, item)| {
            let path = format!("{}[{index}]", self.at(key));
            self.reader.found.borrow_mut().marks.insert(path.clone(), item.mark);
            read_section(self.reader, &path, Some(item), verbatim, &mut read)
        });
        Some(read.collect())
    }

    /// A key that is read only to see that it asks for nothing else than what is done anyway: it is
    /// no setting. Returns whether it stands and does so.
    pub(super) fn unlisted(
        &self,
        key: &'static str,
        expected: &str,
        legal: impl FnOnce(&str) -> bool,
    ) -> bool {
        let Some(node) = self.find(key).filter(|node| !matches!(node.value, Value::Null)) else {
            return false;
        };
        let Some(text) = self.reader.text(node, &self.at(key), self.verbatim) else { return false };
        let legal = legal(&text.text);
        if !legal {
            let message = format!("{} is not understood (expected {expected})", text.shown());
            self.fault(key, message);
        }
        legal
    }

    /// Keys of a pasted Prometheus block that mean nothing here and do no harm.
    pub(super) fn without_effect(&self, keys: &[&'static str], why: &str) {
        for key in keys {
            if self.find(key).is_some() {
                self.note(key, format!("has no effect: {why}"));
            }
        }
    }

    /// Keys of a pasted Prometheus block without which the block would mean something else.
    pub(super) fn unsupported(&self, keys: &[&'static str], instead: &str) {
        for key in keys {
            if self.find(key).is_some() {
                self.fault(key, format!("is not supported ({instead})"));
            }
        }
    }
}
