//! What fuzzing begins with: the fixtures of the other tests, in each target's own form.

use std::io::Write as _;

use flate2::{Compression, GzBuilder};
use serde_json::Value;
use sluicegate::demo::records::records;
use sluicegate::demo::stream::{Format, MetricStream};
use sluicegate::map::relabel::Draft;

use super::targets::rules;
use crate::decode_fixtures::bytes;
use crate::decode_oracle::{framed, framed07, nested, sample};
use crate::receive_door::{ID, envelope, gzip, line};

/// A target's seeds: the same in every run.
pub(super) fn of(target: &str) -> Vec<Vec<u8>> {
    match target {
        "answers" => answers(),
        "base64" => base64(),
        "config" => config(),
        "door" => door(),
        "envelope" => envelopes(),
        "glimpse" => glimpsed(),
        "gzip" => packed(),
        "json" => lines(),
        "otlp" => frames(),
        "relabel" => relabelling(),
        "write" => written(),
        _ => Vec::new(),
    }
}

fn answers() -> Vec<Vec<u8>> {
    let recorded = include_str!("../../fixtures/receiver-answers.jsonl");
    let mut seeds: Vec<Vec<u8>> = recorded
        .lines()
        .map(|line| {
            let answer: Value = serde_json::from_str(line).unwrap();
            let status = answer["status"].as_u64().unwrap() as u16 - 100;
            let body = answer["body"].as_str().unwrap_or_default();
            [&status.to_le_bytes()[..], b"\n", body.as_bytes()].concat()
        })
        .collect();
    for wait in ["17", "Thu, 09 Oct 2025 09:00:00 GMT", "Thursday, 09-Oct-25 09:00:00 GMT", "-1"] {
        seeds.push([&[0x4d, 0x01][..], wait.as_bytes(), b"\nslow down"].concat());
    }
    seeds
}

fn base64() -> Vec<Vec<u8>> {
    let texts = ["", "aGk=", "aA==", "aGlq", "aGl=", "aB==", "aGk", "a===", "-_-_", "aG k", "++//"];
    let long = base64_simd::STANDARD.encode_to_string(line(1));
    texts.iter().map(|text| text.as_bytes().to_vec()).chain([long.into_bytes()]).collect()
}

fn config() -> Vec<Vec<u8>> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/config");
    let mut paths: Vec<_> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    // The effective configurations that are recorded beside them are configurations, too.
    paths.sort();
    paths.iter().map(|path| std::fs::read(path).unwrap()).collect()
}

fn envelopes() -> Vec<Vec<u8>> {
    let texts = [
        r#"{"requestId":"r","timestamp":5,"records":[{"data":"aGk="},{"data":""}]}"#,
        " {\n\t\"records\" : [ {\"x\":[{}], \"data\" : \"aGk=\" } , {\"data\":\"\"}] ,\r\n\
         \"other\":{\"a\":[1,null,true,\"\\u00e9\"]},\"timestamp\":5,\"requestId\":\"r\"} ",
        r#"{"requestId":1,"records":3,"timestamp":null,"request\u0049d":"\u0072",
            "records":[{"data":1,"data":"aGk="},{"data":""}],"timestamp":5}"#,
        r#"{"requestId":"","records":[1,{},{"data":{}},{"data":"aG\/r"},{"data":"\ud83d\ude00"},
            {"data":"\ud800"},{"data":"a"},{"data":"-_-_"},[],null]}"#,
        r#"{"requestId":"r","records":[],"x":[[[[[-1.5e-7]]]],"\"\\\b\f\n\r\t\u0000é😀"]}"#,
        r#"{"requestId":"r","records":{}}"#,
        r#"{"requestId":"r","records":[{"data":"aGk=","data":1},{"data":"aGk=","data":"aA=="}]}"#,
        r#"{"requestId":"r","records":[],"records":[{"data":""}],"requestId":"s","timestamp":1e3}"#,
        "[1]",
        "{\"requestId\":\"\x7f\",\"records\":[",
    ];
    let own = [
        envelope(ID, &[line(1).as_bytes(), &framed(&sample("s")), b"", &[0xff; 20]]),
        envelope(ID, &[]),
    ];
    texts.iter().map(|text| text.as_bytes().to_vec()).chain(own).collect()
}

