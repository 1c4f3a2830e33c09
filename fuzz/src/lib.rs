//! The fuzz targets as a library, for the programs in `fuzz_targets/`.
//!
//! Some parts are the tests' own; they are found here under the same names as there.

#![allow(clippy::unwrap_used, clippy::panic, dead_code, unreachable_pub)]

pub mod targets;

#[path = "../../tests/it/prompb.rs"]
mod prompb;
#[path = "../../tests/it/receive_door.rs"]
mod receive_door;
