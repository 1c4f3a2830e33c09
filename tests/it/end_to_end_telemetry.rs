//! The house's own metrics and pages: legal, complete, without secrets.

use std::collections::BTreeMap;
use std::process::Stdio;

use sluicegate::demo::firehose::Outcome;
use sluicegate::demo::receiver::Receiver;
use sluicegate::demo::records::records;
use sluicegate::demo::stream::{Format, MetricStream};
use sluicegate::meters::{self, Kind};
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use super::house::{KEY, Standing, minute};
use super::prometheus::promtool;

/// A house that has seen a bit of everything.
async fn lived_in(receiver: &Receiver) -> Standing {
    let rest = format!(
        "remote_write:\n  - {{ name: there, url: \"{}\", basic_auth: {{ username: u, password: \
         'open sesame' }}, headers: {{ X-Scope-OrgID: \"tenant\\\"1\" }} }}\n  \
         - {{ name: 'odd \"name\" \\ ü', url: \"{}\", required: false, sigv4: {{ region: eu-west-1, \
         access_key: AKID, secret_key: 'very secret' }} }}",
        receiver.url(),
        receiver.url()
    );
    let standing = Standing::start("", &rest).await;
    let stream = MetricStream::new(100, 1);
    for (ago, format) in (1..=3).rev().zip(Format::ALL) {
        let points: Vec<_> = stream.points(minute(ago), 0..100).collect();
        let mut records = records(format, &points);
        records.push(b"{\"level\":\"info\"}\n".to_vec());
        let delivery = standing.firehose(true).deliver(records).await;
        assert_eq!(delivery.outcome, Outcome::Delivered, "{delivery:?}");
    }
    let stranger = standing.firehose_with(|config| {
        config.access_key = None;
        config.retry_duration = std::time::Duration::ZERO;
    });
    assert_eq!(stranger.deliver(vec![b"{}".to_vec()]).await.statuses, [401]);
    standing.rest().await;
    standing
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_are_described_and_legal() {
    let receiver = Receiver::start().await.unwrap();
    let standing = lived_in(&receiver).await;
    let text = standing.figures().await.0;
    let (mut help, mut kinds) = (BTreeMap::new(), BTreeMap::new());
    for line in text.lines() {
        if let Some((name, text)) = line.strip_prefix("# HELP ").and_then(|l| l.split_once(' ')) {
            assert!(help.insert(name, text).is_none(), "HELP of {name} twice");
        } else if let Some((name, kind)) =
            line.strip_prefix("# TYPE ").and_then(|l| l.split_once(' '))
        {
            assert!(kinds.insert(name, kind).is_none(), "TYPE of {name} twice");
        }
    }
    let mut seen = 0;
    for line in text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        let name = line.split(['{', ' ']).next().unwrap();
        let legal = name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
        assert!(legal && !name.starts_with(|c: char| c.is_ascii_digit()), "{line}");
        let family = ["_bucket", "_sum", "_count"].iter().find_map(|end| {
            let family = name.strip_suffix(end)?;
            (kinds.get(family) == Some(&"histogram")).then_some(family)
        });
        let family = family.unwrap_or(name);
        assert!(help.contains_key(family), "no HELP of {family}");
        assert!(kinds.contains_key(family), "no TYPE of {family}");
        let known = meters::ALL.iter().any(|metric| metric.name == family);
        assert!(known || family.starts_with("process_"), "{family} is in no table");
        seen += 1;
    }
    assert!(seen > 50, "{seen} samples");
    for metric in meters::ALL {
        let Some(kind) = kinds.get(metric.name) else { continue };
        let expected = match metric.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram(_) => "histogram",
        };
        assert_eq!(*kind, expected, "{}", metric.name);
        assert_eq!(help[metric.name], metric.help, "{}", metric.name);
    }
    // What every house shows from its start, or after this much life.
    for name in [
        "sluicegate_firehose_requests_total",
        "sluicegate_firehose_request_duration_seconds",
        "sluicegate_records_total",
        "sluicegate_records_skipped_total",
        "sluicegate_datapoints_total",
        "sluicegate_samples_received_total",
        "sluicegate_samples_total",
        "sluicegate_samples_refused_total",
        "sluicegate_samples_in_flight",
        "sluicegate_remote_write_requests_total",
        "sluicegate_remote_write_request_duration_seconds",
        "sluicegate_remote_write_bytes_total",
        "sluicegate_remote_write_retries_total",
        "sluicegate_budget_bytes",
        "sluicegate_budget_used_bytes",
        "sluicegate_series_cache_hits_total",
        "sluicegate_datapoint_age_seconds",
        "sluicegate_stream_last_success_timestamp_seconds",
        "sluicegate_access_key_last_used_timestamp_seconds",
        "sluicegate_build_info",
        "sluicegate_ready",
        "process_cpu_seconds_total",
        "process_resident_memory_bytes",
    ] {
        assert!(kinds.contains_key(name), "{name} is not there\n{text}");
    }
    assert_liked(&text).await;
    standing.house.stop().await;
}

/// Prometheus's own opinion.
async fn assert_liked(text: &str) {
    let binary = promtool();
    let mut child = Command::new(&binary)
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("cannot run {}: {error}", binary.display()));
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(text.as_bytes()).await.unwrap();
    drop(stdin);
    let output = child.wait_with_output().await.unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "promtool: {said}\n{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_page_shows_a_secret() {
    let receiver = Receiver::start().await.unwrap();
    let standing = lived_in(&receiver).await;
    let (status, config) = standing.page(&standing.telemetry_url("/config")).await;
    assert_eq!(status, 200);
    assert!(config.contains("name: there") && config.contains("budget: 256MiB"), "{config}");
    for path in ["/config", "/metrics", "/healthz", "/readyz"] {
        let (_, text) = standing.page(&standing.telemetry_url(path)).await;
        for secret in [KEY, "open sesame", "very secret"] {
            assert!(!text.contains(secret), "{path}: {secret}\n{text}");
        }
    }
    standing.house.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn health_is_told_on_both_listeners() {
    let standing =
        Standing::start("", "remote_write: [{ url: \"http://127.0.0.1:9/nobody\" }]").await;
    for path in ["/healthz", "/readyz"] {
        for url in [standing.ingest_url(path), standing.telemetry_url(path)] {
            assert_eq!(standing.page(&url).await.0, 200, "{url}");
        }
    }
    for path in ["/metrics", "/config"] {
        assert_eq!(standing.page(&standing.ingest_url(path)).await.0, 404, "{path} at the door");
    }
    assert_eq!(standing.page(&standing.telemetry_url("/firehose")).await.0, 404);
    assert_eq!(standing.page(&standing.ingest_url("/firehose")).await.0, 405);
    standing.house.stop().await;
}
