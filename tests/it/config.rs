//! The configuration: every fault at once, every default, and no secret shown.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use proptest::prelude::*;
use sluicegate::config::{Config, Faults, Loaded, Source, from_environment, load_within};
use sluicegate::deliver::config::Auth;
use sluicegate::receive::KeySource;

fn env(name: &str) -> Option<String> {
    (name == "SLUICEGATE_ACCESS_KEY").then(|| "key-from-environment".to_owned())
}

fn nothing(_: &str) -> Option<String> {
    None
}

fn read(text: &str) -> Result<Loaded, Faults> {
    let path = Path::new("sluicegate.yaml");
    load_within(Source::File { path, text }, &nothing, None)
}

/// What a reading ends in, as text: the faults, or the notes and the effective configuration.
fn outcome(text: &str) -> String {
    let path = Path::new("sluicegate.yaml");
    match load_within(Source::File { path, text }, &env, None) {
        Err(faults) => faults.lines().map(|line| format!("error: {line}\n")).collect(),
        Ok(Loaded { config, notes, .. }) => {
            let notes: String = notes.iter().map(|line| format!("# warning: {line}\n")).collect();
            notes + &config.to_yaml()
        }
    }
}

/// Every `NAME.yaml` ends in what `NAME.txt` says, word for word.
#[test]
fn each_fixture_ends_as_recorded() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/config");
    let mut seen = 0;
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "yaml") {
            continue;
        }
        seen += 1;
        let actual = outcome(&std::fs::read_to_string(&path).unwrap());
        let expected = std::fs::read_to_string(path.with_extension("txt")).unwrap_or_default();
        assert_eq!(actual, expected, "{} ends differently:\n{actual}", path.display());
    }
    assert!(seen >= 9, "only {seen} fixtures found");
}

#[test]
fn the_skeleton_reads_into_what_it_says_and_the_defaults() {
    let text = include_str!("../fixtures/config/skeleton.yaml");
    let path = Path::new("sluicegate.yaml");
    let Loaded { config, origin, notes } =
        load_within(Source::File { path, text }, &env, None).unwrap();
    assert_eq!((origin.as_str(), notes.len()), ("sluicegate.yaml", 0));
    let primary = &config.server.access_keys[0];
    let KeySource::Key(key) = &primary.source else { panic!("no inline key") };
    assert_eq!((primary.name.as_str(), key.expose()), ("primary", "key-from-environment"));
    let KeySource::KeyFile(file) = &config.server.access_keys[1].source else { panic!("no file") };
    assert_eq!(file, Path::new("/run/secrets/previous"));
    assert_eq!(config.server.request_deadline, Duration::from_secs(150));
    assert_eq!((config.server.budget, config.server.max_body_size), (256 << 20, 96 << 20));
    assert_eq!(config.global.external_labels, [("cluster".to_owned(), "prod".to_owned())]);
    let queue = &config.remote_write[0].queue_config;
    assert_eq!((queue.max_shards, queue.max_samples_per_send), (8, 1000));
    assert_eq!(queue.sample_age_limit, Some(Duration::from_secs(3600)));
}

#[test]
fn the_budget_follows_the_memory_limit_and_the_body_follows_the_budget() {
    let text = "server: { insecure_allow_unauthenticated: true }\n\
                remote_write: [{ url: 'http://one.example/write' }]\n";
    let sizes = |limit: Option<u64>| {
        let Loaded { config, .. } = load_within(Source::Content(text), &nothing, limit).unwrap();
        (config.server.budget >> 20, config.server.max_body_size >> 20)
    };
    assert_eq!(sizes(None), (256, 96));
    assert_eq!(sizes(Some(3 << 30)), (1024, 96));
    assert_eq!(sizes(Some(512 << 20)), (170, 96));
    assert_eq!(sizes(Some(192 << 20)), (64, 42));
    assert_eq!(sizes(Some(1)), (1, 0));
}

