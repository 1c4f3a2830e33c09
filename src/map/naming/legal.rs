//! Which names Prometheus takes, and how any text becomes one.
//!
//! Metric names: `[a-zA-Z_:][a-zA-Z0-9_:]*`; label names: `[a-zA-Z_][a-zA-Z0-9_]*`
//! (Prometheus data model; AMP takes no others).

/// Whether a metric name is legal.
pub(in crate::map) fn is_metric(name: &str) -> bool {
    is_legal(name, true)
}

/// Whether a label name is legal.
pub(in crate::map) fn is_label(name: &str) -> bool {
    is_legal(name, false)
}

/// A legal metric name: each illegal character becomes `_`, a leading digit gets one before it.
pub(in crate::map) fn metric(name: &str) -> String {
    sanitised(name, true)
}

/// A legal label name, by the same rule.
pub(in crate::map) fn label(name: &str) -> String {
    sanitised(name, false)
}

pub(super) fn is_legal_char(c: char, colon: bool) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || (colon && c == ':')
}

fn is_legal(name: &str, colon: bool) -> bool {
    // What is not ASCII is not legal, nor is any byte of it.
    let is_legal = |byte: u8| is_legal_char(char::from(byte), colon);
    !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.bytes().all(is_legal)
}

fn sanitised(name: &str, colon: bool) -> String {
    let mut legal = String::with_capacity(name.len() + 1);
    if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
        legal.push('_');
    }
    legal.extend(name.chars().map(|c| if is_legal_char(c, colon) { c } else { '_' }));
    legal
}
