//! The image and the manifests that start it say the same as the code, Terraform, and one another.

#![allow(clippy::unwrap_used, clippy::panic)] // A test may end so.

#[path = "deploy_image/kubernetes.rs"]
mod kubernetes;
#[path = "deploy_image/yaml.rs"]
mod yaml;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use sluicegate::cli::FAULTY;
use sluicegate::config::{Config, Source, load_within};
use sluicegate::units;

fn deploy() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy")
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn documents(path: &Path) -> Vec<Value> {
    yaml::documents(&read(path)).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The configuration of somebody who has said only what must be said.
fn defaults(memory_limit_bytes: Option<u64>) -> Config {
    let text =
        "{ server: { insecure_allow_unauthenticated: true }, remote_write: [{ url: http://x }] }";
    configured(text, memory_limit_bytes)
}

fn configured(text: &str, memory_limit_bytes: Option<u64>) -> Config {
    load_within(Source::Content(text), &|_| None, memory_limit_bytes)
        .unwrap_or_else(|faults| panic!("{faults}\n{text}"))
        .config
}

fn texts(value: &Value) -> Vec<&str> {
    value.as_array().into_iter().flatten().map(|one| one.as_str().unwrap()).collect()
}

/// Fails unless the command line knows every word; nothing is started.
fn assert_command(words: &[&str]) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sluicegate"));
    let run = command.args(words).arg("--help").output().unwrap();
    assert!(run.status.success(), "{words:?}: {}", String::from_utf8_lossy(&run.stderr));
}

/// A text such as `512Mi` or `512m`, in bytes.
fn bytes(text: &Value) -> u64 {
    let text = text.as_str().unwrap();
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let scale = match &text[digits.len()..] {
        "Mi" | "m" | "M" => 1 << 20,
        "Gi" | "g" | "G" => 1 << 30,
        other => panic!("`{other}` of {text}"),
    };
    digits.parse::<u64>().unwrap() * scale
}

/// Whether a container with so much memory holds the budget that follows from it.
fn assert_memory_fits(limit_bytes: u64) {
    let budget = defaults(Some(limit_bytes)).server.budget;
    assert!(budget + (128 << 20) <= limit_bytes, "{budget} of {limit_bytes}");
}

/// The stages of the Dockerfile: the words of each instruction.
fn stages() -> Vec<Vec<(String, String)>> {
    let text = read(&deploy().join("Dockerfile"));
    let lines: Vec<_> = text.lines().filter(|line| !line.starts_with('#')).collect();
    let mut stages: Vec<Vec<(String, String)>> = Vec::new();
    for line in lines.join("\n").replace("\\\n", " ").lines() {
        let Some((instruction, rest)) = line.trim().split_once(' ') else { continue };
        if instruction == "FROM" {
            stages.push(Vec::new());
        }
        if let Some(stage) = stages.last_mut() {
            stage.push((instruction.to_owned(), rest.trim().to_owned()));
        }
    }
    stages
}

/// What an instruction of a stage says, the last time.
fn said<'a>(stage: &'a [(String, String)], instruction: &str) -> &'a str {
    let found = stage.iter().rev().find(|(name, _)| name == instruction);
    found.map(|(_, rest)| rest.as_str()).unwrap_or_else(|| panic!("no {instruction}"))
}

#[test]
fn the_image_is_what_terraform_starts() {
    let stages = stages();
    let image = stages.last().unwrap();
    let gateway = Path::new(env!("CARGO_MANIFEST_DIR")).join("terraform/modules/gateway");
    let (tasks, variables) = (read(&gateway.join("tasks.tf")), read(&gateway.join("variables.tf")));
    let json = |text: &str| serde_json::from_str::<Value>(text).unwrap();

    assert_eq!(said(image, "FROM"), "scratch");
    let binary = said(image, "ENTRYPOINT");
    let path = texts(&json(binary))[0].to_owned();
    assert_eq!(json(binary), json!([path]));
    let variable = variables.split("variable \"binary\"").nth(1).unwrap();
    let default = variable.lines().find_map(|line| line.trim().strip_prefix("default")).unwrap();
    assert_eq!(default.trim_start_matches([' ', '=']), format!("{path:?}"), "var.binary");

    for (instruction, needed) in [
        ("CMD", format!("command                = {}", said(image, "CMD"))),
        ("USER", format!("user                   = {:?}", said(image, "USER"))),
    ] {
        assert!(tasks.contains(&needed), "{instruction}: no `{needed}`");
    }
    let (options, check) = said(image, "HEALTHCHECK").split_once("CMD ").unwrap();
    assert_eq!(json(check), json!([path, "healthcheck"]));
    assert!(tasks.contains("command     = [\"CMD\", var.binary, \"healthcheck\"]"));
    for (option, setting) in [
        ("--interval=", "interval"),
        ("--timeout=", "timeout"),
        ("--start-period=", "startPeriod"),
        ("--retries=", "retries"),
    ] {
        let value = options.split(option).nth(1).unwrap().split_whitespace().next().unwrap();
        let value = value.trim_end_matches('s');
        let needed = |line: &str| {
            line.trim()
                .split_once('=')
                .is_some_and(|(name, given)| name.trim() == setting && given.trim() == value)
        };
        assert!(tasks.lines().any(needed), "{setting} is not {value}");
    }
    for words in [json(said(image, "CMD")), json!(["healthcheck"])] {
        assert_command(&texts(&words));
    }
}

