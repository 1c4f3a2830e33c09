//! THE DOOR: HTTP, access keys, admission, replies. Read `http` first.

pub mod config;
pub mod http;
mod head;
mod auth;
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
mod connection;
mod places;
mod activity;
pub mod tls;
mod any_certificate;

pub use config::{AccessKey, ClientAuth, Config, KeySource, OnUndecodable, TlsConfig, TlsVersion};
pub use health::{Health, health_routes};
pub use http::{Door, DoorFault};
pub use listener::{Limits, serve};
pub use tls::{Tls, TlsFault};
