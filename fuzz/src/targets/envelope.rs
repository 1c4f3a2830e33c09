//! A request's body, held against serde_json and the base64 of [`super::base64`].

use sluicegate::decode::envelope::{self, Envelope, RECORDS_MAX};

use super::base64::strict;
use super::tree::{Tree, is_refused_on_purpose};

/// How deep values that nobody looks into may nest.
const DEPTH_MAX: u32 = 64;

/// What has to come out of a body.
#[derive(Debug, PartialEq)]
struct Expected<'a> {
    request_id: &'a str,
    timestamp: Option<&'a Tree>,
    records: Vec<Option<Vec<u8>>>,
}

/// Opens the bytes as a body and decodes every record.
pub fn run(data: &[u8]) {
    let opened = envelope::open(data);
    match serde_json::from_slice::<Tree>(data) {
        Ok(tree) => match (expected(&tree), &opened) {
            (Some(expected), Ok(envelope)) => same(&expected, envelope),
            (None, Err(fault)) => assert!(fault.to_string().len() < 200),
            (expected, _) => panic!("expected {expected:?}, got {opened:?}"),
        },
        Err(error) if is_refused_on_purpose(&error) => {}
        Err(error) => assert!(opened.is_err(), "serde_json: {error}; got {opened:?}"),
    }
    // Whatever is in it, each record decodes or fails alone.
    let mut scratch = Vec::new();
    for record in opened.iter().flat_map(|envelope| &envelope.records) {
        let _ = record.decode(&mut scratch);
    }
    assert!(scratch.len() <= data.len());
}

fn same(expected: &Expected<'_>, envelope: &Envelope<'_>) {
    assert_eq!(envelope.request_id, expected.request_id);
    match expected.timestamp {
        Some(Tree::Number(_, Some(whole))) => assert_eq!(envelope.timestamp_ms, Some(*whole)),
        // A negative zero is a whole number to one and none to the other.
        Some(Tree::Number(number, None)) if *number == 0.0 => {}
        _ => assert_eq!(envelope.timestamp_ms, None),
    }
    let mut scratch = Vec::new();
    assert_eq!(envelope.records.len(), expected.records.len());
    for (record, expected) in envelope.records.iter().zip(&expected.records) {
        assert_eq!(record.decode(&mut scratch).ok(), expected.as_deref(), "{record:?}");
    }
}

fn expected(tree: &Tree) -> Option<Expected<'_>> {
    let Tree::Map(entries) = tree else { return None };
    for (key, value) in entries {
        let deep = match value {
            Tree::List(items) if key == "records" => items.iter().any(is_record_too_deep),
            value => value.depth() > DEPTH_MAX,
        };
        if deep {
            return None;
        }
    }
    let (Some(Tree::Text(request_id)), Some(Tree::List(items))) =
        (tree.get("requestId"), tree.get("records"))
    else {
        return None;
    };
    let records = items.iter().map(|item| match item.get("data") {
        Some(Tree::Text(text)) => strict(text.as_bytes()),
        _ => None,
    });
    let records: Vec<_> = records.collect();
    let timestamp = tree.get("timestamp");
    (records.len() <= RECORDS_MAX).then_some(Expected { request_id, timestamp, records })
}

fn is_record_too_deep(item: &Tree) -> bool {
    match item {
        Tree::Map(entries) => entries.iter().any(|(_, value)| value.depth() > DEPTH_MAX),
        other => other.depth() > DEPTH_MAX,
    }
}
