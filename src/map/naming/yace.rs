//! As YACE 0.67 names (`pkg/promutil`), and Grafana Cloud after it.

use super::{Statistic, lower, lower_char, suffixed};

/// `[aws_]<namespace>_<metric>`.
pub(super) fn stem(namespace: &str, metric: &str) -> String {
    let namespace = snake(&lower(namespace.strip_prefix('/').unwrap_or(namespace)));
    let metric = snake(metric);
    let prefix = if namespace.starts_with("aws") { "" } else { "aws_" };
    format!("{prefix}{namespace}_{}", without_namespace(&metric, &namespace))
}

/// `<stem>_<statistic>`.
pub(super) fn name(stem: &str, statistic: Statistic<'_>) -> String {
    suffixed(stem, &statistic.in_snake_case(snake))
}

/// `dimension_<Name>`, case kept. The original drops a dimension whose name is still illegal then;
/// here it is sanitised further.
pub(super) fn dimension(name: &str) -> String {
    let mut label = String::with_capacity("dimension_".len() + name.len());
    label.push_str("dimension_");
    for c in name.chars() {
        match c {
            '%' => label.push_str("_percent"),
            c if is_separator(c) => label.push('_'),
            c => label.push(c),
        }
    }
    label
}

/// Parts of the namespace that the metric's name repeats are cut from its front. The original has
/// no word boundaries and forgets earlier cuts; dashboards live with the names that this yields.
fn without_namespace<'a>(metric: &'a str, namespace: &str) -> &'a str {
    let mut skip = 0;
    for part in namespace.split('_') {
        if metric.as_bytes().get(skip..).is_some_and(|rest| rest.starts_with(part.as_bytes())) {
            skip = part.len();
        }
    }
    let rest = metric.get(skip..).unwrap_or(metric);
    rest.strip_prefix('_').unwrap_or(rest)
}

fn is_separator(c: char) -> bool {
    matches!(
        c,
        ' ' | ',' | '\t' | '/' | '\\' | '.' | '-' | ':' | '=' | '@' | '<' | '>' | '(' | ')' | '“'
    )
}

/// `PromString`: a capital after a small letter or a digit is split off, and nothing else is.
pub(super) fn snake(text: &str) -> String {
    let mut snake = String::with_capacity(text.len() + 8);
    let mut previous = '\0';
    for c in text.chars() {
        if c == '%' {
            snake.push_str("_percent");
        } else if is_separator(c) {
            snake.push('_');
        } else {
            if c.is_uppercase() && (previous.is_lowercase() || previous.is_ascii_digit()) {
                snake.push('_');
            }
            snake.push(lower_char(c));
        }
        previous = c;
    }
    snake
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capitals_split_only_after_small_letters_and_digits() {
        for (text, wanted) in [
            ("globalCache.size", "global_cache_size"),
            ("HTTPCode_Target_5XX", "httpcode_target_5_xx"),
            ("4xxErrors", "4xx_errors"),
            ("bytes-In@rate=<x>", "bytes_in_rate__x_"),
            ("TM(2%:98%)", "tm_2_percent_98_percent_"),
            ("a__B", "a__b"),
            ("½B", "½b"),
            ("“q", "_q"),
        ] {
            assert_eq!(snake(text), wanted, "{text}");
        }
    }

    #[test]
    fn the_namespace_is_cut_from_the_metric_as_in_the_original() {
        for (namespace, metric, wanted) in [
            ("My App/Custom-NS", "ApplicationErrors", "aws_my_app_custom_ns_lication_errors"),
            ("Glue", "glue.driver.x", "aws_glue_driver_x"),
            ("AWS/Kafka", "KafkaAppLogsDiskUsed", "aws_kafka_app_logs_disk_used"),
            ("awsome", "X", "awsome_x"),
            ("/", "X", "aws__x"),
            // The second cut is counted from the front again.
            ("ab/cde", "AbCdeF", "aws_ab_cde_cde_f"),
            ("a/b", "abc", "aws_a_b_bc"),
        ] {
            assert_eq!(stem(namespace, metric), wanted);
        }
    }

    #[test]
    fn dimensions_keep_their_case() {
        assert_eq!(dimension("InstanceId"), "dimension_InstanceId");
        assert_eq!(dimension("Free %: a"), "dimension_Free__percent__a");
    }
}
