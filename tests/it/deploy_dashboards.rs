//! The dashboards as files: current, whole, and such that Grafana takes them with any data source of
//! Prometheus's kind.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeSet;

use regex::Regex;
use serde_json::{Value, json};

use super::deploy_files::{dashboards, panels, path, queries, run, text, yaml};
use super::deploy_rules::assert_about_the_gateway;

/// Grafana's grid.
const COLUMNS: u64 = 24;

#[test]
#[expect(clippy::disallowed_methods, reason = "the tests are told of Python by environment")]
fn the_dashboards_are_what_their_source_says() {
    let python = std::env::var("PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let generate = path("deploy/grafana/generate");
    run(python, &[generate.to_str().unwrap(), "--check"]);
}

#[test]
fn a_dashboard_has_a_place_of_its_own() {
    let (mut ids, mut titles) = (BTreeSet::new(), BTreeSet::new());
    for (file, board) in dashboards() {
        assert!(ids.insert(board["uid"].as_str().unwrap().to_owned()), "{file}: uid");
        assert!(titles.insert(board["title"].as_str().unwrap().to_owned()), "{file}: title");
        assert!(board["uid"].as_str().unwrap().len() <= 40, "{file}: Grafana takes 40 characters");
        assert!(board.get("id").is_none(), "{file}: an id belongs to one Grafana");
        assert_eq!(board["schemaVersion"], 39, "{file}: that of Grafana 10.4, which 11 takes");
        assert!(board["tags"].as_array().unwrap().contains(&json!("sluicegate")), "{file}");
        assert!(!board["description"].as_str().unwrap().is_empty(), "{file}");
        assert!(!text(&file).contains("://"), "{file} names a host");
        for link in board["links"].as_array().unwrap() {
            let tag = &link["tags"][0];
            let tagged = |board: &Value| board["tags"].as_array().unwrap().contains(tag);
            assert!(dashboards().iter().any(|(_, board)| tagged(board)), "{file} links {tag:?}");
        }
    }
}

#[test]
fn panels_have_places_and_ids_of_their_own() {
    for (file, board) in dashboards() {
        let (mut ids, mut taken) = (BTreeSet::new(), BTreeSet::new());
        for panel in board["panels"].as_array().unwrap() {
            let title = panel["title"].as_str().unwrap();
            assert!(ids.insert(panel["id"].as_u64().unwrap()), "{file}: id of {title}");
            let [x, y, w, h] =
                ["x", "y", "w", "h"].map(|key| panel["gridPos"][key].as_u64().unwrap());
            assert!(w > 0 && h > 0 && x + w <= COLUMNS, "{file}: {title} does not fit");
            for cell in (x..x + w).flat_map(|x| (y..y + h).map(move |y| (x, y))) {
                assert!(taken.insert(cell), "{file}: {title} lies upon another");
            }
        }
        // The answers stand above the first row.
        let panels = board["panels"].as_array().unwrap();
        let first_row = panels.iter().position(|panel| panel["type"] == "row").unwrap();
        assert!(panels[..first_row].iter().all(|panel| panel["type"] == "stat"), "{file}");
        assert!(first_row >= 4, "{file} answers nothing at the top");
    }
}

#[test]
fn every_panel_says_what_is_bad_and_links_the_runbook() {
    let runbook = text("deploy/prometheus/RUNBOOK.md");
    let anchors: BTreeSet<_> = runbook
        .lines()
        .filter_map(|line| line.split_once("# ").filter(|(marks, _)| marks.starts_with('#')))
        .map(|(_, title)| title.to_lowercase().replace(' ', "-"))
        .collect();
    let link = Regex::new(r"\]\(\$\{runbook\}#([a-z-]+)\)").unwrap();
    for (file, board) in dashboards() {
        for panel in panels(&board) {
            let title = format!("{file}: {}", panel["title"]);
            let description = panel["description"].as_str().unwrap();
            assert!(description.contains("Bad: ") || description.contains("Bad if "), "{title}");
            let anchor = link.captures(description).map(|found| found[1].to_owned());
            assert!(
                anchor.is_some_and(|anchor| anchors.contains(&anchor)),
                "{title}: {description}"
            );
            let field = &panel["fieldConfig"]["defaults"];
            assert!(!field["unit"].as_str().unwrap().is_empty(), "{title} has no unit");
            let steps = field["thresholds"]["steps"].as_array().unwrap();
            assert_eq!(steps[0]["value"], Value::Null, "{title}");
            let values: Vec<_> =
                steps[1..].iter().map(|step| step["value"].as_f64().unwrap()).collect();
            assert!(values.is_sorted(), "{title}: {values:?}");
        }
    }
}

#[test]
fn every_query_asks_the_data_source_that_is_chosen() {
    let chosen = json!({ "type": "prometheus", "uid": "${datasource}" });
    for (file, board) in dashboards() {
        let variables = board["templating"]["list"].as_array().unwrap();
        assert_eq!(variables[0]["name"], "datasource", "{file}: what the others ask comes first");
        assert_eq!(
            (&variables[0]["type"], &variables[0]["query"]),
            (&json!("datasource"), &json!("prometheus"))
        );
        for variable in variables.iter().filter(|variable| variable["type"] == "query") {
            assert_eq!(variable["datasource"], chosen, "{file}: {}", variable["name"]);
        }
        for panel in panels(&board) {
            assert_eq!(panel["datasource"], chosen, "{file}: {}", panel["title"]);
            let mut ids = BTreeSet::new();
            let targets = panel["targets"].as_array().unwrap();
            assert!(!targets.is_empty(), "{file}: {}", panel["title"]);
            for target in targets {
                assert_eq!(target["datasource"], chosen, "{file}: {}", panel["title"]);
                assert!(
                    ids.insert(target["refId"].as_str().unwrap()),
                    "{file}: {}",
                    panel["title"]
                );
            }
        }
    }
}

#[test]
fn every_variable_that_is_used_is_defined_and_the_other_way_round() {
    let name = Regex::new(r"\$\{?(\w+)").unwrap();
    let builtin = ["__interval", "__interval_ms", "__rate_interval", "__range"];
    for (file, board) in dashboards() {
        let variables = board["templating"]["list"].as_array().unwrap();
        let mut defined = BTreeSet::new();
        let mut used: BTreeSet<_> = name
            .captures_iter(&board["panels"].to_string())
            .map(|found| found[1].to_owned())
            .collect();
        for variable in variables {
            // A variable may ask by those before it.
            let query = variable["query"].to_string();
            for found in name.captures_iter(&query) {
                assert!(
                    defined.contains(&found[1]),
                    "{file}: {} in {}",
                    &found[1],
                    variable["name"]
                );
                used.insert(found[1].to_owned());
            }
            assert!(defined.insert(variable["name"].as_str().unwrap().to_owned()), "{file}: twice");
        }
        used.retain(|name| !builtin.contains(&name.as_str()));
        assert_eq!(used, defined, "{file}: used, and defined");
    }
}

#[test]
fn the_gateways_dashboard_is_about_metrics_and_labels_that_the_gateway_has() {
    let (_, board) =
        dashboards().into_iter().find(|(file, _)| file.ends_with("gateway.json")).unwrap();
    for panel in panels(&board) {
        for query in queries(panel) {
            assert_about_the_gateway(query, &panel["title"].to_string());
        }
    }
    for variable in board["templating"]["list"].as_array().unwrap() {
        let Some(query) = variable["definition"].as_str() else { continue };
        let labels = query.trim_start_matches("label_values(").trim_end_matches(')');
        let (series, label) = labels.rsplit_once(',').unwrap();
        assert_about_the_gateway(&format!("sum by ({}) ({series})", label.trim()), query);
    }
}

#[test]
fn grafana_is_provisioned_with_what_stands_here() {
    let sources = yaml("deploy/grafana/provisioning/datasources/prometheus.yaml");
    let source = &sources["datasources"][0];
    assert_eq!((&source["type"], &source["isDefault"]), (&json!("prometheus"), &json!("true")));
    let scraping = yaml("deploy/prometheus/prometheus.yaml");
    let (interval, scrapes) =
        (&source["jsonData"]["timeInterval"], &scraping["global"]["scrape_interval"]);
    assert_eq!(interval, scrapes, "Grafana takes rates over four of them");
    let providers = yaml("deploy/grafana/provisioning/dashboards/sluicegate.yaml");
    let provider = &providers["providers"][0];
    assert_eq!(provider["options"]["path"], "/var/lib/grafana/dashboards");
    assert_eq!(provider["type"], "file");
}
