//! Data points that are named by their raw bytes become what they become when they are read.

use std::collections::BTreeMap;

use proptest::prelude::*;
use sluicegate::decode::{Format, Glimpse, Reading};
use sluicegate::map::{
    Config, Mapped, Mapper, Mapping, Naming, Outlet, Plan, SeriesLimit, Slice, relabel,
};

use crate::map_kit::{Point, mapper, text};

static NO_PIECES: [Vec<u8>; 4] = [const { Vec::new() }; 4];

/// The pieces that name a data point in one of several spellings. Each says everything.
fn spelled(point: &Point, spelling: usize) -> [Vec<u8>; 4] {
    let name = format!(
        "{:?}",
        (&point.account, &point.region, &point.namespace, &point.metric, &point.unit)
    );
    let extended: Vec<_> = point.extended.iter().map(|(name, _)| name).collect();
    let rest = format!("{:?}{extended:?}", point.dimensions);
    let pieces = match spelling {
        0 => [name, rest, String::new(), String::new()],
        1 => [format!("{name}{rest}"), String::new(), String::new(), String::new()],
        _ => [String::new(), " ".repeat(spelling), rest, name],
    };
    pieces.map(String::into_bytes)
}

/// Gives a point by its spelling; whether it was known.
fn give(mapping: &mut Mapping<'_>, point: &Point, spelling: usize) -> bool {
    let pieces = spelled(point, spelling);
    let extended: Vec<_> = point.extended.iter().map(|(_, value)| *value).collect();
    point.read(|reading| {
        let is_known = mapping.glimpse(&glimpse(reading, &pieces, &extended));
        if !is_known {
            mapping.glimpsed(reading);
        }
        is_known
    })
}

fn glimpse<'a>(
    reading: &Reading<'_>,
    pieces: &'a [Vec<u8>; 4],
    extended: &'a [f64],
) -> Glimpse<'a> {
    Glimpse {
        format: reading.format,
        identity: [0, 1, 2, 3].map(|index: usize| pieces[index].as_slice()),
        start_ms: reading.start_ms,
        end_ms: reading.end_ms,
        count: reading.count,
        sum: reading.sum,
        min: reading.min,
        max: reading.max,
        extended,
    }
}

/// All that a request came to, but for the order of series in a lane and what the cache did.
type Outcome = (
    Vec<Vec<BTreeMap<String, Vec<(i64, u64)>>>>,
    BTreeMap<(String, i64), u64>,
    Vec<u64>,
    Vec<u64>,
    [u64; 3],
    [u64; 2],
    u64,
);

fn outcome(mapped: &Mapped) -> Outcome {
    let batch = &mapped.batch;
    let lane = |destination: usize, lane: &Vec<sluicegate::sample::SampleRef>| {
        let mut series: BTreeMap<String, Vec<(i64, u64)>> = BTreeMap::new();
        for at in lane {
            let sample = batch.sample(destination, *at);
            let point = (sample.timestamp_ms, sample.value.to_bits());
            let points = series.entry(text(sample.labels)).or_default();
            assert!(points.last().is_none_or(|(before, _)| *before < point.0), "out of order");
            points.push(point);
        }
        series
    };
    let lanes = batch.lanes.iter().enumerate();
    let lanes = lanes.map(|(at, lanes)| lanes.iter().map(|samples| lane(at, samples)).collect());
    let fresh = batch.freshness.iter();
    (
        lanes.collect(),
        fresh.map(|fresh| ((fresh.namespace.to_string(), fresh.end_ms), fresh.points)).collect(),
        mapped.superseded.clone(),
        mapped.samples.clone(),
        mapped.points_by_format,
        mapped.limited.samples,
        mapped.cache_hits + mapped.cache_misses,
    )
}