#[test]
fn the_image_says_of_itself_what_the_package_says() {
    let stages = stages();
    let (build, image) = (&stages[0], stages.last().unwrap());
    let config = defaults(None);
    let ports = [config.server.listen_address.port(), config.telemetry.listen_address.port()];
    assert_eq!(said(image, "EXPOSE"), ports.map(|port| port.to_string()).join(" "));
    let (version, labels) = (env!("CARGO_PKG_VERSION"), said(image, "LABEL"));
    let arguments: Vec<_> = image.iter().filter(|(name, _)| name == "ARG").collect();
    assert!(
        arguments.iter().any(|(_, rest)| *rest == format!("VERSION={version}")),
        "{arguments:?}"
    );
    for (label, value) in [
        ("description", env!("CARGO_PKG_DESCRIPTION")),
        ("licenses", "Apache-2.0"),
        ("version", "$VERSION"),
        ("revision", "$REVISION"),
        ("source", "$SOURCE"),
        ("title", "Sluicegate"),
    ] {
        assert!(
            labels.contains(&format!("org.opencontainers.image.{label}=\"{value}\"")),
            "{label}"
        );
    }
    let compiler = format!("rust:{}.", env!("CARGO_PKG_RUST_VERSION"));
    assert!(said(build, "FROM").contains(&compiler), "{}", said(build, "FROM"));
}

#[test]
fn what_the_build_copies_is_there_and_not_ignored() {
    let ignored = read(&deploy().join("Dockerfile.dockerignore"));
    let copied: Vec<_> = stages()[0]
        .iter()
        .filter(|(name, _)| name == "COPY")
        .flat_map(|(_, rest)| {
            let words: Vec<_> = rest.split_whitespace().map(str::to_owned).collect();
            words[..words.len() - 1].to_vec()
        })
        .collect();
    assert!(copied.len() > 3, "{copied:?}");
    for path in copied {
        assert!(deploy().join("..").join(&path).exists(), "{path}");
        assert!(ignored.lines().any(|line| line == format!("!{path}")), "{path} is ignored");
    }
}

/// Every service of the compose file.
fn services(compose: &Value) -> impl Iterator<Item = (&str, &Value)> {
    compose["services"].as_object().unwrap().iter().map(|(name, service)| (name.as_str(), service))
}

#[test]
fn the_compose_file_is_hardened_pinned_and_complete() {
    let compose = documents(&deploy().join("compose.yaml")).remove(0);
    let names: Vec<_> = services(&compose).map(|(name, _)| name).collect();
    assert_eq!(names, ["gateway", "demo", "prometheus", "grafana"]);
    for (name, service) in services(&compose) {
        assert_eq!(service["read_only"], true, "{name}");
        assert_eq!(service["cap_drop"], json!(["ALL"]), "{name}");
        assert_eq!(service["security_opt"], json!(["no-new-privileges:true"]), "{name}");
        assert!(service["healthcheck"].is_object(), "{name} has no health check");
        let (_, tag) = service["image"].as_str().unwrap().rsplit_once(':').unwrap();
        assert_eq!(
            tag.trim_start_matches('v').split('.').count(),
            3,
            "{name} is not pinned: {tag}"
        );
        for port in texts(&service["ports"]) {
            assert!(port.starts_with("127.0.0.1:"), "{name}: {port} is not on loopback");
        }
        for (other, _) in service["depends_on"].as_object().into_iter().flatten() {
            assert!(compose["services"][other]["healthcheck"]["test"].is_array(), "{other}");
        }
        let environment = service["environment"].as_object().into_iter().flatten();
        for (variable, _) in environment {
            let secret = ["PASSWORD", "SECRET", "TOKEN", "ACCESS_KEY"];
            assert!(!secret.iter().any(|word| variable.contains(word)), "{name}: {variable}");
        }
    }
    for name in ["gateway", "demo"] {
        let service = &compose["services"][name];
        assert_eq!(service["image"], format!("sluicegate:{}", env!("CARGO_PKG_VERSION")));
    }
    let build = &compose["services"]["gateway"]["build"];
    assert!(deploy().join(build["context"].as_str().unwrap()).join("Cargo.toml").exists());
    assert_eq!(build["dockerfile"], "deploy/Dockerfile");
    // Builds run side by side, and two of one tag collide.
    assert_eq!(services(&compose).filter(|(_, service)| service["build"].is_object()).count(), 1);
}

