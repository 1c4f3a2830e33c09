//! What each answer of a receiver means.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::time::{Duration, UNIX_EPOCH};

use sluicegate::deliver::Verdict;
use sluicegate::deliver::judge::{Lean, judge, parse_retry_after};

/// A verdict in short: its kind, and the reason of a refusal.
fn short(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Accepted => "accepted".to_owned(),
        Verdict::Partial(refusal) => format!("partial {}", refusal.reason.name()),
        Verdict::Isolate(refusal) => format!("isolate {}", refusal.reason.name()),
        Verdict::Refused(refusal) => format!("refused {}", refusal.reason.name()),
        Verdict::TryAgain { over_rate: true, .. } => "again, over rate".to_owned(),
        Verdict::TryAgain { misconfigured: true, .. } => "again, misconfigured".to_owned(),
        Verdict::TryAgain { .. } => "again".to_owned(),
        Verdict::Split { .. } => "split".to_owned(),
        Verdict::Resign { .. } => "resign".to_owned(),
    }
}

const OOO: &str = "user=1_ws-1: err: out of order sample. timestamp=2026-11-21T09:36:28Z, \
                   series={__name__=\"m\", a=\"limit\"}";

/// Status, body, verdict where the words decide. A row for each line of the measured tables.
const TABLE: &[(u16, &str, &str)] = &[
    (200, "", "accepted"),
    (202, "", "accepted"),
    (204, "", "accepted"),
    (301, "", "again, misconfigured"),
    (307, "over there", "again, misconfigured"),
    (400, OOO, "partial out_of_order"),
    (
        400,
        "user=1: err: duplicate sample for timestamp 1; overrides not allowed: existing 1, new value 2. series={a=\"1\"}",
        "partial duplicate",
    ),
    (400, "user=1: err: too old sample. timestamp=1, series={a=\"1\"}", "partial too_old"),
    (400, "user=1: err: out of bounds. timestamp=1, series={a=\"1\"}", "partial too_old"),
    (
        400,
        "user=1: per-user series limit of 200 exceeded, please contact administrator to raise it",
        "partial limit",
    ),
    (
        400,
        "maxFailure (quorum) on a given error family, rpc error: code = Code(400) desc = user=1: per-metric series limit of 20 exceeded for metric m",
        "partial limit",
    ),
    (
        400,
        "user=1: per-labelset series limit of 9 exceeded (labelSet: {}, local limit: 9)",
        "partial limit",
    ),
    (400, "timestamp too old: 1795250247000 metric: \"m\"", "partial too_old"),
    (400, "timestamp too new: 1795254567000 metric: \"m\"", "partial too_new"),
    (
        400,
        "series has too many labels (actual: 32, limit: 30) series: 'm{a=\"x\"}'",
        "partial limit",
    ),
    (
        400,
        "label value too long for metric (actual: 2049, limit: 2048) metric: \"m\"",
        "partial limit",
    ),
    (
        400,
        "label name too long for metric (actual: 1025, limit: 1024) metric: \"m\"",
        "partial limit",
    ),
    (
        400,
        "labels size bytes exceeded for metric (actual: 9000, limit: 7168) metric: \"m\"",
        "partial limit",
    ),
    (400, "labels not sorted: \"b\" metric: \"m\"", "partial other"),
    (400, "duplicate label name: \"a\" metric \"m{a=\\\"1\\\"}\"", "partial other"),
    (400, "sample missing metric name", "partial other"),
    (400, "sample invalid metric name: \"a b%\"", "partial other"),
    (400, "sample invalid label: \"too-old\" metric \"m\"", "partial other"),
    (
        400,
        "failed pushing to ingester: user=1: the sample has been rejected because its timestamp is too old (err-mimir-sample-timestamp-too-old). The affected sample",
        "partial too_old",
    ),
    (
        400,
        "the sample has been rejected because another sample with a more recent timestamp has already been ingested and out-of-order samples are not allowed (err-mimir-sample-out-of-order). The affected sample",
        "partial out_of_order",
    ),
    (
        400,
        "another sample with the same timestamp, but a different value (err-mimir-sample-duplicate-timestamp). The",
        "partial duplicate",
    ),
    (
        400,
        "received a sample whose timestamp is too far in the future, series: 'm{a=\"1\"}' (err-mimir-too-far-in-future). To adjust the related per-tenant limit",
        "partial too_new",
    ),
    (
        400,
        "received a series whose number of labels exceeds the limit (actual: 31, limit: 30) series: 'm{a=\"1\"}' (err-mimir-max-label-names-per-series). To adjust",
        "partial limit",
    ),
    (
        400,
        "per-user series limit of 9 exceeded (err-mimir-max-series-per-user). To adjust",
        "partial limit",
    ),
    (
        400,
        "received a series with an invalid label: 'a-b' series: 'm{a-b=\"limit\"}' (err-mimir-label-invalid). To adjust the related per-tenant limit",
        "partial other",
    ),
    (
        400,
        "the incoming push request has been rejected because its message size of 9 bytes is larger than the allowed limit of 8 bytes (err-mimir-distributor-max-write-message-size)",
        "split",
    ),
    // Undecodable: our own fault.
    (400, "snappy: corrupt input", "refused other"),
    (400, "s2: corrupt input", "refused other"),
    (400, "snappy decode error: s2: corrupt input", "refused other"),
    (400, "proto: illegal wireType 7", "refused other"),
    (400, "cannot read: cannot decompress snappy-encoded request with length 7", "refused other"),
    (400, "cannot read: cannot unmarshal prompb.WriteRequest with size 12 bytes", "refused other"),
    (400, "empty labels found", "refused other"),
    (400, "received message larger than max (110000048 vs 104857600)", "split"),
    (400, "decoded size exceeds the 33554432 bytes limit", "split"),
    (
        400,
        "cannot decompress snappy-encoded request: too big data size 110000048 exceeding 33554432 bytes",
        "split",
    ),
    // Anything else may have stored nothing.
    (400, "", "isolate other"),
    (400, "out of order sample", "isolate out_of_order"),
    (400, "out of bounds", "isolate too_old"),
    (400, "out of bounds: timestamp is too far in the future", "isolate too_new"),
    (400, "too old sample", "isolate too_old"),
    (
        400,
        "duplicate sample for timestamp 1; overrides not allowed: existing 1, new value 2",
        "isolate duplicate",
    ),
    (400, "out of order labels", "isolate other"),
    (400, "{\"message\":\"Bad request\"}", "isolate other"),
    // A label value may say anything.
    (
        400,
        "out of order sample, series={a=\"received message larger than max\", b=\"proto: x\"}",
        "isolate out_of_order",
    ),
    (401, "no", "resign"),
    (403, "{\"message\":\"Missing Authentication Token\"}", "resign"),
    (403, "{\"Message\":\"User: x is not authorized to perform: aps:RemoteWrite\"}", "resign"),
    (404, "{\"Message\":\"Workspace not found\"}", "again, misconfigured"),
    (405, "", "again, misconfigured"),
    (408, "", "again"),
    (409, "writing locally: add 1 samples: too old sample", "partial too_old"),
    (409, "add 1 series: out of order labels", "partial other"),
    (409, "add 1 series: label set contains duplicate label names", "partial other"),
    (413, "too many timeseries", "split"),
    (413, "", "split"),
    (415, "gzip encoding is not accepted", "again, misconfigured"),
    (418, "", "again, misconfigured"),
    (422, "", "isolate other"),
    (425, "", "again"),
    (
        429,
        "ingestion rate limit (70000) exceeded while adding 6000 samples and 0 metadata",
        "again, over rate",
    ),
    (429, "{\"message\":\"Rate exceeded\"}", "again"),
    (429, "", "again"),
    (429, "user=1: per-user series limit of 200 exceeded", "partial limit"),
    (500, "DoBatch: InstancesCount <= 0", "again"),
    (500, "label name \"a\" is not unique: invalid sample", "again"),
    (502, "<html>", "again"),
    (503, "", "again"),
    (504, "", "again"),
    (599, "", "again"),
    (999, "", "again, misconfigured"),
];

