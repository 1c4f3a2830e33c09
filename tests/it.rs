//! All integration tests, in one binary.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

/// Remote write as prost messages.
#[path = "it/prompb.rs"]
mod prompb;

/// Lanes between hand-made batches and a scripted receiver.
#[path = "it/lane_kit.rs"]
mod lane_kit;

/// Retry, split, isolation, age-out, deadlines and the books, in paused time.
#[path = "it/lane.rs"]
mod lane;
