//! Sluicegate: CloudWatch Metric Streams in through Amazon Data Firehose's HTTP delivery,
//! Prometheus remote write out, and nothing lost between.
//!
//! The modules stand in the order in which a sample meets them. ARCHITECTURE.md has the map, the
//! invariants and the decisions.

// The door: HTTP, access keys, admission, replies.
pub mod receive;
// Bytes to readings; pure.
pub mod decode;
// Readings to series; pure.
pub mod map;
// The waist: the byte budget, the lanes, the acknowledgement.
pub mod queue;
// Series to the remote: encode, sign, send, judge, retry.
pub mod deliver;

// What walks through the house, and the leaves that every room may use.
pub mod sample;
pub mod units;
pub mod glob;
pub mod meters;
pub mod secret;
pub mod seldom;
pub mod tasks;
pub mod watched;

// The house around the rooms: no room knows any of these.
pub mod config;
pub mod telemetry;
pub mod pipeline;
pub mod demo;
pub mod cli;
