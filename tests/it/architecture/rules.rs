//! What a source file may not be or hold: each rule a function over text, each fault one line.

use super::imports::{Path, code_alone, named_paths};

/// Modules that every room may use. They know only one another.
const LEAVES: &[&str] =
    &["glob", "sample", "units", "meters", "secret", "seldom", "tasks", "watched"];

/// Who may know whom, leaves aside. ARCHITECTURE.md draws the same.
const MAY_KNOW: &[(&str, &[&str])] = &[
    ("main", &["cli", "config", "telemetry", "pipeline"]),
    // The commands: `serve` runs the pipeline, `explain` walks a body through the pure rooms.
    ("cli", &["config", "telemetry", "pipeline", "demo", "receive", "decode", "map"]),
    // The demo stands outside of the gateway and talks to it over HTTP; it builds its input with
    // other code than the decoder's.
    ("demo", &["config", "telemetry", "pipeline"]),
    ("pipeline", &["config", "telemetry", "receive", "decode", "map", "queue", "deliver"]),
    ("telemetry", &["config"]),
    ("config", &["receive", "map", "deliver"]),
    ("receive", &["decode", "map", "queue"]),
    ("map", &["decode::reading", "decode::Reading", "decode::Format", "decode::Glimpse"]),
    // A destination of the configuration carries its relabelling; the map room applies it.
    ("deliver", &["queue", "map::relabel::Rule"]),
    ("queue", &[]),
    ("decode", &[]),
];

/// Names that say nothing of what a file holds.
const EMPTY_NAMES: &[&str] = &["utils", "util", "helpers", "helper", "common", "manager", "types"];

/// No file is longer.
const LINES_MAX: usize = 500;

/// What stands at the top of the repository; dotfiles aside.
const TOP_LEVEL: &[&str] = &[
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE",
    "README.md",
    "benches",
    "deploy",
    "fuzz",
    "loadtest",
    "src",
    "target",
    "terraform",
    "tests",
];

const DOTFILES: &[&str] = &[
    ".ci",
    ".clippy.toml",
    ".deny.toml",
    ".dockerignore",
    ".git",
    ".gitattributes",
    ".github",
    ".gitignore",
    ".rustfmt.toml",
];

/// The module path of a file below `src`: `map/naming/mod.rs` and `map/naming.rs` are `map::naming`.
pub(super) fn module_of(path: &str) -> Path {
    let bare = path.strip_suffix(".rs").unwrap_or(path);
    let bare = bare.strip_suffix("/mod").unwrap_or(bare);
    if bare == "lib" { Vec::new() } else { bare.split('/').map(str::to_owned).collect() }
}

/// Imports against the direction of [`MAY_KNOW`]. `path` is relative to `src`.
pub(super) fn import_faults(path: &str, text: &str) -> Vec<String> {
    let module = module_of(path);
    // lib.rs declares the rooms and has no room of its own.
    let Some(room) = module.first() else { return Vec::new() };
    let known = MAY_KNOW.iter().find(|(name, _)| name == room).map(|(_, known)| *known);
    let known = match known {
        Some(known) => known,
        None if LEAVES.contains(&room.as_str()) => &[],
        None => return vec![format!("src/{path}: `{room}` is no room of the house")],
    };
    let mut faults = Vec::new();
    for target in named_paths(&module, text) {
        let named = target.join("::");
        let allowed = match target.first() {
            None => false,
            Some(first) => {
                first == room
                    || LEAVES.contains(&first.as_str())
                    || known.iter().any(|entry| is_within(&named, entry))
            }
        };
        if !allowed {
            let shown = if named.is_empty() { "the whole crate" } else { &named };
            faults.push(format!("src/{path}: `{room}` may not know `{shown}`"));
        }
    }
    faults
}

fn is_within(named: &str, entry: &str) -> bool {
    named.strip_prefix(entry).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

/// Faults of form of one source file. `path` is relative to the repository.
pub(super) fn form_faults(path: &str, text: &str) -> Vec<String> {
    let mut faults = Vec::new();
    let mut fault = |what: String| faults.push(format!("{path}: {what}"));
    let lines = text.lines().count();
    if lines > LINES_MAX {
        fault(format!("{lines} lines, more than {LINES_MAX}"));
    }
    if !text.starts_with("//!") {
        fault("does not begin with a `//!` header".to_owned());
    }
    for name in path.trim_end_matches(".rs").split('/') {
        if EMPTY_NAMES.contains(&name) {
            fault(format!("`{name}` says nothing"));
        }
    }
    if !text.is_empty() && !text.ends_with('\n') {
        fault("no line break at the end".to_owned());
    }
    for (number, line) in (1..).zip(text.lines()) {
        if line.ends_with([' ', '\t', '\r']) {
            fault(format!("line {number} ends in blanks"));
        }
    }
    for (number, line) in (1..).zip(code_alone(text).lines()) {
        for word in line.split(|c: char| !c.is_alphanumeric() && c != '_' && c != '!') {
            if ["unsafe", "todo!", "unimplemented!"].contains(&word) {
                fault(format!("line {number} has `{word}`"));
            }
        }
        if let Some(name) = declared_module(line).filter(|name| EMPTY_NAMES.contains(name)) {
            fault(format!("line {number}: module `{name}` says nothing"));
        }
    }
    faults
}

fn declared_module(line: &str) -> Option<&str> {
    let mut words = line.split(|c: char| !c.is_alphanumeric() && c != '_');
    words.find(|word| *word == "mod")?;
    words.next()
}

/// Entries of the top level that have no business there.
pub(super) fn top_level_faults<'a>(entries: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    entries
        .into_iter()
        .filter(|entry| !TOP_LEVEL.contains(entry) && !DOTFILES.contains(entry))
        .map(|entry| format!("{entry}: no such entry belongs at the top level"))
        .collect()
}

/// What a document's table lacks of the rows that it must hold, and names that it has beyond them.
/// Rows are told apart by their first cell.
pub(super) fn table_faults(section: &str, rows: &[String]) -> Vec<String> {
    let shown: Vec<&str> =
        section.lines().map(str::trim_end).filter(|line| line.starts_with("| `")).collect();
    let mut faults: Vec<String> = rows
        .iter()
        .filter(|row| !shown.contains(&row.as_str()))
        .map(|row| format!("missing or different, should be: {row}"))
        .collect();
    for line in shown {
        let name = first_cell(line);
        if !rows.iter().any(|row| first_cell(row) == name) {
            faults.push(format!("there is no {name}"));
        }
    }
    faults
}

fn first_cell(row: &str) -> &str {
    row.trim_start_matches("| ").split(" |").next().unwrap_or_default()
}

/// The part of a document under a heading, up to the next one of the same or a higher level.
pub(super) fn section<'a>(document: &'a str, heading: &str) -> Option<&'a str> {
    let level = heading.bytes().take_while(|byte| *byte == b'#').count();
    let line = format!("{heading}\n");
    let from = if document.starts_with(&line) {
        line.len()
    } else {
        document.find(&format!("\n{line}"))? + 1 + line.len()
    };
    let rest = &document[from..];
    let mut fenced = false;
    let mut end = rest.len();
    let mut at = 0;
    for line in rest.split_inclusive('\n') {
        if line.starts_with("```") {
            fenced = !fenced;
        }
        let hashes = line.bytes().take_while(|byte| *byte == b'#').count();
        if !fenced && hashes > 0 && hashes <= level {
            end = at;
            break;
        }
        at += line.len();
    }
    Some(&rest[..end])
}
