//! SERIES TO THE REMOTE: encode, sign, send, judge, retry.

pub mod config;
pub mod judge;

pub use config::Destination;
