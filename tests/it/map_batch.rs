//! What a request becomes: lanes, repeats, freshness, families, and the memory of what is known.

use std::collections::BTreeMap;

use sluicegate::map::{Config, Mapper, Naming, Outlet, Plan, relabel};
use sluicegate::sample::Batch;

use crate::map_kit::{Point, map, mapper, samples};

/// Checks what each lane promises; returns every series' samples.
fn settled(batch: &Batch, destination: usize) -> BTreeMap<String, Vec<(i64, f64)>> {
    let mut all: BTreeMap<String, Vec<(i64, f64)>> = BTreeMap::new();
    let mut last = String::new();
    for (series, at, value) in samples(batch, destination) {
        let known = all.contains_key(&series);
        assert!(!known || last == series, "{series} stands apart");
        let samples = all.entry(series.clone()).or_default();
        assert!(samples.last().is_none_or(|(before, _)| *before < at), "{series} out of order");
        samples.push((at, value));
        last = series;
    }
    all
}

#[test]
fn repeats_leave_sorted_and_the_later_wins() {
    let mapper = mapper(Config::default(), &[1, 4]);
    let point = |at, sum| Point { sum: Some(sum), ..Point::new("i-1", at) };
    let points = [
        point(120_000, 1.0),
        Point::new("i-2", 0),
        point(0, 2.0),
        point(60_000, 3.0),
        Point::new("i-3", 0),
        point(120_000, 4.0),
        point(0, 5.0),
    ];
    let mapped = map(&mapper, &points);
    assert_eq!(mapped.superseded, [10, 10]);
    assert_eq!(mapped.samples, [25, 25]);
    for destination in 0..2 {
        let all = settled(&mapped.batch, destination);
        assert_eq!(all.len(), 15);
        let (_, sums) = all
            .iter()
            .find(|(series, _)| series.contains("_sum{") && series.contains("\"i-1\""))
            .unwrap();
        assert_eq!(*sums, [(0, 5.0), (60_000, 3.0), (120_000, 4.0)]);
    }
}

#[test]
fn metrics_that_end_as_one_series_are_one() {
    let mapper = mapper(Config::default(), &[3]);
    let metric = |metric: &str, at, sum| Point {
        metric: metric.to_owned(),
        sum: Some(sum),
        ..Point::new("i-1", at)
    };
    let mapped = map(
        &mapper,
        &[metric("a-b", 60_000, 1.0), metric("a.b", 60_000, 2.0), metric("a.b", 0, 3.0)],
    );
    assert_eq!((mapped.cache_misses, &mapped.superseded[..]), (2, &[5][..]));
    let all = settled(&mapped.batch, 0);
    assert_eq!(all.len(), 5);
    let sums = all.iter().find(|(series, _)| series.contains("_sum{")).unwrap().1;
    assert_eq!(*sums, [(0, 3.0), (60_000, 2.0)]);
}

/// One data point alone can say a series twice.
#[test]
fn statistics_that_end_as_one_series_are_one() {
    let rule = relabel::Draft {
        source_labels: vec!["__name__".to_owned()],
        regex: Some("(.*)_(minimum|maximum)".to_owned()),
        target_label: Some("__name__".to_owned()),
        replacement: Some("${1}_edge".to_owned()),
        ..relabel::Draft::default()
    };
    let edges = Mapper::new(Plan {
        config: Config::default(),
        external_labels: Vec::new(),
        relabel: Vec::new(),
        outlets: vec![Outlet { lanes: 2, write_relabel: vec![rule.build().unwrap()] }],
    });
    let quantiles = mapper(Config { naming: Naming::Otel, ..Config::default() }, &[2]);
    let twice = vec![("p99".to_owned(), 5.0), ("p99.0".to_owned(), 6.0)];
    let plain = Point::new("i-1", 0);
    for (mapper, point, last) in
        [(&edges, plain.clone(), 2.0), (&quantiles, Point { extended: twice, ..plain }, 6.0)]
    {
        let mapped = map(mapper, &[point]);
        assert_eq!(mapped.superseded, [1]);
        let series = settled(&mapped.batch, 0);
        assert!(series.values().all(|samples| samples.len() == 1), "{series:?}");
        assert!(series.values().any(|samples| samples[0].1 == last), "{series:?}");
    }
}

#[test]
fn a_metric_has_one_lane_whatever_its_statistics_are_called() {
    let points: Vec<_> = (0..200).map(|n| Point::new(&format!("i-{n}"), 0)).collect();
    let lanes = |batch: &Batch| -> BTreeMap<String, usize> {
        let lanes = batch.lanes[0].iter().enumerate();
        lanes
            .flat_map(|(lane, samples)| samples.iter().map(move |at| (lane, *at)))
            .map(|(lane, at)| (batch.sample(0, at), lane))
            .map(|(sample, lane)| (crate::map_kit::text(sample.labels), lane))
            .collect()
    };
    let first = lanes(&map(&mapper(Config::default(), &[8]), &points).batch);
    // Another process, another order, another statistic's name: the same lanes.
    let reversed: Vec<_> = points.into_iter().rev().collect();
    let second = lanes(&map(&mapper(Config::default(), &[8]), &reversed).batch);
    assert_eq!(first, second);
    let mut by_labels: BTreeMap<&str, usize> = BTreeMap::new();
    let mut used = [0; 8];
    for (series, lane) in &first {
        let labels = series.split_once('{').unwrap().1;
        assert_eq!(by_labels.entry(labels).or_insert(*lane), lane, "{series}");
        used[*lane] += 1;
    }
    assert!(used.iter().all(|samples| *samples > 40), "{used:?}");
}

