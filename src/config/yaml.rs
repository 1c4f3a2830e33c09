//! YAML text to a small tree in which every key and value knows its line.
//!
//! Scalars keep their text: what a text means is decided by who asks for it, so that an account id
//! is never taken for a number. Size, depth and the copies that aliases make are bounded.

use std::collections::HashMap;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle};

use super::fault::{Fault, Mark};

/// Bytes of text.
pub(super) const TEXT_BYTES_MAX: usize = 1 << 20;
/// Mappings and lists within each other.
const DEPTH_MAX: usize = 32;
/// Nodes of the tree, those that aliases repeat included.
const NODES_MAX: usize = 50_000;

/// A value and where it stands.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) mark: Mark,
    pub(super) value: Value,
}

/// What a node holds.
#[derive(Clone, Debug)]
pub(super) enum Value {
    /// Nothing, `~` or `null`.
    Null,
    /// A text; `plain` if it stands without quotes.
    Scalar { text: String, plain: bool },
    /// `- a`
    List(Vec<Node>),
    /// `a: b`
    Map(Vec<Entry>),
}

/// One entry of a mapping.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) mark: Mark,
    pub(super) value: Node,
}

impl Node {
    /// What kind of value it is, for messages.
    pub(super) fn kind(&self) -> &'static str {
        match self.value {
            Value::Null => "nothing",
            Value::Scalar { .. } => "a text",
            Value::List(_) => "a list",
            Value::Map(_) => "a mapping",
        }
    }

    /// Number of nodes, and how deep they stand within each other.
    fn extent(&self) -> (usize, usize) {
        let fold = |(nodes, depth): (usize, usize), node: &Self| {
            let (further, deeper) = node.extent();
            (nodes + further, depth.max(deeper))
        };
        let (nodes, depth) = match &self.value {
            Value::Null | Value::Scalar { .. } => return (1, 0),
            Value::List(items) => items.iter().fold((0, 0), fold),
            Value::Map(entries) => entries.iter().map(|entry| &entry.value).fold((0, 0), fold),
        };
        (nodes + 1, depth + 1)
    }
}

/// Reads one document. Faults that leave the rest readable (a key that stands twice) are collected;
/// no tree is returned if the text could not be read to its end.
pub(super) fn parse(text: &str) -> (Option<Node>, Vec<Fault>) {
    let mut tree = Tree::default();
    let root = tree.read(text);
    match root {
        Ok(root) => (Some(root), tree.faults),
        Err(fault) => {
            tree.faults.push(fault);
            (None, tree.faults)
        }
    }
}

/// A mapping or list that is still open.
enum Open {
    List { items: Vec<Node> },
    Map { entries: Vec<Entry>, first_lines: HashMap<String, usize>, key: Option<(String, Mark)> },
}

#[derive(Default)]
struct Tree {
    open: Vec<(Open, Mark, usize)>,
    anchors: HashMap<usize, Node>,
    nodes: usize,
    root: Option<Node>,
    faults: Vec<Fault>,
}

