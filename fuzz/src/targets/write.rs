//! The way out: whatever was read becomes a request that a receiver can take.
//!
//! Bytes: how to map, in one; rules as in [`super::rules`] up to FS (0x1c); a record.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use sluicegate::decode::{self, Reading, Reason, Visit};
use sluicegate::deliver::encode::Encoder;
use sluicegate::map::{Config, Mapped, Mapper, Mapping, Naming, Outlet, Plan, Timestamp};
use sluicegate::sample::{ABSENT, Sample};

use super::rules;
use crate::prompb;

/// Maps a record and encodes what comes of it, in requests of several sizes.
pub fn run(data: &[u8]) {
    let Some((how, rest)) = data.split_first() else { return };
    let split = rest.iter().position(|byte| *byte == 0x1c);
    let (rules, record) = split.map_or((&[][..], rest), |at| (&rest[..at], &rest[at + 1..]));
    let mapper = mapper(*how, rules);
    let mut first = readings(&mapper, record);
    let mapped = first.0.take().expect("mapped once").finish();
    balances(&mapped, &first);
    if rules.is_empty() {
        // No rule drops anything: each statistic is a sample, or gave way to a later one.
        assert_eq!(mapped.samples[0] + mapped.superseded[0], first.2);
    }
    let limits = [usize::MAX, 300, 1];
    for (destination, bytes_max) in limits.into_iter().enumerate().take(2 + usize::from(*how >> 7))
    {
        let destination = destination % 2;
        sent(&mapped, destination, bytes_max);
    }
    // Known identities become the same samples as new ones.
    let mut second = readings(&mapper, record);
    let again = second.0.take().expect("mapped once").finish();
    assert_eq!(mapped.samples, again.samples);
    assert_eq!(mapped.superseded, again.superseded);
}

fn mapper(how: u8, rules: &[u8]) -> Mapper {
    let (labels, drafts) = rules::read(rules);
    let naming = [Naming::Yace, Naming::CloudwatchExporter, Naming::Telegraf, Naming::Otel];
    let timestamp = if how & 4 == 0 { Timestamp::Start } else { Timestamp::End };
    let legal = |name: &str| {
        name.starts_with(|c: char| c.is_ascii_lowercase())
            && name.chars().all(|c| c.is_ascii_lowercase() || c == '_')
    };
    let mut external_labels: Vec<_> =
        labels.into_iter().filter(|(name, value)| legal(name) && !value.is_empty()).collect();
    external_labels.sort();
    let rules = rules::built(&drafts);
    let (relabel, write_relabel) =
        if how & 8 == 0 { (rules, Vec::new()) } else { (Vec::new(), rules) };
    Mapper::new(Plan {
        config: Config {
            naming: naming[usize::from(how & 3)],
            timestamp,
            series_cache: 1 << 20,
            ..Config::default()
        },
        external_labels,
        relabel,
        outlets: vec![
            Outlet { lanes: 1, write_relabel: Vec::new() },
            Outlet { lanes: 1 + u32::from(how >> 4 & 3), write_relabel },
        ],
    })
}

/// Hands readings to a mapping, and counts them and their statistics.
struct Readings<'m>(Option<Mapping<'m>>, u64, u64);

impl Visit for Readings<'_> {
    fn reading(&mut self, reading: &Reading<'_>) {
        self.1 += 1;
        let Reading { count, sum, min, max, .. } = reading;
        let plain = [count, sum, min, max].iter().filter(|value| value.is_some()).count();
        let average = sum.is_some() && count.is_some_and(|count| count > 0.0);
        self.2 += (plain + usize::from(average) + reading.extended.len()) as u64;
        if let Some(mapping) = &mut self.0 {
            mapping.reading(reading);
        }
    }

    fn skipped(&mut self, _: Reason, _: &[u8]) {}
}

