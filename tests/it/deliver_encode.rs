//! What is written is what prost writes, whatever of it is written as copies, and the samples of each
//! series stay in order.

use std::collections::BTreeMap;

use proptest::prelude::*;
use prost::Message;
use sluicegate::deliver::encode::Encoder;
use sluicegate::sample::{self, Batch, Identity, Row, Sample, SampleRef, SeriesSet};

use crate::prompb::{self, Label};

/// [`prompb`] with another [`Point`].
#[derive(Clone, PartialEq, Message)]
struct Request {
    #[prost(message, repeated, tag = "1")]
    timeseries: Vec<Series>,
}

#[derive(Clone, PartialEq, Message)]
struct Series {
    #[prost(message, repeated, tag = "1")]
    labels: Vec<Label>,
    #[prost(message, repeated, tag = "2")]
    samples: Vec<Point>,
}

/// Optional, so that zeros are written out.
#[derive(Clone, PartialEq, Message)]
struct Point {
    #[prost(double, optional, tag = "1")]
    value: Option<f64>,
    #[prost(int64, optional, tag = "2")]
    timestamp: Option<i64>,
}

const NOW_MS: i64 = 1_760_000_040_000;

/// More than CloudWatch's statistics.
const SLOTS: usize = 26;

/// Whose series are looked at; another one's stand before them.
const DESTINATION: usize = 1;

type Labels = Vec<(String, String)>;

/// A metric's series: labels that all have first, each slot's own if it has a series, and labels that all have last.
#[derive(Debug)]
struct Metric {
    first: Vec<u8>,
    own: Vec<Option<Vec<u8>>>,
    last: Vec<u8>,
}

impl Metric {
    fn identity(&self, number: usize) -> Identity {
        self.identity_with(number as u64, |slot| (number * 100 + slot) as u64)
    }

    fn identity_with(&self, stem: u64, hash: impl Fn(usize) -> u64) -> Identity {
        let mut series = Vec::new();
        for (slot, own) in self.own.iter().enumerate() {
            let (hash, own) = (hash(slot), own.as_deref());
            series.push(own.map(|own| sample::Series { hash, stem, lane: 0, own }));
        }
        let other = SeriesSet { first: &self.last, series: series.clone(), last: &self.first };
        let set = SeriesSet { first: &self.first, series, last: &self.last };
        Identity::new(&[], "n", &[other, set])
    }
}

/// What a metric is made of: name, slots that have a series, first labels, last labels.
type Drawn = (String, Vec<bool>, Labels, Labels);

/// What a metric has in a batch: rows of a timestamp and a value for each slot, or none there.
type Rows = Vec<(i64, Vec<Option<f64>>)>;

fn encoded(labels: &[(String, String)]) -> Vec<u8> {
    let label =
        |(name, value): &(String, String)| Label { name: name.clone(), value: value.clone() };
    let series = Series { labels: labels.iter().map(label).collect(), samples: Vec::new() };
    series.encode_to_vec()
}

fn labels(of: std::ops::Range<usize>, longest: usize) -> impl Strategy<Value = Labels> {
    // Some text repeats itself, most does not.
    let noise = |seed: u8, len: usize| -> String {
        (0..len)
            .map(|at| char::from(b'a' + (at * at * (usize::from(seed) + 7) % 23) as u8))
            .collect()
    };
    let value = prop_oneof![
        "\\PC{0,40}",
        (any::<u8>(), 0..=longest).prop_map(move |(seed, len)| noise(seed, len)),
        (0..=longest).prop_map(|len| "z".repeat(len)),
    ];
    prop::collection::vec(("[a-z_]{1,9}", value), of)
}

/// In the order of the slots, and one without a name.
const STATISTICS: [&str; 6] = ["sample_count", "sum", "minimum", "maximum", "average", ""];

fn metrics() -> impl Strategy<Value = Vec<Metric>> {
    let names = prop_oneof![8 => "[a-z_]{0,40}", 1 => "[a-z_]{100,300}"];
    let longest = prop_oneof![12 => Just(300_usize), 1 => Just(70_000)];
    let slots = prop_oneof![12 => 1..7_usize, 1 => 7..SLOTS];
    let slots = slots.prop_flat_map(|of| prop::collection::vec(prop::bool::weighted(0.9), of));
    let metric = (names, slots, longest).prop_flat_map(|(name, slots, longest)| {
        (Just(name), Just(slots), labels(0..2, 30), labels(0..5, longest))
    });
    prop::collection::vec(metric, 1..12).prop_map(|metrics| {
        let metric = |(number, (name, slots, first, mut last)): (usize, Drawn)| {
            let own = slots.into_iter().enumerate().map(|(slot, is_there)| {
                let extended = format!("p{slot}");
                let statistic = STATISTICS.get(slot).copied().unwrap_or(&extended);
                let name = ("__name__".to_owned(), format!("{name}_{statistic}"));
                is_there.then(|| encoded(&[name]))
            });
            last.push(("number".to_owned(), number.to_string()));
            Metric { first: encoded(&first), own: own.collect(), last: encoded(&last) }
        };
        metrics.into_iter().enumerate().map(metric).collect()
    })
}

