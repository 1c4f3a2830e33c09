//! A series' labels: what the dialect gives, and the last check before they are encoded.
//!
//! # Conflicts
//! Labels are never lost to one another. A dimension whose label is one of the fixed ones
//! (`account_id`, `region`, `job`, those of the dialect), begins with `__`, or is taken by another
//! dimension gets the prefix `dimension_` (unless it has it), and `_2`, `_3`... if that is taken
//! too. Dimensions whose names need no sanitising choose first, then the others in the order of
//! their names, so that the order in a record does not matter. Extra labels of a request give way
//! in the same manner with the prefix `attribute_`; a dimension gives way to them. After
//! relabelling, names are made legal if they are not (legal ones keep theirs, the others give way in
//! the order of their names), and a label without value or with a name in `__` (other than
//! `__name__`) goes, as in Prometheus. A series without a name goes, too.

use std::borrow::Cow;

use super::config::{Config, Naming};
use super::naming;
use crate::decode::Reading;

/// The label that holds a series' name.
pub(super) const NAME: &str = "__name__";

/// The label of a quantile, in the dialect that has it.
pub(super) const QUANTILE: &str = "quantile";

/// Name and value.
pub(super) type Label<'a> = (Cow<'a, str>, Cow<'a, str>);
/// As relabelling takes them.
pub(super) type OwnedLabel = (String, String);

/// Why a label was renamed, changed or dropped while series were made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Conflict {
    /// A dimension or extra label has the name of a fixed label, or one in `__`: renamed.
    Reserved,
    /// Two dimensions have the same label, or two statistics the same name, after sanitising: the
    /// second renamed.
    Duplicate,
    /// A metric name was illegal after relabelling: sanitised.
    IllegalMetricName,
    /// A label name was illegal after relabelling: sanitised.
    IllegalLabelName,
    /// An identity is longer than any that CloudWatch allows: no series is made of it.
    TooLong,
    /// Relabelling took a series' name: the series is dropped.
    NoName,
}

impl Conflict {
    /// Every kind.
    pub const ALL: [Self; 6] = [
        Self::Reserved,
        Self::Duplicate,
        Self::IllegalMetricName,
        Self::IllegalLabelName,
        Self::TooLong,
        Self::NoName,
    ];

    /// The `conflict` label of `sluicegate_label_conflicts_total`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Reserved => "reserved",
            Self::Duplicate => "duplicate",
            Self::IllegalMetricName => "illegal_metric_name",
            Self::IllegalLabelName => "illegal_label_name",
            Self::TooLong => "too_long",
            Self::NoName => "no_name",
        }
    }
}

/// Conflicts by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Conflicts([u64; Conflict::ALL.len()]);

impl Conflicts {
    pub(super) fn count(&mut self, conflict: Conflict) {
        self.0[conflict as usize] += 1;
    }

    /// Kinds that occurred.
    pub(super) fn counted(&self) -> Vec<(Conflict, u64)> {
        Conflict::ALL.into_iter().zip(self.0).filter(|(_, count)| *count > 0).collect()
    }
}

/// Labels that a dialect sets itself; no dimension may have them.
fn fixed(naming: Naming) -> &'static [&'static str] {
    match naming {
        Naming::Yace => &["account_id", "region", "job", "name", "namespace"],
        Naming::CloudwatchExporter | Naming::Telegraf => &["account_id", "region", "job"],
        Naming::Otel => &["account_id", "region", "job", "Namespace", "MetricName", "quantile"],
    }
}

/// The labels that all series of an identity have before relabelling; not the name.
///
/// `yace`: `name="global"` (no resource is matched to the dimensions), `namespace` (YACE has none,
/// Grafana Cloud has it), `dimension_<Name>`. `cloudwatch_exporter`: dimensions in snake case;
/// `instance` is empty there and so left out. `telegraf`: dimensions under their own names; the
/// account is `account_id` as everywhere, not `accountId`. `otel`: `Namespace`, `MetricName`, a
/// flat label per dimension. All: `account_id`, `region`, `job`.
pub(super) fn of_identity<'a>(
    config: &'a Config,
    reading: &Reading<'a>,
    extra: &'a [OwnedLabel],
    conflicts: &mut Conflicts,
) -> Vec<Label<'a>> {
    let mut labels = Vec::with_capacity(8 + extra.len() + reading.dimensions.len());
    let mut set = |name: &'static str, value: Cow<'a, str>| {
        if !value.is_empty() {
            labels.push((Cow::Borrowed(name), value));
        }
    };
    set("account_id", reading.account.into());
    set("region", reading.region.into());
    match config.naming {
        Naming::Yace => {
            set("name", "global".into());
            set("namespace", reading.namespace.into());
        }
        Naming::CloudwatchExporter | Naming::Telegraf => {}
        Naming::Otel => {
            set("Namespace", reading.namespace.into());
            set("MetricName", reading.metric.into());
        }
    }
    match &config.job {
        Some(job) => set("job", job.into()),
        None => set("job", naming::job(config.naming, reading.namespace)),
    }

    let mut names = Names { fixed: fixed(config.naming), suffixes: Vec::new() };
    for (name, value) in extra.iter().filter(|(_, value)| !value.is_empty()) {
        let label = naming::label(name).into();
        names.add(&mut labels, label, value, "attribute_", conflicts);
    }
    let mut dimensions: Vec<_> = reading
        .dimensions
        .iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| {
            let label = naming::dimension(config.naming, name);
            (!label.ends_with(name.as_ref()), name.as_ref(), value.as_ref(), label)
        })
        .collect();
    dimensions.sort();
    for (_, _, value, label) in dimensions {
        names.add(&mut labels, label, value, "dimension_", conflicts);
    }
    labels
}

