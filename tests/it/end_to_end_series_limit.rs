//! A stream with more series than may be: what is known goes on, the rest is counted.

use std::collections::BTreeSet;

use serde_json::json;
use sluicegate::config::{Source, load_within};
use sluicegate::demo::firehose::Outcome;
use sluicegate::demo::receiver::Receiver;
use sluicegate::pipeline::Rejected;

use super::house::{KEY, Standing, minute};

/// One data point of a metric of which only the sum becomes a series.
fn line(namespace: &str, metric: usize, at_ms: i64) -> Vec<u8> {
    let line = json!({
        "metric_stream_name": "s", "account_id": "111122223333", "region": "eu-west-1",
        "namespace": namespace, "metric_name": "M", "dimensions": { "N": metric.to_string() },
        "timestamp": at_ms, "unit": "None",
        "value": { "count": 1.0, "sum": 1.0, "min": 1.0, "max": 1.0 },
    });
    format!("{line}\n").into_bytes()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_hundred_of_a_hundred_and_fifty_series_are_stored_again_and_again() {
    let receiver = Receiver::start().await.unwrap();
    let rest = format!(
        "cloudwatch:\n  statistics: [sum]\n  \
         series_limit: {{ per_hour: 120, per_namespace_per_hour: 100 }}\n\
         remote_write:\n  - {{ name: there, url: \"{}\" }}",
        receiver.url()
    );
    let standing = Standing::start("", &rest).await;
    let stored = || -> BTreeSet<_> {
        receiver.read(|ledger| ledger.series.keys().map(|labels| format!("{labels:?}")).collect())
    };
    let mut first = BTreeSet::new();
    for round in 1..=3 {
        let at_ms = minute(10 - round);
        // 150 of one namespace, then 30 of another, for which 20 places are left.
        for (namespace, metrics) in [("One", 150), ("Two", 30)] {
            let records = (0..metrics).map(|metric| line(namespace, metric, at_ms)).collect();
            let delivery = standing.firehose(true).deliver(records).await;
            assert_eq!(delivery.outcome, Outcome::Delivered, "{delivery:?}");
        }
        let figures = standing.rest().await;
        let rounds = round as f64;
        let limited =
            |limit| figures.value("sluicegate_series_limited_samples_total", &[("limit", limit)]);
        assert_eq!(limited("per_namespace_per_hour"), 50.0 * rounds);
        assert_eq!(limited("per_hour"), 10.0 * rounds);
        assert_eq!(figures.outcomes("there")[0], 120.0 * rounds);
        assert_eq!(figures.value("sluicegate_series_last_hour", &[]), 120.0);
        let limit = |limit| figures.value("sluicegate_series_limit", &[("limit", limit)]);
        assert_eq!((limit("per_hour"), limit("per_namespace_per_hour")), (120.0, 100.0));
        // The table's 158 places of 16 bytes are none of the requests'.
        let budget = figures.value("sluicegate_budget_bytes", &[]);
        assert_eq!(budget, f64::from((256 << 20) - 158 * 16));
        let stored = stored();
        assert_eq!(stored.len(), 120);
        assert_eq!(stored.iter().filter(|series| series.contains("one_m_sum")).count(), 100);
        if round == 1 {
            first = stored;
        } else {
            assert_eq!(stored, first, "other series in round {round}");
        }
    }
    standing.house.stop().await;
}

/// What changes labels makes every series a new one, which is no reason to leave one out.
#[tokio::test(flavor = "multi_thread")]
async fn a_reload_leaves_no_good_series_out() {
    let receiver = Receiver::start().await.unwrap();
    let rest = |limit: &str, more: &str| {
        format!(
            "cloudwatch: {{ statistics: [sum]{limit} }}\n{more}\nremote_write:\n  \
             - {{ name: there, url: \"{}\" }}",
            receiver.url()
        )
    };
    const ONE: &str = ", series_limit: { per_hour: 1 }";
    const BOTH: &str = ", series_limit: { per_hour: 1, per_namespace_per_hour: 1 }";
    const LABELS: &str = "global: { external_labels: { replica: b } }";
    let attributes = "  common_attributes: [team]";
    let standing = Standing::start("", &rest(ONE, "")).await;
    let plans = [
        ("", rest(ONE, "")),
        // It touches no label: what was known is known.
        ("", rest(BOTH, "")),
        ("", rest(BOTH, LABELS)),
        (attributes, rest(BOTH, LABELS)),
        (attributes, rest(ONE, "")),
    ];
    let mut limited = 0.0;
    for (round, (server, rest)) in plans.into_iter().enumerate() {
        standing.reload(server, &rest).await.unwrap();
        let at_ms = minute(10 - i64::try_from(round).unwrap());
        for metric in [0, 1] {
            let delivery = standing.firehose(true).deliver(vec![line("One", metric, at_ms)]).await;
            assert_eq!(delivery.outcome, Outcome::Delivered, "{delivery:?}");
        }
        limited += 1.0;
        let figures = standing.rest().await;
        let of = |name, limit| figures.value(name, &[("limit", limit)]);
        let left_out = ["per_hour", "per_namespace_per_hour"]
            .map(|limit| of("sluicegate_series_limited_samples_total", limit));
        assert_eq!(left_out.iter().sum::<f64>(), limited, "{rest}");
        assert_eq!(figures.outcomes("there")[0], limited, "{rest}");
        assert_eq!(figures.value("sluicegate_series_last_hour", &[]), 1.0);
        let per_namespace = if rest.contains("per_namespace") { 1.0 } else { 0.0 };
        assert_eq!(of("sluicegate_series_limit", "per_namespace_per_hour"), per_namespace);
        assert_eq!(of("sluicegate_series_limit", "per_hour"), 1.0);
    }
    receiver.read(|ledger| {
        let is_first =
            |labels: &Vec<(String, String)>| labels.iter().any(|(_, value)| value == "0");
        assert!(ledger.series.keys().all(is_first), "{:?}", ledger.series.keys());
    });

    // Its size is for the life of the process.
    let size = "cloudwatch.series_limit (whether it is set, and its per_hour) cannot change";
    for (budget, limit, fault) in [
        ("256MiB", "", size),
        ("256MiB", ", series_limit: { per_hour: 2 }", size),
        ("256MiB", ", series_limit: { per_namespace_per_hour: 1 }", size),
        ("128MiB", ONE, "server.budget cannot change"),
    ] {
        let text = format!(
            "server: {{ access_keys: [{{ name: test, key: {KEY} }}], budget: {budget} }}\n{}",
            rest(limit, "")
        );
        let loaded = load_within(Source::Content(&text), &|_| None, None);
        let Rejected(lines) = standing.house.reload(loaded).await.unwrap_err();
        assert!(lines.len() == 1 && lines[0].starts_with(fault), "{limit}: {lines:?}");
    }
    standing.house.stop().await;
}

/// Data points ahead of the clock are answered, counted, and kept from the destination, and their age
/// counts as none.
#[tokio::test(flavor = "multi_thread")]
async fn samples_ahead_of_the_clock_are_left_out() {
    let receiver = Receiver::start().await.unwrap();
    let rest = format!(
        "cloudwatch: {{ statistics: [sum] }}\nremote_write:\n  - {{ name: there, url: \"{}\", \
         queue_config: {{ sample_age_limit: 1h }} }}",
        receiver.url()
    );
    let standing = Standing::start("", &rest).await;
    let records = [5, -8, -12, -600, 90].into_iter().enumerate();
    let records = records.map(|(metric, ago)| line("One", metric, minute(ago))).collect();
    let delivery = standing.firehose(true).deliver(records).await;
    assert_eq!(delivery.outcome, Outcome::Delivered, "{delivery:?}");
    let figures = standing.rest().await;
    let outcome = |outcome| figures.value("sluicegate_samples_total", &[("outcome", outcome)]);
    assert_eq!((outcome("delivered"), outcome("too_new"), outcome("aged_out")), (2.0, 2.0, 1.0));
    assert_eq!(figures.value("sluicegate_datapoint_age_seconds_count", &[]), 5.0);
    assert_eq!(figures.value("sluicegate_datapoint_age_seconds_bucket", &[("le", "30")]), 3.0);
    standing.house.stop().await;
    assert_eq!(receiver.snapshot().stored, 2);
}
