//! What a data point becomes: its series, their labels and values.

use proptest::prelude::*;
use sluicegate::decode::Format;
use sluicegate::map::{
    Config, Mapper, Naming, Outlet, Plan, Statistics, StatisticsRule, Timestamp, relabel,
};
use sluicegate::sample::NORMAL_NAN;

use crate::map_kit::{Point, labels, map, mapper, samples};

const EC2: &str = "account_id=\"111122223333\",dimension_InstanceId=\"i-1\",job=\"cloudwatch\",\
                   name=\"global\",namespace=\"AWS/EC2\",region=\"eu-west-1\"";

fn texts(mapper: &Mapper, points: &[Point]) -> Vec<String> {
    let mapped = map(mapper, points);
    let mut texts: Vec<_> =
        samples(&mapped.batch, 0).into_iter().map(|(s, t, v)| format!("{s} {v} {t}")).collect();
    texts.sort_unstable();
    texts
}

#[test]
fn a_point_becomes_a_sample_per_statistic() {
    let mut point = Point::new("i-1", 60_000);
    point.extended = vec![("p99.9".to_owned(), 1.9), ("TM(10%:90%)".to_owned(), 1.5)];
    let wanted = [
        ("average", "1.5"),
        ("maximum", "2"),
        ("minimum", "1"),
        ("p99_9", "1.9"),
        ("sample_count", "2"),
        ("sum", "3"),
        ("tm_10_percent_90_percent_", "1.5"),
    ]
    .map(|(name, value)| format!("aws_ec2_cpuutilization_{name}{{{EC2}}} {value} 60000"));
    assert_eq!(texts(&mapper(Config::default(), &[1]), &[point]), wanted);
}

#[test]
fn quantiles_are_labels_in_the_otel_dialect() {
    let config = Config { naming: Naming::Otel, job: Some(String::new()), ..Config::default() };
    let mut point = Point::new("i-1", 0);
    point.dimensions.push(("quantile".to_owned(), "q".to_owned()));
    point.extended = vec![("p99.9".to_owned(), 1.9)];
    let name = "amazonaws_com_AWS_EC2_CPUUtilization_percent";
    let first = "InstanceId=\"i-1\",MetricName=\"CPUUtilization\",Namespace=\"AWS/EC2\",\
                 account_id=\"111122223333\",dimension_quantile=\"q\"";
    let last = "region=\"eu-west-1\"";
    let wanted = [
        format!("{name}_average{{{first},{last}}} 1.5 0"),
        format!("{name}_count{{{first},{last}}} 2 0"),
        format!("{name}_sum{{{first},{last}}} 3 0"),
        format!("{name}{{{first},quantile=\"0\",{last}}} 1 0"),
        format!("{name}{{{first},quantile=\"0.999\",{last}}} 1.9 0"),
        format!("{name}{{{first},quantile=\"1\",{last}}} 2 0"),
    ];
    assert_eq!(texts(&mapper(config, &[4]), &[point]), wanted);
}

#[test]
fn the_job_is_what_is_said_or_the_dialects_own() {
    for (naming, job, wanted) in [
        (Naming::Yace, None, Some("cloudwatch")),
        (Naming::Telegraf, None, Some("cloudwatch")),
        (Naming::Otel, None, Some("cloudwatch")),
        (Naming::CloudwatchExporter, None, Some("aws_ec2")),
        (Naming::CloudwatchExporter, Some("cloudwatch"), Some("cloudwatch")),
        (Naming::CloudwatchExporter, Some(""), None),
        (Naming::Yace, Some("x"), Some("x")),
        (Naming::Yace, Some(""), None),
    ] {
        let config = Config { naming, job: job.map(str::to_owned), ..Config::default() };
        let found = samples(&map(&mapper(config, &[1]), &[Point::new("i-1", 0)]).batch, 0);
        assert_eq!(found.len(), 5);
        for (text, ..) in found {
            let found = text.split_once("job=\"").map(|(_, rest)| rest.split('"').next().unwrap());
            assert_eq!(found, wanted, "{naming:?} {job:?}");
        }
    }
}

