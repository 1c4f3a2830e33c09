//! READINGS TO SERIES. Pure: no clock, no I/O, no await, no log line.

pub mod config;
pub mod relabel;

pub use config::{Config, Naming, Outlet, Plan, Statistics, StatisticsRule, Timestamp};
