//! All integration tests, in one binary.

/// What each answer of a receiver means: the table, and the answers of real receivers replayed.
#[path = "it/deliver_judge.rs"]
mod deliver_judge;