/// By destination and series: the samples of an outcome.
fn flat(outcome: &Outcome) -> Vec<BTreeMap<String, BTreeMap<i64, u64>>> {
    let lanes = |lanes: &Vec<BTreeMap<String, Vec<(i64, u64)>>>| {
        let all = lanes.iter().flatten();
        all.map(|(series, points)| (series.clone(), points.iter().copied().collect())).collect()
    };
    outcome.0.iter().map(lanes).collect()
}

/// What points come to that are mapped one by one, the later in the place of the earlier.
fn one_by_one<'p>(
    mapper: &Mapper,
    labels: &[(String, String)],
    points: impl Iterator<Item = &'p Point>,
) -> Vec<BTreeMap<String, BTreeMap<i64, u64>>> {
    let mut all = flat(&outcome(&mapper.begin(labels, 0).finish()));
    for point in points {
        let mut mapping = mapper.begin(labels, 0);
        point.read(|reading| mapping.reading(reading));
        for (all, series) in all.iter_mut().zip(flat(&outcome(&mapping.finish()))) {
            for (series, points) in series {
                all.entry(series).or_default().extend(points);
            }
        }
    }
    all
}

/// Few of everything, so that much comes again; among it metrics that end as one series.
fn point() -> impl Strategy<Value = Point> {
    let format = prop::sample::select(Format::ALL.to_vec());
    let number = || prop::option::of(prop::sample::select(vec![0.0, 1.0, -2.5, f64::NAN]));
    let extended = prop::sample::subsequence(vec!["p99", "p99.9", "IQM"], 0..3);
    let metric = prop::sample::select(vec!["CPUUtilization", "CPU Utilization", "Disk-Read"]);
    let dimension = prop::sample::select(vec!["i-1", "i 1", "i-2", ""]);
    let at = 0i64..3;
    (format, metric, dimension, at, [number(), number(), number(), number()], extended).prop_map(
        |(format, metric, dimension, at, [count, sum, min, max], extended)| Point {
            format,
            metric: metric.to_owned(),
            count,
            sum,
            min,
            max,
            extended: extended.into_iter().map(|name| (name.to_owned(), at as f64)).collect(),
            ..Point::new(dimension, at * 60_000)
        },
    )
}

/// Makes series of several metrics, and several statistics of one, into one.
fn joining() -> Vec<relabel::Rule> {
    let one_name = relabel::Draft {
        source_labels: vec!["__name__".to_owned()],
        regex: Some("(.*)_(minimum|maximum|min|max)".to_owned()),
        target_label: Some("__name__".to_owned()),
        replacement: Some("${1}_edge".to_owned()),
        ..relabel::Draft::default()
    };
    let one_dimension = relabel::Draft {
        action: Some("labeldrop".to_owned()),
        regex: Some("dimension_.*".to_owned()),
        ..relabel::Draft::default()
    };
    [one_name, one_dimension].map(|rule| rule.build().unwrap()).into()
}

