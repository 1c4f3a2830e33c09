//! Which statistics of a metric become series.

use super::config::{Config, Statistics};

/// What the first rule that matches says, or the global choice.
pub(super) fn chosen(config: &Config, namespace: &str, metric: &str) -> Statistics {
    config
        .statistics_rules
        .iter()
        .find(|rule| matches(&rule.namespace, namespace) && matches(&rule.metric, metric))
        .map_or(config.statistics, |rule| rule.statistics)
}

/// Whether all of a text matches a glob of `*` (any run) and `?` (any one character).
fn matches(glob: &str, text: &str) -> bool {
    let (mut glob, mut text) = (glob.chars(), text.chars());
    // Where to go on if what follows the last `*` does not match: the `*` takes one more.
    let mut retry = None;
    loop {
        let before = glob.clone();
        match (glob.next(), text.clone().next()) {
            (Some('*'), _) => retry = Some((before, text.clone())),
            (Some(g), Some(t)) if g == '?' || g == t => {
                text.next();
            }
            (None, None) => return true,
            _ => {
                let Some((star, mut rest)) = retry.clone() else { return false };
                if rest.next().is_none() {
                    return false;
                }
                (glob, text) = (star, rest);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs_match_whole_texts() {
        for (glob, text, wanted) in [
            ("", "", true),
            ("", "a", false),
            ("*", "", true),
            ("*", "AWS/EC2", true),
            ("AWS/*", "AWS/EC2", true),
            ("AWS/*", "XAWS/EC2", false),
            ("*EC2", "AWS/EC2", true),
            ("*EC2", "AWS/EC2x", false),
            ("A*/*2", "AWS/EC2", true),
            ("*a*ab", "aaaab", true),
            ("AWS/EC?", "AWS/EC2", true),
            ("AWS/EC?", "AWS/EC", false),
            ("?", "é", true),
            ("aws/*", "AWS/EC2", false),
        ] {
            assert_eq!(matches(glob, text), wanted, "{glob:?} {text:?}");
        }
    }
}
