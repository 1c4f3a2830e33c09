//! The limit of series as a request meets it: exact, per series, and the same however it is decoded.

use std::collections::BTreeSet;

use sluicegate::map::{
    Config, Limited, Mapped, Mapper, Naming, Outlet, Plan, SeriesLimit, Slice, relabel,
};

use crate::map_kit::{Point, mapper, samples};

const MINUTE_MS: u64 = 60_000;
/// Some time; hours are counted from the epoch.
const NOW_MS: u64 = 1_760_000_040_000;

fn config(per_hour: u32, per_namespace_per_hour: Option<u32>) -> Config {
    let series_limit = Some(SeriesLimit { per_hour, per_namespace_per_hour });
    Config { series_limit, ..Config::default() }
}

/// So many metrics of five statistics each.
fn points(namespace: &str, metrics: std::ops::Range<u32>) -> Vec<Point> {
    let point =
        |metric| Point { namespace: namespace.to_owned(), ..Point::new(&format!("i-{metric}"), 0) };
    metrics.map(point).collect()
}

fn map_at(mapper: &Mapper, points: &[Point], now_ms: u64) -> Mapped {
    let mut mapping = mapper.begin(&[], now_ms);
    for point in points {
        point.read(|reading| mapping.reading(reading));
    }
    mapping.finish()
}

fn series(mapped: &Mapped, destination: usize) -> BTreeSet<String> {
    samples(&mapped.batch, destination).into_iter().map(|(series, ..)| series).collect()
}

fn left_out(limited: &Limited) -> [u64; 2] {
    limited.samples
}

#[test]
fn exactly_as_many_series_as_the_limit_says_pass_and_they_pass_again() {
    // With and without a cache: what an identity remembers only spares the way to the table.
    for series_cache in [48 << 20, 0] {
        let mapper = mapper(Config { series_cache, ..config(102, None) }, &[4]);
        let all = points("AWS/EC2", 0..30);
        let mapped = map_at(&mapper, &all, NOW_MS);
        let first = series(&mapped, 0);
        assert_eq!((first.len(), left_out(&mapped.limited)), (102, [48, 0]));
        assert_eq!(mapped.limited.namespaces[0].as_deref(), Some("AWS/EC2"));
        // What was left out does not come in another order either.
        let backwards: Vec<_> = all.iter().rev().cloned().collect();
        for (points, minutes) in [(&all, 0), (&backwards, 0), (&backwards, 1), (&all, 45)] {
            let mapped = map_at(&mapper, points, NOW_MS + minutes * MINUTE_MS);
            assert_eq!(series(&mapped, 0), first, "{minutes}");
            assert_eq!(left_out(&mapped.limited), [48, 0], "{minutes}");
        }
        assert_eq!(mapper.series_last_hour(NOW_MS + 45 * MINUTE_MS), 102);
        // An hour after they were seen last, their places are free: not a minute sooner.
        let others = points("AWS/EC2", 100..130);
        let mapped = map_at(&mapper, &others, NOW_MS + 105 * MINUTE_MS);
        assert_eq!((series(&mapped, 0).len(), left_out(&mapped.limited)), (0, [150, 0]));
        let mapped = map_at(&mapper, &others, NOW_MS + 106 * MINUTE_MS);
        assert_eq!((series(&mapped, 0).len(), left_out(&mapped.limited)), (102, [48, 0]));
    }
}