/// Leaves out some statistics of everything.
fn dropping() -> Vec<relabel::Rule> {
    let rule = relabel::Draft {
        action: Some("drop".to_owned()),
        source_labels: vec!["__name__".to_owned()],
        regex: Some(".*_(sum|p99)".to_owned()),
        ..relabel::Draft::default()
    };
    vec![rule.build().unwrap()]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// Requests of arbitrary points, read in full and glimpsed in several spellings, with caches that
    /// hold everything, something and nothing.
    #[test]
    fn glimpsed_as_read(
        requests in prop::collection::vec(
            (prop::collection::vec((point(), 0usize..4), 0..30), any::<bool>()), 1..5),
        slice in prop::option::of(0u32..3),
        series_cache in prop::sample::select(vec![0u64, 6 << 10, 12 << 10, 1 << 20]),
        limit in prop::option::of((1u32..40, prop::option::of(1u32..20))),
        naming in prop::sample::select(vec![Naming::Yace, Naming::Otel, Naming::Telegraf]),
    ) {
        let series_limit = limit.map(|(per_hour, per_namespace_per_hour)| {
            SeriesLimit { per_hour, per_namespace_per_hour }
        });
        let plan = || Plan {
            config: Config { series_cache, series_limit, naming, ..Config::default() },
            external_labels: vec![("replica".to_owned(), "a".to_owned())],
            relabel: Vec::new(),
            outlets: vec![
                Outlet { lanes: 3, write_relabel: Vec::new() },
                Outlet { lanes: 2, write_relabel: joining() },
                Outlet { lanes: 1, write_relabel: dropping() },
            ],
        };
        let [read, glimpsed, alone] = [plan(), plan(), plan()].map(Mapper::new);
        for (points, has_labels) in &requests {
            let labels: &[_] =
                if *has_labels { &[("team".to_owned(), "x".to_owned())] } else { &[] };
            let begin = |mapper| {
                let mapping = Mapper::begin(mapper, labels, 60_000);
                match slice {
                    Some(index) => mapping.only(Slice { index, of: 3 }),
                    None => mapping,
                }
            };
            // Two mappers cut different slices: then one does both.
            let mut by_reading = begin(if slice.is_some() { &glimpsed } else { &read });
            for (point, _) in points {
                point.read(|reading| by_reading.reading(reading));
            }
            let by_reading = by_reading.finish();
            if slice.is_none() && limit.is_none() {
                let points = points.iter().map(|(point, _)| point);
                prop_assert_eq!(flat(&outcome(&by_reading)), one_by_one(&alone, labels, points));
            }
            let mut by_glimpse = begin(&glimpsed);
            for (point, spelling) in points {
                // Some decoders do not glimpse.
                match spelling {
                    3 => point.read(|reading| by_glimpse.reading(reading)),
                    _ => _ = give(&mut by_glimpse, point, *spelling),
                }
            }
            let by_glimpse = by_glimpse.finish();
            prop_assert_eq!(outcome(&by_reading), outcome(&by_glimpse));
            let stats = glimpsed.cache_stats();
            prop_assert!(stats.bytes <= stats.limit_bytes, "{:?}", stats);
        }
    }
}

#[test]
fn what_was_glimpsed_once_is_known_by_that_spelling_alone() {
    let mapper = mapper(Config::default(), &[2]);
    let points = [Point::new("i-1", 0), Point::new("i-2", 0)];
    for (spelling, wanted) in [(0, false), (0, true), (1, false), (2, false), (1, true)] {
        let mut mapping = mapper.begin(&[], 0);
        for point in &points {
            assert_eq!(give(&mut mapping, point, spelling), wanted, "{spelling}");
        }
        let mapped = mapping.finish();
        let counts = [mapped.cache_hits, mapped.cache_misses];
        assert_eq!(counts, if wanted { [2, 0] } else { [0, 2] });
        assert_eq!(mapped.points_by_format, [2, 0, 0]);
    }
    // Another format's bytes mean another thing, as do those of a request with other labels.
    let other = Point { format: Format::OpenTelemetry07, ..points[0].clone() };
    assert!(!give(&mut mapper.begin(&[], 0), &other, 0));
    let labels = [("team".to_owned(), "x".to_owned())];
    assert!(!give(&mut mapper.begin(&labels, 0), &points[0], 0));
    assert_eq!(mapper.cache_stats().identities, 8);
}

/// Where the boundary between two pieces stands is a part of the name, and so is the kind of a key.
#[test]
fn keys_are_not_mistaken_for_one_another() {
    let mapper = mapper(Config::default(), &[2]);
    let point = Point::new("i-1", 0);
    let splits: [[&[u8]; 4]; 5] = [
        [b"ab", b"c", b"", b""],
        [b"a", b"bc", b"", b""],
        [b"", b"ab", b"c", b""],
        [b"", b"", b"", b"abc"],
        [b"abc", b"", b"", b""],
    ];
    for identity in splits {
        let mut mapping = mapper.begin(&[], 0);
        point.read(|reading| {
            let glimpse = Glimpse { identity, ..glimpse(reading, &NO_PIECES, &[]) };
            assert!(!mapping.glimpse(&glimpse), "{identity:?}");
            mapping.glimpsed(reading);
            assert!(mapping.glimpse(&glimpse), "{identity:?}");
        });
    }
    let mut mapping = mapper.begin(&[], 0);
    point.read(|reading| mapping.reading(reading));
    assert_eq!(mapping.finish().cache_misses, 1);
}

