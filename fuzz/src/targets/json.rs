//! CloudWatch's JSON lines, held against serde_json and the documented rules.

use serde_json::Deserializer;
use sluicegate::decode::{DIMENSIONS_MAX, Reason};
use sluicegate::sample::slot::EXTENDED_MAX;

use super::collected::{self, Owned, Piece};
use super::tree::{Tree, is_refused_on_purpose};

/// How deep values that nobody looks into may nest in a line.
const DEPTH_MAX: u32 = 4;
/// Objects may go on over lines for so long; inputs are kept shorter.
const REACH_BYTES: usize = 64 << 10;

/// Decodes the bytes as a record, and as the text of a number.
pub fn run(data: &[u8]) {
    number(data);
    let pieces = collected::record(data);
    // Nothing that begins like this is anything but JSON.
    let Ok(text) = std::str::from_utf8(data) else { return };
    if !text.starts_with("{\"") || text.len() > REACH_BYTES {
        return;
    }
    let Some(expected) = lines(text) else { return };
    assert_eq!(pieces.len(), expected.len(), "\n{pieces:?}\n{expected:?}");
    for (piece, expected) in pieces.iter().zip(&expected) {
        assert!(same(piece, expected), "\n{piece:?}\n{expected:?}");
    }
}

/// serde_json may be wrong in the last bits of a number with many digits.
fn near(one: f64, other: f64) -> bool {
    one == other || one.to_bits().abs_diff(other.to_bits()) <= 4
}

fn same(piece: &Piece, expected: &Piece) -> bool {
    let (Ok(one), Ok(other)) = (piece, expected) else {
        return piece.as_ref() == expected.as_ref();
    };
    let plain = one.plain.iter().zip(&other.plain).all(|pair| match pair {
        (Some(one), Some(other)) => near(*one, *other),
        (one, other) => one.is_none() && other.is_none(),
    });
    let extended = one.extended.iter().zip(&other.extended);
    let extended = one.extended.len() == other.extended.len()
        && extended.into_iter().all(|(a, b)| a.0 == b.0 && near(a.1, b.1));
    let bare = |owned: &Owned| Owned { plain: [None; 4], extended: Vec::new(), ..owned.clone() };
    plain && extended && bare(one) == bare(other)
}

/// The text as a sum: rounded to the bit as the standard library does it.
fn number(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let digits = |c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.' | 'e' | 'E');
    if text.is_empty() || text.len() > 400 || !text.chars().all(digits) {
        return;
    }
    let record = format!(
        "{{\"namespace\":\"N\",\"metric_name\":\"M\",\"timestamp\":1,\"value\":{{\"sum\":{text}}}}}"
    );
    let sum = collected::record(record.as_bytes())
        .into_iter()
        .find_map(|piece| piece.ok()?.plain[1])
        .map(f64::to_bits);
    // Without reading the value: serde_json calls numbers that round to the largest one too large.
    let legal = serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok();
    let expected = text.parse::<f64>().ok().filter(|value| legal && value.is_finite());
    assert_eq!(sum, expected.map(f64::to_bits), "{text}");
}

/// What has to come of lines; none where serde_json cannot say.
fn lines(text: &str) -> Option<Vec<Piece>> {
    let mut pieces = Vec::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches([' ', '\t', '\n', '\r']);
        if rest.is_empty() {
            return Some(pieces);
        }
        if rest.starts_with('{') {
            let mut objects = Deserializer::from_str(rest).into_iter::<Tree>();
            match objects.next() {
                Some(Ok(tree)) if is_flat_enough(&tree) => {
                    pieces.push(reading(&tree));
                    rest = &rest[objects.byte_offset()..];
                    continue;
                }
                Some(Err(error)) if is_refused_on_purpose(&error) => return None,
                _ => {}
            }
        }
        pieces.push(Err(Reason::Json));
        rest = rest.find('\n').map_or("", |at| &rest[at..]);
    }
}

fn is_flat_enough(tree: &Tree) -> bool {
    let Tree::Map(entries) = tree else { return false };
    entries.iter().all(|(key, value)| match (key.as_str(), value) {
        ("dimensions" | "value", Tree::Map(inner)) => {
            inner.iter().all(|(_, value)| value.depth() <= DEPTH_MAX)
        }
        _ => value.depth() <= DEPTH_MAX,
    })
}

/// A field that is missing or `null` is none.
fn given<'t>(tree: &'t Tree, key: &str) -> Option<&'t Tree> {
    tree.get(key).filter(|value| **value != Tree::Null)
}

fn text(value: &Tree) -> Result<String, Reason> {
    match value {
        Tree::Text(text) => Ok(text.clone()),
        _ => Err(Reason::Field),
    }
}

fn optional(tree: &Tree, key: &str) -> Result<String, Reason> {
    given(tree, key).map_or(Ok(String::new()), text)
}

fn reading(tree: &Tree) -> Piece {
    let [namespace, metric, value] =
        ["namespace", "metric_name", "value"].map(|key| given(tree, key));
    if namespace.is_none() && metric.is_none() && value.is_none() {
        return Err(Reason::ForeignJson);
    }
    let (Some(namespace), Some(metric), Some(Tree::Map(value))) = (namespace, metric, value) else {
        return Err(Reason::Field);
    };
    let (namespace, metric) = (text(namespace)?, text(metric)?);
    let Some(Tree::Number(start_ms, _)) = given(tree, "timestamp") else {
        return Err(Reason::Field);
    };
    let dimensions = match given(tree, "dimensions") {
        None => Vec::new(),
        Some(Tree::Map(entries)) if entries.len() <= DIMENSIONS_MAX => {
            let pair = |(name, value): &(String, Tree)| Ok((name.clone(), text(value)?));
            entries.iter().map(pair).collect::<Result<_, _>>()?
        }
        Some(_) => return Err(Reason::Field),
    };
    let mut plain = [None; 4];
    let mut extended: Vec<(String, f64)> = Vec::new();
    let mut too_many = false;
    for (name, value) in value {
        let value = match value {
            Tree::Number(number, _) => Some(*number),
            Tree::Null => None,
            _ => return Err(Reason::Field),
        };
        match ["count", "sum", "min", "max"].iter().position(|known| known == name) {
            Some(at) => plain[at] = value,
            None => {
                extended.retain(|(known, _)| known != name);
                too_many |= value.is_some() && extended.len() == EXTENDED_MAX;
                extended.extend(value.map(|value| (name.clone(), value)));
                extended.truncate(EXTENDED_MAX);
            }
        }
    }
    let empty = extended.is_empty() && plain.iter().all(Option::is_none);
    if namespace.is_empty() || metric.is_empty() || empty {
        return Err(Reason::Field);
    }
    let (account, region) = (optional(tree, "account_id")?, optional(tree, "region")?);
    let unit = optional(tree, "unit")?;
    if start_ms.fract() != 0.0 || !(1.0..=253_402_300_799_999.0).contains(start_ms) {
        return Err(Reason::Timestamp);
    }
    if too_many {
        return Err(Reason::Statistic);
    }
    let start_ms = *start_ms as i64;
    Ok(Owned {
        format: "json",
        account,
        region,
        namespace,
        metric,
        unit,
        dimensions,
        start_ms,
        end_ms: start_ms + 60_000,
        plain,
        extended,
    })
}
