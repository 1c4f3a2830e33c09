//! What is fuzzed: everything that reads bytes from outside. A target takes any bytes, and panics
//! where a promise is broken.
//!
//! libFuzzer runs them (`fuzz/run`), and the tests replay the corpus through them and mutate it for a
//! few seconds (`tests/it/fuzz.rs`).

pub mod answers;
pub mod base64;
pub mod config;
pub mod door;
pub mod envelope;
pub mod glimpse;
pub mod gzip;
pub mod json;
pub mod otlp;
pub mod relabel;
pub mod write;

// What inputs and oracles are made of.
mod collected;
mod otlp_model;
pub mod rules;
mod tree;

/// One target.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// The name of its corpus and of its libFuzzer program.
    pub name: &'static str,
    /// Takes any bytes; panics if a promise is broken.
    pub run: fn(&[u8]),
}

/// Every target.
pub const ALL: [Target; 11] = [
    Target { name: "answers", run: answers::run },
    Target { name: "base64", run: base64::run },
    Target { name: "config", run: config::run },
    Target { name: "door", run: door::run },
    Target { name: "envelope", run: envelope::run },
    Target { name: "glimpse", run: glimpse::run },
    Target { name: "gzip", run: gzip::run },
    Target { name: "json", run: json::run },
    Target { name: "otlp", run: otlp::run },
    Target { name: "relabel", run: relabel::run },
    Target { name: "write", run: write::run },
];
