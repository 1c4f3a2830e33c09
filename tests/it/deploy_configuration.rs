//! The configurations of `deploy/`: the one with every setting says what the code does, and the small ones
//! do what their comments say.

#![allow(clippy::unwrap_used, clippy::panic)] // A test may end so.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use sluicegate::config::{Config, Faults, Loaded, Source, load_within};
use sluicegate::map::Mapper;

use crate::map_kit::{Point, map, samples};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

fn text_of(name: &str) -> String {
    let path = root().join("deploy").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Every variable that a configuration asks for has a value.
fn load(text: &str) -> Result<Loaded, Faults> {
    let env = |name: &str| (!name.starts_with("AWS_")).then(|| format!("value-of-{name}"));
    let path = Path::new("/etc/sluicegate/sluicegate.yaml");
    load_within(Source::File { path, text }, &env, None)
}

/// What a line says of its value, in the comment behind it.
#[derive(Clone, Debug, PartialEq)]
enum Says {
    /// It is what holds without the line.
    Default,
    /// It has to be given.
    Yours,
    /// It is an example; this holds without it, if anything.
    Example(Option<String>),
    /// It takes the place of the setting beside it with this name.
    InsteadOf(String),
}

/// One setting, or a section, of the file with every setting.
#[derive(Clone, Debug)]
struct Line {
    indent: usize,
    in_list: bool,
    key: String,
    value: Option<String>,
    says: Says,
    path: String,
    parent: Option<usize>,
    /// `[a .. b]` or `[a .. b)` of the comment above.
    range: Option<String>,
}

impl Line {
    fn text(&self, value: Option<&str>) -> String {
        let indent = if self.in_list { self.indent - 2 } else { self.indent };
        let dash = if self.in_list { "- " } else { "" };
        let value = value.map(|value| format!(" {value}")).unwrap_or_default();
        format!("{}{dash}{}:{value}\n", " ".repeat(indent), self.key)
    }
}

fn ranges(comment: &str) -> Vec<String> {
    let starts = comment.match_indices('[').map(|(at, _)| &comment[at..]);
    let whole = starts.filter_map(|rest| rest.get(..=rest.find([']', ')'])?));
    whole.filter(|range| range.contains(" .. ")).map(str::to_owned).collect()
}

fn says(comment: Option<&str>) -> Says {
    match comment {
        Some("yours") => Says::Yours,
        Some(text) if text.starts_with("e.g.") => {
            let default = text.strip_prefix("e.g. default: ").map(unquoted);
            Says::Example(default)
        }
        Some(text) => match text.strip_prefix("instead of ") {
            Some(other) => Says::InsteadOf(other.to_owned()),
            None => panic!("not understood: `# {text}`"),
        },
        None => Says::Default,
    }
}

fn unquoted(text: &str) -> String {
    text.trim_matches('"').to_owned()
}

/// Reads the file as its first comment says that it is to be read.
fn lines(text: &str) -> Vec<Line> {
    let mut lines: Vec<Line> = Vec::new();
    let mut comment = String::new();
    // Lines since the comment, each of which one of its ranges is for.
    let mut run = 0;
    for raw in text.lines() {
        let indent = raw.len() - raw.trim_start().len();
        let body = raw.trim_start();
        let prose = body == "#" || body.starts_with("# ") && !body.starts_with("#  ");
        if body.is_empty() || prose {
            if run > 0 || body.len() < 2 {
                comment.clear();
                run = 0;
            }
            comment.push_str(body.trim_start_matches('#'));
            continue;
        }
        let body = body.strip_prefix('#').unwrap_or(body);
        let indent = indent + body.len() - body.trim_start().len();
        let body = body.trim_start();
        let (in_list, body) = body.strip_prefix("- ").map_or((false, body), |rest| (true, rest));
        let indent = if in_list { indent + 2 } else { indent };
        let (setting, behind) = body
            .split_once(" # ")
            .map_or((body, None), |(setting, behind)| (setting, Some(behind)));
        let (key, value) = setting.split_once(':').unwrap_or_else(|| panic!("no setting: {raw}"));
        let value = Some(value.trim().to_owned()).filter(|value| !value.is_empty());
        let shallower = |line: &&Line| line.indent < indent;
        let parent = lines.iter().rposition(|line| shallower(&line));
        let around = parent.map(|at| {
            let listed = lines[at..].iter().any(|line| line.in_list && line.indent == indent);
            format!("{}{}.", lines[at].path, if listed || in_list { "[]" } else { "" })
        });
        let found = ranges(&comment);
        let range = if found.len() == 1 { found.first() } else { found.get(run) };
        run += 1;
        lines.push(Line {
            indent,
            in_list,
            key: key.to_owned(),
            value,
            says: says(behind.map(str::trim)),
            path: format!("{}{key}", around.unwrap_or_default()),
            parent,
            range: range.cloned(),
        });
    }
    lines
}

/// Whether a line is `at`, or stands within it.
fn within(lines: &[Line], mut line: usize, at: usize) -> bool {
    while line != at {
        let Some(parent) = lines[line].parent else { return false };
        line = parent;
    }
    true
}

/// The settings that a line asks to be replaced by it and what is around it.
fn replaced(lines: &[Line], at: usize) -> Vec<usize> {
    let mut found = Vec::new();
    let mut open = Some(at);
    while let Some(line) = open {
        if let Says::InsteadOf(other) = &lines[line].says {
            let beside = |one: &Line| one.parent == lines[line].parent && one.key == *other;
            found.push(lines.iter().position(beside).expect("stands beside it"));
        }
        open = lines[line].parent;
    }
    found
}

/// The lines of everything that is off turned on, with those that replace others only around `chosen`.
fn everything(lines: &[Line], chosen: Option<usize>) -> Vec<usize> {
    let gone = chosen.map(|at| replaced(lines, at)).unwrap_or_default();
    let wanted = |line: usize| {
        let alternatives = (0..lines.len())
            .filter(|at| matches!(lines[*at].says, Says::InsteadOf(_)) && within(lines, line, *at));
        let mut alternatives = alternatives;
        alternatives.all(|at| chosen.is_some_and(|chosen| within(lines, chosen, at)))
            && !gone.iter().any(|gone| within(lines, line, *gone))
    };
    (0..lines.len()).filter(|line| wanted(*line)).collect()
}

/// The text of some lines; `changed` has another value, or is left out if it has none.
fn written(lines: &[Line], some: &[usize], changed: Option<(usize, Option<&str>)>) -> String {
    let text = |at: &usize| match changed {
        Some((line, None)) if line == *at && lines[line].in_list => {
            format!("{}-\n", " ".repeat(lines[line].indent - 2))
        }
        Some((line, None)) if line == *at => String::new(),
        Some((line, value)) if line == *at => lines[line].text(value),
        _ => lines[*at].text(lines[*at].value.as_deref()),
    };
    some.iter().map(text).collect()
}

fn read(text: &str) -> Config {
    load(text).unwrap_or_else(|faults| panic!("{faults}\n{text}")).config
}

/// As it stands it differs from a file with nothing but what has to be given in names alone.
#[test]
fn the_file_with_every_setting_holds_the_defaults() {
    let text = text_of("sluicegate.yaml");
    let Loaded { config, notes, .. } = load(&text).unwrap_or_else(|faults| panic!("{faults}"));
    assert!(notes.is_empty(), "{notes:?}");
    let least = read(
        "server: { access_keys: [{ name: primary, key: '${SLUICEGATE_ACCESS_KEY}' }] }\n\
         remote_write:\n- name: amp\n  url: https://aps-workspaces.eu-west-1.amazonaws.com/workspaces/ws-0123/api/v1/remote_write\n",
    );
    assert_eq!(config, least);
}

/// Every setting that the code reads has a line, and no line is for anything else.
#[test]
fn the_file_with_every_setting_lacks_none() {
    let settings: BTreeSet<String> = Config::settings().into_iter().collect();
    let lines = lines(&text_of("sluicegate.yaml"));
    let said: BTreeSet<&str> = lines.iter().map(|line| line.path.as_str()).collect();
    let lacks: Vec<_> = settings.iter().filter(|one| !said.contains(one.as_str())).collect();
    assert!(lacks.is_empty(), "no line for {lacks:?}");
    for line in lines.iter().filter(|line| line.value.is_some()) {
        // Within labels and headers names are free.
        let known = settings.iter().any(|one| {
            line.path.strip_prefix(one.as_str()).is_some_and(|rest| {
                !rest.contains('[') && (rest.is_empty() || rest.starts_with('.'))
            })
        });
        assert!(known, "`{}` is no setting", line.path);
    }
}

/// A line that claims to say the default changes nothing when it goes; an example does; what has to be
/// given is missed. Whatever is off is held to the same once it is turned on.
#[test]
fn every_line_says_truly_what_holds_without_it() {
    let lines = lines(&text_of("sluicegate.yaml"));
    let alternatives = (0..lines.len()).filter(|at| matches!(lines[*at].says, Says::InsteadOf(_)));
    let mut looked_at = BTreeSet::new();
    for chosen in std::iter::once(None).chain(alternatives.map(Some)) {
        let some = everything(&lines, chosen);
        let whole = read(&written(&lines, &some, None));
        let settings = some.iter().copied().filter(|at| lines[*at].value.is_some());
        for at in settings.filter(|at| looked_at.insert(*at)) {
            let without = load(&written(&lines, &some, Some((at, None))));
            let same = without.as_ref().is_ok_and(|loaded| loaded.config == whole);
            let Line { path, says, .. } = &lines[at];
            match says {
                Says::Default => assert!(
                    same,
                    "`{path}` does not say the default: {:?}",
                    without.map(|loaded| loaded.config)
                ),
                Says::Yours => assert!(without.is_err(), "`{path}` need not be given"),
                Says::Example(_) | Says::InsteadOf(_) => {
                    assert!(!same, "`{path}` says the default");
                }
            }
        }
    }
    let missed: Vec<_> = (0..lines.len())
        .filter(|at| lines[*at].value.is_some() && !looked_at.contains(at))
        .collect();
    assert!(
        missed.is_empty(),
        "{:?}",
        missed.iter().map(|at| &lines[*at].path).collect::<Vec<_>>()
    );
}

/// The bounds that a comment names are taken, what lies beyond them is not.
#[test]
fn every_range_is_the_codes() {
    let lines = lines(&text_of("sluicegate.yaml"));
    let some = everything(&lines, None);
    let mut checked = 0;
    for at in some.iter().copied() {
        let Some(range) = &lines[at].range else { continue };
        let Line { path, key, .. } = &lines[at];
        assert!(lines[at].value.is_some(), "{path}: a range for a section");
        checked += 1;
        let (low, high) = range[1..range.len() - 1].split_once(" .. ").unwrap();
        let trouble = |value: &str| -> Vec<String> {
            let text = written(&lines, &some, Some((at, Some(value))));
            let all: Vec<String> = match load(&text) {
                Ok(loaded) => loaded.notes,
                Err(faults) => faults.lines().collect(),
            };
            let about = format!(".{key}: ");
            all.into_iter().filter(|line| line.contains(&about)).collect()
        };
        let beyond = |value: &str| {
            trouble(value).into_iter().filter(|line| line.contains(" than")).collect::<Vec<_>>()
        };
        let number = |value: &str, change: &dyn Fn(u64) -> u64| {
            let digits = value.find(|c: char| !c.is_ascii_digit()).unwrap_or(value.len());
            format!("{}{}", change(value[..digits].parse().unwrap()), &value[digits..])
        };
        let out_of_range = |value: &str| {
            let signs = [" is less than ", " is more than ", " is not understood "];
            trouble(value).iter().any(|line| signs.iter().any(|sign| line.contains(sign)))
        };
        assert!(!out_of_range(low), "{path} takes no {low}: {:?}", beyond(low));
        if range.ends_with(']') {
            assert!(!out_of_range(high), "{path} takes no {high}: {:?}", beyond(high));
            let more = number(high, &|high| high + 1);
            assert!(!trouble(&more).is_empty(), "{path} takes {more}, beyond {range}");
        } else {
            assert!(!beyond(high).is_empty(), "{path} takes {high}, against {range}");
            let less = number(high, &|high| high - 1);
            let shorter = |line: &String| line.contains(" must be shorter than ");
            assert!(!trouble(&less).iter().any(shorter), "{path} takes no {less}, within {range}");
        }
        if number(low, &|low| low) != "0s" && low != "0" {
            let less = number(low, &|low| low - 1);
            assert!(out_of_range(&less), "{path} takes {less}, beyond {range}");
        }
    }
    assert!(checked >= 25, "{checked} ranges found");
}

/// Where the README's table names a value as the default, the file has the same.
#[test]
fn the_readme_names_the_same_defaults() {
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    let mut named: BTreeMap<&str, &str> = BTreeMap::new();
    for row in readme.lines() {
        let cells: Vec<&str> = row.split(" | ").collect();
        let [name, default, _] = cells.as_slice() else { continue };
        let Some(name) = name.strip_prefix("| `").and_then(|name| name.strip_suffix('`')) else {
            continue;
        };
        if let Some(rest) = default.strip_prefix('`') {
            named.insert(name, rest.split('`').next().unwrap());
        }
    }
    let mut compared = BTreeSet::new();
    for line in lines(&text_of("sluicegate.yaml")) {
        let Some(default) = named.get(line.path.as_str()) else { continue };
        let ours = match (&line.says, &line.value) {
            (Says::Default, Some(value)) => unquoted(value),
            (Says::Example(Some(value)), _) => value.clone(),
            _ => continue,
        };
        assert_eq!(ours, *default, "{}", line.path);
        compared.insert(line.path.clone());
    }
    assert!(compared.len() >= 45, "{} compared", compared.len());
}

/// The configurations for the common cases: all of them are read without a fault or a note.
fn case(name: &str) -> (String, Config) {
    let text = text_of(&format!("configurations/{name}.yaml"));
    let Loaded { config, notes, .. } = load(&text).unwrap_or_else(|faults| panic!("{faults}"));
    assert!(notes.is_empty(), "{notes:?}");
    (text, config)
}

fn point(account: &str, namespace: &str, metric: &str) -> Point {
    Point {
        account: account.to_owned(),
        namespace: namespace.to_owned(),
        metric: metric.to_owned(),
        ..Point::new("i-1", 0)
    }
}

/// Samples of a data point by destination.
fn samples_of(config: &Config, point: Point) -> Vec<usize> {
    let mapped = map(&Mapper::new(config.plan()), &[point]);
    (0..config.remote_write.len()).map(|one| samples(&mapped.batch, one).len()).collect()
}

#[test]
fn every_small_configuration_is_taken() {
    let folder = root().join("deploy/configurations");
    let mut seen = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let (_, config) = case(path.file_stem().unwrap().to_str().unwrap());
        assert!(config.remote_write[0].is_amp() && config.remote_write[0].required);
        seen += 1;
    }
    assert!(seen >= 4, "{seen} found");
    // The key comes from the environment: without it there is no gateway.
    let text = text_of("configurations/amp.yaml");
    let path = Path::new("amp.yaml");
    assert!(load_within(Source::File { path, text: &text }, &|_| None, None).is_err());
}