fn timestamps() -> impl Strategy<Value = i64> {
    prop_oneof![
        6 => Just(NOW_MS),
        1 => prop::sample::select(vec![0, 1, -1, 127, 128, 1 << 35, i64::MIN, i64::MAX]),
        1 => any::<i64>(),
    ]
}

fn values() -> impl Strategy<Value = f64> {
    prop_oneof![Just(0.0), Just(-0.0), any::<u64>().prop_map(f64::from_bits)]
}

/// What metrics have in each of several batches.
fn batches() -> impl Strategy<Value = (Vec<Metric>, Vec<Vec<Rows>>)> {
    let slots = || prop::collection::vec(prop::option::weighted(0.98, values()), SLOTS);
    let rows = prop_oneof![1 => Just(0..1_usize), 4 => Just(1..2), 1 => Just(2..4)];
    let rows = rows.prop_flat_map(move |of| prop::collection::vec((timestamps(), slots()), of));
    (metrics(), prop::collection::vec(prop::collection::vec(rows, 12), 1..5))
}

/// A batch as the mapping makes it: the samples of each series stand together.
fn batch(metrics: &[Metric], rows: &[Rows]) -> (Batch, Vec<SampleRef>) {
    let (mut batch, mut refs) = (Batch::default(), Vec::new());
    for (number, (metric, rows)) in metrics.iter().zip(rows).enumerate() {
        let (identity, at) = (metric.identity(number), batch.rows.len());
        for (timestamp_ms, values) in rows {
            let (identity, values_at) = (identity.clone(), batch.values.len() as u32);
            batch.rows.push(Row { identity, timestamp_ms: *timestamp_ms, values_at });
            batch.values.extend(values.iter().map(|value| value.unwrap_or(f64::INFINITY)));
        }
        for (slot, own) in metric.own.iter().enumerate() {
            let has = |(_, (_, values)): &(usize, &(i64, Vec<Option<f64>>))| {
                own.is_some() && values[slot].is_some()
            };
            let with = rows.iter().enumerate().filter(has);
            let slot = slot as u32;
            refs.extend(with.map(|(row, _)| SampleRef { row: (at + row) as u32, slot }));
        }
    }
    (batch, refs)
}

/// Each series' samples in order, by its labels.
type Found = BTreeMap<Vec<u8>, Vec<(i64, u64)>>;

fn found(block: &[u8]) -> Found {
    let raw = snap::raw::Decoder::new().decompress_vec(block).unwrap();
    let request = Request::decode(&raw[..]).unwrap();
    // Byte for byte, NaN bits included.
    assert!(request.encode_to_vec() == raw);
    let mut found = Found::new();
    for Series { labels, samples } in request.timeseries {
        let point = |point: &Point| (point.timestamp.unwrap(), point.value.unwrap().to_bits());
        let labels = Series { labels, samples: Vec::new() }.encode_to_vec();
        found.entry(labels).or_default().extend(samples.iter().map(point));
    }
    found
}

fn samples<'a>(batch: &'a Batch, refs: &'a [SampleRef]) -> impl Iterator<Item = Sample<'a>> {
    refs.iter().map(|at| batch.sample(DESTINATION, *at))
}

fn wanted<'a>(samples: impl Iterator<Item = Sample<'a>>) -> Found {
    let mut wanted = Found::new();
    for Sample { labels, timestamp_ms, value, .. } in samples {
        wanted.entry(labels.concat()).or_default().push((timestamp_ms, value.to_bits()));
    }
    wanted
}

