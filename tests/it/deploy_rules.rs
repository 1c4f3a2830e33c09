//! The rules: what Prometheus's own tool says of them and of their tests, that every alert is tested
//! both ways and has its runbook, and that they are about metrics that the gateway has.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};

use sluicegate::meters::{self, Kind};

use super::deploy_files::{Selected, alerts, files, grouped, rules, run, selected, text, yaml};
use super::prometheus::promtool;

/// Rules of a group that AMP evaluates.
const RULES_PER_GROUP_MAX: usize = 20;

/// Labels that who collects the metrics adds.
const COLLECTORS: [&str; 2] = ["job", "instance"];

#[test]
fn promtool_takes_the_configuration_and_the_rules() {
    let said = run(promtool(), &["check", "config", "deploy/prometheus/prometheus.yaml"]);
    assert!(said.contains("rule files found"), "the configuration names the rules: {said}");
    for file in files("deploy/prometheus/rules", ".yaml") {
        run(promtool(), &["check", "rules", &file]);
    }
}

#[test]
fn every_alert_fires_when_it_should_and_is_quiet_when_it_should() {
    for file in files("deploy/prometheus/tests", ".yaml") {
        run(promtool(), &["test", "rules", &file]);
    }
}

#[test]
fn every_alert_has_a_case_in_which_it_fires_and_one_in_which_it_does_not() {
    // By alert: the tests in which it fires at some time, and those in which it never does.
    let mut cases: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    for file in files("deploy/prometheus/tests", ".yaml") {
        for test in yaml(&file)["tests"].as_array().unwrap() {
            let mut fires: BTreeMap<&str, bool> = BTreeMap::new();
            for case in test["alert_rule_test"].as_array().unwrap() {
                let some = !case["exp_alerts"].as_array().unwrap().is_empty();
                *fires.entry(case["alertname"].as_str().unwrap()).or_default() |= some;
            }
            for (alert, fires) in fires {
                let (firing, quiet) = cases.entry(alert.to_owned()).or_default();
                *if fires { firing } else { quiet } += 1;
            }
        }
    }
    for alert in alerts() {
        let (firing, quiet) = cases.remove(&alert).unwrap_or_default();
        assert!(firing > 0, "{alert} fires in no test");
        assert!(quiet > 0, "{alert} is quiet in no test");
    }
    assert!(cases.is_empty(), "tests of alerts that there are not: {cases:?}");
}

#[test]
fn every_alert_has_its_section_in_the_runbook_and_every_section_its_alert() {
    let runbook = text("deploy/prometheus/RUNBOOK.md");
    let sections: Vec<_> = runbook.split("\n### ").skip(1).collect();
    let titles: BTreeSet<_> =
        sections.iter().map(|section| section.lines().next().unwrap().to_owned()).collect();
    assert_eq!(titles, alerts().into_iter().collect(), "sections and alerts");
    assert_eq!(titles.len(), sections.len(), "a section stands twice");
    for section in sections {
        for part in ["**Means** ", "**Lost** ", "**Look** ", "**Do**"] {
            assert!(section.contains(&format!("\n{part}")), "no {part} in {section}");
        }
    }
}

#[test]
fn every_alert_says_how_bad_it_is_and_what_to_do() {
    let mut names = BTreeSet::new();
    for (_, rule) in rules() {
        let Some(alert) = rule["alert"].as_str() else { continue };
        assert!(alert.starts_with("Sluicegate") && names.insert(alert.to_owned()), "{alert}");
        let severity = rule["labels"]["severity"].as_str().unwrap_or_default();
        assert!(["page", "warning"].contains(&severity), "{alert}: severity {severity:?}");
        let annotation = |name: &str| rule["annotations"][name].as_str().unwrap_or_default();
        for name in ["summary", "description"] {
            assert!(annotation(name).len() > 20, "{alert} has no {name}");
        }
        let anchor = format!("deploy/prometheus/RUNBOOK.md#{}", alert.to_lowercase());
        assert_eq!(annotation("runbook"), anchor, "{alert}");
    }
}

/// AMP evaluates groups in no order, limits their length, and knows fewer fields than Prometheus.
#[test]
fn the_rules_are_as_plain_as_amp_wants_them() {
    let mut groups: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (group, rule) in rules() {
        for key in rule.as_object().unwrap().keys() {
            let known = ["alert", "record", "expr", "for", "labels", "annotations"];
            assert!(known.contains(&key.as_str()), "{key} in {group}");
        }
        if let Some(name) = rule["record"].as_str() {
            groups.entry(group.clone()).or_default().push(name.to_owned());
        }
        let recorded = groups.entry(group.clone()).or_default();
        for series in selected(rule["expr"].as_str().unwrap()) {
            let known = !series.name.contains(':') || recorded.contains(&series.name);
            assert!(known, "{} is not recorded before in {group}", series.name);
        }
    }
    let used: BTreeSet<_> = rules()
        .iter()
        .filter(|(_, rule)| rule["alert"].is_string())
        .flat_map(|(_, rule)| selected(rule["expr"].as_str().unwrap()))
        .map(|series| series.name)
        .collect();
    for (group, recorded) in groups {
        let unused = recorded.iter().find(|name| !used.contains(*name));
        assert_eq!(unused, None, "recorded in {group}, and used by no alert");
        let rules = rules().iter().filter(|(of, _)| *of == group).count();
        assert!(rules <= RULES_PER_GROUP_MAX, "{group} has {rules} rules");
    }
    for file in files("deploy/prometheus/rules", ".yaml") {
        let parsed = yaml(&file);
        assert_eq!(parsed.as_object().unwrap().len(), 1, "{file} has groups alone");
        for group in parsed["groups"].as_array().unwrap() {
            let keys: Vec<_> = group.as_object().unwrap().keys().collect();
            assert_eq!(keys, ["name", "interval", "rules"], "{file}");
        }
    }
}

/// What the gateway shows under a name, and with which labels.
fn labels_of(series: &str) -> Option<Vec<&'static str>> {
    meters::ALL.iter().find_map(|metric| {
        let rest = series.strip_prefix(metric.name)?;
        let histogram = matches!(metric.kind, Kind::Histogram(_));
        let own = match rest {
            "" => !histogram,
            "_bucket" | "_sum" | "_count" => histogram,
            _ => false,
        };
        let le = (rest == "_bucket").then_some("le");
        own.then(|| metric.labels.iter().copied().chain(le).chain(COLLECTORS).collect())
    })
}

/// Fails unless a query is about metrics of the gateway, and about labels that they have.
pub(crate) fn assert_about_the_gateway(query: &str, of: &str) {
    let mut known: BTreeSet<&str> = COLLECTORS.into();
    let series = selected(query);
    assert!(!series.is_empty(), "{of} is about no metric of the gateway: {query}");
    for Selected { name, labels } in &series {
        // Those of the process, and those recorded from the others, are held by the live test.
        if name.starts_with("process_") || name.contains(':') {
            continue;
        }
        let has = labels_of(name).unwrap_or_else(|| panic!("{of}: the gateway has no {name}"));
        for label in labels {
            assert!(has.contains(&label.as_str()), "{of}: {name} has no label {label}");
        }
        known.extend(has);
    }
    for label in grouped(query) {
        assert!(known.contains(label.as_str()), "{of}: none of {series:?} has {label}");
    }
}

#[test]
fn the_rules_are_about_metrics_and_labels_that_the_gateway_has() {
    for (_, rule) in rules() {
        let name = rule["alert"].as_str().or(rule["record"].as_str()).unwrap();
        assert_about_the_gateway(rule["expr"].as_str().unwrap(), name);
    }
}