#[test]
fn statistics_that_are_called_alike_stay_apart() {
    for (naming, first, second) in [
        (Naming::Yace, "tm__90_", "sum_2"),
        (Naming::CloudwatchExporter, "tm_:90_", "sum_2"),
        (Naming::Telegraf, "TM_:90", "Sum"),
        (Naming::Otel, "TM_:90", "Sum"),
    ] {
        let mapper = mapper(Config { naming, ..Config::default() }, &[1]);
        let mut point = Point::new("i-1", 0);
        let names = ["TM(:90)", "TM(.90)", "TM(:90%)", "Sum", "TM.:90."];
        point.extended = names.iter().map(|name| ((*name).to_owned(), 1.0)).collect();
        let mapped = map(&mapper, &[point.clone()]);
        assert_eq!((&mapped.samples[..], &mapped.superseded[..]), (&[10][..], &[0][..]));
        let conflicts: Vec<_> = mapped.conflicts.iter().map(|(c, _)| c.name()).collect();
        assert_eq!(conflicts, ["duplicate"], "{naming:?}");
        let series = |batch| {
            let mut all: Vec<_> = samples(batch, 0).into_iter().map(|(text, ..)| text).collect();
            all.sort_unstable();
            all
        };
        let found = series(&mapped.batch);
        for suffix in [first, second] {
            let end = format!("_{suffix}{{");
            assert!(found.iter().any(|text| text.contains(&end)), "{end} {found:#?}");
        }
        // Whatever their order.
        point.extended.reverse();
        assert_eq!(series(&map(&mapper, &[point]).batch), found);
    }
}

#[test]
fn a_series_whose_name_relabelling_takes_is_counted() {
    let rule = relabel::Draft {
        action: Some("labeldrop".to_owned()),
        regex: Some("__name__".to_owned()),
        ..relabel::Draft::default()
    };
    let mapper = Mapper::new(Plan {
        config: Config::default(),
        external_labels: Vec::new(),
        relabel: vec![rule.build().unwrap()],
        outlets: vec![Outlet { lanes: 1, write_relabel: Vec::new() }],
    });
    let mapped = map(&mapper, &[Point::new("i-1", 0)]);
    let conflicts: Vec<_> = mapped.conflicts.iter().map(|(c, n)| (c.name(), *n)).collect();
    assert_eq!((conflicts, &mapped.samples[..]), (vec![("no_name", 5)], &[0][..]));
}

#[test]
fn the_average_needs_a_sum_and_a_count_above_zero() {
    let only = Statistics { average: true, ..Statistics::none() };
    let mapper = mapper(Config { statistics: only, ..Config::default() }, &[1]);
    for (sum, count, wanted) in [
        (Some(3.0), Some(2.0), Some(1.5)),
        (Some(3.0), Some(0.0), None),
        (Some(3.0), Some(-1.0), None),
        (Some(3.0), Some(f64::NAN), None),
        (Some(3.0), None, None),
        (None, Some(2.0), None),
        (Some(0.0), Some(4.0), Some(0.0)),
    ] {
        let point = Point { sum, count, ..Point::new("i-1", 0) };
        let found = samples(&map(&mapper, &[point]).batch, 0);
        assert_eq!(found.first().map(|(_, _, value)| *value), wanted, "{sum:?} {count:?}");
    }
}

#[test]
fn absent_values_send_nothing_and_any_nan_is_the_ordinary_one() {
    let mapper = mapper(Config::default(), &[1]);
    let mut point = Point::new("i-1", 0);
    // The stale marker, and the very bits that stand for "absent" inside.
    point.min = Some(f64::from_bits(0x7ff0_0000_0000_0002));
    point.max = Some(f64::from_bits(sluicegate::sample::ABSENT));
    point.sum = Some(f64::INFINITY);
    point.count = None;
    point.extended = vec![("p50".to_owned(), -f64::NAN)];
    let found = samples(&map(&mapper, &[point]).batch, 0);
    let found: Vec<_> = found
        .iter()
        .map(|(series, _, value)| (series.split('{').next().unwrap(), value.to_bits()))
        .collect();
    assert_eq!(
        found,
        [
            ("aws_ec2_cpuutilization_sum", f64::INFINITY.to_bits()),
            ("aws_ec2_cpuutilization_minimum", NORMAL_NAN),
            ("aws_ec2_cpuutilization_maximum", NORMAL_NAN),
            ("aws_ec2_cpuutilization_p50", NORMAL_NAN),
        ]
    );
}

