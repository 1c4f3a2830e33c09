//! As the OpenTelemetry Collector's remote-write exporter names (`prometheus/otlptranslator`, with
//! unit suffixes) what CloudWatch sends as `amazonaws.com/<namespace>/<metric>`.

use std::borrow::Cow;

use super::{Statistic, is_label, suffixed};

/// The name's tokens, and the unit's unless they are among them.
pub(super) fn stem(namespace: &str, metric: &str, unit: &str) -> String {
    let name = format!("amazonaws.com/{namespace}/{metric}");
    let mut tokens = tokens(&name).collect::<Vec<_>>();
    let (main, per) = unit_suffixes(unit);
    let mut main = if tokens.contains(&main.as_str()) { String::new() } else { main };
    let mut per = per;
    if per == "per_" {
        per.clear();
    } else {
        per.truncate(per.strip_suffix('_').map_or(per.len(), str::len));
        if tokens.contains(&per.as_str()) {
            per.clear();
        }
    }
    if !per.is_empty() {
        main.truncate(main.strip_suffix('_').map_or(main.len(), str::len));
    }
    tokens.extend([main.as_str(), per.as_str()].into_iter().filter(|token| !token.is_empty()));
    tokens.join("_")
}

/// `_sum` and `_count`; minimum, maximum and percentiles are quantiles. The original has neither
/// the average nor other statistics: `_average`, `_IQM`, `_TM_10_percent:90_percent`. (`p100` is the maximum and
/// `p0` the minimum: one series, as CloudWatch defines them and the original has it.)
pub(super) fn name(stem: &str, statistic: Statistic<'_>) -> (String, Option<Cow<'static, str>>) {
    let suffixed = |suffix: &str| (suffixed(stem, suffix), None);
    match statistic {
        Statistic::Sum => suffixed("sum"),
        Statistic::SampleCount => suffixed("count"),
        Statistic::Average => suffixed("average"),
        Statistic::Minimum => (stem.to_owned(), Some("0".into())),
        Statistic::Maximum => (stem.to_owned(), Some("1".into())),
        Statistic::Extended(name) => match quantile(name) {
            Some(quantile) => (stem.to_owned(), Some(quantile.into())),
            None => {
                let name = name.replace('%', "_percent");
                suffixed(&tokens(&name).collect::<Vec<_>>().join("_"))
            }
        },
    }
}

/// A flat label per dimension, sanitised as the original sanitises attributes. (The original has
/// all of them in one label of JSON, `Dimensions`, by which nothing can be selected.)
pub(super) fn dimension(name: &str) -> Cow<'_, str> {
    if is_label(name) && !name.starts_with('_') {
        return name.into();
    }
    let legal = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' });
    let label: String = legal.collect();
    if label.starts_with(|c: char| c.is_ascii_digit()) {
        format!("key_{label}").into()
    } else if label.starts_with('_') && !label.starts_with("__") {
        format!("key{label}").into()
    } else {
        label.into()
    }
}

fn tokens(name: &str) -> impl Iterator<Item = &str> {
    name.split(|c: char| !is_token(c)).filter(|token| !token.is_empty())
}

fn is_token(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == ':'
}

/// `p99.9` -> `0.999`, by moving the point: no rounding.
fn quantile(name: &str) -> Option<String> {
    let (whole, fraction) = name.strip_prefix('p')?.split_once('.').unwrap_or((name.get(1..)?, ""));
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(fraction) {
        return None;
    }
    let whole = whole.trim_start_matches('0');
    let fraction = fraction.trim_end_matches('0');
    match (whole.len(), fraction.is_empty()) {
        (0, true) => Some("0".to_owned()),
        (0..=2, _) => Some(format!("0.{whole:0>2}{fraction}").trim_end_matches('0').to_owned()),
        (3, true) if whole == "100" => Some("1".to_owned()),
        _ => None,
    }
}

/// CloudWatch's `StandardUnit` as its OpenTelemetry formats write it; others are as they came.
fn code(unit: &str) -> &str {
    match unit {
        "Seconds" => "s",
        "Milliseconds" => "ms",
        "Microseconds" => "us",
        "Percent" => "%",
        "Bytes" => "By",
        "Kilobytes" => "kBy",
        "Megabytes" => "MBy",
        "Gigabytes" => "GBy",
        "Terabytes" => "TBy",
        "Bits" => "bit",
        "Kilobits" => "kbit",
        "Megabits" => "MBit",
        "Gigabits" => "GBit",
        "Terabits" => "Tbit",
        "Count" => "{Count}",
        "None" => "1",
        other => other,
    }
}

