//! READINGS TO SERIES. Pure: no clock, no I/O, no await, no log line.
//!
//! A reading's identity (who it is, without time and values) is looked up by its raw bytes. A known
//! one has its series ready: named, labelled, relabelled, sorted, encoded. An unknown one is made
//! once and kept within the memory that the configuration allows.

// What the mapping is told.
pub mod config;
pub mod exposition;
pub mod relabel;

// A request's readings in, a batch out.
mod mapper;
mod mapping;
mod gathered;
mod fresh;
mod families;
// What a reading is looked up by, and the memory of what is known.
mod key;
mod cache;
mod places;
// The making of an identity: statistics, names, labels, bytes.
mod statistics;
mod naming;
mod labels;
mod render;
mod siblings;
mod encode;
// How many series there may be.
mod series_limit;
mod known_table;
// Order and repeats within a request.
mod repeats;

pub use cache::CacheStats;
pub use config::{
    Config, LimitKind, Naming, Outlet, Plan, SeriesLimit, Statistics, StatisticsRule, Timestamp,
};
pub use labels::Conflict;
pub use mapper::Mapper;
pub use mapping::{Mapped, Mapping, Slice};
pub use series_limit::Limited;