fn door() -> Vec<Vec<u8>> {
    let bodies = envelopes().into_iter().enumerate();
    let plain = bodies.map(|(index, body)| [&[(index as u8 & 1) << 1], &body[..]].concat());
    let two = [line(1), line(2)].concat();
    let body = envelope(ID, &[two.as_bytes(), &framed07(&sample("s")), b"{\"a\":1}\n"]);
    let ways = [0, 2, 4, 6, 8, 1].map(|how| [&[how][..], &body].concat());
    let packed = packed().into_iter().chain([gzip(&body)]);
    plain.chain(ways).chain(packed.map(|wire| [&[1][..], &wire].concat())).collect()
}

/// Records in the shape that is glimpsed, with much in common.
fn glimpsed() -> Vec<Vec<u8>> {
    let stream = MetricStream::new(40, 7);
    let points: Vec<_> = stream.points(1_760_000_040_000, 0..40).collect();
    let formats = [Format::Json, Format::OpenTelemetry07, Format::OpenTelemetry10];
    let mut seeds: Vec<Vec<u8>> = formats
        .iter()
        .flat_map(|format| points.chunks(10).flat_map(|some| records(*format, some)))
        .collect();
    let tail = ",\"timestamp\":60000,\"value\":{\"max\":1.0,\"p99\":2.0},\"unit\":\"Count\"}";
    for before in [
        "{\"namespace\":\"N\",\"metric_name\":\"M\"",
        "{\"namespace\":\"N\",\"metric_name\":\"M\",\"timestamp\":null,\"value\":[1]",
        "{\"namespace\":\"N\",\"metric_name\":\"M\",\"dimensions\":{\"a\":\"b\"",
        "{\"namespace\":\"N\",\"metric_name\":\"M\",\"x\":\"",
        "{\"namespace\":\"N\",\n\"metric_name\":\"M\"",
    ] {
        seeds.push(format!("{before}{tail}\n{before}{tail}").into_bytes());
    }
    seeds.extend([framed(&sample("MBit")), framed07(&sample("s"))]);
    seeds
}

fn packed() -> Vec<Vec<u8>> {
    let text = line(1);
    let with = |builder: GzBuilder, level: u32, plain: &[u8]| {
        let mut encoder = builder.write(Vec::new(), Compression::new(level));
        encoder.write_all(plain).unwrap();
        encoder.finish().unwrap()
    };
    let one = gzip(text.as_bytes());
    let named = GzBuilder::new().filename("name").comment("comment").extra(vec![1, 2, 3]).mtime(7);
    let bomb = gzip(&vec![0; 2 << 20]);
    vec![
        one.clone(),
        [&one[..], &gzip(b"another")].concat(),
        one.repeat(2),
        [&one[..], b"garbage"].concat(),
        one[..one.len() / 2].to_vec(),
        gzip(b""),
        with(GzBuilder::new(), 0, text.as_bytes()),
        with(GzBuilder::new(), 9, text.repeat(50).as_bytes()),
        with(named, 1, b"named"),
        bomb,
        gzip(&vec![b'x'; 1 << 20]),
        gzip(b"").repeat(40),
    ]
}

fn lines() -> Vec<Vec<u8>> {
    let fixtures = include_str!("../../fixtures/decode/json.txt");
    let sections = fixtures.split("\n== ").skip(1);
    let records = sections.map(|section| {
        let (_, rest) = section.split_once('\n').unwrap();
        bytes(rest.split_once("\n--\n").unwrap().0)
    });
    let numbers = "0 -0.0 1e22 1e23 9007199254740993 9007199254740993e1 9007199254740993e-3 4.9e-324 \
                   2.2250738585072011e-308 1.7976931348623159e308 12345678901234567890e-20";
    records.chain(numbers.split(' ').map(|number| number.as_bytes().to_vec())).collect()
}

