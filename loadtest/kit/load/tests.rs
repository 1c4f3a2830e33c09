//! Bodies against the library's decoder, which knows nothing of how they are made.

use std::collections::HashMap;
use std::io::{Read as _, Write as _};

use clap::Parser;
use proptest::prelude::*;
use sluicegate::decode::{self, Reading, Reason, Visit, envelope};

use super::*;

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    load: Load,
}

fn load(arguments: &[&str]) -> Load {
    Cli::parse_from([&["x"], arguments].concat()).load
}

/// Everything in a run of bodies.
#[derive(Default)]
struct Seen {
    sums: Vec<u64>,
    formats: Vec<decode::Format>,
    /// The last start of each series.
    series: HashMap<String, i64>,
    extended: Vec<usize>,
    records: usize,
}

impl Visit for Seen {
    fn reading(&mut self, reading: &Reading<'_>) {
        let sum = reading.sum.unwrap();
        assert_eq!(sum.fract(), 0.0);
        self.sums.push(sum as u64);
        assert_eq!((reading.count, reading.min, reading.max), (Some(1.0), Some(sum), Some(sum)));
        assert!(reading.extended.iter().all(|(_, value)| *value == sum));
        self.extended.push(reading.extended.len());
        self.formats.push(reading.format);
        assert_eq!(reading.end_ms - reading.start_ms, 60_000);
        assert_eq!(reading.dimensions[0].0, RUN_DIMENSION);
        let (account, region) = (reading.account, reading.region);
        let (namespace, metric) = (reading.namespace, reading.metric);
        let series = format!("{account} {region} {namespace} {metric} {:?}", reading.dimensions);
        let before = self.series.insert(series, reading.start_ms);
        assert!(before.is_none_or(|before| before < reading.start_ms), "{before:?} {reading:?}");
    }

    fn skipped(&mut self, reason: Reason, piece: &[u8]) {
        panic!("skipped for {}: {}", reason.name(), piece.escape_ascii());
    }
}

impl Seen {
    fn take(&mut self, body: &Body, gzip: bool) {
        let mut plain = Vec::new();
        if gzip {
            flate2::read::GzDecoder::new(body.bytes.as_slice()).read_to_end(&mut plain).unwrap();
        } else {
            plain.clone_from(&body.bytes);
        }
        let envelope = envelope::open(&plain).unwrap();
        assert_eq!(envelope.request_id, body.request_id);
        assert!(envelope.timestamp_ms.is_some());
        let mut scratch = Vec::new();
        self.records = envelope.records.len();
        for data in &envelope.records {
            decode::record(data.decode(&mut scratch).unwrap(), self);
        }
    }
}