/// Whatever is printed reads back, unless a secret stands in it.
#[test]
fn the_effective_configuration_reads_back_as_itself() {
    for text in [
        include_str!("../fixtures/config/shrunk.yaml"),
        "server: { access_keys: [{ key_file: /k, accounts: ['000000000001'] }], path: '/a:b' }\n\
         cloudwatch: { job: '$${NOT_EXPANDED} # \"x\"', statistics_rules: [{ statistics: [] }] }\n\
         global: { external_labels: { a: 'true', b: '1', c: \"x: \\ty\", __replica__: '~' } }\n\
         relabel_configs: [{ source_labels: [a], regex: '(?P<x>.+) #', target_label: b, replacement: '${x}${1}$$' }]\n\
         remote_write:\n\
         - url: http://one.example/write%20d?a=\n\
         \x20 sigv4: { region: r, role_arn: 'arn:aws:iam::1:role/x', external_id: '007' }\n\
         \x20 tls_config: { cert_file: /c, key_file: /k }\n\
         - url: http://two.example:80/write\n\
         \x20 authorization: { credentials_file: /c }\n\
         \x20 bad_request: isolate\n\
         log: { level: 'info,sluicegate=debug', format: text }\n",
        "server: { access_keys: [{ key_file: /k }] }\n\
         cloudwatch: { naming: cloudwatch_exporter }\n\
         remote_write: [{ url: 'http://one.example/write' }]\n",
        "server: { access_keys: [{ key_file: /k }] }\n\
         cloudwatch: { naming: cloudwatch_exporter, job: '' }\n\
         remote_write: [{ url: 'http://one.example/write' }]\n",
    ] {
        let Loaded { config, .. } = read(text).unwrap_or_else(|faults| panic!("{faults}"));
        let shown = config.to_yaml();
        let Loaded { config: again, .. } =
            read(&shown).unwrap_or_else(|faults| panic!("{faults}\n{shown}"));
        assert_eq!(again.to_yaml(), shown);
    }
}

/// Nothing in a relabelling rule is expanded, and what is wrong with one is found at its line.
#[test]
fn relabelling_rules_are_taken_word_for_word() {
    let around = |rule: &str| {
        format!(
            "server: {{ access_keys: [{{ key_file: k }}] }}\n\
             relabel_configs:\n- {rule}\n\
             remote_write:\n- url: http://one.example/\n  write_relabel_configs:\n  - {rule}\n"
        )
    };
    let rule =
        "{ source_labels: [a], regex: '(?P<x>.)(.)', target_label: b, replacement: '${x}${2}$$' }";
    let Loaded { config, .. } = read(&around(rule)).unwrap_or_else(|faults| panic!("{faults}"));
    assert_eq!(config.relabel_configs, config.remote_write[0].write_relabel_configs);
    assert_eq!(config.to_yaml().matches("${x}${2}$$").count(), 2, "{}", config.to_yaml());

    let faults = read(&around("{ target_label: b, regex: '(', acton: drop }")).unwrap_err();
    let found: Vec<_> =
        faults.list().iter().map(|fault| (fault.mark.unwrap().line, fault.path.as_str())).collect();
    for expected in [
        (3, "relabel_configs[0].regex"),
        (3, "relabel_configs[0].acton"),
        (7, "remote_write[0].write_relabel_configs[0].regex"),
        (7, "remote_write[0].write_relabel_configs[0].acton"),
    ] {
        assert!(found.contains(&expected), "{expected:?} not in {found:?}");
    }
}

#[test]
fn line_ends_of_windows_and_a_byte_order_mark_change_nothing() {
    let text = include_str!("../fixtures/config/skeleton.yaml");
    let odd = format!("\u{feff}{}", text.replace('\n', "\r\n"));
    assert_eq!(outcome(&odd), outcome(text));
}

