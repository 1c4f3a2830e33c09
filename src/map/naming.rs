//! Names: from CloudWatch's namespace, metric, statistic and dimensions to those of a dialect.
//!
//! Each dialect names what its original names exactly as that does. What the original cannot send
//! (marked below) gets a name in its style, so that nothing is lost. In the end every name is legal.

mod cloudwatch_exporter;
mod legal;
mod otel;
mod telegraf;
mod yace;

use std::borrow::Cow;

use super::config::Naming;

pub(super) use legal::{is_label, is_metric, label, metric};

/// One statistic of a data point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Statistic<'a> {
    Sum,
    Minimum,
    Maximum,
    SampleCount,
    Average,
    /// By its CloudWatch name, e.g. `p99.9`.
    Extended(&'a str),
}

impl<'a> Statistic<'a> {
    /// CloudWatch's API name in snake case, by a dialect's own rule where it comes from outside.
    fn in_snake_case(self, rule: impl FnOnce(&str) -> String) -> Cow<'static, str> {
        Cow::Borrowed(match self {
            Self::Sum => "sum",
            Self::Minimum => "minimum",
            Self::Maximum => "maximum",
            Self::SampleCount => "sample_count",
            Self::Average => "average",
            Self::Extended(name) => return Cow::Owned(rule(name)),
        })
    }
}

/// The name of a series, with the `quantile` label that the otel dialect adds to some.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Named {
    pub(super) name: String,
    pub(super) quantile: Option<Cow<'static, str>>,
}

/// The part of an identity's names that its statistics share.
#[derive(Debug)]
pub(super) struct Stem {
    naming: Naming,
    text: String,
    is_legal: bool,
}

impl Stem {
    /// Names an identity. `dimensions` are the names of its dimensions.
    pub(super) fn new<'a>(
        naming: Naming,
        namespace: &str,
        metric: &str,
        unit: &str,
        dimensions: impl Iterator<Item = &'a str>,
    ) -> Self {
        let text = match naming {
            Naming::Yace => yace::stem(namespace, metric),
            Naming::CloudwatchExporter => cloudwatch_exporter::stem(namespace, metric, dimensions),
            Naming::Telegraf => telegraf::stem(namespace, metric),
            Naming::Otel => otel::stem(namespace, metric, unit),
        };
        let is_legal = is_metric(&text);
        Self { naming, text, is_legal }
    }

    /// Names one of its statistics.
    pub(super) fn named(&self, statistic: Statistic<'_>) -> Named {
        let stem = &self.text;
        let (name, quantile) = match self.naming {
            Naming::Yace => (yace::name(stem, statistic), None),
            Naming::CloudwatchExporter => (cloudwatch_exporter::name(stem, statistic), None),
            Naming::Telegraf => (telegraf::name(stem, statistic), None),
            Naming::Otel => otel::name(stem, statistic),
        };
        // What is appended for a plain statistic is legal.
        let is_legal = self.is_legal && !matches!(statistic, Statistic::Extended(_));
        let name = if is_legal || is_metric(&name) { name } else { metric(&name) };
        Named { name, quantile }
    }
}

/// The label of a dimension: legal, but not yet checked against other labels.
pub(super) fn dimension(naming: Naming, name: &str) -> Cow<'_, str> {
    let text = match naming {
        Naming::Yace => yace::dimension(name).into(),
        Naming::CloudwatchExporter => cloudwatch_exporter::dimension(name).into(),
        Naming::Telegraf => telegraf::dimension(name),
        Naming::Otel => otel::dimension(name),
    };
    if is_label(&text) { text } else { label(&text).into() }
}

/// The `job` label where the configuration says nothing of it.
pub(super) fn job(naming: Naming, namespace: &str) -> Cow<'static, str> {
    match naming.job() {
        Some(job) => job.into(),
        None => cloudwatch_exporter::job(namespace).into(),
    }
}