proptest! {
    #[test]
    fn what_is_offered_is_sent_and_in_order((metrics, rows) in batches()) {
        let batches: Vec<_> = rows.iter().map(|rows| batch(&metrics, rows)).collect();
        let all: Vec<_> = batches.iter().flat_map(|(batch, refs)| samples(batch, refs)).collect();
        let mut encoder = Encoder::new();
        // Again with what was left behind, while earlier ones are still on their way.
        let mut held = std::collections::VecDeque::new();
        for round in 0..4 {
            let mut filling = encoder.begin(usize::MAX, usize::MAX);
            for (batch, refs) in &batches {
                for run in batch.runs(DESTINATION, refs) {
                    prop_assert_eq!(filling.offer(&run), run.count());
                }
            }
            prop_assert_eq!(filling.end(), all.len());
            held.push_back(encoder.block().unwrap());
            if round == 2 {
                held.pop_front();
            }
        }
        prop_assert!(held.iter().all(|block| found(block) == wanted(all.iter().copied())));
    }

    /// No request has more samples than were allowed, nor more bytes, unless it is of one sample.
    #[test]
    fn no_request_is_too_long(
        (metrics, rows) in batches(),
        samples_max in 1..20_usize,
        bytes_max in 0..6000_usize,
    ) {
        let mut encoder = Encoder::new();
        for rows in &rows {
            let (batch, refs) = batch(&metrics, rows);
            let mut left = &refs[..];
            while !left.is_empty() {
                let mut filling = encoder.begin(samples_max, bytes_max);
                let mut taken = 0;
                for run in batch.runs(DESTINATION, left) {
                    let of_run = filling.offer(&run);
                    taken += of_run;
                    if of_run < run.count() {
                        break;
                    }
                }
                prop_assert!(0 < taken && taken <= samples_max);
                prop_assert_eq!(filling.end(), taken);
                let block = encoder.block().unwrap();
                let len = snap::raw::decompress_len(&block).unwrap();
                prop_assert!(len <= bytes_max || taken == 1, "{} of {}", len, bytes_max);
                let (sent, rest) = left.split_at(taken);
                let wanted = wanted(samples(&batch, sent));
                // Of a batch no series comes twice.
                prop_assert_eq!(prompb::unpack(&block).timeseries.len(), wanted.len());
                prop_assert!(found(&block) == wanted);
                left = rest;
            }
        }
    }
}

/// Of metrics as CloudWatch has them a block is not much larger than the compressor alone makes it.
#[test]
fn a_block_is_small() {
    let label = |name: &str, value: String| (name.to_owned(), value);
    let metric = |number: u64| {
        let name = ["cpuutilization", "network_in", "disk_read_bytes"][number as usize % 3];
        let own = STATISTICS[..4].iter();
        let own = own.map(|statistic| {
            Some(encoded(&[label("__name__", format!("aws_ec2_{name}_{statistic}"))]))
        });
        let id = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let last = [
            label("account_id", "111122223333".to_owned()),
            label("instance_id", format!("i-{id:017x}")),
            label("namespace", "AWS/EC2".to_owned()),
            label("region", "eu-central-1".to_owned()),
            label("unit", "Percent".to_owned()),
        ];
        Metric { first: Vec::new(), own: own.collect(), last: encoded(&last) }
    };
    let metrics: Vec<Metric> = (0..1000).map(metric).collect();
    let value = |number: u64| Some((number as f64).sqrt());
    let rows = (0..1000).map(|number| {
        let values = (0..4).map(|slot| value(number * 4 + slot)).collect();
        vec![(NOW_MS, values)]
    });
    let (batch, refs) = batch(&metrics, &rows.collect::<Vec<_>>());
    let mut encoder = Encoder::new();
    let mut filling = encoder.begin(usize::MAX, usize::MAX);
    for run in batch.runs(DESTINATION, &refs) {
        assert_eq!(filling.offer(&run), 4);
    }
    filling.end();
    let block = encoder.block().unwrap();
    let one_by_one = Request {
        timeseries: refs
            .iter()
            .map(|at| {
                let Sample { labels, timestamp_ms, value, .. } = batch.sample(DESTINATION, *at);
                let mut series = Series::decode(&labels.concat()[..]).unwrap();
                series.samples.push(Point { value: Some(value), timestamp: Some(timestamp_ms) });
                series
            })
            .collect(),
    };
    let alone = snap::raw::Encoder::new().compress_vec(&one_by_one.encode_to_vec()).unwrap();
    let (len, alone) = (block.len(), alone.len());
    assert!(len < alone * 7 / 5, "{len} against {alone}");
}

/// Requests of one row each: what is in them, and whether they hold copies.
fn one_row(metric: &Metric, timestamp_ms: i64) -> (Found, Found, bool) {
    let values = (0..metric.own.len()).map(|slot| Some(slot as f64)).collect();
    let (batch, refs) = batch(std::slice::from_ref(metric), &[vec![(timestamp_ms, values)]]);
    let mut encoder = Encoder::new();
    let mut filling = encoder.begin(usize::MAX, usize::MAX);
    let runs: Vec<_> = batch.runs(DESTINATION, &refs).collect();
    assert!(runs.iter().all(|run| filling.offer(run) == run.count()));
    filling.end();
    let has_copies = runs.iter().all(|run| run.whole().is_some());
    (found(&encoder.block().unwrap()), wanted(samples(&batch, &refs)), has_copies)
}

