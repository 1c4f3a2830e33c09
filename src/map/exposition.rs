//! Finished samples as Prometheus exposition text, for people: `explain`, the demo and the tests.

use crate::sample::Sample;

/// The labels of encoded label bytes (see [`crate::sample::Sample::labels`]), in their order.
#[must_use]
pub fn labels(pieces: [&[u8]; 3]) -> Vec<(String, String)> {
    let bytes = pieces.concat();
    let mut rest = bytes.as_slice();
    let mut labels = Vec::new();
    while let Some((label, after)) = field(rest) {
        rest = after;
        let Some((name, value)) = field(label) else { break };
        // An empty string may be left out of protobuf.
        let value = field(value).map_or(&[][..], |(value, _)| value);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        labels.push((text(name), text(value)));
    }
    labels
}

/// One sample as a line without its end: `name{label="value"} 1.5 1760000040000`.
#[must_use]
pub fn line(sample: &Sample<'_>) -> String {
    let labels = labels(sample.labels);
    let value = match sample.value {
        value if value.is_nan() => "NaN".to_owned(),
        f64::INFINITY => "+Inf".to_owned(),
        f64::NEG_INFINITY => "-Inf".to_owned(),
        value => value.to_string(),
    };
    format!("{} {value} {}", series(&labels), sample.timestamp_ms)
}

/// A series: `name{label="value"}`.
#[must_use]
pub fn series(labels: &[(String, String)]) -> String {
    let name = labels.iter().find(|(name, _)| name == "__name__").map_or("", |(_, name)| name);
    let labels: Vec<String> = labels
        .iter()
        .filter(|(name, _)| name != "__name__")
        .map(|(name, value)| format!("{name}=\"{}\"", escaped(value)))
        .collect();
    if labels.is_empty() { name.to_owned() } else { format!("{name}{{{}}}", labels.join(",")) }
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

/// The content of the length-delimited field at the beginning, and what follows it.
fn field(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut len = 0usize;
    for (i, byte) in bytes.get(1..)?.iter().take(5).enumerate() {
        len |= usize::from(byte & 0x7f) << (7 * i);
        if byte & 0x80 == 0 {
            return bytes.get(i + 2..)?.split_at_checked(len);
        }
    }
    None
}
