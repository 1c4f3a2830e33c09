//! The limit of series in the configuration: its table has to fit into the budget beside the largest
//! body.

use sluicegate::config::{Config, Loaded, Source, load_within};
use sluicegate::map::SeriesLimit;

fn read(server: &str, limit: &str) -> Result<Loaded, String> {
    let text = format!(
        "server: {{ insecure_allow_unauthenticated: true, {server} }}\n\
         cloudwatch: {{ {limit} }}\n\
         remote_write: [{{ url: 'http://one.example/write' }}]\n"
    );
    load_within(Source::Content(&text), &|_| None, None).map_err(|faults| faults.to_string())
}

#[test]
fn a_limit_is_what_it_says_and_the_other_has_an_end() {
    let limit =
        |per_hour, per_namespace_per_hour| Some(SeriesLimit { per_hour, per_namespace_per_hour });
    for (server, text, expected) in [
        ("", "naming: yace", None),
        ("", "series_limit: { per_hour: 100 }", limit(100, None)),
        ("", "series_limit: { per_hour: 100, per_namespace_per_hour: 7 }", limit(100, Some(7))),
        ("", "series_limit: { per_namespace_per_hour: 7 }", limit(1_000_000, Some(7))),
        ("budget: 1GiB", "series_limit: { per_hour: 10000000 }", limit(10_000_000, None)),
        (
            "budget: 8MiB",
            "series_limit: { per_namespace_per_hour: 7 }",
            limit(SeriesLimit::most_within(2 << 20), Some(7)),
        ),
    ] {
        let config = read(server, text).unwrap().config;
        assert_eq!(config.cloudwatch.series_limit, expected, "{text}");
        let table_bytes = expected.map_or(0, |limit| limit.table_bytes());
        assert!(table_bytes <= config.server.budget / 4, "{text}");
        assert_eq!(config.requests_budget(), config.server.budget - table_bytes, "{text}");
        assert!(config.server.max_body_size <= config.requests_budget() / 4 * 3, "{text}");
        // What is printed reads back as itself.
        let again = load_within(Source::Content(&config.to_yaml()), &|_| None, None).unwrap();
        assert_eq!(again.config.to_yaml(), config.to_yaml());
    }
}

#[test]
fn what_cannot_hold_is_a_fault_with_its_figures() {
    for (server, text, fault) in [
        ("", "series_limit: {}", "cloudwatch.series_limit: limits nothing"),
        ("", "series_limit: ", "cloudwatch.series_limit: "),
        ("", "series_limit: { per_hour: }", "cloudwatch.series_limit.per_hour: "),
        ("", "series_limit: { per_hour: 0 }", "from 1 to 10000000"),
        ("", "series_limit: { per_hour: 10000001 }", "from 1 to 10000000"),
        ("", "series_limit: { per_namespace_per_hour: x }", "from 1 to 10000000"),
        ("", "series_limit: { per_hours: 5 }", "did you mean `per_hour`"),
        (
            "budget: 64MiB",
            "series_limit: { per_hour: 1000000 }",
            "the table of 1000000 known series takes 20MiB, more than a quarter of server.budget \
             (64MiB): there is room for 838854",
        ),
        (
            "budget: 100MiB, max_body_size: 96MiB",
            "series_limit: { per_hour: 1000000 }",
            "server.max_body_size: max_body_size (96MiB) must fit into what the table of known \
             series leaves of budget (80MiB)",
        ),
    ] {
        let faults = read(server, text).map(|loaded| loaded.config.to_yaml()).unwrap_err();
        assert!(faults.contains(fault), "{text}: {faults}");
    }
    let notes = read("", "series_limit: { per_hour: 5, per_namespace_per_hour: 5 }").unwrap().notes;
    assert!(
        notes.iter().any(|note| note.contains("has no effect beside per_hour, 5")),
        "{notes:?}"
    );
}

#[test]
fn the_limits_of_a_destination_ahead_and_back_are_apart() {
    let limits = |queue: &str| {
        let text = format!(
            "server: {{ insecure_allow_unauthenticated: true }}\n\
             remote_write: [{{ url: 'http://one.example/write', queue_config: {{ {queue} }} }}]\n"
        );
        let loaded = load_within(Source::Content(&text), &|_| None, None).unwrap();
        let Config { remote_write, .. } = loaded.config;
        let queue = &remote_write[0].queue_config;
        let seconds = |limit: Option<std::time::Duration>| limit.map(|limit| limit.as_secs());
        (seconds(queue.sample_age_limit), seconds(queue.sample_future_limit))
    };
    assert_eq!(limits(""), (None, Some(600)));
    assert_eq!(limits("sample_future_limit: 0"), (None, None));
    assert_eq!(limits("sample_age_limit: 1h, sample_future_limit: 1m"), (Some(3600), Some(60)));
}