/// Finds names that are free.
struct Names {
    fixed: &'static [&'static str],
    /// The last suffix given to a name, so that many equal names cost little.
    suffixes: Vec<(String, u32)>,
}

impl Names {
    fn add<'a>(
        &mut self,
        labels: &mut Vec<Label<'a>>,
        label: Cow<'a, str>,
        value: &'a str,
        prefix: &str,
        conflicts: &mut Conflicts,
    ) {
        let is_reserved = self.fixed.contains(&label.as_ref()) || label.starts_with("__");
        let label = if is_reserved || self.is_taken(labels, &label) {
            conflicts.count(if is_reserved { Conflict::Reserved } else { Conflict::Duplicate });
            let wanted = if label.starts_with(prefix) {
                label.into_owned()
            } else {
                format!("{prefix}{label}")
            };
            self.free(labels, wanted).into()
        } else {
            label
        };
        labels.push((label, value.into()));
    }

    fn is_taken<T: AsRef<str>>(&self, labels: &[(T, T)], label: &str) -> bool {
        self.fixed.contains(&label) || labels.iter().any(|(name, _)| name.as_ref() == label)
    }

    /// The name itself, or with the first number from 2 up that makes it free.
    fn free<T: AsRef<str>>(&mut self, labels: &[(T, T)], wanted: String) -> String {
        if !self.is_taken(labels, &wanted) {
            return wanted;
        }
        let index = self.suffixes.iter().position(|(name, _)| *name == wanted);
        let index = index.unwrap_or_else(|| {
            self.suffixes.push((wanted.clone(), 1));
            self.suffixes.len() - 1
        });
        loop {
            self.suffixes[index].1 += 1;
            let label = format!("{wanted}_{}", self.suffixes[index].1);
            if !self.is_taken(labels, &label) {
                return label;
            }
        }
    }
}

/// Whether a label that is neither a name nor a quantile may be sent as it is.
pub(super) fn is_finished(name: &str, value: &str) -> bool {
    !value.is_empty() && !name.starts_with("__") && name != QUANTILE && naming::is_label(name)
}

