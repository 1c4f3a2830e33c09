//! The house keeps its shape: who knows whom, how long files are, what they are called, and what
//! the documents say of the code. Each rule is tested on bad snippets, then held against the tree.

#![allow(clippy::unwrap_used, clippy::panic)] // A test may end so.

#[path = "architecture/imports.rs"]
mod imports;
#[path = "architecture/rules.rs"]
mod rules;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use rules::{form_faults, import_faults, section, table_faults, top_level_faults};
use sluicegate::config::Config;
use sluicegate::meters::{ALL, Kind, Metric};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Every `.rs` file below a folder of the repository.
fn sources(folder: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![root().join(folder)];
    while let Some(folder) = open.pop() {
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        for entry in entries {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn relative<'a>(path: &'a Path, to: &Path) -> &'a str {
    path.strip_prefix(to).unwrap().to_str().unwrap()
}

fn none(faults: &[String]) {
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn rooms_know_only_whom_they_may() {
    let src = root().join("src");
    let files = sources("src");
    assert!(files.len() > 20, "the walk found {} files", files.len());
    let faults: Vec<String> =
        files.iter().flat_map(|path| import_faults(relative(path, &src), &read(path))).collect();
    none(&faults);
}

#[test]
fn files_are_short_and_headed_and_well_named() {
    let faults: Vec<String> =
        ["src", "tests", "benches", "fuzz/fuzz_targets", "fuzz/src", "loadtest"]
            .iter()
            .flat_map(|folder| sources(folder))
            .flat_map(|path| form_faults(relative(&path, root()), &read(&path)))
            .collect();
    none(&faults);
}

#[test]
fn the_top_level_holds_what_belongs_there() {
    let names: Vec<String> = fs::read_dir(root())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    none(&top_level_faults(names.iter().map(String::as_str)));
}

/// The README's row of a metric.
fn metric_row(metric: &Metric) -> String {
    let kind = match metric.kind {
        Kind::Counter => "counter",
        Kind::Gauge => "gauge",
        Kind::Histogram(_) => "histogram",
    };
    let labels: Vec<String> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
    format!("| `{}` | {kind} | {} | {} |", metric.name, labels.join(", "), metric.help)
        .replace("|  |", "| |")
}

#[test]
fn the_readme_lists_every_metric_as_it_is() {
    let readme = read(&root().join("README.md"));
    let rows: Vec<String> = ALL.iter().map(|metric| metric_row(metric)).collect();
    none(&table_faults(section(&readme, "### Metrics").expect("a section Metrics"), &rows));
    // Metrics named anywhere else, as in the operating notes, exist as well.
    let word = |c: char| !c.is_ascii_alphanumeric() && c != '_';
    for name in readme.split(word).filter(|word| word.starts_with("sluicegate_")) {
        let bare = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
        let exists = ALL.iter().any(|metric| {
            metric.name == name
                || matches!(metric.kind, Kind::Histogram(_)) && Some(metric.name) == bare
        });
        assert!(exists, "README.md names {name}, which does not exist");
    }
}

/// What the README's table of settings says: the names in backticks in the first column.
fn listed_settings(table: &str) -> BTreeSet<String> {
    let cells = table.lines().filter_map(|line| line.strip_prefix('|')?.split('|').next());
    cells
        .filter_map(|cell| Some(cell.trim().strip_prefix('`')?.strip_suffix('`')?.into()))
        .collect()
}

/// Every setting has a row of its own, and no row names another one. A list or mapping that the reader
/// enters item by item may have a row besides those of its settings.
fn settings_faults(table: &str, settings: &[String]) -> Vec<String> {
    let listed = listed_settings(table);
    let lacks = settings.iter().filter(|setting| !listed.contains(*setting));
    let around = |row: &str| {
        settings.iter().any(|setting| {
            setting
                .strip_prefix(row)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        })
    };
    let surplus = listed.iter().filter(|row| !around(row));
    lacks
        .map(|setting| format!("no row for the setting `{setting}`"))
        .chain(surplus.map(|row| format!("a row for `{row}`, which is no setting")))
        .collect()
}

#[test]
fn the_readme_lists_every_setting() {
    let readme = read(&root().join("README.md"));
    let table = section(&readme, "### Settings").expect("a section Settings");
    none(&settings_faults(table, &Config::settings()));
}

#[test]
fn settings_that_differ_from_the_table_are_found() {
    let settings = ["a.b".to_owned(), "c[].d".to_owned()];
    for (table, faults) in [
        ("| `a.b` | | x |\n| `c[].d` | | `e` |\n| `c` | | |\n", 0),
        ("| `a.b` | | x |\n", 1),
        ("| `a.b` | | x |\n| `c[].d` | | |\n| `c[].de` | | |\n", 1),
        ("| `a` | | `b` |\n| `c[].d` | | |\n| `x` | | |\n", 2),
    ] {
        assert_eq!(settings_faults(table, &settings).len(), faults, "{table}");
    }
}

#[test]
fn bad_imports_are_found() {
    for (path, text, fault) in [
        // The waist knows nobody.
        ("queue/lanes.rs", "use crate::deliver::Destination;", "deliver::Destination"),
        ("queue/lanes.rs", "use super::super::deliver::X;", "deliver::X"),
        ("queue/mod.rs", "use super::receive;", "receive"),
        // Decoding knows nobody, in whatever form it is said.
        ("decode/json.rs", "fn f() { crate::map::g(); }", "map::g"),
        ("decode/json.rs", "use crate::{sample::Row, map::{Plan}};", "map::Plan"),
        ("decode/json.rs", "use crate :: queue as q;", "queue"),
        ("decode/json.rs", "#[serde(with = \"crate::config::show\")]", "config::show"),
        ("decode/json.rs", "const U: &str = \"http://x\"; use crate::config::C;", "config::C"),
        ("decode/json.rs", "/* a /* b */ c */ use crate::config::C;", "config::C"),
        ("decode/json.rs", "const Q: char = '\"'; use crate::config::C; // \"", "config::C"),
        ("decode/json.rs", "use super::super::*;", "*"),
        ("decode/json.rs", "use crate as all;", "the whole crate"),
        ("decode/mod.rs", "mod tests { use super::super::queue::Budget; }", "queue::Budget"),
        // The map room knows what decoding yields, not how.
        ("map/mod.rs", "use crate::decode::json::Line;", "decode::json::Line"),
        ("map/mod.rs", "use crate::decode::reading_list::X;", "decode::reading_list::X"),
        // Delivery knows the rule that its configuration carries and no more of the map room.
        ("deliver/send.rs", "use crate::map::relabel::apply;", "map::relabel::apply"),
        // No room knows what stands around the rooms; leaves know only leaves.
        ("receive/http.rs", "use crate::config::Config;", "config::Config"),
        ("receive/http.rs", "use crate::telemetry;", "telemetry"),
        ("units.rs", "use crate::queue::Budget;", "queue::Budget"),
        ("units.rs", "use super::queue::Budget;", "queue::Budget"),
        ("config/lines.rs", "use crate::pipeline::House;", "pipeline::House"),
        ("main.rs", "use sluicegate::deliver::Destination;", "deliver::Destination"),
        ("demo/stream.rs", "use crate::decode::Reading;", "decode::Reading"),
        ("attic.rs", "", "no room of the house"),
    ] {
        let faults = import_faults(path, text);
        assert!(
            faults.len() == 1 && faults[0].contains(fault),
            "{path}: {text}\nwants a fault of {fault}, has {faults:?}"
        );
    }
}

#[test]
fn good_imports_pass() {
    for (path, text) in [
        ("decode/json.rs", "// use crate::config::C;\n/// [`crate::map::Plan`]\nfn f() {}"),
        ("decode/json.rs", "/* crate::map::Plan */ use crate::sample::Row;"),
        ("decode/json.rs", "mod tests { use super::*; }"),
        ("decode/json.rs", "mod tests { use super::super::reading::Reading; } use super::reading;"),
        ("decode/json/number.rs", "use super::super::Reading; pub(in crate::decode) fn f() {}"),
        ("decode/json.rs", "fn f<'a>(x: &'a str) -> &'a str { x } pub(crate) fn g() {}"),
        ("units.rs", "mod tests { use super::*; }"),
        ("map/mod.rs", "use crate::decode::reading::{Reading, Visit};"),
        ("deliver/config.rs", "use crate::map::relabel::Rule; use crate::queue::{self, Inbox};"),
        ("receive/http.rs", "use crate::{decode, map::Plan, queue::Budget, tasks::Tasks};"),
        ("pipeline.rs", "use crate::{config::Config, deliver, receive, telemetry};"),
        ("lib.rs", "pub mod receive; pub use crate::config::Config;"),
    ] {
        let faults = import_faults(path, text);
        assert!(faults.is_empty(), "{path}: {text}\n{faults:?}");
    }
}

#[test]
fn bad_form_is_found() {
    let long = format!("//! Long.\n{}", "\n".repeat(500));
    for (path, text, fault) in [
        ("src/a.rs", long.as_str(), "501 lines"),
        ("src/a.rs", "fn f() {}\n", "header"),
        ("src/a.rs", "//! A.\nfn f() {} \n", "line 2 ends in blanks"),
        ("src/a.rs", "//! A.", "no line break"),
        ("src/utils.rs", "//! A.\n", "`utils`"),
        ("src/map/helpers/x.rs", "//! A.\n", "`helpers`"),
        ("src/a.rs", "//! A.\npub(crate) mod types { }\n", "`types`"),
        ("src/a.rs", "//! A.\nfn f() { unsafe { g() } }\n", "`unsafe`"),
        ("src/a.rs", "//! A.\nfn f() { todo!() }\n", "`todo!`"),
        ("src/a.rs", "//! A.\nfn f() { std::unimplemented!() }\n", "`unimplemented!`"),
    ] {
        let faults = form_faults(path, text);
        assert!(
            faults.len() == 1 && faults[0].contains(fault),
            "{path}: wants {fault:?}, has {faults:?}"
        );
    }
    let good = "//! A todo! in words, unsafe as well.\nconst S: &str = r#\"unsafe \"todo!\" \"#;\n";
    none(&form_faults("src/a.rs", good));
    none(&form_faults("src/a.rs", &format!("//! Long.\n{}", "\n".repeat(499))));
}

#[test]
fn strangers_at_the_top_level_are_found() {
    assert_eq!(top_level_faults(["src", "notes.txt", ".env", "Cargo.toml"]).len(), 2);
}

#[test]
fn tables_that_differ_from_the_code_are_found() {
    let rows = vec!["| `a` | gauge | | A. |".to_owned(), "| `b` | gauge | | B. |".to_owned()];
    let document = |table: &str| format!("# T\n\n### Metrics\n\n{table}\n## Next\n| `c` | |\n");
    for (table, faults) in [
        ("| Name |\n|---|\n| `a` | gauge | | A. |\n| `b` | gauge | | B. |\n", 0),
        ("| `a` | gauge | | A. |\n", 1),
        ("| `a` | gauge | | A. |\n| `b` | gauge | | Different. |\n", 1),
        ("| `a` | gauge | | A. |\n| `b` | gauge | | B. |\n| `d` | gauge | | D. |\n", 1),
    ] {
        let document = document(table);
        let found = table_faults(section(&document, "### Metrics").unwrap(), &rows);
        assert_eq!(found.len(), faults, "{table}\n{found:?}");
    }
    assert!(section("# T\n", "### Metrics").is_none());
}
