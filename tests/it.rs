//! All integration tests, in one binary.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

/// What the tests of the mapping share.
#[path = "it/map_kit.rs"]
mod map_kit;

/// Data points become series: names, labels, values, statistics.
#[path = "it/map_series.rs"]
mod map_series;

/// Requests become batches: lanes, repeats, freshness, families, the series cache.
#[path = "it/map_batch.rs"]
mod map_batch;
