//! The agents of `deploy/` that watch the gateway: what they ask for exists, where Terraform puts it.

#![allow(clippy::unwrap_used, clippy::panic)] // A test may end so.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use saphyr_parser::{Event, Parser, ScalarStyle};
use serde_json::{Map, Value, json};
use sluicegate::meters::{ALL, Kind, Metric};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

fn text_of(name: &str) -> String {
    std::fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn json_of(name: &str) -> Value {
    serde_json::from_str(&text_of(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// A YAML text without aliases; scalars are texts.
fn yaml(text: &str) -> Value {
    fn node<'a>(first: Event<'a>, events: &mut impl Iterator<Item = Event<'a>>) -> Value {
        match first {
            Event::Scalar(text, ScalarStyle::Plain, _, _) if ["", "~"].contains(&&*text) => {
                Value::Null
            }
            Event::Scalar(text, ..) => Value::String(text.into_owned()),
            Event::SequenceStart(..) => {
                let mut items = Vec::new();
                loop {
                    match events.next().unwrap() {
                        Event::SequenceEnd => return Value::Array(items),
                        event => items.push(node(event, events)),
                    }
                }
            }
            Event::MappingStart(..) => {
                let mut entries = Map::new();
                loop {
                    match events.next().unwrap() {
                        Event::MappingEnd => return Value::Object(entries),
                        key => {
                            let Value::String(key) = node(key, events) else { panic!("no name") };
                            let value = events.next().unwrap();
                            let value = node(value, events);
                            assert!(entries.insert(key.clone(), value).is_none(), "{key} twice");
                        }
                    }
                }
            }
            other => panic!("{other:?} is not expected"),
        }
    }
    let events = Parser::new_from_str(text).map(|event| event.unwrap().0);
    let mut events = events.filter(|event| {
        !matches!(event, Event::StreamStart | Event::DocumentStart(_) | Event::Nothing)
    });
    let first = events.next().unwrap();
    node(first, &mut events)
}

/// The texts of a list.
fn texts(list: &Value) -> Vec<&str> {
    list.as_array().unwrap().iter().map(|one| one.as_str().unwrap()).collect()
}

/// The metric that a selector names: the whole of it, and nothing else.
fn metric(selector: &str) -> &'static Metric {
    let name = selector.strip_prefix('^').and_then(|rest| rest.strip_suffix('$'));
    let name = name.unwrap_or_else(|| panic!("{selector} is open"));
    ALL.iter().find(|metric| metric.name == name).unwrap_or_else(|| panic!("there is no {name}"))
}

/// What is declared: metric and dimensions, each of which is a label of it or of its target.
fn declared(
    declarations: &Value,
    selectors: &str,
    of_target: &[&str],
) -> BTreeSet<(&'static str, String)> {
    let mut found = BTreeSet::new();
    for declaration in declarations.as_array().unwrap() {
        let [dimensions] = declaration["dimensions"].as_array().unwrap().as_slice() else {
            panic!("one set of dimensions each: {declaration}")
        };
        let dimensions = texts(dimensions);
        for metric in texts(&declaration[selectors]).into_iter().map(metric) {
            // The agents drop histograms, or bill every bucket.
            assert!(!matches!(metric.kind, Kind::Histogram(_)), "{} is a histogram", metric.name);
            let own: Vec<&str> =
                dimensions.iter().copied().filter(|one| !of_target.contains(one)).collect();
            for label in &own {
                assert!(metric.labels.contains(label), "{} has no {label}", metric.name);
            }
            assert!(found.insert((metric.name, own.join(","))), "{} twice", metric.name);
        }
    }
    found
}

const OF_ECS: [&str; 2] = ["ClusterName", "TaskDefinitionFamily"];

fn agent() -> Value {
    json_of("deploy/cloudwatch-agent/agent.json")["logs"]["metrics_collected"]["prometheus"].take()
}

#[test]
fn both_agents_publish_the_same_metrics_which_exist() {
    let agent = agent();
    let processor = &agent["emf_processor"];
    let by_agent = declared(&processor["metric_declaration"], "metric_selectors", &OF_ECS);
    let exporter = yaml(&text_of("deploy/adot/emf.yaml"))["exporters"]["awsemf"].take();
    let by_collector =
        declared(&exporter["metric_declarations"], "metric_name_selectors", &["service"]);
    assert!(by_agent.len() >= 12, "{by_agent:?}");
    assert_eq!(by_agent, by_collector);
    assert_eq!(processor["metric_namespace"], exporter["namespace"]);
    for name in processor["metric_unit"].as_object().unwrap().keys() {
        assert!(by_agent.iter().any(|(metric, _)| metric == name), "a unit for {name}");
    }
    for descriptor in exporter["metric_descriptors"].as_array().unwrap() {
        let name = descriptor["metric_name"].as_str().unwrap();
        assert!(by_collector.iter().any(|(metric, _)| *metric == name), "a unit for {name}");
    }
    // Every name anywhere, comments and READMEs included.
    for file in [
        "cloudwatch-agent/agent.json",
        "cloudwatch-agent/README.md",
        "adot/emf.yaml",
        "adot/amp.yaml",
        "adot/README.md",
    ] {
        let text = text_of(&format!("deploy/{file}"));
        let names = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        for name in
            names.filter(|name| name.starts_with("sluicegate_") && *name != "sluicegate_targets")
        {
            assert!(ALL.iter().any(|metric| metric.name == name), "{file}: there is no {name}");
        }
    }
}

/// The names and ports that `terraform/modules/gateway` gives: cluster, service, container, telemetry.
#[test]
fn the_agents_look_where_terraform_puts_the_gateway() {
    let tasks = text_of("terraform/modules/gateway/tasks.tf");
    let names = text_of("terraform/modules/gateway/main.tf");
    let assigned = |text: &str, key: &str| {
        let line = text
            .lines()
            .map(str::trim)
            .find(|line| line.split_once('=').is_some_and(|(name, _)| name.trim() == key));
        let value = line.unwrap_or_else(|| panic!("{key} is not set")).split_once('=').unwrap().1;
        value.trim().trim_matches('"').to_owned()
    };
    let port = assigned(&names, "telemetry_port");
    let container = tasks.split_once("container = {").unwrap().1;
    let container = assigned(container, "name");
    let variables = text_of("terraform/modules/gateway/variables.tf");
    let name = variables.split_once("variable \"name\" {").unwrap().1;
    let service = assigned(name, "default");
    assert!(
        tasks.contains("resource \"aws_ecs_service\" \"this\" {\n  name             = var.name")
    );

    let agent = agent();
    let discovery = &agent["ecs_service_discovery"];
    let [of_service] = discovery["service_name_list_for_tasks"].as_array().unwrap().as_slice()
    else {
        panic!("one service")
    };
    assert_eq!(of_service["sd_metrics_ports"], json!(port));
    assert_eq!(of_service["sd_container_name_pattern"], json!(format!("^{container}$")));
    assert_eq!(of_service["sd_service_name_pattern"], json!(format!("^{service}$")));
    assert_eq!(of_service["sd_metrics_path"], json!("/metrics"));
    assert_eq!(discovery["sd_target_cluster"], json!(service));
    for file in ["amp", "emf"] {
        let collector = yaml(&text_of(&format!("deploy/adot/{file}.yaml")));
        let scrape = &collector["receivers"]["prometheus"]["config"]["scrape_configs"][0];
        assert_eq!(texts(&scrape["static_configs"][0]["targets"]), [format!("localhost:{port}")]);
    }
    // What is found is scraped: file and job are the same on both sides.
    let scraped =
        yaml(&text_of("deploy/cloudwatch-agent/prometheus.yaml"))["scrape_configs"][0].take();
    assert_eq!(
        texts(&scraped["file_sd_configs"][0]["files"]),
        [discovery["sd_result_file"].as_str().unwrap()]
    );
    assert_eq!(scraped["job_name"], of_service["sd_job_name"]);
    for declaration in agent["emf_processor"]["metric_declaration"].as_array().unwrap() {
        assert_eq!(
            declaration["label_matcher"],
            json!(format!("^{}$", scraped["job_name"].as_str().unwrap()))
        );
    }
}

/// Each part of a pipeline is configured, and nothing is configured for nothing.
#[test]
fn the_collectors_pipelines_hang_together() {
    for file in ["amp", "emf"] {
        let collector = yaml(&text_of(&format!("deploy/adot/{file}.yaml")));
        let pipeline = &collector["service"]["pipelines"]["metrics"];
        for kind in ["receivers", "processors", "exporters"] {
            let used: BTreeSet<&str> = texts(&pipeline[kind]).into_iter().collect();
            let made: BTreeSet<&str> =
                collector[kind].as_object().unwrap().keys().map(String::as_str).collect();
            assert_eq!(used, made, "{file}: {kind}");
        }
        let used: BTreeSet<&str> = texts(&collector["service"]["extensions"]).into_iter().collect();
        let made: BTreeSet<&str> =
            collector["extensions"].as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(used, made, "{file}: extensions");
        // The health check of the container wants its extension.
        assert!(made.contains("health_check"), "{file}");
    }
    let writer =
        yaml(&text_of("deploy/adot/amp.yaml"))["exporters"]["prometheusremotewrite"].take();
    assert_eq!(writer["auth"]["authenticator"], json!("sigv4auth"));
    assert_eq!(writer["endpoint"], json!("${env:AWS_PROMETHEUS_ENDPOINT}"));
}

#[test]
fn the_task_definitions_give_the_agents_what_they_read() {
    let task = json_of("deploy/cloudwatch-agent/task-definition.json");
    let container = &task["containerDefinitions"][0];
    let given: BTreeSet<&str> = container["secrets"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["name"].as_str().unwrap())
        .collect();
    assert_eq!(given, BTreeSet::from(["CW_CONFIG_CONTENT", "PROMETHEUS_CONFIG_CONTENT"]));
    assert_eq!(agent()["prometheus_config_path"], json!("env:PROMETHEUS_CONFIG_CONTENT"));
    let sidecars = json_of("deploy/adot/sidecars.json");
    let [collector] = sidecars.as_array().unwrap().as_slice() else { panic!("one sidecar") };
    assert_eq!(
        (&collector["essential"], &collector["environment"][0]["name"]),
        (&json!(false), &json!("AWS_PROMETHEUS_ENDPOINT"))
    );
    // The collector gives memory back before the container's limit.
    for file in ["amp", "emf"] {
        let limit = yaml(&text_of(&format!("deploy/adot/{file}.yaml")))["processors"]["memory_limiter"]["limit_mib"].take();
        let limit: u64 = limit.as_str().unwrap().parse().unwrap();
        assert!(limit < collector["memory"].as_u64().unwrap() * 3 / 4, "{file}");
    }
    for image in [&container["image"], &collector["image"]] {
        let (_, tag) = image.as_str().unwrap().rsplit_once(':').unwrap();
        assert!(tag != "latest" && tag.contains(|c: char| c.is_ascii_digit()), "{image}");
    }
    for policy in ["deploy/cloudwatch-agent/task-policy.json", "deploy/adot/task-policy.json"] {
        let policy = json_of(policy);
        let statements = policy["Statement"].as_array().unwrap();
        assert!(
            statements
                .iter()
                .all(|one| one["Effect"] == "Allow" && !one["Action"].to_string().contains('*'))
        );
    }
}

/// `$PROMTOOL`, that beside `$PROMETHEUS`, or that of the PATH.
#[expect(clippy::disallowed_methods, reason = "the tests are told of the binary by environment")]
fn promtool() -> PathBuf {
    let beside = || Some(PathBuf::from(std::env::var_os("PROMETHEUS")?).with_file_name("promtool"));
    let named = std::env::var_os("PROMTOOL").map(PathBuf::from);
    named.or_else(|| beside().filter(|path| path.exists())).unwrap_or_else(|| "promtool".into())
}

/// Prometheus's own tool takes what is scraped, also what stands within the collectors' configurations.
#[test]
fn promtool_takes_the_scrape_configurations() {
    let folder = tempfile::tempdir().unwrap();
    let mut files = vec![root().join("deploy/cloudwatch-agent/prometheus.yaml")];
    for file in ["amp", "emf"] {
        let collector = yaml(&text_of(&format!("deploy/adot/{file}.yaml")));
        let path = folder.path().join(format!("{file}.yaml"));
        let config = &collector["receivers"]["prometheus"]["config"];
        std::fs::write(&path, config.to_string()).unwrap();
        files.push(path);
    }
    for file in files {
        let output = Command::new(promtool()).args(["check", "config"]).arg(&file).output();
        let output = output.unwrap_or_else(|error| {
            panic!("{}: {error}: install Prometheus, or set PROMTOOL", promtool().display())
        });
        let said = String::from_utf8_lossy(&output.stderr).into_owned()
            + &String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{}: {said}", file.display());
    }
}
