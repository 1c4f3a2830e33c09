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
pub mod unpack;
mod worker;
mod again;
mod slices;
mod skips;
mod reply;
mod health;
mod books;
mod panics;
pub mod listener;
mod connection;
mod repoll;
mod places;
mod activity;
pub mod tls;
mod turns;
mod any_certificate;

pub use auth::{KeyFault, Keys};
pub use config::{
    AccessKey, ClientAuth, Config, KeySource, OnUndecodable, TlsConfig, TlsVersion,
    key_part_bytes_max,
};
pub use health::{Health, health_routes};
pub use http::Door;
pub use listener::{Limits, serve};
pub use rules::Rules;
pub use tls::{Tls, TlsFault};
