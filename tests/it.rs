//! All integration tests, in one binary.

/// Relabelling ends as it does in Prometheus, case by case.
#[path = "it/relabel_golden.rs"]
mod relabel_golden;
