//! Durations and byte sizes as configuration files write them.

use std::time::Duration;

use serde::Serializer;

const DURATION_UNITS: [(&str, u64); 7] = [
    ("ms", 1),
    ("s", 1_000),
    ("m", 60_000),
    ("h", 3_600_000),
    ("d", 86_400_000),
    ("w", 604_800_000),
    ("y", 31_536_000_000),
];

/// Reads a duration as Prometheus writes it: `150s`, `1h30m`, `100ms`, `0`.
#[must_use]
pub fn parse_duration(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let mut rest = text;
    let mut total_ms = 0u64;
    let mut last_unit_ms = u64::MAX;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let number: u64 = rest.get(..digits)?.parse().ok()?;
        rest = rest.get(digits..)?;
        let letters = rest.bytes().take_while(u8::is_ascii_alphabetic).count();
        let name = rest.get(..letters)?;
        rest = rest.get(letters..)?;
        let &(_, unit_ms) = DURATION_UNITS.iter().find(|(unit, _)| *unit == name)?;
        if unit_ms >= last_unit_ms {
            return None;
        }
        last_unit_ms = unit_ms;
        total_ms = total_ms.checked_add(number.checked_mul(unit_ms)?)?;
    }
    Some(Duration::from_millis(total_ms))
}

/// Writes a duration so that [`parse_duration`] reads it back (whole milliseconds).
#[must_use]
pub fn format_duration(duration: Duration) -> String {
    let ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    match ms {
        0 => "0s".to_owned(),
        _ if ms % 3_600_000 == 0 => format!("{}h", ms / 3_600_000),
        _ if ms % 60_000 == 0 && ms > 600_000 => format!("{}m", ms / 60_000),
        _ if ms % 1_000 == 0 => format!("{}s", ms / 1_000),
        _ if ms > 1_000 => format!("{}s{}ms", ms / 1_000, ms % 1_000),
        _ => format!("{ms}ms"),
    }
}

const SIZE_UNITS: [(&str, u64); 8] = [
    ("", 1),
    ("B", 1),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
];

/// Reads a size in bytes: `256MiB`, `1MB`, `65536`.
#[must_use]
pub fn parse_bytes(text: &str) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let number: u64 = text.get(..digits)?.parse().ok()?;
    let unit = text.get(digits..)?.trim();
    let &(_, factor) = SIZE_UNITS.iter().find(|(name, _)| *name == unit)?;
    number.checked_mul(factor)
}

/// Writes a size so that [`parse_bytes`] reads it back.
#[must_use]
pub fn format_bytes(bytes: u64) -> String {
    match SIZE_UNITS[2..5]
        .iter()
        .rev()
        .find(|(_, factor)| bytes > 0 && bytes.is_multiple_of(*factor))
    {
        Some((name, factor)) => format!("{}{name}", bytes / factor),
        None => bytes.to_string(),
    }
}

/// `#[serde(serialize_with)]` for durations.
///
/// # Errors
/// Only the serializer's own.
pub fn show_duration<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&format_duration(*duration))
}

/// `#[serde(serialize_with)]` for durations that may be off.
///
/// # Errors
/// Only the serializer's own.
pub fn show_optional_duration<S: Serializer>(
    duration: &Option<Duration>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    show_duration(&duration.unwrap_or_default(), serializer)
}

/// `#[serde(serialize_with)]` for sizes.
///
/// # Errors
/// Only the serializer's own.
pub fn show_bytes<S: Serializer>(bytes: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&format_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_prometheus_writes_them() {
        for (text, ms) in [
            ("0", Some(0)),
            ("150s", Some(150_000)),
            ("1h30m", Some(5_400_000)),
            ("100ms", Some(100)),
            ("1m1s1ms", Some(61_001)),
            ("", None),
            ("5", None),
            ("s", None),
            ("1s1h", None),
            ("1s1s", None),
            ("-1s", None),
            ("1.5s", None),
            ("99999999999999999999s", None),
            ("9999999999999999999y", None),
        ] {
            assert_eq!(parse_duration(text), ms.map(Duration::from_millis), "{text:?}");
        }
    }

    #[test]
    fn sizes_read_back_as_they_are_written() {
        for (text, bytes) in [
            ("256MiB", Some(256 << 20)),
            ("1MB", Some(1_000_000)),
            ("65536", Some(65_536)),
            ("1 GiB", Some(1 << 30)),
            ("", None),
            ("MiB", None),
            ("1TiB", None),
            ("99999999999GiB", None),
        ] {
            assert_eq!(parse_bytes(text), bytes, "{text:?}");
        }
        for bytes in [0, 1, 1024, 1_000_000, 256 << 20, 3 << 30] {
            assert_eq!(parse_bytes(&format_bytes(bytes)), Some(bytes));
        }
        for ms in [0, 1, 999, 1_000, 1_500, 60_000, 150_000, 5_400_000, 7_200_000] {
            let duration = Duration::from_millis(ms);
            assert_eq!(parse_duration(&format_duration(duration)), Some(duration));
        }
    }
}
