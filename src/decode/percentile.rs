//! OpenTelemetry quantiles under CloudWatch's percentile names: 0.999 is `p99.9`.

use std::borrow::Cow;

#[rustfmt::skip]
const WHOLE: [&str; 101] = [
    "p0", "p1", "p2", "p3", "p4", "p5", "p6", "p7", "p8", "p9", "p10", "p11", "p12", "p13", "p14",
    "p15", "p16", "p17", "p18", "p19", "p20", "p21", "p22", "p23", "p24", "p25", "p26", "p27", "p28",
    "p29", "p30", "p31", "p32", "p33", "p34", "p35", "p36", "p37", "p38", "p39", "p40", "p41", "p42",
    "p43", "p44", "p45", "p46", "p47", "p48", "p49", "p50", "p51", "p52", "p53", "p54", "p55", "p56",
    "p57", "p58", "p59", "p60", "p61", "p62", "p63", "p64", "p65", "p66", "p67", "p68", "p69", "p70",
    "p71", "p72", "p73", "p74", "p75", "p76", "p77", "p78", "p79", "p80", "p81", "p82", "p83", "p84",
    "p85", "p86", "p87", "p88", "p89", "p90", "p91", "p92", "p93", "p94", "p95", "p96", "p97", "p98",
    "p99", "p100",
];

/// The name of a quantile within 0..=1; none for any other number.
pub(super) fn name(quantile: f64) -> Option<Cow<'static, str>> {
    if !(0.0..=1.0).contains(&quantile) {
        return None;
    }
    // The product only proposes: a division of whole numbers is rounded as the decimal text is, so
    // that equality proves the proposal.
    let percent = (quantile * 100.0).round();
    if percent / 100.0 == quantile {
        return WHOLE.get(percent as usize).map(|name| Cow::Borrowed(*name));
    }
    if quantile == 0.999 {
        return Some(Cow::Borrowed("p99.9"));
    }
    Some(Cow::Owned(computed(quantile).unwrap_or_else(|| shifted(quantile))))
}

/// What a percentile was before it was divided: 99.9 / 100 as doubles is 0.9990000000000001. The
/// proposal has ten decimals, and must lead back to the quantile.
fn computed(quantile: f64) -> Option<String> {
    let text = format!("{:.10}", quantile * 100.0);
    let text = text.trim_end_matches('0').trim_end_matches('.');
    let percent: f64 = text.parse().ok()?;
    let moved: f64 = format!("{text}e-2").parse().ok()?;
    // A whole percentile is not taken for another number's neighbour.
    let is_next = text.contains('.') && moved.to_bits().abs_diff(quantile.to_bits()) <= 1;
    let is_it = is_next || percent / 100.0 == quantile || percent * 0.01 == quantile;
    is_it.then(|| format!("p{text}"))
}

/// Multiplies by 100 in decimal text: 0.29 * 100 as doubles is 28.999999999999996.
fn shifted(quantile: f64) -> String {
    let text = quantile.to_string();
    let decimals = text.strip_prefix("0.").unwrap_or("0");
    let (whole, fraction) = decimals.split_at_checked(2).unwrap_or((decimals, ""));
    let whole = whole.trim_start_matches('0');
    let whole = if whole.is_empty() { "0" } else { whole };
    if fraction.is_empty() { format!("p{whole}") } else { format!("p{whole}.{fraction}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_made_of_the_decimal_text() {
        for (quantile, expected) in [
            (0.5, "p50"),
            (0.05, "p5"),
            (0.29, "p29"),
            (0.999, "p99.9"),
            (0.9999, "p99.99"),
            (0.995, "p99.5"),
            (0.001, "p0.1"),
            (0.010_000_000_001, "p1.0000000001"),
            (0.123_456_789_012, "p12.3456789012"),
            (1e-10, "p0.00000001"),
            (0.1 + 0.2, "p30.000000000000004"),
            (0.999_000_000_000_000_1, "p99.9"),
            (0.999_899_999_999_999_9, "p99.99"),
            (0.999_989_999_999_999_9, "p99.999"),
            (0.570_000_000_000_000_1, "p57"),
            (0.999_999_999_999_999_9, "p99.99999999999999"),
            (1e-15, "p0.0000000000001"),
        ] {
            assert_eq!(name(quantile).as_deref(), Some(expected), "{quantile}");
        }
        for quantile in [-0.1, 1.000_000_1, f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert_eq!(name(quantile), None, "{quantile}");
        }
        for percent in 1..100u32 {
            let quantile: f64 = format!("0.{percent:02}").parse().unwrap_or_default();
            assert_eq!(name(quantile), Some(format!("p{percent}").into()));
        }
        for thousandths in 1..100_000u32 {
            let percent = f64::from(thousandths) / 1000.0;
            for quantile in [percent / 100.0, percent * 0.01] {
                assert_eq!(name(quantile), Some(format!("p{percent}").into()), "{quantile}");
            }
        }
    }
}
