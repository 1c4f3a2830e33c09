//! Which statistics of a metric become series.

use super::config::{Config, Statistics};
use crate::glob::matches;

/// What the first rule that matches says, or the global choice.
pub(super) fn chosen(config: &Config, namespace: &str, metric: &str) -> Statistics {
    config
        .statistics_rules
        .iter()
        .find(|rule| matches(&rule.namespace, namespace) && matches(&rule.metric, metric))
        .map_or(config.statistics, |rule| rule.statistics)
}
