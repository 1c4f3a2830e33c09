//! All integration tests, in one binary.

/// Decode: every fact of the stream formats has a fixture; records in, one line per reading out.
#[path = "it/decode_fixtures.rs"]
mod decode_fixtures;

/// Decode: generated input, held against serde_json and prost; damage costs no more than it must.
#[path = "it/decode_oracle.rs"]
mod decode_oracle;

/// Decode: what OTLP allows beyond what CloudWatch is known to send, and its damage.
#[path = "it/decode_otlp.rs"]
mod decode_otlp;
