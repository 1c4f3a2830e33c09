//! SERIES TO THE REMOTE: encode, sign, send, judge, retry.

pub mod config;
// One courier's work.
pub mod courier;
pub mod haul;
pub mod window;
pub mod encode;
mod block;
pub mod backoff;
pub mod report;
// One destination's HTTP.
pub mod remote;
mod client;
mod auth;
pub mod sign;
mod skew;
pub mod credentials;
mod cause;
pub mod judge;
// What goes beside the samples.
pub mod metadata;

pub use config::Destination;
pub use courier::{Courier, Orders, Witnesses};
pub use judge::Verdict;
pub use remote::Remote;
pub use report::Report;