#[test]
fn the_table_holds() {
    for (status, body, verdict) in TABLE {
        assert_eq!(short(&judge(*status, None, body, Lean::Told)), *verdict, "{status} {body}");
    }
}

#[test]
fn a_lean_decides_what_words_do_not() {
    for (status, body, told) in TABLE {
        let kind = |lean| short(&judge(*status, None, body, lean));
        let (partial, isolate) = (kind(Lean::Partial), kind(Lean::Isolate));
        let reason = told.split_once(' ').map_or("", |(_, reason)| reason);
        if *status == 400 && (told.starts_with("partial") || told.starts_with("isolate")) {
            assert_eq!(partial, format!("partial {reason}"), "{body}");
            assert_eq!(isolate, format!("isolate {reason}"), "{body}");
        } else if !body.contains("per-user series limit") {
            assert_eq!((partial.as_str(), isolate.as_str()), (*told, *told), "{status} {body}");
        }
    }
}

/// What is true of a recorded answer: for 400s by what the receiver had stored (Cortex the good
/// samples; Prometheus none; broken bodies none anywhere), for the rest by their status.
fn fact(receiver: &str, case: &str, status: u64) -> &'static str {
    match (receiver, case, status) {
        (_, _, 200..=299) => "accepted",
        (_, "not snappy" | "snappy of garbage", 400) => "refused",
        ("cortex", "no labels at all", 400) => "refused",
        ("prometheus-2.42.0", "110 MB raw", 400) => "isolate",
        (_, "110 MB raw", 400) => "split",
        ("cortex", _, 400) => "partial",
        ("prometheus-2.42.0" | "prometheus-3.15", _, 400) => "isolate",
        ("thanos-receive", _, 409) => "partial",
        ("thanos-receive", _, 413) => "split",
        (_, _, 415) => "again, misconfigured",
        ("cortex", _, 429) => "again, over rate",
        (_, _, 500) => "again",
        _ => panic!("no fact about {receiver}, {case}, {status}"),
    }
}

