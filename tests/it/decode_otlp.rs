//! OTLP put together field by field: zeros, identities, orders, pieces and faults.
#![allow(clippy::unwrap_used, clippy::panic)]

use crate::{decode_fixtures::render, decode_oracle::nested};

pub(crate) const START_NS: u64 = 60_000_000_000;

pub(crate) fn fixed(field: u32, value: u64) -> Vec<u8> {
    [&[(field << 3 | 1) as u8][..], &value.to_le_bytes()].concat()
}

pub(crate) fn text(value: &str) -> Vec<u8> {
    nested(1, value.as_bytes())
}

pub(crate) fn pair(key: &str, any: &[u8]) -> Vec<u8> {
    [nested(1, key.as_bytes()), nested(2, any)].concat()
}

pub(crate) fn attribute(key: &str, any: &[u8]) -> Vec<u8> {
    nested(7, &pair(key, any))
}

pub(crate) fn label(key: &str, value: &str) -> Vec<u8> {
    nested(1, &[nested(1, key.as_bytes()), nested(2, value.as_bytes())].concat())
}

pub(crate) fn times() -> Vec<u8> {
    [fixed(2, START_NS), fixed(3, 2 * START_NS)].concat()
}

pub(crate) fn names() -> Vec<u8> {
    [attribute("Namespace", &text("N")), attribute("MetricName", &text("M"))].concat()
}

fn list(pairs: &[Vec<u8>]) -> Vec<u8> {
    nested(6, &pairs.iter().flat_map(|pair| nested(1, pair)).collect::<Vec<_>>())
}

pub(crate) fn summary(point: &[u8]) -> Vec<u8> {
    nested(11, &nested(1, point))
}

pub(crate) fn record(resource: &[u8], metrics: &[Vec<u8>]) -> Vec<u8> {
    let scope: Vec<u8> = metrics.iter().flat_map(|metric| nested(2, metric)).collect();
    let request = nested(1, &[nested(1, resource), nested(2, &scope)].concat());
    let mut out = Vec::new();
    prost::encoding::encode_varint(request.len() as u64, &mut out);
    out.extend(request);
    out
}

fn point(extra: &[u8]) -> Vec<String> {
    render(&record(&[], &[summary(&[names(), times(), extra.to_vec()].concat())]))
}

fn line(dimensions: &str, values: &str) -> String {
    format!("opentelemetry1.0 / N M [{dimensions}] \"\" 60000+60000 {values}")
}

#[test]
fn zeros_are_omitted() {
    let max_0 = nested(6, &fixed(1, 1f64.to_bits()));
    let extra = [nested(6, &[]), max_0].concat();
    assert_eq!(extra[..2], [0x32, 0x00]);
    assert_eq!(point(&extra), [line("", "count=0.0 sum=0.0 min=0.0 max=0.0")]);
    assert_eq!(point(&[]), [line("", "count=0.0 sum=0.0")]);
    let nan = fixed(5, f64::NAN.to_bits());
    assert_eq!(point(&nan), [line("", "count=0.0 sum=NaN")]);
}

#[test]
fn quantiles_have_percentile_names() {
    let quantile = |quantile: f64, value: f64| {
        nested(6, &[fixed(1, quantile.to_bits()), fixed(2, value.to_bits())].concat())
    };
    let extra = [
        quantile(0.999, 1.0),
        quantile(0.29, 2.0),
        quantile(0.5, 3.0),
        quantile(0.05, 4.0),
        quantile(0.5, 5.0),
        quantile(-0.0, 6.0),
    ];
    let expected = "count=0.0 sum=0.0 min=6.0 p99.9=1.0 p29=2.0 p5=4.0 p50=5.0";
    assert_eq!(point(&extra.concat()), [line("", expected)]);
    for bad in [1.5, -0.5, f64::NAN] {
        assert_eq!(point(&quantile(bad, 1.0)), ["skipped statistic"]);
    }
    let many: Vec<u8> = (1..=65).flat_map(|n| quantile(f64::from(n) / 100.0, 1.0)).collect();
    assert_eq!(point(&many), ["skipped statistic"]);
}