fn frames() -> Vec<Vec<u8>> {
    let vectors = include_str!("../../fixtures/decode/vectors.txt");
    let mut seeds: Vec<Vec<u8>> =
        vectors.lines().map(|line| base64_simd::STANDARD.decode_to_vec(line).unwrap()).collect();
    seeds.extend([framed(&sample("MBit")), framed07(&sample("s"))]);
    // Without their length, and two of them in one record.
    let bare: Vec<Vec<u8>> = seeds.iter().map(|seed| seed[2..].to_vec()).collect();
    seeds.push(seeds.concat());
    seeds.extend(bare);
    // Every kind of value, and a Dimensions that changes its mind.
    let text = |field: u32, text: &str| nested(field, text.as_bytes());
    let values =
        [text(1, "t"), vec![0x10, 1], vec![0x18, 0x2a], nested(6, &nested(1, &text(1, "k")))];
    let pair = |key: &str, value: &[u8]| nested(7, &[text(1, key), nested(2, value)].concat());
    let mut point = [pair("Namespace", &values[0]), pair("MetricName", &values[0])].concat();
    point.extend([0x11, 0, 0, 0, 0, 1, 0, 0, 0, 0x40, 0]);
    for value in &values {
        point.extend(pair("Dimensions", value));
        point.extend(pair("other", value));
    }
    point.extend(pair("Dimensions", &[&values[3][..], &values[0]].concat()));
    let request = |point: &[u8]| {
        let metric = nested(2, &nested(11, &nested(1, point)));
        nested(1, &nested(2, &metric))
    };
    seeds.push(request(&point));
    // Quantiles within and without.
    let label = |key: &str| nested(1, &[text(1, key), text(2, "x")].concat());
    for quantile in [-0.1, 0.29, 0.999, 1.000_000_1, f64::NAN] {
        let fields = [&[0x09][..], &f64::to_le_bytes(quantile), &[0x11], &[1; 8]].concat();
        let start = [&[0x11][..], &[0x40; 8]].concat();
        let point = [label("Namespace"), label("MetricName"), start, nested(6, &fields)].concat();
        seeds.push(request(&point));
    }
    seeds
}

fn drafts(rules: &Value) -> Vec<Draft> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let names = |value: &Value| value.as_array().into_iter().flatten().filter_map(text).collect();
    let rules = rules.as_array().into_iter().flatten();
    rules
        .map(|rule| Draft {
            source_labels: names(&rule["source_labels"]),
            separator: text(&rule["separator"]),
            regex: text(&rule["regex"]),
            modulus: rule["modulus"].as_u64(),
            target_label: text(&rule["target_label"]),
            replacement: text(&rule["replacement"]),
            action: text(&rule["action"]),
        })
        .collect()
}

fn relabelling() -> Vec<Vec<u8>> {
    let recorded = include_str!("../../fixtures/relabel-golden.jsonl");
    let seed = |line: &str| {
        let case: Value = serde_json::from_str(line).unwrap();
        let labels = case["labels"].as_object().into_iter().flatten();
        let labels: Vec<_> = labels
            .map(|(name, value)| (name.clone(), value.as_str().unwrap_or_default().to_owned()))
            .collect();
        rules::write(&labels, &drafts(&case["rules"]))
    };
    // All of them are replayed elsewhere; fuzzing needs some of each kind.
    recorded.lines().step_by(8).map(seed).filter(|seed| seed.len() < 2_000).collect()
}

fn written() -> Vec<Vec<u8>> {
    let rules = relabelling();
    let records = lines().into_iter().chain(frames());
    let seeds = records.enumerate().map(|(index, record)| {
        let rules = &rules[index * 7 % rules.len()];
        [&[(index * 37) as u8], &rules[..], &[0x1c], &record].concat()
    });
    seeds.collect()
}
