//! All integration tests, in one binary.

/// The configuration: every fault at once, every default, and no secret shown.
#[path = "it/config.rs"]
mod config;