#[test]
fn namespaces_are_limited_apart_and_only_what_is_sent_counts() {
    let mapper = mapper(config(1000, Some(50)), &[1]);
    for (namespace, metrics, passed) in
        [("AWS/EC2", 20, 50), ("AWS/RDS", 4, 20), ("AWS/RDS", 9, 45), ("AWS/RDS", 12, 50)]
    {
        let mapped = map_at(&mapper, &points(namespace, 0..metrics), NOW_MS);
        let beyond = u64::from(metrics) * 5 - passed;
        assert_eq!(mapped.samples, [passed], "{namespace} {metrics}");
        assert_eq!(left_out(&mapped.limited), [0, beyond], "{namespace} {metrics}");
    }
    // A statistic that is not there takes no place until it comes.
    let mut point = points("AWS/SQS", 0..1);
    point[0].max = None;
    map_at(&mapper, &point, NOW_MS);
    assert_eq!(mapper.series_last_hour(NOW_MS), 104);
    point[0].max = Some(1.0);
    let mapped = map_at(&mapper, &point, NOW_MS);
    assert_eq!((mapped.samples[0], mapper.series_last_hour(NOW_MS)), (5, 105));
}

/// A series is counted as the first destination has it that keeps it.
#[test]
fn destinations_share_a_place() {
    let drop_sums = relabel::Draft {
        action: Some("drop".to_owned()),
        source_labels: vec!["__name__".to_owned()],
        regex: Some(".*_sum".to_owned()),
        ..relabel::Draft::default()
    };
    let one_series = relabel::Draft {
        action: Some("labeldrop".to_owned()),
        regex: Some("dimension_.*".to_owned()),
        ..relabel::Draft::default()
    };
    let outlet =
        |rule: relabel::Draft| Outlet { lanes: 2, write_relabel: vec![rule.build().unwrap()] };
    let mapper = Mapper::new(Plan {
        config: config(12, None),
        external_labels: Vec::new(),
        relabel: Vec::new(),
        outlets: vec![outlet(drop_sums), outlet(one_series)],
    });
    // Four series of each metric at the first; the sums, which are one series, only at the second.
    let mapped = map_at(&mapper, &points("AWS/EC2", 0..5), NOW_MS);
    assert_eq!(left_out(&mapped.limited), [20 + 1 - 12, 0]);
    assert_eq!(mapper.series_last_hour(NOW_MS), 12);
    assert_eq!(mapped.samples[0], 11);
}

#[test]
fn a_pass_that_is_broken_off_and_slices_change_nothing() {
    let mapper = mapper(config(102, None), &[4]);
    let all = points("AWS/EC2", 0..40);
    let mut broken_off = mapper.begin(&[], NOW_MS);
    for point in &all[..15] {
        point.read(|reading| broken_off.reading(reading));
    }
    drop(broken_off);
    assert_eq!(mapper.series_last_hour(NOW_MS), 75);
    let (mut passed, mut beyond) = (0, 0);
    for index in 0..8 {
        let mut mapping = mapper.begin(&[], NOW_MS).only(Slice { index, of: 8 });
        for point in &all {
            point.read(|reading| mapping.reading(reading));
        }
        let mapped = mapping.finish();
        passed += mapped.samples[0];
        beyond += mapped.limited.samples[0];
    }
    assert_eq!((passed, beyond), (102, 98));
    assert_eq!(mapper.series_last_hour(NOW_MS), 102);
}

fn plan(config: Config) -> Plan {
    Plan {
        config,
        external_labels: Vec::new(),
        relabel: Vec::new(),
        outlets: vec![Outlet { lanes: 1, write_relabel: Vec::new() }],
    }
}

