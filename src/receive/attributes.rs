//! Common attributes of a Firehose stream (`X-Amz-Firehose-Common-Attributes`): those that the
//! configuration lists become labels.

use std::collections::BTreeMap;

use serde::Deserialize;

#[derive(Deserialize)]
struct Header {
    #[serde(rename = "commonAttributes")]
    common_attributes: BTreeMap<String, String>,
}

/// The listed attributes that the header has, as labels, sorted by name. Of two attributes with one
/// sanitised name the first listed wins.
///
/// # Errors
/// With a text if the header is not what Firehose sends. Labels make up a series, so without them
/// samples would land in another one.
pub(super) fn labels(
    header: Option<&[u8]>,
    listed: &[String],
) -> Result<Vec<(String, String)>, String> {
    let (Some(header), false) = (header, listed.is_empty()) else { return Ok(Vec::new()) };
    let attributes = serde_json::from_slice::<Header>(header)
        .map_err(|error| format!("the common attributes are not as Firehose sends them: {error}"))?
        .common_attributes;
    let mut labels: BTreeMap<String, String> = BTreeMap::new();
    for name in listed {
        if let Some(value) = attributes.get(name) {
            labels.entry(sanitised(name)).or_insert_with(|| value.clone());
        }
    }
    Ok(labels.into_iter().collect())
}

/// A legal label name: `[a-zA-Z_][a-zA-Z0-9_]*`.
fn sanitised(name: &str) -> String {
    let mut label = String::with_capacity(name.len() + 1);
    if name.starts_with(|first: char| first.is_ascii_digit()) || name.is_empty() {
        label.push('_');
    }
    label.extend(name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }));
    label
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn listed_attributes_become_labels() {
        let header = br#"{"commonAttributes":{"env":"prod","team-x":"a","team.x":"b","9":"n"}}"#;
        let listed = ["team.x", "team-x", "env", "absent", "9"].map(str::to_owned);
        let labels = labels(Some(header), &listed).unwrap();
        let expected = [("_9", "n"), ("env", "prod"), ("team_x", "b")];
        assert_eq!(labels, expected.map(|(k, v)| (k.to_owned(), v.to_owned())));
    }

    #[test]
    fn the_header_is_looked_at_only_where_something_is_listed() {
        assert_eq!(labels(Some(b"nonsense"), &[]), Ok(Vec::new()));
        assert_eq!(labels(None, &["env".to_owned()]), Ok(Vec::new()));
        for bad in [&b"nonsense"[..], b"{}", br#"{"commonAttributes":{"a":1}}"#, b"\xff"] {
            assert!(labels(Some(bad), &["env".to_owned()]).is_err());
        }
    }
}
