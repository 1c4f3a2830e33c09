//! SERIES TO THE REMOTE: encode, sign, send, judge, retry.

mod auth;
pub mod backoff;
mod cause;
mod client;
pub mod config;
pub mod credentials;
pub mod judge;
pub mod encode;
pub mod haul;
pub mod lane;
pub mod report;
pub mod metadata;
pub mod remote;
pub mod sign;

pub use config::Destination;
pub use judge::Verdict;
pub use remote::Remote;
