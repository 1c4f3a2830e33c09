//! As Telegraf's `cloudwatch_metric_streams` input names, sanitised as its Prometheus serializers
//! sanitise.

use std::borrow::Cow;

use super::{Statistic, is_label, is_metric, legal::is_legal_char, lower, suffixed};

/// The measurement: lower case, `/` as `_`. Other characters are looked at with the field's name.
pub(super) fn stem(namespace: &str, metric: &str) -> String {
    lower(&format!("{}_{metric}", namespace.replace('/', "_")))
}

/// `<measurement>_<field>`. The original has no average: `_average`. Further statistics are fields
/// under their own names, case kept, as its code has it; what is illegal in them does not touch the
/// measurement, which all fields share.
pub(super) fn name(stem: &str, statistic: Statistic<'_>) -> String {
    let field = match statistic {
        Statistic::Sum => "sum",
        Statistic::Minimum => "min",
        Statistic::Maximum => "max",
        Statistic::SampleCount => "count",
        Statistic::Average => "average",
        Statistic::Extended(name) => &extended(name),
    };
    let name = suffixed(stem, field);
    if is_metric(&name) { name } else { sanitised(&name, true) }
}

/// `%` is spelled out: `TM(:90)` and `TM(:90%)` are two statistics.
fn extended(name: &str) -> String {
    let name = name.replace('%', "_percent");
    if name.chars().all(|c| is_legal_char(c, true)) {
        return name;
    }
    let legal = |c| if is_legal_char(c, true) { c } else { '_' };
    name.chars().map(legal).collect::<String>().trim_matches('_').to_owned()
}

/// The dimension's own name.
pub(super) fn dimension(name: &str) -> Cow<'_, str> {
    if is_label(name) { name.into() } else { sanitised(name, false).into() }
}

/// An illegal first character goes, others become `_`, and `_` at the ends go. Only illegal names
/// come here: `_x` stays what it is.
fn sanitised(name: &str, colon: bool) -> String {
    let mut chars = name.chars();
    let first = chars.next().filter(|c| is_legal_char(*c, colon) && !c.is_ascii_digit());
    let rest = chars.map(|c| if is_legal_char(c, colon) { c } else { '_' });
    let legal: String = first.into_iter().chain(rest).collect();
    legal.trim_matches('_').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_illegal_names_are_trimmed() {
        for (namespace, metric, wanted) in [
            ("/aws/x", "Y", "_aws_x_y_sum"),
            ("/aws/x", "Y z", "aws_x_y_z_sum"),
            ("1st", "Y", "st_y_sum"),
            ("a:b", "Y", "a:b_y_sum"),
            ("ÄB", "é%", "b____sum"),
        ] {
            assert_eq!(name(&stem(namespace, metric), Statistic::Sum), wanted);
        }
        for (stem, statistic, wanted) in [
            ("a", "TM(10%:90%)", "a_TM_10_percent:90_percent"),
            ("a", "TM(:90%)", "a_TM_:90_percent"),
            ("a", "TM(:90)", "a_TM_:90"),
            ("_aws_x_y", "p99.9", "_aws_x_y_p99_9"),
            ("_aws_x_y", "IQM", "_aws_x_y_IQM"),
            ("_aws_x_y z", "p99.9", "aws_x_y_z_p99_9"),
        ] {
            assert_eq!(name(stem, Statistic::Extended(statistic)), wanted);
        }
        assert_eq!(dimension("_Load Balancer "), "Load_Balancer");
        assert_eq!(dimension("LoadBalancer"), "LoadBalancer");
    }
}