fn unit_suffixes(unit: &str) -> (String, String) {
    let (main, per) = match unit.strip_suffix("/Second") {
        Some(main) => (code(main), "s"),
        None => code(unit).split_once('/').unwrap_or((code(unit), "")),
    };
    let is_annotation = |part: &str| part.contains(['{', '}']);
    let (main, per) = (main.trim(), per.trim());
    let main = match main {
        _ if is_annotation(main) => "",
        "d" => "days",
        "h" => "hours",
        "min" => "minutes",
        "s" => "seconds",
        "ms" => "milliseconds",
        "us" => "microseconds",
        "ns" => "nanoseconds",
        "By" => "bytes",
        "KiBy" => "kibibytes",
        "MiBy" => "mebibytes",
        "GiBy" => "gibibytes",
        "TiBy" => "tibibytes",
        "KBy" => "kilobytes",
        "MBy" => "megabytes",
        "GBy" => "gigabytes",
        "TBy" => "terabytes",
        "m" => "meters",
        "V" => "volts",
        "A" => "amperes",
        "J" => "joules",
        "W" => "watts",
        "g" => "grams",
        "Cel" => "celsius",
        "Hz" => "hertz",
        "1" => "",
        "%" => "percent",
        other => other,
    };
    let per = match per {
        _ if is_annotation(per) => "",
        "s" => "second",
        "m" => "minute",
        "h" => "hour",
        "d" => "day",
        "w" => "week",
        "mo" => "month",
        "y" => "year",
        other => other,
    };
    let per = if per.is_empty() { String::new() } else { cleaned(&format!("per_{per}")) };
    (cleaned(main), per)
}

/// Other characters as `_`, runs of `_` as one, none in front.
fn cleaned(unit: &str) -> String {
    let mut cleaned = String::with_capacity(unit.len());
    for c in unit.chars() {
        let c = if is_token(c) { c } else { '_' };
        if c != '_' || !(cleaned.is_empty() || cleaned.ends_with('_')) {
            cleaned.push(c);
        }
    }
    cleaned
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_follow_unless_the_name_has_them() {
        for (metric, unit, wanted) in [
            ("X", "Bytes/Second", "X_bytes_per_second"),
            ("X", "Kilobytes", "X_kBy"),
            ("X", "Kilobytes/Second", "X_kBy_per_second"),
            ("X", "Bits", "X_bit"),
            ("X", "Megabits/Second", "X_MBit_per_second"),
            ("X", "Gigabytes", "X_gigabytes"),
            ("X", "Count/Second", "X_per_second"),
            ("X", "Count", "X"),
            ("X", "None", "X"),
            ("X", "", "X"),
            ("X", "NoneTranslated", "X_NoneTranslated"),
            ("X", "{a}/{b}", "X"),
            ("X", "a b/", "X_a_b"),
            ("X", "_a__b_/h", "X_a_b_per_hour"),
            ("x_seconds", "Seconds", "x_seconds"),
            ("x seconds max", "Seconds", "x_seconds_max"),
            ("free.%", "Percent", "free_percent"),
            ("4xx", "Count", "4xx"),
        ] {
            let wanted = format!("amazonaws_com_N_{wanted}");
            assert_eq!(stem("N", metric, unit), wanted, "{metric} {unit}");
        }
    }

    #[test]
    fn percentiles_are_quantiles() {
        for (name, wanted) in [
            ("p99", Some("0.99")),
            ("p99.9", Some("0.999")),
            ("p99.90", Some("0.999")),
            ("p50", Some("0.5")),
            ("p5", Some("0.05")),
            ("p0.1", Some("0.001")),
            ("p0", Some("0")),
            ("p100", Some("1")),
            ("p100.1", None),
            ("p101", None),
            ("p", None),
            ("p9a", None),
            ("pé", None),
            ("IQM", None),
        ] {
            assert_eq!(quantile(name).as_deref(), wanted, "{name}");
        }
    }

    #[test]
    fn labels_start_as_the_translator_lets_them() {
        for (name, wanted) in [
            ("InstanceId", "InstanceId"),
            ("a.b-c", "a_b_c"),
            ("1a", "key_1a"),
            ("_a", "key_a"),
            ("__a", "__a"),
        ] {
            assert_eq!(dimension(name), wanted);
        }
    }
}