impl Tree {
    fn read(&mut self, text: &str) -> Result<Node, Fault> {
        if text.len() > TEXT_BYTES_MAX {
            return Err(Fault::nowhere("", "the text is larger than 1MiB"));
        }
        refuse_control_characters(text)?;
        let mut documents = 0;
        let mut parser = Parser::new_from_str(text.strip_prefix('\u{feff}').unwrap_or(text));
        while let Some(event) = parser.next_event() {
            let (event, span) = event.map_err(|error| {
                Fault::at(mark(*error.marker()), "", format!("not YAML: {}", error.info()))
            })?;
            let mark = mark(span.start);
            match event {
                Event::DocumentStart(_) => {
                    documents += 1;
                    if documents > 1 {
                        return Err(Fault::at(mark, "", "a second document (expected one)"));
                    }
                }
                Event::Scalar(text, style, anchor, tag) => {
                    let plain = style == ScalarStyle::Plain && tag.is_none();
                    if tag.is_some_and(|tag| !(tag.is_yaml_core_schema() && tag.suffix == "str")) {
                        return Err(self.fault(mark, "tags are not supported"));
                    }
                    let value = match text.as_ref() {
                        "" | "~" | "null" | "Null" | "NULL" if plain => Value::Null,
                        text => Value::Scalar { text: text.to_owned(), plain },
                    };
                    self.attach(Node { mark, value }, anchor)?;
                }
                Event::SequenceStart(anchor, tag) | Event::MappingStart(anchor, tag)
                    if tag.is_some() || self.open.len() >= DEPTH_MAX =>
                {
                    let _ = anchor;
                    return Err(self.fault(
                        mark,
                        match tag {
                            Some(_) => "tags are not supported".to_owned(),
                            None => format!("nested deeper than {DEPTH_MAX}"),
                        },
                    ));
                }
                Event::SequenceStart(anchor, _) => {
                    self.open.push((Open::List { items: Vec::new() }, mark, anchor));
                }
                Event::MappingStart(anchor, _) => {
                    let (entries, first_lines) = (Vec::new(), HashMap::new());
                    self.open.push((Open::Map { entries, first_lines, key: None }, mark, anchor));
                }
                Event::SequenceEnd | Event::MappingEnd => {
                    let Some((open, mark, anchor)) = self.open.pop() else { continue };
                    let value = match open {
                        Open::List { items } => Value::List(items),
                        Open::Map { entries, .. } => Value::Map(entries),
                    };
                    self.attach(Node { mark, value }, anchor)?;
                }
                Event::Alias(anchor) => {
                    let Some(node) = self.anchors.get(&anchor) else {
                        return Err(self.fault(mark, "an alias to something that contains it"));
                    };
                    let (nodes, depth) = node.extent();
                    if self.nodes + nodes > NODES_MAX || self.open.len() + depth > DEPTH_MAX {
                        return Err(self.fault(mark, "aliases make the text too large"));
                    }
                    self.nodes += nodes;
                    let node = node.clone();
                    self.attach(node, 0)?;
                }
                Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
            }
        }
        let nothing = Node { mark: Mark { line: 1, column: 1 }, value: Value::Null };
        Ok(self.root.take().unwrap_or(nothing))
    }

    fn attach(&mut self, node: Node, anchor: usize) -> Result<(), Fault> {
        self.nodes += 1;
        if self.nodes > NODES_MAX {
            return Err(self.fault(node.mark, format!("more than {NODES_MAX} values")));
        }
        if anchor > 0 {
            // Kept once more: it counts as long as the tree lives.
            let (nodes, _) = node.extent();
            self.nodes += nodes;
            self.anchors.insert(anchor, node.clone());
        }
        let path = self.path();
        match self.open.last_mut() {
            None => self.root = Some(node),
            Some((Open::List { items }, ..)) => items.push(node),
            Some((Open::Map { entries, first_lines, key }, ..)) => match key.take() {
                Some((key, mark)) => entries.push(Entry { key, mark, value: node }),
                None => {
                    let Value::Scalar { text, .. } = node.value else {
                        return Err(Fault::at(node.mark, path, "a key that is not a text"));
                    };
                    if text == "<<" {
                        let message = "merge keys (`<<`) are not supported";
                        return Err(Fault::at(node.mark, path, message));
                    }
                    if let Some(line) = first_lines.get(&text) {
                        let message =
                            format!("stands twice in this mapping (first on line {line})");
                        let path = join(&path, &text);
                        self.faults.push(Fault::at(node.mark, path, message));
                    } else {
                        first_lines.insert(text.clone(), node.mark.line);
                    }
                    *key = Some((text, node.mark));
                }
            },
        }
        Ok(())
    }

    fn fault(&self, mark: Mark, message: impl Into<String>) -> Fault {
        Fault::at(mark, self.path(), message)
    }

    /// Where the reading stands: `remote_write[0].url`.
    fn path(&self) -> String {
        self.open.iter().fold(String::new(), |path, (open, ..)| match open {
            Open::List { items } => format!("{path}[{}]", items.len()),
            Open::Map { key: Some((key, _)), .. } => join(&path, key),
            Open::Map { key: None, .. } => path,
        })
    }
}

/// The path of a key within a mapping. Keys come from the text: they are cut short.
pub(super) fn join(path: &str, key: &str) -> String {
    let key: String = key.chars().filter(|c| !c.is_control()).take(64).collect();
    if path.is_empty() { key } else { format!("{path}.{key}") }
}