#[test]
fn no_secret_is_shown() {
    let secret = "hunter2";
    let text = format!(
        "server: {{ access_keys: [{{ key: {secret}-a }}] }}\n\
         remote_write:\n\
         - {{ url: 'http://1.example/', basic_auth: {{ username: u, password: {secret}-b }} }}\n\
         - {{ url: 'http://2.example/', authorization: {{ credentials: {secret}-c }} }}\n\
         - {{ url: 'http://3.example/', bearer_token: {secret}-d, headers: {{ A: {secret}-e }} }}\n\
         - {{ url: 'http://4.example/', sigv4: {{ region: r, access_key: a, secret_key: {secret}-f }} }}\n"
    );
    let Loaded { config, origin, notes } = read(&text).unwrap_or_else(|faults| panic!("{faults}"));
    for shown in [config.to_yaml(), format!("{config:?}"), format!("{origin} {notes:?}")] {
        assert!(!shown.contains(secret), "{shown}");
    }
    assert_eq!(config.to_yaml().matches("<secret>").count(), 6);
    let Auth::BasicAuth { username, .. } = &config.remote_write[0].auth else { panic!("no auth") };
    assert_eq!(username, "u");

    // Nor in faults: wherever a secret, or a variable that may hold one, is put by mistake.
    let env = |_: &str| Some(secret.to_owned());
    for text in [
        "server: { access_keys: [{ kee: hunter2, key: [hunter2] }, { key: '{hunter2' }] }",
        "server: { request_deadline: '${K}', budget: '${K}', listen_address: '${K}', path: '${K}' }",
        "server: { access_keys: '${K}', insecure_allow_unauthenticated: '${K}' }",
        "cloudwatch: { naming: '${K}', statistics: ['${K}'] }\nlog: { level: '${K}' }",
        "remote_write: [{ url: 'http://u:hunter2@x/', headers: { A: \"hunter2\\n\" } }]",
        "remote_write: [{ url: 'hunter2://x', basic_auth: hunter2, bearer_token: \"hunter2\\x01\" }]",
        "remote_write: [{ url: '${K}', authorization: { credentials: hunter2, type: '${K}!' } }]",
        "remote_write: [{ sigv4: { role_arn: '${K}', secret_key: hunter2, sts_endpoint: '${K}' } }]",
    ] {
        let faults = load_within(Source::Content(text), &env, None).unwrap_err();
        assert!(!format!("{faults} {faults:?}").contains(secret), "{text}\n{faults}");
    }
}

#[test]
fn an_address_and_a_key_in_the_environment_suffice() {
    let env = |name: &str| match name {
        "SLUICEGATE_REMOTE_WRITE_URL" => Some(
            "https://aps-workspaces.eu-west-1.amazonaws.com/workspaces/ws-1/api/v1/remote_write\n"
                .to_owned(),
        ),
        "SLUICEGATE_ACCESS_KEY" => Some("secret-${HOME}".to_owned()),
        _ => None,
    };
    let Loaded { config, origin, .. } = from_environment(None, &env).unwrap();
    assert_eq!(origin, "environment");
    let KeySource::Key(key) = &config.server.access_keys[0].source else { panic!("no key") };
    assert_eq!(key.expose(), "secret-${HOME}");
    let Auth::Sigv4(sigv4) = &config.remote_write[0].auth else { panic!("not signed") };
    assert_eq!((sigv4.region.as_str(), sigv4.service.as_str()), ("eu-west-1", "aps"));
    assert!(config.remote_write[0].is_amp() && config.remote_write[0].required);

    // A note on what no file says names no line.
    let notes = load_within(Source::Environment, &env, Some(48 << 20)).unwrap().notes;
    assert!(notes[0].starts_with("environment: server.budget: bodies above"), "{notes:?}");

    let faults = from_environment(None, &nothing).unwrap_err();
    let faults: Vec<String> = faults.lines().collect();
    assert_eq!(faults.len(), 2, "{faults:?}");
    assert!(faults[0].contains("SLUICEGATE_ACCESS_KEY"), "{faults:?}");
    assert!(faults[1].contains("SLUICEGATE_REMOTE_WRITE_URL"), "{faults:?}");

    let env = |name: &str| name.starts_with("SLUICEGATE_REMOTE").then(|| "ftp://x".to_owned());
    let faults = from_environment(None, &env).unwrap_err().to_string();
    assert!(
        faults.contains("environment: SLUICEGATE_REMOTE_WRITE_URL: is of a scheme"),
        "{faults}"
    );
}