#[test]
fn recorded_answers_of_real_receivers() {
    let recorded = include_str!("../fixtures/receiver-answers.jsonl");
    let mut answers = 0;
    for line in recorded.lines() {
        let answer: serde_json::Value = serde_json::from_str(line).unwrap();
        let text = |key: &str| answer[key].as_str().unwrap_or_default().to_owned();
        let (receiver, case, body) = (text("receiver"), text("case"), text("body"));
        // Where the connection was reset there was no answer to judge.
        let Some(status) = answer["status"].as_u64().filter(|status| *status > 0) else { continue };
        let verdict = judge(status as u16, None, &body, Lean::Told);
        let fact = fact(&receiver, &case, status);
        assert!(short(&verdict).starts_with(fact), "{line}: {verdict:?}");
        if answer["good_sample_stored"] == false {
            assert!(matches!(verdict, Verdict::Isolate(_)), "{line}: {verdict:?}");
        }
        answers += 1;
    }
    assert!(answers >= 225, "{answers}");
}

#[test]
fn messages_are_short_and_one_line() {
    let body = format!("out of\norder\t{}", "ä".repeat(600));
    let Verdict::Isolate(refusal) = judge(400, None, &body, Lean::Told) else { panic!() };
    assert_eq!(refusal.message.chars().count(), 512);
    assert!(refusal.message.starts_with("out of order ä"));
    for status in [403, 404, 413, 500] {
        let verdict =
            format!("{:?}", judge(status, None, &"\u{1b}[31m€".repeat(9_999), Lean::Told));
        assert!(verdict.chars().count() < 700 && !verdict.contains("\\u{1b}"), "{verdict}");
    }
}

#[test]
fn retry_after_is_seconds_or_a_date() {
    let now = UNIX_EPOCH + Duration::from_secs(784_111_777);
    let day = Some(Duration::from_secs(86_400));
    for (value, wait) in [
        ("0", Some(Duration::ZERO)),
        (" 120 ", Some(Duration::from_secs(120))),
        ("99999999999999999999999999", day),
        ("18446744073709551615", day),
        ("Sun, 06 Nov 1994 08:49:47 GMT", Some(Duration::from_secs(10))),
        ("Sunday, 06-Nov-94 08:49:47 GMT", Some(Duration::from_secs(10))),
        ("Sun, 06 Nov 1994 08:49:27 GMT", Some(Duration::ZERO)),
        ("Fri, 31 Dec 9999 23:59:59 GMT", day),
        ("", None),
        ("-1", None),
        ("1.5", None),
        ("soon", None),
    ] {
        assert_eq!(parse_retry_after(value, now), wait, "{value}");
    }
    let after = Some(Duration::from_secs(7));
    for status in [429, 503, 404] {
        let verdict = judge(status, after, "", Lean::Told);
        assert!(matches!(verdict, Verdict::TryAgain { after: a, .. } if a == after));
    }
}
