//! SERIES TO THE REMOTE: encode, sign, send, judge, retry.

pub mod config;

pub use config::Destination;
