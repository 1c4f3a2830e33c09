//! Fixtures under `tests/fixtures/decode/`: `json.txt` has sections of `== name`, the record, `--`, and
//! the lines expected of it; `vectors.txt` one data point in 0.7 and 1.0; `units.txt` codes and names.
#![allow(clippy::unwrap_used, clippy::panic)]

use sluicegate::decode::{self, Reading, Reason, Visit};

/// Writes one line per reading or skip.
#[derive(Default)]
pub(crate) struct Rendered(pub(crate) Vec<String>);

impl Visit for Rendered {
    fn reading(&mut self, reading: &Reading<'_>) {
        let dimensions: Vec<_> =
            reading.dimensions.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let mut values: Vec<_> = [
            ("count", reading.count),
            ("sum", reading.sum),
            ("min", reading.min),
            ("max", reading.max),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some(format!("{name}={:?}", value?)))
        .collect();
        values.extend(reading.extended.iter().map(|(name, value)| format!("{name}={value:?}")));
        self.0.push(format!(
            "{} {}/{} {} {} [{}] {:?} {}+{} {}",
            reading.format.name(),
            reading.account,
            reading.region,
            reading.namespace,
            reading.metric,
            dimensions.join(","),
            reading.unit,
            reading.start_ms,
            reading.end_ms - reading.start_ms,
            values.join(" "),
        ));
    }

    fn skipped(&mut self, reason: Reason, _piece: &[u8]) {
        self.0.push(format!("skipped {}", reason.name()));
    }
}

/// What a record decodes to.
pub(crate) fn render(record: &[u8]) -> Vec<String> {
    let mut rendered = Rendered::default();
    decode::record(record, &mut rendered);
    rendered.0
}

fn check(fixtures: &str, input: impl Fn(&str) -> Vec<u8>) -> usize {
    let mut sections = 0;
    for section in fixtures.split("\n== ").skip(1) {
        let (name, rest) = section.split_once('\n').unwrap();
        let (record, expected) = rest.split_once("\n--\n").unwrap();
        let expected: Vec<_> = expected.lines().filter(|line| !line.is_empty()).collect();
        assert_eq!(render(&input(record)), expected, "{name}");
        sections += 1;
    }
    sections
}

/// The fixture is text; `\x..` stands for bytes that are none.
pub(crate) fn bytes(record: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = record;
    while let Some((before, after)) = rest.split_once("\\x") {
        out.extend_from_slice(before.as_bytes());
        out.push(u8::from_str_radix(&after[..2], 16).unwrap());
        rest = &after[2..];
    }
    out.extend_from_slice(rest.as_bytes());
    out
}

#[test]
fn json_lines() {
    let fixtures = include_str!("../fixtures/decode/json.txt");
    assert!(check(fixtures, bytes) > 20);
}

#[test]
fn vectors_of_both_versions_agree() {
    let mut seen = Vec::new();
    for line in include_str!("../fixtures/decode/vectors.txt").lines() {
        let record = base64_simd::STANDARD.decode_to_vec(line).unwrap();
        let rendered = render(&record);
        assert_eq!(rendered.len(), 1);
        let (version, rest) = rendered[0].split_once(' ').unwrap();
        seen.push((version.to_owned(), rest.to_owned()));
        // Two in one record are two; cut short, the first remains.
        let twice = [record.as_slice(), &record].concat();
        assert_eq!(render(&twice), [rendered[0].clone(), rendered[0].clone()]);
        let cut = &twice[..twice.len() - 1];
        assert_eq!(render(cut), [rendered[0].clone(), "skipped frame".to_owned()]);
    }
    let expected = "111122223333/eu-west-1 AWS/SQS NumberOfMessagesSent [QueueName=orders] \"Count\" \
                    1760000040000+60000 count=3.0 sum=6.0 min=1.0 max=3.0";
    let versions = ["opentelemetry0.7", "opentelemetry1.0"];
    assert_eq!(seen, versions.map(|version| (version.to_owned(), expected.to_owned())));
}

#[test]
fn units_agree_with_json() {
    for (code, name) in include_str!("../fixtures/decode/units.txt")
        .lines()
        .map(|line| line.split_once(' ').unwrap())
    {
        let record = crate::decode_oracle::framed(&crate::decode_oracle::sample(code));
        let rendered = render(&record);
        assert!(rendered[0].contains(&format!("{name:?}")), "{code}: {rendered:?}");
    }
}

/// Objects that are opened line by line and never closed are scanned a bounded number of times, and
/// a visitor that has had enough ends the reading.
#[test]
fn lines_without_end_cost_a_bounded_multiple_of_their_length() {
    struct Few(u32);
    impl Visit for Few {
        fn reading(&mut self, _: &Reading<'_>) {
            self.0 += 1;
        }
        fn skipped(&mut self, reason: Reason, _: &[u8]) {
            assert_eq!(reason, Reason::Json);
            self.0 += 1;
        }
        fn is_over(&self) -> bool {
            self.0 == 3
        }
    }
    let line = format!("{{\"p\":[0{}],\"x\":\n", ",0".repeat(1_000));
    let good =
        "{\"namespace\":\"N\",\"metric_name\":\"M\",\"timestamp\":60000,\"value\":{\"sum\":1}}\n";
    let record = format!("{}{good}", line.repeat(100));
    let rendered = render(record.as_bytes());
    assert_eq!(rendered.len(), 101);
    assert_eq!(rendered[99..], ["skipped json", "json / N M [] \"\" 60000+60000 sum=1.0"]);

    let mut few = Few(0);
    decode::record(record.as_bytes(), &mut few);
    assert_eq!(few.0, 3);
    let mut few = Few(0);
    decode::record(good.repeat(9).as_bytes(), &mut few);
    assert_eq!(few.0, 3);
    let frame = crate::decode_oracle::framed(&crate::decode_oracle::sample("{Count}"));
    let mut few = Few(0);
    decode::record(&frame.repeat(9), &mut few);
    assert_eq!(few.0, 3);
}
