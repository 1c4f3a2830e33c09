//! What stands in `deploy/prometheus` and `deploy/grafana`, read: rules, dashboards, and the series
//! that their queries name.

#![allow(clippy::unwrap_used, clippy::panic)] // A test may end so.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use regex::Regex;
use saphyr_parser::{Event, Parser, ScalarStyle};
use serde_json::{Map, Value};

/// A path of the repository.
pub(crate) fn path(of: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(of)
}

/// The text of a file of the repository.
pub(crate) fn text(of: &str) -> String {
    std::fs::read_to_string(path(of)).unwrap_or_else(|error| panic!("{of}: {error}"))
}

/// The files of a folder of the repository that end so, in order, as paths of the repository.
pub(crate) fn files(folder: &str, end: &str) -> Vec<String> {
    let entries = std::fs::read_dir(path(folder)).unwrap_or_else(|e| panic!("{folder}: {e}"));
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut files: Vec<_> =
        names.filter(|name| name.ends_with(end)).map(|name| format!("{folder}/{name}")).collect();
    files.sort();
    assert!(!files.is_empty(), "no {end} in {folder}");
    files
}

/// A YAML file as JSON; whatever is no mapping, list or empty is a text.
pub(crate) fn yaml(of: &str) -> Value {
    let text = text(of);
    let events = Parser::new_from_str(&text);
    let mut events = events.map(|event| event.unwrap_or_else(|e| panic!("{of}: {e}")).0);
    let begun = events.by_ref().find(|event| matches!(event, Event::DocumentStart(_)));
    assert!(begun.is_some(), "{of} is empty");
    let first = events.next().unwrap();
    node(first, &mut events)
}

fn node<'a>(event: Event<'a>, events: &mut impl Iterator<Item = Event<'a>>) -> Value {
    match event {
        Event::Scalar(text, ScalarStyle::Plain, ..) if text.is_empty() => Value::Null,
        Event::Scalar(text, ..) => Value::String(text.into_owned()),
        Event::SequenceStart(..) => {
            let mut list = Vec::new();
            loop {
                match events.next().unwrap() {
                    Event::SequenceEnd => return Value::Array(list),
                    event => list.push(node(event, events)),
                }
            }
        }
        Event::MappingStart(..) => {
            let mut map = Map::new();
            loop {
                let key = match events.next().unwrap() {
                    Event::MappingEnd => return Value::Object(map),
                    Event::Scalar(text, ..) => text.into_owned(),
                    event => panic!("a key that is {event:?}"),
                };
                let event = events.next().unwrap();
                map.insert(key, node(event, events));
            }
        }
        event => panic!("{event:?} is not expected here"),
    }
}

/// All rules with the groups that hold them.
pub(crate) fn rules() -> Vec<(String, Value)> {
    let mut all = Vec::new();
    for file in files("deploy/prometheus/rules", ".yaml") {
        for group in yaml(&file)["groups"].as_array().unwrap() {
            let name = group["name"].as_str().unwrap();
            let rules = group["rules"].as_array().unwrap();
            all.extend(rules.iter().map(|rule| (name.to_owned(), rule.clone())));
        }
    }
    all
}

/// Names of all alerts.
pub(crate) fn alerts() -> Vec<String> {
    let rules = rules();
    let names = rules.iter().filter_map(|(_, rule)| rule["alert"].as_str());
    names.map(str::to_owned).collect()
}

/// All dashboards by their files.
pub(crate) fn dashboards() -> Vec<(String, Value)> {
    let files = files("deploy/grafana/dashboards", ".json").into_iter();
    files.map(|file| (file.clone(), serde_json::from_str(&text(&file)).unwrap())).collect()
}

/// Panels of a dashboard but for the titles of rows.
pub(crate) fn panels(dashboard: &Value) -> Vec<&Value> {
    let panels = dashboard["panels"].as_array().unwrap().iter();
    panels.filter(|panel| panel["type"] != "row").collect()
}

/// Queries of a panel.
pub(crate) fn queries(panel: &Value) -> Vec<&str> {
    let targets = panel["targets"].as_array().unwrap().iter();
    targets.map(|target| target["expr"].as_str().unwrap()).collect()
}

/// A series that a query selects: its name, and the labels that it asks for.
#[derive(Debug, PartialEq)]
pub(crate) struct Selected {
    pub(crate) name: String,
    pub(crate) labels: Vec<String>,
}

/// The gateway's own series that a query selects, those of its process, and those that rules record.
pub(crate) fn selected(query: &str) -> Vec<Selected> {
    let series = r#"((?:\w+:)?(?:sluicegate|process)_\w+(?::\w+)?)(?:\{((?:[^}"]|"[^"]*")*)\})?"#;
    let label = Regex::new(r#"(\w+)\s*(?:=~|!~|!=|=)\s*"[^"]*""#).unwrap();
    let series = Regex::new(series).unwrap();
    series
        .captures_iter(query)
        .map(|found| {
            let asked = found.get(2).map_or("", |labels| labels.as_str());
            let labels = label.captures_iter(asked).map(|label| label[1].to_owned()).collect();
            Selected { name: found[1].to_owned(), labels }
        })
        .collect()
}

/// Labels that a query aggregates by or matches on.
pub(crate) fn grouped(query: &str) -> Vec<String> {
    let group = Regex::new(r"\b(?:by|without|on|ignoring)\s*\(([^)]*)\)").unwrap();
    let labels = group.captures_iter(query).flat_map(|found| {
        let names = found[1].split(',').map(|name| name.trim().to_owned());
        names.collect::<Vec<_>>()
    });
    labels.collect()
}

/// Runs a program and gives what it said; fails if that failed.
pub(crate) fn run(program: impl AsRef<Path>, arguments: &[&str]) -> String {
    let program = program.as_ref();
    let Output { status, stdout, stderr } = Command::new(program)
        .args(arguments)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap_or_else(|error| panic!("cannot run {}: {error}", program.display()));
    let said = String::from_utf8_lossy(&[stdout, stderr].concat()).into_owned();
    assert!(status.success(), "{} {arguments:?}: {said}", program.display());
    said
}

#[test]
fn a_query_is_read_for_what_it_selects() {
    let query = r#"max by (job, le) (sum(rate(sluicegate_a_total{b=~"x|}{", c!="1"}[5m])))
        / ignoring(d) job:sluicegate_e:p90 - process_f"#;
    let of = |name: &str, labels: &[&str]| Selected {
        name: name.to_owned(),
        labels: labels.iter().map(|&label| label.to_owned()).collect(),
    };
    let expected = [
        of("sluicegate_a_total", &["b", "c"]),
        of("job:sluicegate_e:p90", &[]),
        of("process_f", &[]),
    ];
    assert_eq!(selected(query), expected);
    assert_eq!(grouped(query), ["job", "le", "d"]);
}
