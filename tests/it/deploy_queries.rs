//! Every query of the dashboards and every rule, asked of a real Prometheus that the gateway fills: by
//! remote write with a demo's traffic, and by what its own `/metrics` shows meanwhile.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::time::Duration;

use serde_json::Value;
use sluicegate::demo::firehose::Outcome;
use sluicegate::demo::records::records;
use sluicegate::demo::stream::{Format, MetricStream};
use tokio::time::{Instant, sleep};

use super::deploy_files::{dashboards, files, panels, path, rules, selected, text};
use super::house::{Standing, minute};
use super::prometheus::{Options, Prometheus};

/// Several resources of each metric of the catalogue.
const METRICS: usize = 300;
/// Minutes of traffic; young enough that a healthy gateway's data is not late.
const MINUTES: i64 = 3;
/// Seconds that a graph reaches back, and from point to point.
const GRAPH_S: (f64, f64) = (900.0, 15.0);
/// What Grafana puts in for its own variables; the long names come first.
const BUILTIN: [(&str, &str); 4] = [
    ("$__rate_interval", "1m"),
    ("$__interval_ms", "60000"),
    ("$__interval", "1m"),
    ("$__range", "15m"),
];

/// A healthy gateway, and the Prometheus that it writes to and that watches it.
struct Watched {
    server: Prometheus,
    standing: Standing,
}

impl Watched {
    /// The configuration and the rules of `deploy/prometheus`, but for the gateway's address and the
    /// pace, and a few minutes of a metric stream.
    async fn start() -> Self {
        let mut server = Prometheus::start(Options::default()).await;
        let rest =
            format!("remote_write:\n  - {{ name: there, url: \"{}\" }}", server.remote_write_url());
        let standing = Standing::start("", &rest).await;
        let address = standing.telemetry_url("").replace("http://", "");
        std::fs::create_dir(server.folder().join("rules")).unwrap();
        for file in files("deploy/prometheus/rules", ".yaml") {
            let rules = replaced(&text(&file), "interval: 1m", "interval: 1s");
            let name = path(&file).file_name().unwrap().to_owned();
            std::fs::write(server.folder().join("rules").join(name), rules).unwrap();
        }
        let configuration = text("deploy/prometheus/prometheus.yaml");
        let configuration = replaced(&configuration, "gateway:8081", &address);
        let configuration = replaced(&configuration, "scrape_interval: 15s", "scrape_interval: 1s");
        server.configure(&configuration).await;
        let watched = Self { server, standing };
        watched.fill().await;
        watched
    }

    /// Sends the minutes, each once the one before it is seen in the gateway's metrics, so that every
    /// counter has been seen to rise.
    async fn fill(&self) {
        let stream = MetricStream::new(METRICS, 1);
        self.until("sum(sluicegate_ready) == 1").await;
        for (ago, format) in (1..=MINUTES).rev().zip(Format::ALL) {
            let points: Vec<_> = stream.points(minute(ago), 0..METRICS).collect();
            let delivery = self.standing.firehose(true).deliver(records(format, &points)).await;
            assert_eq!(delivery.outcome, Outcome::Delivered, "{delivery:?}");
            let sent = (MINUTES - ago + 1) * i64::try_from(METRICS).unwrap();
            self.until(&format!("sum(sluicegate_stream_datapoints_total) == {sent}")).await;
        }
    }

    /// Waits until a query has a result.
    async fn until(&self, query: &str) {
        let begun = Instant::now();
        while !has_data(&self.instant(query).await.unwrap()) {
            assert!(begun.elapsed() < Duration::from_secs(60), "not yet: {query}");
            sleep(Duration::from_millis(50)).await;
        }
    }

    async fn instant(&self, query: &str) -> Result<Value, String> {
        self.server.ask("/api/v1/query", &[("query", query)]).await
    }

    /// As a graph asks, up to now.
    async fn graph(&self, query: &str) -> Result<Value, String> {
        let now = self.instant("time()").await?["result"][0].as_f64().unwrap();
        let (range_s, step_s) = GRAPH_S;
        let [start, end, step] = [now - range_s, now, step_s].map(|seconds| seconds.to_string());
        let times = [("query", query), ("start", &start), ("end", &end), ("step", &step)];
        self.server.ask("/api/v1/query_range", &times).await
    }

    /// The values of a variable, asked as Grafana asks for `label_values(SERIES, LABEL)`.
    async fn values(&self, definition: &str) -> Vec<String> {
        let inner =
            definition.strip_prefix("label_values(").and_then(|rest| rest.strip_suffix(')'));
        let inner = inner.unwrap_or_else(|| panic!("{definition} is not read here"));
        let (series, label) = inner.rsplit_once(", ").map_or((None, inner), |(s, l)| (Some(s), l));
        let matching: Vec<_> = series.iter().map(|series| ("match[]", *series)).collect();
        let values = self.server.ask(&format!("/api/v1/label/{label}/values"), &matching).await;
        let values = values.unwrap_or_else(|error| panic!("{definition}: {error}"));
        values.as_array().unwrap().iter().map(|value| value.as_str().unwrap().to_owned()).collect()
    }

