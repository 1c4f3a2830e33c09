//! The load: bodies as Firehose sends them, of numbered data points.

use std::ops::Range;
use std::path::PathBuf;

use sluicegate::demo::stream::Format;

/// What the bodies are made of.
#[derive(Clone, Debug, clap::Args)]
pub struct Load {
    /// Format of the stream; all of them, body by body in turn, if left out.
    #[arg(long, value_enum)]
    pub format: Option<Format>,
    /// Data points of one body.
    #[arg(long, value_name = "N", default_value_t = 1000)]
    pub points_per_body: u32,
    /// Data points of one Firehose record.
    #[arg(long, value_name = "N", default_value_t = 12)]
    pub points_per_record: u32,
    /// Distinct CloudWatch metrics; the data points go round them. No less than a thousandth of the
    /// data points a second, or their timestamps run ahead of the clock.
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    pub metrics: u32,
    /// Namespaces that the metrics are spread over.
    #[arg(long, value_name = "N", default_value_t = 8)]
    pub namespaces: u32,
    /// Dimensions of each metric, besides the one that names the run.
    #[arg(long, value_name = "N", default_value_t = 2)]
    pub dimensions: u32,
    /// Extended statistics of every data point, such as p99; OpenTelemetry carries percentiles only.
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub extended: Vec<String>,
    /// Compression level of the bodies, 1 to 12; 0 sends them as they are.
    #[arg(long, value_name = "LEVEL", default_value_t = 1, value_parser = clap::value_parser!(u8).range(0..=12))]
    pub gzip: u8,
    /// Which metrics there are.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// Captured bodies to send instead, plain or gzip: files, or directories of them. Their data
    /// points are counted, but not numbered.
    #[arg(long, value_name = "PATH")]
    pub replay: Vec<PathBuf>,
}

/// One body, ready to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Body {
    /// Number of the request.
    pub number: u64,
    /// The request id in it, which goes into the header too.
    pub request_id: String,
    /// Numbers of its data points: each is the `sum` of one.
    pub points: Range<u64>,
    /// The body, compressed if it is to be.
    pub bytes: Vec<u8>,
}

impl Load {
    /// Whether the data points are numbered; captured ones are not.
    #[must_use]
    pub fn numbered(&self) -> bool {
        self.replay.is_empty()
    }

    /// Endless bodies of a run, from one number on. Two iterators of one run must not share numbers.
    ///
    /// # Errors
    /// If the options contradict each other, or a captured body cannot be read.
    pub fn bodies(&self, _run: &str, _first: u64) -> anyhow::Result<Bodies> {
        anyhow::bail!("not yet")
    }
}

/// Endless bodies.
#[derive(Debug)]
pub struct Bodies {}

impl Iterator for Bodies {
    type Item = Body;

    fn next(&mut self) -> Option<Body> {
        None
    }
}
