//! As the Java `cloudwatch_exporter` names (`CloudWatchCollector`).

use super::{Statistic, legal::is_legal_char, lower, suffixed};

/// Metrics of DynamoDB that exist for tables and for their indexes under one name.
const AMBIGUOUS: [&str; 6] = [
    "ConsumedReadCapacityUnits",
    "ConsumedWriteCapacityUnits",
    "ProvisionedReadCapacityUnits",
    "ProvisionedWriteCapacityUnits",
    "ReadThrottleEvents",
    "WriteThrottleEvents",
];

/// `<namespace>_<metric>`; `_index` follows on what DynamoDB says of a secondary index.
pub(super) fn stem<'a>(
    namespace: &str,
    metric: &str,
    mut dimensions: impl Iterator<Item = &'a str>,
) -> String {
    let mut stem = safe(&format!("{}_{}", lower(namespace), snake(metric)), true);
    if namespace == "AWS/DynamoDB"
        && AMBIGUOUS.contains(&metric)
        && dimensions.any(|name| name == "GlobalSecondaryIndexName")
    {
        stem.push_str("_index");
    }
    stem
}

/// `<stem>_<statistic>`: the parts are made safe one by one, so that `__` can stand between.
pub(super) fn name(stem: &str, statistic: Statistic<'_>) -> String {
    suffixed(stem, &statistic.in_snake_case(|name| safe(&snake(name), true)))
}

/// Snake case, no prefix.
pub(super) fn dimension(name: &str) -> String {
    safe(&snake(name), false)
}

/// The sanitised namespace, e.g. `aws_ec2`.
pub(super) fn job(namespace: &str) -> String {
    safe(&lower(namespace), true)
}

/// `([a-z0-9])([A-Z])` -> `$1_$2`, then lower case.
pub(super) fn snake(text: &str) -> String {
    let mut snake = String::with_capacity(text.len() + 8);
    let mut previous = '\0';
    for c in text.chars() {
        if c.is_ascii_uppercase() && (previous.is_ascii_lowercase() || previous.is_ascii_digit()) {
            snake.push('_');
        }
        snake.push(c);
        previous = c;
    }
    lower(&snake)
}

/// Other characters become `_`, and runs of `_` one.
fn safe(text: &str, colon: bool) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        let c = if is_legal_char(c, colon) { c } else { '_' };
        if c != '_' || !safe.ends_with('_') {
            safe.push(c);
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indexes_of_dynamodb_have_names_of_their_own() {
        let index = || ["TableName", "GlobalSecondaryIndexName"].into_iter();
        assert_eq!(
            stem("AWS/DynamoDB", "ReadThrottleEvents", index()),
            "aws_dynamodb_read_throttle_events_index"
        );
        assert_eq!(stem("AWS/DynamoDB", "SystemErrors", index()), "aws_dynamodb_system_errors");
        assert_eq!(
            stem("AWS/DynamoDB", "ReadThrottleEvents", ["TableName"].into_iter()),
            "aws_dynamodb_read_throttle_events"
        );
    }

    #[test]
    fn dimensions_are_snake_case() {
        assert_eq!(dimension("DBInstanceIdentifier"), "dbinstance_identifier");
        assert_eq!(dimension("Load  Balancer:x"), "load_balancer_x");
        assert_eq!(job("My App/X"), "my_app_x");
    }
}
