//! Prometheus's text format, as far as a gateway's own metrics need it.

use std::collections::BTreeMap;

/// Values by series, as the series are written: `name{label="value"}`.
pub type Page = BTreeMap<String, f64>;

/// The series of a page whose name one of `names` is the beginning of.
#[must_use]
pub fn read(page: &str, names: &[&str]) -> Page {
    let lines = page.lines().filter(|line| names.iter().any(|name| line.starts_with(name)));
    lines.filter_map(|line| line.rsplit_once(' ')).filter_map(parse).collect()
}

fn parse((series, value): (&str, &str)) -> Option<(String, f64)> {
    Some((series.to_owned(), value.parse().ok()?))
}

/// The name of a series.
#[must_use]
pub fn name(series: &str) -> &str {
    series.split_once('{').map_or(series, |(name, _)| name)
}

/// The value of a label of a series. Values with escaped quotes are not for this.
#[must_use]
pub fn label<'a>(series: &'a str, label: &str) -> Option<&'a str> {
    let (_, labels) = series.split_once('{')?;
    let mut rest = labels.strip_suffix('}')?;
    while let Some((name, more)) = rest.split_once("=\"") {
        let (value, more) = more.split_once('"')?;
        if name == label {
            return Some(value);
        }
        rest = more.strip_prefix(',').unwrap_or(more);
    }
    None
}

/// The sum over all series of a name that have these labels.
#[must_use]
pub fn sum(page: &Page, wanted: &str, labels: &[(&str, &str)]) -> f64 {
    let has = |series: &str| labels.iter().all(|(name, value)| label(series, name) == Some(*value));
    page.iter()
        .filter(|(series, _)| name(series) == wanted && has(series))
        .map(|(_, value)| value)
        .sum()
}

/// The growth of a histogram's buckets from one page to another: upper bounds with what lies below
/// them, all series of it together, in order.
#[must_use]
pub fn buckets(before: &Page, after: &Page, histogram: &str) -> Vec<(f64, f64)> {
    let wanted = format!("{histogram}_bucket");
    let mut found: Vec<(f64, f64)> = Vec::new();
    for (series, value) in after.iter().filter(|(series, _)| name(series) == wanted) {
        let Some(bound) = label(series, "le").and_then(|bound| bound.parse::<f64>().ok()) else {
            continue;
        };
        let was = before.get(series).copied().unwrap_or_default();
        // A smaller value is that of a process that was started again.
        let growth = if *value < was { *value } else { value - was };
        match found.iter_mut().find(|(other, _)| *other == bound) {
            Some((_, count)) => *count += growth,
            None => found.push((bound, growth)),
        }
    }
    found.sort_by(|one, other| one.0.total_cmp(&other.0));
    found
}

/// A quantile of buckets, in a straight line within one, as `histogram_quantile` has it; none
/// without observations.
#[must_use]
pub fn quantile(buckets: &[(f64, f64)], quantile: f64) -> Option<f64> {
    let (_, all) = *buckets.last()?;
    if all <= 0.0 {
        return None;
    }
    let rank = all * quantile;
    let place = buckets.iter().position(|(_, below)| *below >= rank)?;
    let (upper, below) = *buckets.get(place)?;
    let (lower, before) =
        place.checked_sub(1).and_then(|place| buckets.get(place)).copied().unwrap_or_default();
    if upper.is_infinite() {
        return Some(lower);
    }
    Some(if below > before {
        lower + (upper - lower) * (rank - before) / (below - before)
    } else {
        upper
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "# HELP a x\n# TYPE a counter\na{code=\"200\",d=\"x\"} 3\na{code=\"503\",d=\"x\"} 4\n\
                        ab 7\nh_bucket{n=\"p\",le=\"1\"} 2\nh_bucket{n=\"p\",le=\"5\"} 6\n\
                        h_bucket{n=\"p\",le=\"+Inf\"} 8\nh_bucket{n=\"q\",le=\"1\"} 2\nh_sum 5.5\n";

    #[test]
    fn a_page_is_read_and_added_up() {
        let page = read(PAGE, &["a", "h_"]);
        assert_eq!(sum(&page, "a", &[]), 7.0);
        assert_eq!(sum(&page, "a", &[("code", "503")]), 4.0);
        assert_eq!(sum(&page, "ab", &[]), 7.0);
        assert_eq!(page.get("h_sum"), Some(&5.5));
        assert!(read(PAGE, &["h_"]).keys().all(|series| series.starts_with("h_")));
    }

    #[test]
    fn quantiles_are_those_of_what_came_between_two_pages() {
        let after = read(PAGE, &["h_"]);
        let found = buckets(&Page::new(), &after, "h");
        assert_eq!(found, [(1.0, 4.0), (5.0, 6.0), (f64::INFINITY, 8.0)]);
        assert_eq!(quantile(&found, 0.5), Some(1.0));
        assert_eq!(quantile(&found, 0.625), Some(3.0));
        assert_eq!(
            quantile(&found, 0.99),
            Some(5.0),
            "what is beyond the last bound is at least that"
        );
        assert_eq!(quantile(&buckets(&after, &after, "h"), 0.5), None);
    }
}