    /// Asks every query of a dashboard. What is wrong with it, and how many queries there are.
    async fn ask(&self, board: &Value, variables: &[(String, String)]) -> (Vec<String>, usize) {
        let (mut faults, mut asked) = (Vec::new(), 0);
        for panel in panels(board) {
            for target in panel["targets"].as_array().unwrap() {
                let query = substituted(target["expr"].as_str().unwrap(), variables);
                let is_instant = target["instant"].as_bool().unwrap_or_default();
                let answer =
                    if is_instant { self.instant(&query).await } else { self.graph(&query).await };
                asked += 1;
                match answer {
                    Ok(data) if has_data(&data) => {}
                    Ok(_) => faults.push(format!("{} is empty: {query}", panel["title"])),
                    Err(error) => faults.push(format!("{}: {error}: {query}", panel["title"])),
                }
            }
        }
        (faults, asked)
    }
}

fn replaced(text: &str, from: &str, to: &str) -> String {
    assert!(text.contains(from), "no {from} in {text}");
    text.replace(from, to)
}

/// A query with its variables put in.
fn substituted(query: &str, variables: &[(String, String)]) -> String {
    let mut query = query.to_owned();
    for (name, value) in BUILTIN {
        query = query.replace(name, value);
    }
    for (name, value) in variables {
        query = query.replace(&format!("${name}"), value);
    }
    assert!(!query.contains('$'), "a variable is left: {query}");
    query
}

/// Whether a vector, matrix or scalar holds a number.
fn has_data(data: &Value) -> bool {
    let is_number = |sample: &Value| sample[1].as_str().is_some_and(|value| value != "NaN");
    let Some(series) = data["result"].as_array() else { return false };
    if data["resultType"] == "scalar" {
        return is_number(&data["result"]);
    }
    series.iter().any(|series| {
        let values = series["values"].as_array();
        is_number(&series["value"]) || values.is_some_and(|values| values.iter().any(is_number))
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn no_query_is_invalid_and_no_panel_is_empty() {
    let watched = Watched::start().await;
    for (file, board) in dashboards() {
        // Once with everything, once with each variable's values by name.
        let (mut all, mut named) = (Vec::new(), Vec::new());
        for variable in board["templating"]["list"].as_array().unwrap() {
            let name = variable["name"].as_str().unwrap().to_owned();
            match variable["type"].as_str().unwrap() {
                "query" => {
                    let definition = variable["query"]["query"].as_str().unwrap();
                    assert_eq!(variable["definition"], definition, "{file}: what Grafana shows");
                    let definition = substituted(definition, &all);
                    let values = watched.values(&definition).await;
                    assert!(!values.is_empty(), "{file}: no values of {name}: {definition}");
                    all.push((name.clone(), variable["allValue"].as_str().unwrap().to_owned()));
                    named.push((name, format!("({})", values.join("|"))));
                }
                "textbox" => {
                    let value = variable["query"].as_str().unwrap().to_owned();
                    all.push((name.clone(), value.clone()));
                    named.push((name, value));
                }
                kind => assert_eq!(kind, "datasource", "{file}: {name}"),
            }
        }
        for variables in [all, named] {
            let (faults, asked) = watched.ask(&board, &variables).await;
            assert!(faults.is_empty(), "{file}, of {asked}:\n{}", faults.join("\n"));
            assert!(asked > 20, "{file} asks {asked} queries");
        }
    }
    watched.standing.house.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_rule_is_evaluated_and_a_healthy_gateway_raises_no_alert() {
    let watched = Watched::start().await;
    // Before the first batch nothing was delivered; that is over with the next evaluation.
    let begun = Instant::now();
    let is_calm = |rule: &Value| rule["alerts"].as_array().is_none_or(Vec::is_empty);
    let evaluated = loop {
        let answer = watched.server.ask("/api/v1/rules", &[]).await.unwrap();
        let groups = answer["groups"].as_array().unwrap().iter();
        let rules: Vec<_> =
            groups.flat_map(|group| group["rules"].as_array().unwrap()).cloned().collect();
        if rules.iter().all(|rule| rule["health"] != "unknown" && is_calm(rule)) {
            break rules;
        }
        let unlike = rules.iter().find(|rule| rule["health"] == "unknown" || !is_calm(rule));
        assert!(begun.elapsed() < Duration::from_secs(60), "not evaluated, or alerts: {unlike:?}");
        sleep(Duration::from_millis(50)).await;
    };
    assert_eq!(evaluated.len(), rules().len());
    for rule in evaluated {
        let (name, error) = (&rule["name"], rule["lastError"].as_str().unwrap_or_default());
        assert_eq!((rule["health"].as_str(), error), (Some("ok"), ""), "{name}");
    }
    // What rules are made of is there: without a threshold that is not met, each would have data. A
    // destination without AWS credentials has no metrics of them.
    for (_, rule) in rules() {
        for series in selected(rule["expr"].as_str().unwrap()) {
            if !series.name.starts_with("sluicegate_credentials_") {
                watched.until(&format!("count({})", series.name)).await;
            }
        }
    }
    watched.standing.house.stop().await;
}