#[test]
fn the_first_source_that_is_set_is_read() {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str, port: u16| {
        let path = directory.path().join(name);
        let text = format!(
            "server: {{ listen_address: '127.0.0.1:{port}', access_keys: [{{ key_file: k }}] }}\n\
             remote_write: [{{ url: 'http://one.example/' }}]\n"
        );
        std::fs::write(&path, &text).unwrap();
        (path, text)
    };
    let (flag, _) = file("flag.yaml", 1);
    let (named, _) = file("named.yaml", 2);
    let (_, content) = file("content.yaml", 3);
    let env = |has_path: bool| {
        let (named, content) = (named.clone(), content.clone());
        move |name: &str| match name {
            "SLUICEGATE_CONFIG" => {
                Some(if has_path { named.display().to_string() } else { " ".into() })
            }
            "SLUICEGATE_CONFIG_CONTENT" => Some(content.clone()),
            _ => None,
        }
    };
    let port = |flag: Option<&Path>, has_path| {
        let Loaded { config, notes, .. } =
            from_environment(flag.map(Path::to_owned), &env(has_path)).unwrap();
        let KeySource::KeyFile(key) = &config.server.access_keys[0].source else {
            panic!("no file")
        };
        (config.server.listen_address.port(), key.clone(), notes.len())
    };
    // A relative path starts where its configuration file lies.
    assert_eq!(port(Some(&flag), true), (1, directory.path().join("k"), 1));
    assert_eq!(port(None, true), (2, directory.path().join("k"), 1));
    assert_eq!(port(None, false), (3, "k".into(), 0));

    let missing = from_environment(Some("/nowhere/sluicegate.yaml".into()), &nothing).unwrap_err();
    assert!(
        missing.to_string().starts_with("/nowhere/sluicegate.yaml: cannot be read"),
        "{missing}"
    );
    std::fs::write(directory.path().join("flag.yaml"), b"a: 1\nb: \xff\n").unwrap();
    let binary = from_environment(Some(flag), &nothing).unwrap_err();
    assert!(binary.to_string().ends_with("is not UTF-8 (line 2)"), "{binary}");
}

#[test]
fn check_prints_faults_or_what_is_in_effect() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("sluicegate.yaml");
    let check = |text: &str| {
        std::fs::write(&path, text).unwrap();
        let mut out = Vec::new();
        let status = sluicegate::cli::check::check(Some(path.clone()), &env, &mut out).unwrap();
        (format!("{status:?}"), String::from_utf8(out).unwrap())
    };
    let (status, out) = check(include_str!("../fixtures/config/ten_faults.yaml"));
    assert!(status.contains("78"), "{status}");
    assert_eq!(out.lines().count(), 14, "{out}");
    assert!(out.lines().all(|line| line.starts_with("error: ") && line.contains("yaml:")), "{out}");
    let (status, out) = check(include_str!("../fixtures/config/shrunk.yaml"));
    assert!(status.contains("(0)"), "{status}");
    assert_eq!(out.matches("warning: ").count(), 2, "{out}");
    let (status, again) = check(&out);
    assert!(status.contains("(0)"), "{status}");
    assert_eq!(again.matches("\nserver:\n").count(), 1);
    let (status, out) = check(include_str!("../fixtures/config/skeleton.yaml"));
    assert!(status.contains("(0)"), "{status}");
    assert!(out.contains("# warning: /run/secrets/previous cannot be read: "), "{out}");
}

/// A key without a value is never as good as one that is left out: what hangs on it would vanish.
#[test]
fn no_entry_vanishes_for_want_of_a_value() {
    let file = |keys: &str, remote_write: &str| {
        format!("server: {{ access_keys: [{keys}] }}\nremote_write: [{remote_write}]\n")
    };
    let good = "{ url: 'http://one.example/' }";
    for text in [
        file("{ key: k }", "{ url: }"),
        file("{ key: k }", &format!("{good}, {{ name: b, url: ~ }}")),
        file("{ key: k }", ""),
        file("{ key: }", good),
        file("{ key_file: }", good),
        file("", good),
        file("~", good),
        file("{ key: k, source_arns: }", good),
        file("{ key: k, accounts: }", good),
        file("{ key: k }", "{ url: 'http://one.example/', basic_auth: }"),
        file("{ key: k }", "{ url: 'http://one.example/', authorization: }"),
        file("{ key: k }", "{ url: 'http://one.example/', authorization: { credentials: } }"),
        file("{ key: k }", "{ url: 'http://one.example/', bearer_token: }"),
        file("{ key: k }", "{ url: 'https://one.example/', tls_config: { ca_file: } }"),
        file("{ key: k }", "{ url: 'https://one.example/', sigv4: { secret_key: } }"),
    ] {
        assert!(read(&text).is_err(), "{text} is taken for a configuration");
    }
    assert!(read(&file("{ key: k }", good)).is_ok());
}