#[test]
fn the_first_rule_that_matches_chooses_the_statistics() {
    let rule = |namespace: &str, metric: &str, statistics| StatisticsRule {
        namespace: namespace.to_owned(),
        metric: metric.to_owned(),
        statistics,
    };
    let sum = Statistics { sum: true, ..Statistics::none() };
    let config = Config {
        statistics: Statistics { maximum: true, ..Statistics::none() },
        statistics_rules: vec![
            rule("AWS/*", "Network*", sum),
            rule("AWS/EC2", "*", Statistics { extended: true, ..sum }),
            rule("*", "Noise", Statistics::none()),
        ],
        ..Config::default()
    };
    let mapper = mapper(config, &[1]);
    for (namespace, metric, wanted) in [
        ("AWS/EC2", "NetworkIn", &["aws_ec2_network_in_sum"][..]),
        ("AWS/EC2", "Cpu", &["aws_ec2_cpu_p50", "aws_ec2_cpu_sum"]),
        ("AWS/S3", "Cpu", &["aws_s3_cpu_maximum"]),
        ("AWS/S3", "Noise", &[]),
    ] {
        let point = Point {
            namespace: namespace.to_owned(),
            metric: metric.to_owned(),
            extended: vec![("p50".to_owned(), 1.0)],
            ..Point::new("i-1", 0)
        };
        let mapped = map(&mapper, &[point]);
        let mut names: Vec<_> = samples(&mapped.batch, 0)
            .into_iter()
            .map(|(series, ..)| series.split('{').next().unwrap().to_owned())
            .collect();
        names.sort_unstable();
        assert_eq!(names, wanted, "{namespace} {metric}");
        assert_eq!(mapped.batch.rows.len(), usize::from(!wanted.is_empty()));
    }
}

#[test]
fn timestamps_are_the_start_or_the_end_of_the_period() {
    for (timestamp, wanted) in [(Timestamp::Start, 1_234), (Timestamp::End, 61_234)] {
        let mapper = mapper(Config { timestamp, ..Config::default() }, &[1]);
        let mapped = map(&mapper, &[Point::new("i-1", 1_234)]);
        assert!(samples(&mapped.batch, 0).iter().all(|(_, at, _)| *at == wanted));
        assert_eq!(mapped.batch.freshness[0].end_ms, 61_234);
    }
}

#[test]
fn accounts_regions_and_namespaces_do_not_collide() {
    let points = [
        Point::new("i-1", 0),
        Point { account: "999988887777".to_owned(), ..Point::new("i-1", 0) },
        Point { region: "us-east-1".to_owned(), ..Point::new("i-1", 0) },
        Point { namespace: "AWS/ElastiCache".to_owned(), ..Point::new("i-1", 0) },
        Point { account: String::new(), region: String::new(), ..Point::new("i-1", 0) },
    ];
    for naming in [Naming::Yace, Naming::CloudwatchExporter, Naming::Telegraf, Naming::Otel] {
        let mapper = mapper(Config { naming, ..Config::default() }, &[1]);
        let mapped = map(&mapper, &points);
        let found: std::collections::BTreeSet<_> =
            samples(&mapped.batch, 0).into_iter().map(|(series, ..)| series).collect();
        assert_eq!(found.len(), points.len() * 5, "{naming:?}");
        assert_eq!(mapped.superseded, [0]);
    }
}

#[test]
fn the_format_changes_nothing() {
    let mapper = mapper(Config::default(), &[4]);
    let points = Format::ALL.map(|format| Point { format, ..Point::new("i-1", 0) });
    let mapped = map(&mapper, &points);
    assert_eq!(mapped.points_by_format, [1, 1, 1]);
    assert_eq!((mapped.cache_misses, mapped.cache_hits), (1, 2));
    assert_eq!((&mapped.samples[..], &mapped.superseded[..]), (&[5][..], &[10][..]));
}