#[test]
fn dimensions_come_in_many_ways() {
    let int = [0x18, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
    let half = fixed(4, 0.5f64.to_bits());
    let bytes = nested(7, b"x");
    let one = list(&[pair("a", &text("1"))]);
    let two = list(&[pair("b", &text("2"))]);
    let in_pieces =
        nested(7, &[nested(2, &one), nested(1, b"Dimensions"), nested(2, &two)].concat());
    let replaced = [one.clone(), text("x"), two.clone()].concat();
    let many: Vec<_> = (0..65).map(|n| pair(&n.to_string(), &text(""))).collect();
    // What is wrong with a list goes with it.
    let replaced_wrong =
        [list(&[pair("a", &bytes), nested(1, b"\xff")]), text("x"), list(&many), text("x"), two];
    let kinds = list(&[pair("i", &int), pair("d", &half), pair("b", &[0x10, 1]), pair("n", &[])]);
    for (extra, dimensions) in [
        (attribute("Dimensions", &[]), ""),
        (attribute("Dimensions", &list(&[])), ""),
        (attribute("Dimensions", &one), "a=1"),
        (in_pieces, "a=1,b=2"),
        (attribute("Dimensions", &replaced), "b=2"),
        (attribute("Dimensions", &replaced_wrong.concat()), "b=2"),
        (attribute("Dimensions", &text("x")), "Dimensions=x"),
        (attribute("Dimensions", &kinds), "i=-1,d=0.5,b=true,n="),
        (attribute("Other", &text("x")), "Other=x"),
        (attribute("Namespace", &text("x")), "Namespace=x"),
    ] {
        assert_eq!(point(&extra), [line(dimensions, "count=0.0 sum=0.0")]);
    }
    let garbled_beyond = [many.clone(), vec![nested(1, b"\xff")]].concat();
    for (extra, reason) in [
        (attribute("Dimensions", &list(&[pair("a", &bytes)])), "field"),
        (attribute("Dimensions", &list(&[pair("a", &one)])), "field"),
        (attribute("Dimensions", &bytes), "field"),
        (attribute("Dimensions", &list(&many)), "field"),
        (attribute("Dimensions", &list(&[nested(1, b"\xff")])), "utf8"),
        (attribute("Dimensions", &list(&garbled_beyond)), "utf8"),
        (attribute("Other", &nested(1, b"\xff")), "utf8"),
    ] {
        assert_eq!(point(&extra), [format!("skipped {reason}")]);
    }
}

#[test]
fn identities_decide_the_version() {
    let labels = [label("Namespace", "N"), label("MetricName", "M")].concat();
    let further = [labels.clone(), label("Namespace", "x"), label("d", "1")].concat();
    let expected = "opentelemetry0.7 / N M [Namespace=x,d=1] \"\" 60000+60000 count=0.0 sum=0.0";
    for (identity, expected) in [
        (further, expected),
        ([labels, names()].concat(), "skipped labels"),
        (vec![], "skipped labels"),
        (label("Namespace", "N"), "skipped field"),
        (attribute("MetricName", &text("M")), "skipped field"),
        (
            [attribute("Namespace", &[0x18, 5]), names()].concat(),
            "opentelemetry1.0 / 5 M \
            [Namespace=N] \"\" 60000+60000 count=0.0 sum=0.0",
        ),
        ([attribute("Namespace", &text("")), names()].concat(), "skipped field"),
    ] {
        assert_eq!(render(&record(&[], &[summary(&[identity, times()].concat())])), [expected]);
    }
}

#[test]
fn times_are_checked() {
    for (start, end, expected) in [
        (0, 2 * START_NS, "skipped timestamp"),
        (0, 0, "skipped timestamp"),
        (START_NS, 0, "60000+60000"),
        (START_NS, START_NS - 1, "skipped timestamp"),
        (START_NS + 999_999, START_NS + 999_999, "60000+0"),
    ] {
        let point = [names(), fixed(2, start), fixed(3, end)].concat();
        let rendered = render(&record(&[], &[summary(&point)]));
        assert!(rendered[0].contains(expected), "{rendered:?}");
    }
    let rendered = render(&record(&[], &[summary(&[names(), fixed(2, START_NS)].concat())]));
    assert!(rendered[0].contains("60000+60000"), "{rendered:?}");
}

#[test]
fn accounts_and_regions_come_from_the_resource() {
    let arn =
        nested(1, &pair("aws.exporter.arn", &text("arn:aws-cn:cloudwatch:r:12:metric-stream/x")));
    let account = nested(1, &pair("cloud.account.id", &text("34")));
    let number = nested(1, &pair("cloud.account.id", &[0x18, 5]));
    let garbled = nested(1, &pair("cloud.region", &nested(1, b"\xff")));
    let other = nested(1, &pair("aws.exporter.arn", &text("x")));
    let good = [names(), times()].concat();
    for (resource, expected) in [
        (arn.clone(), "1.0 12/r N M"),
        ([account, arn].concat(), "1.0 34/r N M"),
        (number, "1.0 5/ N M"),
        (other, "1.0 / N M"),
        (garbled, "skipped utf8"),
    ] {
        let rendered = render(&record(&resource, &[summary(&good), summary(&good)]));
        assert_eq!(rendered.len(), 2);
        assert!(rendered.iter().all(|line| line.contains(expected)), "{rendered:?}");
    }
}

#[test]
fn metrics_that_are_no_summaries_are_skipped_alone() {
    let good = summary(&[names(), times()].concat());
    let expected = line("", "count=0.0 sum=0.0");
    for field in 4..=10 {
        let metrics = [good.clone(), nested(field, b""), good.clone()];
        let rendered = render(&record(&[], &metrics));
        assert_eq!(rendered, [&expected, "skipped not_summary", &expected]);
    }
    let pieces = [[good.clone(), good.clone()].concat(), [nested(5, b""), good.clone()].concat()];
    assert_eq!(render(&record(&[], &pieces)), vec![expected; 3]);
    let last = [[good.clone(), nested(5, b"")].concat(), b"".to_vec()];
    assert_eq!(render(&record(&[], &last)), ["skipped not_summary"]);
    assert_eq!(point(&[0x40, 0x01]), [""; 0], "no recorded value");
    let garbled = [nested(3, b"\xff"), good].concat();
    assert_eq!(render(&record(&[], &[garbled])), ["skipped utf8"]);
}

#[test]
fn faults_cost_the_rest_of_their_frame() {
    let good = summary(&[names(), times()].concat());
    let expected = line("", "count=0.0 sum=0.0");
    let bad_count = summary(&[names(), times(), vec![0x20, 0x05]].concat());
    let bad = record(&[], &[good.clone(), bad_count, good.clone()]);
    let both = [bad, record(&[], &[good])].concat();
    assert_eq!(render(&both), [&expected, "skipped protobuf", &expected]);
    assert_eq!(render(&[2, 0x10, 1]), ["skipped unknown_format"]);
    assert_eq!(render(&[2, 0x0a, 0]), [""; 0]);
}