fn readings<'m>(mapper: &'m Mapper, record: &[u8]) -> Readings<'m> {
    let extra = [("team".to_owned(), "a b".to_owned()), ("région".to_owned(), "é".to_owned())];
    let mut readings = Readings(Some(mapper.begin(&extra, 0)), 0, 0);
    decode::record(record, &mut readings);
    readings
}

fn balances(mapped: &Mapped, readings: &Readings<'_>) {
    assert_eq!(mapped.points_by_format.iter().sum::<u64>(), readings.1);
    assert_eq!(mapped.cache_hits + mapped.cache_misses, readings.1);
    assert!(mapped.batch.rows.len() as u64 <= readings.1);
}

/// Encodes all samples of a destination and reads them back.
fn sent(mapped: &Mapped, destination: usize, bytes_max: usize) {
    let mut encoder = Encoder::new();
    let mut count = 0;
    for lane in &mapped.batch.lanes[destination] {
        let mut seen: BTreeMap<Vec<(String, String)>, i64> = BTreeMap::new();
        let mut rest = &lane[..];
        while !rest.is_empty() {
            let mut filling = encoder.begin(usize::MAX, bytes_max);
            let mut taken = 0;
            for run in mapped.batch.runs(destination, rest) {
                let of_run = filling.offer(&run);
                taken += of_run;
                if of_run < run.count() {
                    break;
                }
            }
            assert_eq!(filling.end(), taken);
            assert!(taken > 0);
            let (sent, left_out) = rest.split_at(taken);
            rest = left_out;
            let request = prompb::unpack(&encoder.block().expect("a small request"));
            // Series in any order, the samples of each in theirs.
            let mut left: BTreeMap<Vec<u8>, VecDeque<Sample<'_>>> = BTreeMap::new();
            for sample in sent.iter().map(|at| mapped.batch.sample(destination, *at)) {
                left.entry(sample.labels.concat()).or_default().push_back(sample);
            }
            let mut in_request = BTreeSet::new();
            for series in &request.timeseries {
                let labels: Vec<_> =
                    series.labels.iter().map(|l| (l.name.clone(), l.value.clone())).collect();
                legal(&labels);
                assert!(in_request.insert(labels.clone()), "a series stands there twice");
                let given = left.remove(&encoded(&series.labels)).expect("a series that was given");
                assert_eq!(series.samples.len(), given.len());
                for (sample, given) in series.samples.iter().zip(given) {
                    assert_eq!(sample.timestamp, given.timestamp_ms);
                    assert_eq!(sample.value.to_bits(), given.value.to_bits());
                    assert_ne!(sample.value.to_bits(), ABSENT);
                    let last = seen.insert(labels.clone(), sample.timestamp);
                    assert!(last.is_none_or(|last| last < sample.timestamp), "{labels:?}");
                }
            }
            assert!(left.is_empty(), "samples were left out");
            count += taken as u64;
        }
    }
    assert_eq!(count, mapped.samples[destination]);
}

/// Labels as they stand in a series.
fn encoded(labels: &[prompb::Label]) -> Vec<u8> {
    let series = prompb::TimeSeries { labels: labels.to_vec(), samples: Vec::new() };
    prost::Message::encode_to_vec(&series)
}

/// Legal names, sorted, each once, no value empty, and a name among them.
fn legal(labels: &[(String, String)]) {
    assert!(labels.windows(2).all(|pair| pair[0].0 < pair[1].0), "{labels:?}");
    assert!(labels.iter().any(|(name, _)| name == "__name__"), "{labels:?}");
    for (name, value) in labels {
        assert!(!value.is_empty(), "{labels:?}");
        let text = if name == "__name__" { value } else { name };
        let first = |c: char| c.is_ascii_alphabetic() || c == '_' || c == ':';
        assert!(text.starts_with(first), "{labels:?}");
        assert!(text.chars().all(|c| first(c) || c.is_ascii_digit()), "{labels:?}");
        assert!(name == "__name__" || !name.contains(':'), "{labels:?}");
    }
}
