//! THE DOOR: HTTP, access keys, admission, replies. Read `http` first.

pub mod config;
pub mod http;
mod rules;
mod head;
mod auth;
mod account;
mod attributes;
mod admission;
mod unread;
mod unpack;
mod worker;
mod slices;
mod skips;
mod reply;
mod health;
mod books;
mod panics;
pub mod listener;
mod activity;

pub use config::{AccessKey, Config, KeySource, OnUndecodable, key_part_bytes_max};
pub use health::{Health, health_routes};
pub use http::Door;
pub use listener::{Limits, serve};
pub use rules::{DoorFault, Rules};