#[test]
fn extra_and_external_labels_go_to_every_series() {
    let outlet = Outlet { lanes: 2, write_relabel: Vec::new() };
    let mapper = Mapper::new(Plan {
        config: Config::default(),
        external_labels: [("cluster", "prod"), ("region", "external"), ("none", "")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .to_vec(),
        relabel: Vec::new(),
        outlets: vec![outlet.clone(), outlet],
    });
    for team in ["a", "b"] {
        let extra = [("team-name".to_owned(), team.to_owned())];
        let mut mapping = mapper.begin(&extra, 0);
        Point::new("i-1", 0).read(|reading| mapping.reading(reading));
        let mapped = mapping.finish();
        // Another request's labels are another identity.
        assert_eq!(mapped.cache_misses, 1);
        assert_eq!(mapped.samples, [5, 5]);
        let series = EC2.replace("dimension", "cluster=\"prod\",dimension");
        for destination in 0..2 {
            for (text, ..) in samples(&mapped.batch, destination) {
                assert!(text.ends_with(&format!("{{{series},team_name=\"{team}\"}}")), "{text}");
            }
        }
    }
}

#[test]
fn what_no_receiver_would_take_is_counted_not_kept() {
    let mapper = mapper(Config::default(), &[1]);
    let mut long = Point::new(&"x".repeat(1 << 20), 0);
    let mut many = Point::new("i-1", 0);
    many.dimensions = (0..1000).map(|n| (format!("d{n}"), "v".to_owned())).collect();
    long.extended.push(("p1".to_owned(), 1.0));
    let mapped = map(&mapper, &[long, many, Point::new("i-1", 0)]);
    let conflicts: Vec<_> = mapped.conflicts.iter().map(|(c, n)| (c.name(), *n)).collect();
    assert_eq!((conflicts, &mapped.samples[..]), (vec![("too_long", 2)], &[5][..]));
    assert_eq!(mapper.cache_stats().identities, 1);
}

fn any_text() -> impl Strategy<Value = String> {
    prop_oneof![
        "\\PC{1,12}",
        "[a-cA-C0-9_:./% -]{1,8}",
        Just("region".to_owned()),
        Just("__name__".to_owned()),
        Just("quantile".to_owned()),
        Just("job".to_owned()),
        Just("İstanbul\u{0}".to_owned()),
    ]
}

proptest! {
    /// Whatever comes in: legal, sorted, unique labels; no value changed, none lost.
    #[test]
    fn any_names_leave_legal(
        namespace in any_text(),
        metric in any_text(),
        unit in any_text(),
        dimensions in prop::collection::vec((any_text(), "\\PC{0,8}"), 0..6),
        extended in prop::collection::vec(any_text(), 0..3),
        naming in prop::sample::select(vec![
            Naming::Yace, Naming::CloudwatchExporter, Naming::Telegraf, Naming::Otel,
        ]),
    ) {
        let mapper = mapper(Config { naming, ..Config::default() }, &[3]);
        let point = Point {
            namespace,
            metric,
            unit,
            dimensions,
            extended: extended.into_iter().map(|name| (name, 1.0)).collect(),
            ..Point::new("i-1", 0)
        };
        let mapped = map(&mapper, std::slice::from_ref(&point));
        prop_assert_eq!(
            mapped.samples[0] + mapped.superseded[0],
            5 + point.extended.len() as u64
        );
        let identity = &mapped.batch.rows[0].identity;
        let metric_name = regex::Regex::new("^[a-zA-Z_:][a-zA-Z0-9_:]*$").unwrap();
        let label_name = regex::Regex::new("^[a-zA-Z_][a-zA-Z0-9_]*$").unwrap();
        for series in (0..identity.slots()).filter_map(|slot| identity.series(0, slot)) {
            let labels = labels(series.labels);
            prop_assert!(labels.is_sorted_by(|a, b| a.0 < b.0), "{labels:?}");
            for (name, value) in &labels {
                prop_assert!(!value.is_empty());
                if name == "__name__" {
                    prop_assert!(metric_name.is_match(value), "{value:?}");
                } else {
                    prop_assert!(label_name.is_match(name) && !name.starts_with("__"), "{name:?}");
                }
            }
            let mut left: Vec<_> = labels.iter().map(|(_, value)| value).collect();
            for (_, value) in point.dimensions.iter().filter(|(_, value)| !value.is_empty()) {
                let at = left.iter().position(|found| *found == value);
                prop_assert!(at.is_some(), "{value:?} lost in {labels:?}");
                left.remove(at.unwrap());
            }
        }
    }
}