#[test]
fn what_the_compose_file_mounts_is_there() {
    let compose = documents(&deploy().join("compose.yaml")).remove(0);
    let volumes = compose["volumes"].as_object().unwrap();
    let mut mounted = 0;
    for (name, service) in services(&compose) {
        for mount in texts(&service["volumes"]) {
            let (from, to) = mount.split_once(':').unwrap();
            if let Some(path) = from.strip_prefix("./") {
                let path = deploy().join(path);
                assert!(path.exists(), "{name}: {} is not there", path.display());
                assert!(to.ends_with(":ro"), "{name}: {mount} can be written to");
                mounted += 1;
            } else {
                assert!(volumes.contains_key(from), "{name}: {from} is no volume");
            }
        }
    }
    assert!(mounted >= 4, "only {mounted} paths are mounted");
}

#[test]
fn the_commands_of_the_compose_file_exist() {
    let compose = documents(&deploy().join("compose.yaml")).remove(0);
    let services = &compose["services"];
    let gateway = &services["gateway"];
    for name in ["gateway", "demo"] {
        assert_command(&texts(&services[name]["command"]));
    }
    let check = texts(&gateway["healthcheck"]["test"]);
    assert_eq!(check[..2], ["CMD", "/sluicegate"]);
    assert_command(&check[2..]);

    let limit_bytes = bytes(&gateway["mem_limit"]);
    let text = gateway["environment"]["SLUICEGATE_CONFIG_CONTENT"].as_str().unwrap();
    let config = configured(text, Some(limit_bytes));
    assert_memory_fits(limit_bytes);
    let grace = units::parse_duration(gateway["stop_grace_period"].as_str().unwrap()).unwrap();
    assert!(config.server.drain_deadline < grace);
    let url =
        format!("http://gateway:{}{}", config.server.listen_address.port(), config.server.path);
    assert!(
        texts(&services["demo"]["command"]).contains(&url.as_str()),
        "the demo does not send to {url}"
    );
    for port in [config.server.listen_address.port(), config.telemetry.listen_address.port()] {
        let published = format!("127.0.0.1:{port}:{port}");
        assert!(texts(&gateway["ports"]).contains(&published.as_str()), "{published}");
    }

    // Each option of Prometheus is known to the one that the tests have.
    let help = Command::new(prometheus()).arg("--help-long").output().unwrap();
    let help = [help.stdout, help.stderr].map(|text| String::from_utf8(text).unwrap()).concat();
    let help = help.replace("[no-]", "");
    let known: Vec<_> = help.split(|c: char| c.is_whitespace() || c == '=').collect();
    for option in texts(&services["prometheus"]["command"]) {
        let name = option.split('=').next().unwrap();
        assert!(known.contains(&name), "prometheus knows no {name}");
    }
}

#[test]
fn what_is_mounted_names_services_and_folders_of_the_compose_file() {
    let compose = documents(&deploy().join("compose.yaml")).remove(0);
    let telemetry = defaults(None).telemetry.listen_address.port();
    let scraped = documents(&deploy().join("prometheus/prometheus.yaml")).remove(0);
    let targets = &scraped["scrape_configs"][0]["static_configs"][0]["targets"];
    assert_eq!(*targets, json!([format!("gateway:{telemetry}")]));

    let provisioned = |kind: &str| {
        let folder = deploy().join("grafana/provisioning").join(kind);
        let paths = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
        paths.flat_map(|path| documents(&path)).collect::<Vec<_>>()
    };
    let sources = provisioned("datasources");
    let urls: Vec<_> = sources.iter().map(|one| &one["datasources"][0]["url"]).collect();
    assert_eq!(urls, ["http://prometheus:9090"]);
    let mounts = texts(&compose["services"]["grafana"]["volumes"]);
    for provider in provisioned("dashboards") {
        let path = provider["providers"][0]["options"]["path"].as_str().unwrap();
        let mount = format!("./grafana/dashboards:{path}:ro");
        assert!(mounts.contains(&mount.as_str()), "{path} is not mounted");
    }
}

#[expect(clippy::disallowed_methods, reason = "the tests are told of the binary by environment")]
fn prometheus() -> String {
    std::env::var("PROMETHEUS").unwrap_or_else(|_| "prometheus".to_owned())
}

#[test]
fn the_unit_fits_the_gateway() {
    let text = read(&deploy().join("systemd/sluicegate.service"));
    let said = |key: &str| {
        let found = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        found.unwrap_or_else(|| panic!("no {key}"))
    };
    let words: Vec<_> = said("ExecStart").split_whitespace().skip(1).collect();
    assert_command(&words);
    let config = defaults(None);
    assert!(config.server.drain_deadline < units::parse_duration(said("TimeoutStopSec")).unwrap());
    assert_eq!(said("RestartPreventExitStatus"), FAULTY.to_string());
    assert_eq!(bytes(&json!(said("MemoryMax"))), 3 * config.server.budget);
    assert!(text.contains("(100s)") && config.server.drain_deadline.as_secs() == 100);
    let (credential, _) = said("LoadCredential").split_once(':').unwrap();
    assert!(text.contains(&format!("${{CREDENTIALS_DIRECTORY}}/{credential}")), "{credential}");
}