/// A reading that does not belong to the glimpse before it is not taken for its identity.
#[test]
fn a_glimpse_is_forgotten_when_another_reading_comes() {
    let mapper = mapper(Config::default(), &[1]);
    let (first, second) = (Point::new("i-1", 0), Point::new("i-2", 0));
    let pieces = spelled(&first, 0);
    let mut mapping = mapper.begin(&[], 0);
    first.read(|reading| assert!(!mapping.glimpse(&glimpse(reading, &pieces, &[]))));
    second.read(|reading| {
        mapping.reading(reading);
        // Not linked to anything.
        mapping.glimpsed(reading);
    });
    first.read(|reading| assert!(!mapping.glimpse(&glimpse(reading, &pieces, &[]))));
    let mapped = mapping.finish();
    assert_eq!([mapped.cache_misses, mapped.cache_hits], [1, 1]);
    let texts: Vec<_> = mapped.batch.lanes[0][0]
        .iter()
        .map(|at| text(mapped.batch.sample(0, *at).labels))
        .collect();
    assert!(texts.iter().all(|text| text.contains("i-2")), "{texts:?}");
}

#[test]
fn glimpses_beyond_all_limits_are_read() {
    let mapper = mapper(Config::default(), &[1]);
    let point = Point::new("i-1", 0);
    let long = vec![b'x'; 128 << 10];
    let mut mapping = mapper.begin(&[], 0);
    point.read(|reading| {
        let identity = [long.as_slice(), b"", b"", b""];
        let glimpse = Glimpse { identity, ..glimpse(reading, &NO_PIECES, &[]) };
        for _ in 0..2 {
            assert!(!mapping.glimpse(&glimpse));
            mapping.glimpsed(reading);
        }
    });
    let mapped = mapping.finish();
    // It is known as what it was read to be.
    assert_eq!([mapped.cache_misses, mapped.cache_hits, mapped.superseded[0]], [1, 1, 5]);

    // And what is too long when it is read is nothing, however short it was spelled.
    let dimensions = (0..129).map(|n| (format!("d{n}"), "v".to_owned())).collect();
    let long = Point { dimensions, ..point };
    let mut mapping = mapper.begin(&[], 0);
    long.read(|reading| {
        let identity = [b"short".as_slice(), b"", b"", b""];
        let glimpse = Glimpse { identity, ..glimpse(reading, &NO_PIECES, &[]) };
        for _ in 0..2 {
            assert!(!mapping.glimpse(&glimpse));
            mapping.glimpsed(reading);
        }
    });
    let mapped = mapping.finish();
    assert_eq!((mapped.samples[0], mapped.cache_misses), (0, 2));
}

/// A decoder that gives other numbers of extended values than it gave names does no harm.
#[test]
fn extended_values_that_do_not_fit_the_names_are_left_out() {
    let mapper = mapper(Config::default(), &[1]);
    let extended = vec![("p50".to_owned(), 1.0), ("p99".to_owned(), 2.0)];
    let point = Point { extended, ..Point::new("i-1", 0) };
    let pieces = spelled(&point, 0);
    for (values, wanted) in [(&[1.0, 2.0][..], 7), (&[1.0], 6), (&[], 5), (&[1.0; 70], 7)] {
        let mut mapping = mapper.begin(&[], 0);
        point.read(|reading| {
            if !mapping.glimpse(&glimpse(reading, &pieces, values)) {
                mapping.glimpsed(reading);
            }
        });
        let mapped = mapping.finish();
        assert_eq!(mapped.samples[0], wanted, "{values:?}");
        assert_eq!(outcome(&mapped).3, [wanted]);
    }
}
