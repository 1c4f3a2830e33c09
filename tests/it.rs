//! All integration tests, in one binary.

/// A front of Amazon Managed Service for Prometheus that verifies signatures and bodies itself.
#[path = "it/amp_front.rs"]
mod amp_front;
/// What each answer of a receiver means: the table, and the answers of real receivers replayed.
#[path = "it/deliver_judge.rs"]
mod deliver_judge;
/// Requests to one destination: signatures, other proofs, faults, metadata.
#[path = "it/deliver_remote.rs"]
mod deliver_remote;
/// TLS with certificates of one's own.
#[path = "it/deliver_tls.rs"]
mod deliver_tls;
/// Credentials that rotate, expire and fail, in paused time.
#[path = "it/deliver_credentials.rs"]
mod deliver_credentials;
