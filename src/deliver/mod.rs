//! SERIES TO THE REMOTE: encode, sign, send, judge, retry.

pub mod backoff;
mod cause;
pub mod config;
pub mod credentials;
pub mod judge;
pub mod sign;

pub use config::Destination;