#[test]
fn a_token_in_a_url_is_not_printed() {
    for (query, shown) in [
        ("token=hunter2&b=hunter2=", "token=<secret>&b=<secret>"),
        ("hunter2", "<secret>"),
        ("a=&b=hunter2", "a=&b=<secret>"),
    ] {
        let text = format!(
            "server: {{ access_keys: [{{ key_file: k }}] }}\n\
             remote_write: [{{ url: 'http://one.example/write?{query}' }}]\n"
        );
        let Loaded { config, .. } = read(&text).unwrap_or_else(|faults| panic!("{faults}"));
        assert!(config.remote_write[0].url.ends_with(query));
        let yaml = config.to_yaml();
        assert!(yaml.contains(&format!("http://one.example/write?{shown}\"")), "{yaml}");
        assert!(!yaml.contains("hunter2"), "{yaml}");
        assert!(read(&yaml).is_err(), "what was hidden is taken for the secret");
    }
}

/// Every setting that the effective configuration shows is in the list, and a few that it hides.
#[test]
fn the_list_of_settings_is_complete() {
    fn paths(prefix: &str, value: &serde_json::Value, into: &mut BTreeSet<String>) {
        match value {
            serde_json::Value::Object(map) if !prefix.ends_with("_labels") => {
                for (key, value) in map {
                    let dot = if prefix.is_empty() { "" } else { "." };
                    paths(&format!("{prefix}{dot}{key}"), value, into);
                }
            }
            serde_json::Value::Array(items) if items.iter().any(serde_json::Value::is_object) => {
                items.iter().for_each(|item| paths(&format!("{prefix}[]"), item, into));
            }
            _ => {
                into.insert(prefix.to_owned());
            }
        }
    }
    let settings: BTreeSet<String> = Config::settings().into_iter().collect();
    let Loaded { config, .. } = read(include_str!("../fixtures/config/anchors.yaml")).unwrap();
    let mut shown = BTreeSet::new();
    paths("", &serde_json::to_value(&config).unwrap(), &mut shown);
    for list in ["relabel_configs", "remote_write"] {
        shown.remove(list);
    }
    let missing: Vec<_> = shown.difference(&settings).collect();
    assert!(missing.is_empty(), "{missing:?} not in {settings:?}");
    for path in [
        "server.access_keys[].source_arns",
        "relabel_configs[].regex",
        "remote_write[].write_relabel_configs[].target_label",
        "remote_write[].sigv4.role_arn",
        "remote_write[].basic_auth.password_file",
        "remote_write[].tls_config.ca_file",
        "remote_write[].queue_config.max_shards",
    ] {
        assert!(settings.contains(path), "{path} not in {settings:?}");
    }
    assert!(!settings.contains("remote_write[].queue_config.capacity"));
}

proptest! {
    /// Whatever the text, the reading ends, in a configuration or in a bounded list of faults.
    #[test]
    fn no_text_makes_the_reading_panic(text in any::<String>(), yamlish in "[-a-c:{}\\[\\],&*#|>!?%'\"\\\\ \n\t$<~0-9.]{0,80}") {
        for text in [text, format!("server:\n  {yamlish}"), format!("remote_write:\n- {yamlish}"), yamlish] {
            if let Err(faults) = load_within(Source::Content(&text), &env, None) {
                prop_assert!(!faults.list().is_empty() && faults.list().len() <= 100);
            }
        }
    }

    /// A file of which some characters are lost or doubled is read or refused, never more.
    #[test]
    fn no_spoilt_file_makes_the_reading_panic(at in 0usize..1400, cut in 0usize..40, with in "[ \n:{}\\[\\]&*'\"-]{0,4}") {
        let text: Vec<char> = include_str!("../fixtures/config/skeleton.yaml").chars().collect();
        let (before, behind) = text.split_at(at.min(text.len()));
        let spoilt: String =
            before.iter().copied().chain(with.chars()).chain(behind.iter().copied().skip(cut)).collect();
        let _ = load_within(Source::Content(&spoilt), &env, None).map(|loaded| loaded.config.to_yaml());
    }
}