fn loads() -> impl Strategy<Value = Load> {
    let format =
        prop_oneof![Just(None), proptest::sample::select(Format::ALL.as_slice()).prop_map(Some)];
    let extended = ["p99", "p99.9", "p0.1", "TM(10%:90%)", "IQM", "p50"];
    let extended = proptest::sample::subsequence(extended.to_vec(), 0..=extended.len());
    let shape = (1u32..300, 1u32..40, 1u32..400, 1u32..9, 1u32..29);
    (format, shape, extended, 0u8..=12, any::<u64>()).prop_map(
        |(format, shape, extended, gzip, seed)| {
            let (points_per_body, points_per_record, metrics, namespaces, dimensions) = shape;
            let extended = extended.into_iter().map(str::to_owned).collect();
            Load {
                format,
                points_per_body,
                points_per_record,
                metrics,
                namespaces,
                dimensions,
                extended,
                gzip,
                seed,
                replay: vec![],
            }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn bodies_decode_into_exactly_the_points_announced(
        load in loads(),
        first in prop_oneof![Just(0), 0u64..1_000_000_000, (1u64 << 53) / 600..(1u64 << 53) / 300 - 10],
    ) {
        let mut seen = Seen::default();
        let ids = RequestIds::of("run-1");
        let mut end = None;
        for (index, body) in load.bodies("run-1", first).unwrap().take(6).enumerate() {
            prop_assert_eq!(body.number, first + index as u64);
            prop_assert_eq!(ids.number(&body.request_id), Some(body.number));
            prop_assert!(end.is_none_or(|end| end == body.points.start) && body.points.start > 0);
            end = Some(body.points.end);
            seen.sums.clear();
            seen.formats.clear();
            seen.extended.clear();
            seen.take(&body, load.gzip > 0);
            prop_assert_eq!(&seen.sums, &body.points.collect::<Vec<_>>());
            prop_assert_eq!(seen.sums.len(), load.points_per_body as usize);
            prop_assert_eq!(seen.records, load.points_per_body.div_ceil(load.points_per_record) as usize);
            let turn = usize::try_from(body.number % 3).unwrap();
            let format = load.format.unwrap_or(Format::ALL[turn]);
            prop_assert!(seen.formats.iter().all(|seen| seen.name() == format.name()));
            let carried = |name: &&String| format == Format::Json || name.starts_with('p');
            let extended = load.extended.iter().filter(carried).count();
            prop_assert!(seen.extended.iter().all(|seen| *seen == extended));
        }
        let sent = 6 * load.points_per_body;
        prop_assert_eq!(seen.series.len(), load.metrics.min(sent) as usize);
    }
}

#[test]
fn two_iterators_of_a_run_continue_each_other() {
    let load = load(&["--points-per-body", "7", "--format", "json"]);
    let one: Vec<_> = load.bodies("r", 3).unwrap().take(2).map(|body| body.points).collect();
    let other = load.bodies("r", 5).unwrap().next().unwrap();
    assert_eq!((one, other.points, other.number), (vec![22..29, 29..36], 36..43, 5));
}

#[test]
fn numbers_run_out_at_the_last_exact_sum() {
    let load = load(&["--points-per-body", "2"]);
    assert_eq!(load.bodies("r", (1 << 52) - 3).unwrap().take(9).count(), 2);
}

#[test]
fn sizes_are_met() {
    for format in ["json", "opentelemetry0.7", "opentelemetry1.0"] {
        for bytes in [10_000, 20 << 20] {
            let load = load(&["--format", format, "--gzip", "0", "--metrics", "500"]);
            let load = load.sized(bytes).unwrap();
            let body = load.bodies("r", 7).unwrap().next().unwrap();
            let range = bytes * 8 / 10..=bytes;
            assert!(range.contains(&body.bytes.len()), "{format} {bytes}: {}", body.bytes.len());
        }
    }
}

#[test]
fn contradictions_are_told() {
    for (arguments, what) in [
        (&["--points-per-body", "0"][..], "no data points"),
        (&["--points-per-body", "10001", "--points-per-record", "1"], "10001 records"),
        (&["--points-per-body", "9000", "--points-per-record", "9000"], "bytes"),
        (&["--metrics", "0"], "no metrics"),
        (&["--dimensions", "30"], "dimensions"),
        (&["--extended", "p9\"9"], "p9"),
        (&["--replay", "/nonexistent/x"], "/nonexistent/x"),
    ] {
        let error = load(arguments).bodies("r", 0).err().unwrap();
        assert!(format!("{error:#}").contains(what), "{arguments:?}: {error:#}");
    }
    assert!(load(&[]).bodies("a run", 0).is_err());
}

#[test]
fn captured_bodies_are_sent_again_under_fresh_ids() {
    let directory = tempfile::tempdir().unwrap();
    let plain = load(&["--format", "json", "--gzip", "0", "--points-per-body", "5"]);
    let first = plain.bodies("old", 0).unwrap().next().unwrap();
    std::fs::write(directory.path().join("a.json"), &first.bytes).unwrap();
    let zipped = load(&["--format", "opentelemetry1.0", "--gzip", "6", "--points-per-body", "8"]);
    let second = zipped.bodies("old", 1).unwrap().next().unwrap();
    std::fs::write(directory.path().join("b.gz"), &second.bytes).unwrap();
    let odd = br#"{"records":[{"x":1},{"data":"e30\/"},{"data":""}],"requestId":"\u0041"}"#;
    let odd_path = directory.path().join("c.json");
    std::fs::File::create(&odd_path).unwrap().write_all(odd).unwrap();

    let load = load(&["--replay", directory.path().to_str().unwrap(), "--gzip", "3"]);
    assert!(!load.numbered());
    let bodies: Vec<_> = load.bodies("new", 0).unwrap().take(5).collect();
    let points: Vec<_> = bodies.iter().map(|body| body.points.clone()).collect();
    assert_eq!(points, [1..6, 6..14, 14..14, 14..19, 19..27]);
    for body in &bodies {
        assert_eq!(RequestIds::of("new").number(&body.request_id), Some(body.number));
    }
    let mut seen = Seen::default();
    seen.take(&bodies[0], true);
    seen.take(&bodies[1], true);
    let sums: Vec<_> = first.points.chain(second.points).collect();
    assert_eq!(seen.sums, sums);
    let mut plain = Vec::new();
    flate2::read::GzDecoder::new(bodies[2].bytes.as_slice()).read_to_end(&mut plain).unwrap();
    let records = envelope::open(&plain).unwrap().records.len();
    assert_eq!(records, 3);
}