#[test]
fn workspaces_share_series_out_as_the_comment_says() {
    let (_, config) = case("workspaces");
    let names: Vec<&str> = config.remote_write.iter().map(|one| one.name.as_str()).collect();
    let (ours, theirs) = ("111122223333", "222233334444");
    for (account, namespace, expected) in [
        (ours, "AWS/NATGateway", "network"),
        (theirs, "AWS/NetworkELB", "network"),
        (theirs, "AWS/EC2", "payments"),
        (theirs, "Their/Own", "payments"),
        (ours, "AWS/EC2", "platform"),
        (ours, "AWS/NetworkFirewall", "platform"),
    ] {
        let samples = samples_of(&config, point(account, namespace, "Some"));
        let went: Vec<_> = names.iter().zip(samples).filter(|(_, samples)| *samples > 0).collect();
        assert_eq!(went, [(&expected, 5)], "{account} {namespace}");
    }
    assert!(config.remote_write.iter().all(|one| one.required));
}

#[test]
fn the_copy_for_prometheus_is_best_effort() {
    let (_, config) = case("amp-and-prometheus");
    assert_eq!(
        config.remote_write.iter().map(|one| one.required).collect::<Vec<_>>(),
        [true, false]
    );
    assert_eq!(samples_of(&config, point("1", "AWS/EC2", "CPUUtilization")), [5, 5]);
}

