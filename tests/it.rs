//! All integration tests, in one binary.

/// Imports, sizes and names of the sources, and what the README says of the code.
#[path = "it/architecture.rs"]
mod architecture;
/// A real Prometheus: the harness, and that it tells the truth.
#[path = "it/prometheus.rs"]
mod prometheus;
