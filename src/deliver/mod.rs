//! SERIES TO THE REMOTE: encode, sign, send, judge, retry.

pub mod config;
pub mod judge;
pub mod encode;
pub mod haul;
pub mod lane;
pub mod report;

pub use config::Destination;