#[test]
fn freshness_counts_points_by_namespace_and_period() {
    let mapper = mapper(Config::default(), &[1]);
    let point =
        |namespace: &str, at| Point { namespace: namespace.to_owned(), ..Point::new("i-1", at) };
    let mapped = map(
        &mapper,
        &[point("A", 0), point("B", 0), point("A", 0), point("A", 60_000), point("A", 0)],
    );
    let fresh: Vec<_> = mapped
        .batch
        .freshness
        .iter()
        .map(|fresh| (&*fresh.namespace, fresh.end_ms, fresh.points))
        .collect();
    assert_eq!(fresh, [("A", 60_000, 3), ("B", 60_000, 1), ("A", 120_000, 1)]);
}

#[test]
fn families_are_told_once_and_only_when_new() {
    let mapper = mapper(Config { naming: Naming::Otel, ..Config::default() }, &[1, 1]);
    let points = [Point::new("i-1", 0), Point::new("i-2", 0)];
    let families: Vec<_> = map(&mapper, &points)
        .batch
        .families
        .into_iter()
        .map(|family| (family.destination, family.name, family.unit))
        .collect();
    let name = "amazonaws_com_AWS_EC2_CPUUtilization_percent";
    let mut wanted = Vec::new();
    for suffix in ["_count", "_sum", "", "_average"] {
        for destination in 0..2 {
            wanted.push((destination, format!("{name}{suffix}"), "Percent".to_owned()));
        }
    }
    assert_eq!(families, wanted);
    assert_eq!(map(&mapper, &points).batch.families, []);
}

#[test]
fn the_cache_keeps_its_limit_and_every_point_is_mapped() {
    let config = Config { series_cache: 100_000, ..Config::default() };
    let mapper = mapper(config, &[2]);
    let room = |mapper: &Mapper| mapper.cache_stats().identities;
    // More than have room, round by round: those within stay. Then others, all new.
    for old in [true, false] {
        let (mut hits, mut evictions) = (0, 0);
        for round in 0..8 {
            for part in 0..10 {
                let points: Vec<_> = (0..40)
                    .map(|n| Point::new(&format!("{old}-{}", part * 40 + n), round * 60_000))
                    .collect();
                let mapped = map(&mapper, &points);
                assert_eq!(mapped.samples, [200]);
                assert_eq!(settled(&mapped.batch, 0).len(), 200);
                assert_eq!(mapped.cache_hits + mapped.cache_misses, 40);
                hits += mapped.cache_hits;
                evictions += mapped.cache_evictions;
                let stats = mapper.cache_stats();
                assert!(stats.bytes <= stats.limit_bytes && stats.identities >= 40, "{stats:?}");
            }
        }
        assert!(hits >= 3 * room(&mapper), "{hits} hits, {evictions} evictions");
        assert!(old || evictions > 20, "{hits} hits, {evictions} evictions");
    }
}

#[test]
fn an_identity_of_five_statistics_is_small() {
    let mapper = mapper(Config::default(), &[8]);
    let points: Vec<_> = (0..1000).map(|n| Point::new(&format!("i-{n:017}"), 0)).collect();
    map(&mapper, &points);
    let stats = mapper.cache_stats();
    assert_eq!(stats.identities, 1000);
    let each = stats.bytes / stats.identities;
    assert!(each < 1024, "{each} bytes");
}

#[test]
fn the_memory_of_a_mapping_grows_with_what_it_holds() {
    let mapper = mapper(Config { series_cache: 0, ..Config::default() }, &[2, 3]);
    let mut mapping = mapper.begin(&[], 0);
    let empty = mapping.bytes();
    assert!(empty < 1024, "{empty}");
    for n in 0..10_000 {
        Point::new(&format!("i-{}", n % 5_000), n / 5_000).read(|reading| mapping.reading(reading));
    }
    let bytes = mapping.bytes();
    let mapped = mapping.finish();
    assert_eq!(mapped.cache_misses, 10_000);
    // Identities, then per sample and destination a reference, per row and destination a stem, then
    // values and rows.
    let identities: usize = mapped.batch.rows.iter().map(|row| row.identity.bytes()).sum();
    let least = identities + 100_000 * 8 + 20_000 * 8 + 50_000 * 8 + 10_000 * 32;
    assert!(bytes as usize > least && (bytes as usize) < least * 2, "{bytes} {least}");
}

#[test]
fn mappers_and_mappings_go_between_threads() {
    fn is_shared<T: Send + Sync>() {}
    fn is_sent<T: Send>() {}
    is_shared::<sluicegate::map::Mapper>();
    is_sent::<sluicegate::map::Mapping<'_>>();
}
