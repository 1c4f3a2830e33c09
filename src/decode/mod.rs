//! BYTES TO READINGS. Pure: no clock, no lock, no I/O, no await, no log line.
//!
//! Decoding cannot fail as a whole: it yields readings and what was skipped, each in its place.
//! Only an envelope that cannot be opened fails a request.

pub mod reading;

pub use reading::{Format, Reading, Reason, Visit};
