//! Glimpses: the common shape is glimpsed, and nothing that only looks like it.
#![allow(clippy::unwrap_used, clippy::panic)]

use proptest::prelude::*;
use sluicegate::demo::records::records;
use sluicegate::demo::stream::{Format, MetricStream};

use crate::decode_oracle::{cloudwatch_line, framed, framed07, nested, renumbered, samples};
use crate::decode_otlp::{
    START_NS, attribute, fixed, label, names, pair, record, summary, text, times,
};
use crate::fuzz::targets::glimpse::{Memory, run, same};

/// How many data points of the second record are known by the first.
fn hits(first: &[u8], second: &[u8]) -> usize {
    let mut memory = Memory::default();
    same(first, &mut memory);
    same(second, &mut memory);
    memory.hits
}

#[test]
fn what_cloudwatch_sends_is_read_once_and_then_known() {
    let stream = MetricStream::new(300, 3);
    let minute = |start_ms: i64| stream.points(start_ms, 0..300).collect::<Vec<_>>();
    for format in [Format::Json, Format::OpenTelemetry07, Format::OpenTelemetry10] {
        let mut memory = Memory::default();
        for (start_ms, expected) in [(1_760_000_040_000, 0), (1_760_000_040_000, 300)] {
            let points = minute(start_ms);
            records(format, &points).iter().for_each(|record| same(record, &mut memory));
            assert_eq!(memory.hits, expected, "{format:?}");
        }
    }
}

const PREFIX: &str = r#"{"namespace":"N","metric_name":"M""#;
const TAIL: &str = r#","timestamp":60000,"value":{"max":1.0,"sum":2.0},"unit":"Count"}"#;