#[test]
fn a_new_mapper_knows_what_the_old_one_knew() {
    let mut current = Mapper::new(plan(config(50, None)));
    let all = points("AWS/EC2", 0..20);
    let first = series(&map_at(&current, &all, NOW_MS), 0);
    let keeps = |passed, by_kind, next: Plan, current: &mut Mapper| {
        *current = Mapper::with_known_series_of(next, current);
        let mapped = map_at(current, &all, NOW_MS);
        assert_eq!((mapped.samples[0], left_out(&mapped.limited)), (passed, by_kind));
        let found = series(&mapped, 0);
        assert!(found.is_subset(&first) || first.is_subset(&found));
    };
    // What touches no label leaves the count alone.
    let end = Config { timestamp: sluicegate::map::Timestamp::End, ..config(50, None) };
    keeps(50, [50, 0], plan(end), &mut current);
    keeps(50, [50, 0], plan(Config { series_cache: 0, ..config(50, None) }), &mut current);
    let lanes = vec![Outlet { lanes: 7, write_relabel: Vec::new() }];
    keeps(50, [50, 0], Plan { outlets: lanes, ..plan(config(50, None)) }, &mut current);
    // A namespace's limit holds at once; what is known passes.
    keeps(50, [0, 50], plan(config(50, Some(10))), &mut current);
    // None at all, and then one that has seen nothing yet.
    keeps(100, [0, 0], plan(Config::default()), &mut current);
    assert_eq!(current.series_last_hour(NOW_MS), 0);
    keeps(30, [70, 0], plan(config(30, None)), &mut current);
    // Another size begins with none.
    keeps(70, [30, 0], plan(config(70, None)), &mut current);
}

/// New labels make every series a new one: nothing that passed may be left out for that.
#[test]
fn what_changes_labels_begins_the_count_anew() {
    let rule = |label: &str| {
        let draft = relabel::Draft {
            target_label: Some(label.to_owned()),
            replacement: Some("x".to_owned()),
            ..relabel::Draft::default()
        };
        vec![draft.build().unwrap()]
    };
    let old = || plan(config(100, None));
    let outlet = |write_relabel| Outlet { lanes: 1, write_relabel };
    let named = Naming::Telegraf;
    let changes: [(&str, Plan); 7] = [
        ("naming", plan(Config { naming: named, ..config(100, None) })),
        ("job", plan(Config { job: Some("other".to_owned()), ..config(100, None) })),
        (
            "external labels",
            Plan { external_labels: vec![("replica".to_owned(), "b".to_owned())], ..old() },
        ),
        ("rules", Plan { relabel: rule("tag"), ..old() }),
        ("the first destination", Plan { outlets: vec![outlet(rule("tag"))], ..old() }),
        ("another in front", Plan { outlets: vec![outlet(rule("a")), outlet(vec![])], ..old() }),
        (
            "with another namespace limit",
            Plan {
                external_labels: vec![("replica".to_owned(), "b".to_owned())],
                ..plan(config(100, Some(100)))
            },
        ),
    ];
    let all = points("AWS/EC2", 0..20);
    for (what, new) in changes {
        let before = Mapper::new(old());
        assert_eq!(left_out(&map_at(&before, &all, NOW_MS).limited), [0, 0]);
        let mut begun = before.begin(&[], NOW_MS);
        let after = Mapper::with_known_series_of(new, &before);
        let mapped = map_at(&after, &all, NOW_MS);
        assert_eq!((mapped.samples[0], left_out(&mapped.limited)), (100, [0, 0]), "{what}");
        // What has begun before takes no place, and loses nothing.
        for point in points("AWS/RDS", 0..9) {
            point.read(|reading| begun.reading(reading));
        }
        let begun = begun.finish();
        assert_eq!((begun.samples[0], left_out(&begun.limited)), (45, [0, 0]), "{what}");
        assert_eq!(after.series_last_hour(NOW_MS), 100, "{what}");
        // The limit holds as before.
        let mapped = map_at(&after, &points("AWS/RDS", 0..1), NOW_MS);
        assert_eq!((mapped.samples[0], mapped.limited.samples.iter().sum()), (0, 5_u64), "{what}");
        assert_eq!(after.fullest_namespaces(3), [("AWS/EC2".to_owned(), 100)], "{what}");
    }
    // A destination behind one that keeps everything decides of no series.
    let before = Mapper::new(old());
    map_at(&before, &all, NOW_MS);
    let behind = Plan { outlets: vec![outlet(vec![]), outlet(rule("tag"))], ..old() };
    let mut after = Mapper::with_known_series_of(behind, &before);
    assert_eq!(after.series_last_hour(NOW_MS), 100);
    after.forget_series();
    assert_eq!(after.series_last_hour(NOW_MS), 0);
}