/// Stem and suffix with `_` between them.
fn suffixed(stem: &str, suffix: &str) -> String {
    let mut name = String::with_capacity(stem.len() + 1 + suffix.len());
    name.push_str(stem);
    name.push('_');
    name.push_str(suffix);
    name
}

/// Lower case, one character for one, as Go's `strings.ToLower` maps.
fn lower(text: &str) -> String {
    text.chars().map(lower_char).collect()
}

fn lower_char(c: char) -> char {
    if c.is_ascii() {
        return c.to_ascii_lowercase();
    }
    c.to_lowercase().next().unwrap_or(c)
}

#[cfg(test)]
#[allow(clippy::panic)]
mod tests {
    use super::*;

    #[test]
    fn names_as_the_table_has_them() {
        let table = include_str!("../../tests/fixtures/naming-golden.tsv");
        let mut checked = 0;
        for line in table.lines().skip(1) {
            let cells: Vec<&str> = line.split('\t').collect();
            let [namespace, metric, unit, _, statistic, wanted @ ..] = cells.as_slice() else {
                panic!("{line}");
            };
            let statistic = match *statistic {
                "Sum" => Statistic::Sum,
                "Minimum" => Statistic::Minimum,
                "Maximum" => Statistic::Maximum,
                "SampleCount" => Statistic::SampleCount,
                "Average" => Statistic::Average,
                name => Statistic::Extended(name),
            };
            let dialects =
                [Naming::Yace, Naming::CloudwatchExporter, Naming::Telegraf, Naming::Otel];
            assert_eq!(wanted.len(), dialects.len(), "{line}");
            for (naming, wanted) in dialects.into_iter().zip(wanted) {
                let stem = Stem::new(naming, namespace, metric, unit, std::iter::empty());
                let Named { mut name, quantile } = stem.named(statistic);
                assert!(is_metric(&name), "{name}");
                if let Some(quantile) = quantile {
                    name.push_str(&format!("{{quantile=\"{quantile}\"}}"));
                }
                if *wanted != "-" {
                    assert_eq!(name, *wanted, "{naming:?} {line}");
                    checked += 1;
                }
            }
        }
        assert!(checked > 250, "{checked}");
    }

    #[test]
    fn plain_statistics_stand_ready_in_snake_case() {
        for (statistic, name) in [
            (Statistic::Sum, "Sum"),
            (Statistic::Minimum, "Minimum"),
            (Statistic::Maximum, "Maximum"),
            (Statistic::SampleCount, "SampleCount"),
            (Statistic::Average, "Average"),
        ] {
            for rule in [yace::snake, cloudwatch_exporter::snake] {
                assert_eq!(statistic.in_snake_case(rule), rule(name));
            }
        }
    }

    #[test]
    fn what_the_originals_lack_has_a_name_in_their_style() {
        for (naming, statistic, wanted, quantile) in [
            (Naming::Telegraf, Statistic::Average, "aws_ec2_cpuutilization_average", None),
            (Naming::Telegraf, Statistic::Extended("p99.9"), "aws_ec2_cpuutilization_p99_9", None),
            (
                Naming::Otel,
                Statistic::Average,
                "amazonaws_com_AWS_EC2_CPUUtilization_percent_average",
                None,
            ),
            (
                Naming::Otel,
                Statistic::Extended("IQM"),
                "amazonaws_com_AWS_EC2_CPUUtilization_percent_IQM",
                None,
            ),
            (
                Naming::Otel,
                Statistic::Extended("TM(:90%)"),
                "amazonaws_com_AWS_EC2_CPUUtilization_percent_TM_:90_percent",
                None,
            ),
            (
                Naming::Otel,
                Statistic::Extended("p0.5"),
                "amazonaws_com_AWS_EC2_CPUUtilization_percent",
                Some("0.005"),
            ),
        ] {
            let stem =
                Stem::new(naming, "AWS/EC2", "CPUUtilization", "Percent", std::iter::empty());
            let named = stem.named(statistic);
            assert_eq!((named.name.as_str(), named.quantile.as_deref()), (wanted, quantile));
        }
    }
}