#[test]
fn the_low_cost_configuration_cuts_what_it_says() {
    let (text, config) = case("low-cost");
    let (mut least, mut most) = (100, 0);
    for (namespace, metric, samples) in [
        ("AWS/ApplicationELB", "RequestCount", 1),
        ("AWS/ApplicationELB", "HTTPCode_Target_5XX_Count", 1),
        ("AWS/ApplicationELB", "TargetResponseTime", 2),
        ("AWS/DynamoDB", "ConsumedReadCapacityUnits", 1),
        ("AWS/DynamoDB", "SuccessfulRequestLatency", 2),
        ("AWS/EC2", "CPUUtilization", 2),
        ("AWS/Lambda", "Invocations", 1),
        ("AWS/Lambda", "Duration", 2),
        ("AWS/RDS", "DatabaseConnections", 2),
        ("AWS/SQS", "ApproximateNumberOfMessagesVisible", 1),
        ("AWS/SQS", "NumberOfMessagesSent", 1),
    ] {
        assert_eq!(samples_of(&config, point("1", namespace, metric)), [samples], "{metric}");
        let (_, whole) = case("amp");
        assert_eq!(samples_of(&whole, point("1", namespace, metric)), [5]);
        let cut = 100 - samples * 100 / 5;
        (least, most) = (least.min(cut), most.max(cut));
    }
    assert_eq!(samples_of(&config, point("1", "AWS/Usage", "CallCount")), [0]);
    assert!(text.contains(&format!("{least} to {most} % fewer")), "{least} to {most} %");
}
