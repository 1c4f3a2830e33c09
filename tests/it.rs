//! All integration tests, in one binary.

/// The demo's Firehose keeps the documented delivery, validation and retry rules.
#[path = "it/demo_firehose.rs"]
mod demo_firehose;
/// The demo's records decode by independent means to the data points that were put in.
#[path = "it/demo_stream.rs"]
mod demo_stream;
/// The demo's receiver counts what comes, and the books find every sample that does not fit.
#[path = "it/demo_books.rs"]
mod demo_books;
/// The demo as a whole: the real gateway between the demo's two ends.
#[path = "it/demo_run.rs"]
mod demo_run;
