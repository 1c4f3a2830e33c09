//! THE DOOR: HTTP, access keys, admission, replies. Read `http` first.

pub mod config;

pub use config::{AccessKey, Config, KeySource, OnUndecodable};
