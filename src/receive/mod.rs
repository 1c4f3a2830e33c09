//! THE DOOR: HTTP, access keys, admission, replies. Read `http` first.

pub mod config;
pub mod http;
mod head;
mod auth;
mod attributes;
mod admission;
mod unread;
pub mod unpack;
mod worker;
mod slices;
mod skips;
mod reply;
mod health;
mod books;
mod panics;
pub mod listener;
mod activity;

pub use config::{AccessKey, Config, KeySource, OnUndecodable};
pub use health::{Health, health_routes};
pub use http::{Door, DoorFault};
pub use listener::{Limits, serve};