/// Makes relabelled labels such as may be sent: no empty values, legal and unique names, sorted.
/// False if there is no name, and so no series.
pub(super) fn finish(labels: &mut Vec<OwnedLabel>, conflicts: &mut Conflicts) -> bool {
    labels.retain(|(name, value)| !value.is_empty() && (name == NAME || !name.starts_with("__")));
    let Some((_, metric)) = labels.iter_mut().find(|(name, _)| name == NAME) else {
        conflicts.count(Conflict::NoName);
        return false;
    };
    if !naming::is_metric(metric) {
        *metric = naming::metric(metric);
        conflicts.count(Conflict::IllegalMetricName);
    }
    let mut illegal: Vec<OwnedLabel> =
        labels.extract_if(.., |(name, _)| !naming::is_label(name)).collect();
    illegal.sort_unstable();
    let mut names = Names { fixed: &[], suffixes: Vec::new() };
    for (name, value) in illegal {
        let legal = naming::label(&name);
        // `__` in front is Prometheus's own.
        let shown = legal.trim_start_matches('_');
        let legal = if legal.len() - shown.len() > 1 { format!("_{shown}") } else { legal };
        labels.push((names.free(labels, legal), value));
        conflicts.count(Conflict::IllegalLabelName);
    }
    labels.sort_unstable();
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owned(labels: &[(&str, &str)]) -> Vec<OwnedLabel> {
        labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn counted(conflicts: &Conflicts) -> Vec<(&'static str, u64)> {
        conflicts.counted().iter().map(|(conflict, count)| (conflict.name(), *count)).collect()
    }

    fn labels(
        naming: Naming,
        dimensions: &[(&str, &str)],
        extra: &[(&str, &str)],
    ) -> (Vec<OwnedLabel>, Vec<(&'static str, u64)>) {
        let dimensions: Vec<_> =
            dimensions.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        let reading = Reading {
            format: crate::decode::Format::Json,
            account: "1",
            region: "r",
            namespace: "AWS/X",
            metric: "M",
            unit: "",
            dimensions: &dimensions,
            start_ms: 0,
            end_ms: 0,
            count: None,
            sum: None,
            min: None,
            max: None,
            extended: &[],
        };
        let config = Config { naming, job: Some("j".to_owned()), ..Config::default() };
        let mut conflicts = Conflicts::default();
        let extra = owned(extra);
        let labels = of_identity(&config, &reading, &extra, &mut conflicts);
        let labels = labels.into_iter().map(|(name, value)| (name.into(), value.into()));
        let mut labels: Vec<OwnedLabel> = labels.collect();
        labels.sort_unstable();
        (labels, counted(&conflicts))
    }

    #[test]
    fn each_dialect_has_its_labels() {
        let dimensions = [("InstanceId", "i/1"), ("Load Balancer", "é"), ("Empty", "")];
        for (naming, wanted) in [
            (
                Naming::Yace,
                owned(&[
                    ("account_id", "1"),
                    ("dimension_InstanceId", "i/1"),
                    ("dimension_Load_Balancer", "é"),
                    ("job", "j"),
                    ("name", "global"),
                    ("namespace", "AWS/X"),
                    ("region", "r"),
                ]),
            ),
            (
                Naming::CloudwatchExporter,
                owned(&[
                    ("account_id", "1"),
                    ("instance_id", "i/1"),
                    ("job", "j"),
                    ("load_balancer", "é"),
                    ("region", "r"),
                ]),
            ),
            (
                Naming::Telegraf,
                owned(&[
                    ("InstanceId", "i/1"),
                    ("Load_Balancer", "é"),
                    ("account_id", "1"),
                    ("job", "j"),
                    ("region", "r"),
                ]),
            ),
            (
                Naming::Otel,
                owned(&[
                    ("InstanceId", "i/1"),
                    ("Load_Balancer", "é"),
                    ("MetricName", "M"),
                    ("Namespace", "AWS/X"),
                    ("account_id", "1"),
                    ("job", "j"),
                    ("region", "r"),
                ]),
            ),
        ] {
            assert_eq!(labels(naming, &dimensions, &[]), (wanted, vec![]), "{naming:?}");
        }
    }

    #[test]
    fn nothing_is_lost_where_names_meet() {
        let (found, conflicts) = labels(
            Naming::Telegraf,
            &[
                ("A-b", "second"),
                ("A_b", "first"),
                ("region", "d"),
                ("__name__", "n"),
                ("dimension_region", "taken"),
                ("A_b", "third"),
                ("stage", "d"),
            ],
            &[("stage", "e"), ("job", "e"), ("a-b", "e")],
        );
        let wanted = owned(&[
            ("A_b", "first"),
            ("a_b", "e"),
            ("account_id", "1"),
            ("attribute_job", "e"),
            ("dimension_A_b", "third"),
            ("dimension_A_b_2", "second"),
            ("dimension___name__", "n"),
            ("dimension_region", "taken"),
            ("dimension_region_2", "d"),
            ("dimension_stage", "d"),
            ("job", "j"),
            ("region", "r"),
            ("stage", "e"),
        ]);
        assert_eq!(found, wanted);
        assert_eq!(conflicts, [("reserved", 3), ("duplicate", 3)]);
    }

    #[test]
    fn the_order_of_dimensions_does_not_matter() {
        let dimensions = [("A.b", "1"), ("A-b", "2"), ("A_b", "3")];
        let reversed = [("A_b", "3"), ("A-b", "2"), ("A.b", "1")];
        for naming in [Naming::Yace, Naming::Telegraf] {
            assert_eq!(labels(naming, &dimensions, &[]), labels(naming, &reversed, &[]));
        }
        let (found, _) = labels(Naming::Yace, &dimensions, &[]);
        assert_eq!(
            found[1..4],
            owned(&[("dimension_A_b", "3"), ("dimension_A_b_2", "2"), ("dimension_A_b_3", "1"),])
        );
    }

    #[test]
    fn what_relabelling_leaves_is_made_legal() {
        let mut conflicts = Conflicts::default();
        let mut labels = owned(&[
            ("z", "1"),
            ("é-", "2"),
            ("_é", "3"),
            ("1a", "4"),
            ("__meta", "5"),
            ("empty", ""),
            ("_1a", "6"),
            ("__name__", "1é"),
        ]);
        assert!(finish(&mut labels, &mut conflicts));
        let wanted = owned(&[
            ("_", "3"),
            ("_1a", "6"),
            ("_1a_2", "4"),
            ("__2", "2"),
            ("__name__", "_1_"),
            ("z", "1"),
        ]);
        assert_eq!(labels, wanted);
        assert_eq!(counted(&conflicts), [("illegal_metric_name", 1), ("illegal_label_name", 3)]);
        let mut nameless = Conflicts::default();
        assert!(!finish(&mut owned(&[("a", "b"), ("__name__", "")]), &mut nameless));
        assert_eq!(counted(&nameless), [("no_name", 1)]);
    }

    #[test]
    fn values_do_not_decide_which_label_gets_a_name() {
        for (one, two) in [("1", "2"), ("2", "1")] {
            let given = [("a.b", one), ("a_b", "x"), ("a-b", two), ("__name__", "m")];
            let wanted = owned(&[("__name__", "m"), ("a_b", "x"), ("a_b_2", two), ("a_b_3", one)]);
            let mut reversed = owned(&given);
            reversed.reverse();
            for mut labels in [owned(&given), reversed] {
                assert!(finish(&mut labels, &mut Conflicts::default()));
                assert_eq!(labels, wanted);
            }
        }
    }
}
