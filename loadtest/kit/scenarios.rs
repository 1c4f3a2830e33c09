//! The scenarios, one file per family.

pub mod plain;
pub mod ramp;
pub mod bodies;
pub mod destinations;
pub mod clients;
pub mod rolling;
pub mod sizing;