#[test]
fn a_json_prefix_is_known_only_if_it_ends_between_members() {
    let long = format!("{PREFIX},\"x\":\"{}\"", "x".repeat(4 << 10));
    for (prefix, expected) in [
        (PREFIX, 1),
        (r#"{"timestamp":null,"value":[1],"unit":5,"namespace":"N","metric_name":"M""#, 1),
        (
            r#"{"timestamp":7,"value":{"sum":1,"p1":2},"unit":"x","namespace":"N","metric_name":"M""#,
            1,
        ),
        (r#"{"metric_name":"M","dimensions":{"a":"b","a":"\u0062"},"namespace":"N""#, 1),
        (r#"{ "metric_name" : "M"	,	"namespace":"N" , "x":-1.5e7"#, 1),
        (r#"{"namespace":"N","metric_name":"M","x":""#, 0),
        (r#"{"namespace":"N","metric_name":"M","x":"\"#, 0),
        (r#"{"namespace":"N","metric_name":"M","dimensions":{"a":"b""#, 0),
        (r#"{"namespace":"N","metric_name":"M","x":[1"#, 0),
        (r#"{"namespace":"N","metric_name":"M","x":[{"a":1}"#, 0),
        ("{\"namespace\":\"N\",\n\"metric_name\":\"M\"", 0),
        (r#"{"namespace":"N""#, 0),
        (r#"{"namespace":"","metric_name":"M""#, 0),
        (r#"{"namespace":"N","metric_name":"\ud800""#, 0),
        (r#"{"namespace":"N","metric_name":"M","timestamp":null"#, 0),
        ("{", 0),
        (&long, 0),
    ] {
        for end in ["\n", "", " \n", "}\n", "]}\n", "\"}\n"] {
            let line = format!("{prefix}{TAIL}{end}");
            assert_eq!(hits(line.as_bytes(), line.as_bytes()), expected, "{line}");
            let twice = format!("{line}{line}");
            let known = if end.trim().is_empty() { expected } else { 0 };
            assert!(hits(twice.as_bytes(), b"") >= known, "{twice}");
        }
    }
    let garbled = [PREFIX.as_bytes(), b",\"x\":\"\xff\"", TAIL.as_bytes()].concat();
    assert_eq!(hits(&garbled, &garbled), 0);
}

#[test]
fn a_json_tail_is_told_by_its_numbers() {
    let extended = |count: usize| {
        let names = (0..count).map(|n| format!("\"s{n}\":1"));
        format!("{{{}}}", names.collect::<Vec<_>>().join(","))
    };
    let value = |value: &str| format!(r#","timestamp":60000,"value":{value},"unit":"Count"}}"#);
    let time = |time: &str| format!(r#","timestamp":{time},"value":{{"sum":1}},"unit":"Count"}}"#);
    for (first, second, expected) in [
        (
            value(r#"{"max":1.0,"min":0.5,"sum":3.0,"count":2.0}"#),
            value(r#"{"sum":-0,"min":1E2}"#),
            1,
        ),
        (value(r#"{"sum":1}"#), value(r#"{"sum":1,"sum":2}"#), 1),
        (value(r#"{"sum":1}"#), value(r#"{"sum":1e999}"#), 0),
        (value(r#"{"sum":1}"#), value(r#"{"sum":null,"max":1}"#), 0),
        (value(r#"{"sum":1}"#), value(r#"{"sum":"1"}"#), 0),
        (value(r#"{"sum":1}"#), value(r#"{"sum":01}"#), 0),
        (value(r#"{"sum":1}"#), value(r#"{"sum": 1}"#), 0),
        (value(r#"{"sum":1}"#), value("{}"), 0),
        (value(r#"{"sum":1}"#), value(r#"{"sum":1,}"#), 0),
        (value(r#"{"p9":1,"sum":2,"p1":3}"#), value(r#"{"sum":4,"p9":5,"p1":6.5}"#), 1),
        (value(r#"{"p9":1,"p1":3}"#), value(r#"{"p1":1,"p9":3}"#), 0),
        (value(r#"{"p9":1,"p9":3}"#), value(r#"{"p9":1,"p9":3}"#), 0),
        (value(r#"{"p9":1}"#), value(r#"{"p9":1,"p9":3}"#), 0),
        (value(r#"{"m\u0061x":1}"#), value(r#"{"m\u0061x":2}"#), 0),
        (value(r#"{"a\":1,":1}"#), value(r#"{"a\":1,":1}"#), 0),
        (value(&extended(64)), value(&extended(64)), 1),
        (value(&extended(65)), value(&extended(65)), 0),
        (time("1"), time("253402300799999"), 1),
        (time("1"), time("253402300800000"), 0),
        (time("1"), time("0"), 0),
        (time("1"), time("01"), 0),
        (time("1"), time("-1"), 0),
        (time("1"), time("1.0"), 0),
        (time("1"), time("1e3"), 0),
        (time("1"), time("18446744073709551617"), 0),
        (time("1"), time(r#"7,"timestamp":8"#), 0),
        (time("1"), time("1").replace("Count", "Bytes"), 0),
        (time("1").replace("Count", ""), time("2").replace("Count", ""), 1),
        (time("1").replace("Count", "\\u0041"), time("1").replace("Count", "\\u0041"), 0),
        (time("1"), time("1").replace(",\"unit\":\"Count\"", ""), 0),
        (time("1"), time("1").replace("\"unit\"", "\"x\""), 0),
        (time("1"), time("1").replace("\"}", "\",\"namespace\":\"O\"}"), 0),
    ] {
        let line = |tail: &str| format!("{PREFIX}{tail}\n");
        let (first, second) = (line(&first), line(&second));
        assert_eq!(hits(first.as_bytes(), second.as_bytes()), expected, "{first}{second}");
    }
    let garbled = time("1").replace("Count", "\u{1}").into_bytes();
    let garbled = garbled.iter().map(|byte| if *byte == 1 { 0xff } else { *byte });
    let garbled: Vec<_> = PREFIX.bytes().chain(garbled).collect();
    assert_eq!(hits(&garbled, &garbled), 0);
}

fn quantile(quantile: f64, value: f64) -> Vec<u8> {
    nested(6, &[fixed(1, quantile.to_bits()), fixed(2, value.to_bits())].concat())
}

#[test]
fn an_otlp_data_point_is_known_by_its_run_and_its_quantiles() {
    let labels = [label("Namespace", "N"), label("MetricName", "M")].concat();
    let good = [labels.clone(), times()].concat();
    let (p5, p9) = (quantile(0.5, 1.0), quantile(0.9, 2.0));
    let swapped = nested(6, &[fixed(2, 0), fixed(1, 0.5f64.to_bits())].concat());
    let with = |fields: &[&[u8]]| [&good[..], &fields.concat()].concat();
    for (first, second, expected) in [
        (good.clone(), [times(), labels.clone()].concat(), 1),
        (good.clone(), [labels.clone(), fixed(2, START_NS)].concat(), 1),
        (
            good.clone(),
            with(&[&fixed(4, 7), &fixed(5, 7), &quantile(0.0, 1.0), &nested(6, b"")]),
            1,
        ),
        (good.clone(), with(&[&fixed(4, 7), &quantile(1.0, 3.0), &fixed(4, 8)]), 1),
        (good.clone(), with(&[&[0x40, 0x02]]), 1),
        (good.clone(), with(&[&[0x40, 0x01]]), 0),
        (good.clone(), with(&[&[0x40, 0x81, 0x00, 0x40, 0x00]]), 1),
        (good.clone(), with(&[&[0x20, 0x05]]), 0),
        (good.clone(), with(&[&[0x4a, 0x00]]), 0),
        (good.clone(), with(&[&[0x91, 0x00], &[0; 8]]), 0),
        (good.clone(), with(&[&label("d", "1")]), 0),
        (good.clone(), [labels.clone(), fixed(2, 0)].concat(), 0),
        (good.clone(), [labels.clone(), fixed(2, START_NS), fixed(3, 1)].concat(), 0),
        (good.clone(), labels.clone(), 0),
        (times(), times(), 0),
        ([names(), times()].concat(), [names(), times()].concat(), 1),
        ([labels.clone(), names(), times()].concat(), [labels, names(), times()].concat(), 0),
        (
            [label("Namespace", "N"), times()].concat(),
            [label("Namespace", "N"), times()].concat(),
            0,
        ),
        ([nested(1, b"\x0a\xff"), good.clone()].concat(), good.clone(), 0),
        (with(&[&p5, &p9]), with(&[&quantile(0.5, 7.0), &quantile(1.0, 8.0), &p9]), 1),
        (with(&[&p5, &p9]), with(&[&p9, &p5]), 0),
        (with(&[&p5]), with(&[&p5, &p5]), 0),
        (with(&[&p5, &p5]), with(&[&p5, &p5]), 0),
        (with(&[&p5]), with(&[&swapped]), 0),
        (with(&[&quantile(1.5, 1.0)]), with(&[&quantile(1.5, 1.0)]), 0),
        (with(&[&quantile(f64::NAN, 1.0)]), with(&[&quantile(f64::NAN, 1.0)]), 0),
    ] {
        let framed = |point: &[u8]| record(&[], &[summary(point)]);
        assert_eq!(hits(&framed(&first), &framed(&second)), expected, "{first:?} {second:?}");
        let both = record(&[], &[summary(&first), summary(&second)]);
        assert!(hits(&both, b"") >= expected, "{first:?} {second:?}");
    }
    let many = |count: u32| {
        let quantiles: Vec<_> = (1..=count).map(|n| quantile(f64::from(n) / 100.0, 1.0)).collect();
        record(&[], &[summary(&with(&[&quantiles.concat()]))])
    };
    assert_eq!((hits(&many(64), &many(64)), hits(&many(65), &many(65))), (1, 0));
    let long = [label("d", &"x".repeat(4 << 10)), good].concat();
    let long = record(&[], &[summary(&long)]);
    assert_eq!(hits(&long, &long), 0);
}

#[test]
fn an_otlp_data_point_belongs_to_its_resource_and_unit() {
    let point = [attribute("Namespace", &text("N")), attribute("MetricName", &text("M")), times()];
    let said = |key: &str, value: &str| nested(1, &pair(key, &text(value)));
    let place = |account: &str, region: &str| {
        [said("cloud.account.id", account), said("cloud.region", region)].concat()
    };
    let arn = said("aws.exporter.arn", "arn:aws:cloudwatch:23:1:metric-stream/x");
    let garbled = nested(1, &pair("cloud.region", &nested(1, b"\xff")));
    let unit = |code: &[u8]| [nested(3, code), summary(&point.concat())].concat();
    for (first, second, expected) in [
        ((place("1", "23"), &b"s"[..]), (place("1", "23"), &b"s"[..]), 1),
        ((place("1", "23"), b"s"), (arn, b"s"), 1),
        ((place("1", "23"), b"s"), (place("12", "3"), b"s"), 0),
        ((place("1", "23"), b"s"), (place("", "123"), b"s"), 0),
        ((place("1", "23"), b"s"), (place("1", "23"), b""), 0),
        ((place("1", "23"), b"s"), ([place("1", "23"), garbled.clone()].concat(), b"s"), 0),
        ((garbled.clone(), b"s"), (garbled, b"s"), 0),
        ((place("1", "2"), b"\xff"), (place("1", "2"), b"\xff"), 0),
        ((place("1", "2"), b"%"), (place("1", "2"), b"Percent"), 0),
    ] {
        let one = record(&first.0, &[unit(first.1)]);
        let other = record(&second.0, &[unit(second.1)]);
        assert_eq!(hits(&one, &other), expected, "{first:?} {second:?}");
        // The same resource again, another one between, and one in pieces: of each what it says.
        let all = [&one[..], &one, &other, &one, &other, &other].concat();
        let pieces = [nested(1, &first.0), nested(1, &second.0), nested(2, &nested(2, &unit(b"")))];
        let pieces = nested(1, &pieces.concat());
        let mut framed = Vec::new();
        prost::encoding::encode_varint(pieces.len() as u64, &mut framed);
        framed.extend(pieces);
        hits(&[&all[..], &framed, &one, &framed].concat(), &all);
    }
}

proptest! {
    #[test]
    fn a_perfect_memory_sees_what_full_reading_shows(
        first in samples(), second in samples(), order in prop::collection::vec(0..4usize, 1..8),
        format in 0..4usize, at in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        splices in prop::collection::vec(any::<[prop::sample::Index; 3]>(), 0..3),
    ) {
        let four = [
            first.clone(), second.clone(), renumbered(&first, &second), renumbered(&second, &first),
        ];
        let mut all = Vec::new();
        for index in order {
            match format {
                0 => all.extend([cloudwatch_line(&four[index]).as_bytes(), b"\n"].concat()),
                1 => all.extend(framed(&four[index])),
                2 => all.extend(framed07(&four[index])),
                _ => all.extend(cloudwatch_line(&four[index]).as_bytes()),
            }
        }
        let mut memory = Memory::default();
        same(&all, &mut memory);
        for (index, byte) in at {
            let index = index.index(all.len());
            all[index] ^= byte;
        }
        for [from, until, to] in splices {
            let (from, until) = (from.index(all.len()), until.index(all.len()));
            let piece = all[from.min(until)..from.max(until)].to_vec();
            let to = to.index(all.len());
            all.splice(to..to, piece);
        }
        same(&all, &mut memory);
        run(&all);
    }
}
