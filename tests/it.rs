//! All integration tests, in one binary.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

/// A door with lanes behind it, and the checker that every answer has to pass.
#[path = "it/receive_door.rs"]
mod receive_door;
/// Every row of the status table, and what a request leaves behind.
#[path = "it/receive_answers.rs"]
mod receive_answers;
/// Who may come in: keys, their rotation, their sources.
#[path = "it/receive_keys.rs"]
mod receive_keys;
/// Bodies of every size and kind, and what they may cost.
#[path = "it/receive_bodies.rs"]
mod receive_bodies;
/// The door behind a real listener: connections, their limits, and their ends.
#[path = "it/receive_wire.rs"]
mod receive_wire;
/// Decode: every fact of the stream formats has a fixture; records in, one line per reading out.
#[path = "it/decode_fixtures.rs"]
mod decode_fixtures;

/// Decode: generated input, held against serde_json and prost; damage costs no more than it must.
#[path = "it/decode_oracle.rs"]
mod decode_oracle;

/// Decode: what OTLP allows beyond what CloudWatch is known to send, and its damage.
#[path = "it/decode_otlp.rs"]
mod decode_otlp;

/// What the tests of the mapping share.
#[path = "it/map_kit.rs"]
mod map_kit;

/// Data points become series: names, labels, values, statistics.
#[path = "it/map_series.rs"]
mod map_series;

/// Requests become batches: lanes, repeats, freshness, families, the series cache.
#[path = "it/map_batch.rs"]
mod map_batch;
/// Relabelling ends as it does in Prometheus, case by case.
#[path = "it/relabel_golden.rs"]
mod relabel_golden;
