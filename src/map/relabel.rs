//! Relabelling with Prometheus's semantics.

use serde::Serialize;

/// One finished relabelling rule: it cannot be wrong any more.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Rule {}