fn named(names: &[&str], last: usize) -> Metric {
    let label = |name: &str, value: String| (name.to_owned(), value);
    let own = names.iter().map(|name| Some(encoded(&[label("__name__", (*name).to_owned())])));
    let last = encoded(&[label("a", "x".repeat(last))]);
    Metric { first: Vec::new(), own: own.collect(), last }
}

/// Up to 32 KiB a row's further series are copies.
#[test]
fn long_rows_have_no_copies() {
    let names = ["m_sum", "m_min", "m_max", "m_avg"];
    // Bytes of a row with these labels, as it stands in a request.
    let row_len = |last: usize| {
        let (found, _, _) = one_row(&named(&names, last), NOW_MS);
        let series = |labels: &Vec<u8>| {
            let body = labels.len() + 18;
            1 + prost::length_delimiter_len(body) + body
        };
        found.keys().map(series).sum::<usize>()
    };
    let longest = (8000..8200).rev().find(|last| row_len(*last) <= 32 << 10).unwrap();
    for (last, has_copies) in [(1, true), (longest, true), (longest + 1, false), (70_000, false)] {
        let (found, wanted, has) = one_row(&named(&names, last), NOW_MS);
        assert!(found == wanted, "{last}");
        assert_eq!(has, has_copies, "{last}");
    }
    // Copies have timestamps of six bytes; others are sent all the same.
    for timestamp_ms in [(1 << 35) - 1, 1 << 35, (1 << 42) - 1, 1 << 42, 0, -1] {
        let (found, wanted, _) = one_row(&named(&names, 10), timestamp_ms);
        assert!(found == wanted, "{timestamp_ms}");
    }
}

/// A series' samples stand together, but its rows may have others: the last one of a row that is complete, and
/// the first one of the row behind it, of the same metric or of one that has the same series.
#[test]
fn what_goes_on_in_the_next_row_stays_in_order() {
    let (sum_min, min_max) = (named(&["m_sum", "m_min"], 50), named(&["m_min", "m_max"], 50));
    let of = |metric: &Metric, first: usize| metric.identity_with(1, |slot| (first + slot) as u64);
    let (a, b) = (of(&sum_min, 0), of(&min_max, 1));
    let row = |identity: &Identity, minutes: i64, values_at: u32| Row {
        identity: identity.clone(),
        timestamp_ms: NOW_MS + minutes * 60_000,
        values_at,
    };
    let at = |row: u32, slot: u32| SampleRef { row, slot };
    let same = vec![at(0, 0), at(0, 1), at(1, 1)];
    let other = vec![at(0, 0), at(0, 1), at(1, 0), at(1, 1)];
    for (second, refs, series) in [(&a, same, 2), (&b, other, 3)] {
        let (rows, values) = (vec![row(&a, 0, 0), row(second, 1, 2)], vec![1.0, 2.0, 3.0, 4.0]);
        let batch = Batch { rows, values, ..Batch::default() };
        let mut encoder = Encoder::new();
        let mut filling = encoder.begin(usize::MAX, usize::MAX);
        for run in batch.runs(DESTINATION, &refs) {
            assert_eq!(filling.offer(&run), run.count());
        }
        filling.end();
        let block = encoder.block().unwrap();
        assert!(found(&block) == wanted(samples(&batch, &refs)));
        assert_eq!(prompb::unpack(&block).timeseries.len(), series);
    }
}

/// The length of a series grows with its sample's: what is allowed holds to the byte.
#[test]
fn the_bound_holds_to_the_byte() {
    for last in 60..110 {
        let metrics = [named(&["m_sum", "m_min"], 20), named(&["other"], last)];
        let rows = [vec![(NOW_MS, vec![Some(1.0); 2])], vec![(-1, vec![Some(1.0)])]];
        let (batch, refs) = batch(&metrics, &rows);
        let mut encoder = Encoder::new();
        let mut request = |bytes_max| {
            let mut filling = encoder.begin(usize::MAX, bytes_max);
            for run in batch.runs(DESTINATION, &refs) {
                filling.offer(&run);
            }
            filling.end();
            snap::raw::decompress_len(&encoder.block().unwrap()).unwrap()
        };
        let whole = request(usize::MAX);
        assert!(request(whole - 1) < whole, "{last}");
    }
}