fn mark(marker: Marker) -> Mark {
    Mark { line: marker.line(), column: marker.col() + 1 }
}

/// YAML allows none of them, and the parser takes NUL for the end of the text. Lines are counted as
/// the parser counts them: a carriage return ends one, too.
fn refuse_control_characters(text: &str) -> Result<(), Fault> {
    let mut mark = Mark { line: 1, column: 1 };
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\r' if chars.peek() == Some(&'\n') => {}
            '\n' | '\r' => mark = Mark { line: mark.line + 1, column: 1 },
            '\t' | '\u{85}' => mark.column += 1,
            c if c.is_control() => {
                return Err(Fault::at(mark, "", "not YAML: a control character"));
            }
            _ => mark.column += 1,
        }
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;

    fn faults(text: &str) -> Vec<String> {
        parse(text).1.iter().map(|fault| fault.line("f")).collect()
    }

    #[test]
    fn keys_and_values_know_their_place() {
        let (root, faults) = parse("a:\n  - b: 1\n    c: \"1\"\n  - ~\n");
        assert!(faults.is_empty());
        let Value::Map(entries) = root.unwrap().value else { panic!("no mapping") };
        assert_eq!(entries[0].mark, Mark { line: 1, column: 1 });
        let Value::List(items) = &entries[0].value.value else { panic!("no list") };
        let Value::Map(inner) = &items[0].value else { panic!("no mapping") };
        assert_eq!(inner[1].mark, Mark { line: 3, column: 5 });
        assert_eq!(inner[1].value.mark, Mark { line: 3, column: 8 });
        assert!(matches!(&inner[0].value.value, Value::Scalar { plain: true, .. }));
        assert!(matches!(&inner[1].value.value, Value::Scalar { plain: false, .. }));
        assert!(matches!(&items[1].value, Value::Null));
    }

    #[test]
    fn what_cannot_be_read_is_one_fault_with_its_line() {
        for (text, expected) in [
            (
                "a: 1\nb:\n  c: 1\n  c: 2\n",
                "f:4:3: b.c: stands twice in this mapping (first on line 3)",
            ),
            ("a: 1\n---\nb: 1\n", "f:2:1: a second document (expected one)"),
            ("a: &x [*x]\n", "f:1:8: a[0]: an alias to something that contains it"),
            ("a: !!binary x\n", "f:1:4: a: tags are not supported"),
            ("a: !x {}\n", "f:1:4: a: tags are not supported"),
            ("? [a]\n: b\n", "f:1:3: a key that is not a text"),
            ("b: &b {}\na:\n  <<: *b\n", "f:3:3: a: merge keys (`<<`) are not supported"),
            ("a: 1\nb: \u{0}\n", "f:2:4: not YAML: a control character"),
            ("a: 1\r\nb: 2\rc: \t\u{7}\n", "f:3:5: not YAML: a control character"),
        ] {
            assert_eq!(faults(text), [expected], "{text:?}");
        }
        assert!(faults("a: [1\nb: 2\n")[0].contains("not YAML"), "{:?}", faults("a: [1\nb: 2\n"));
        assert!(faults("a: *nowhere\n")[0].contains("not YAML"));
    }

    #[test]
    fn depth_size_and_alias_bombs_are_bounded() {
        assert!(faults(&"- ".repeat(100))[0].contains("nested deeper than 32"));
        // Here the parser's own limit comes first.
        assert!(faults(&"[".repeat(100_000))[0].contains("not YAML: recursion limit"));
        let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
        for n in 1..20 {
            let list = vec![format!("*a{}", n - 1); 9].join(", ");
            bomb.push_str(&format!("a{n}: &a{n} [{list}]\n"));
        }
        assert!(faults(&bomb)[0].contains("aliases make the text too large"));
        let long = "x".repeat(TEXT_BYTES_MAX + 1);
        assert_eq!(faults(&long), ["f: the text is larger than 1MiB"]);
        let many = "- x\n".repeat(NODES_MAX + 1);
        assert!(faults(&many)[0].contains("more than 50000 values"));
    }
}
