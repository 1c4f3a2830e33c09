//! The load: bodies as Firehose sends them, of numbered data points.

use std::ops::Range;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, ensure};
use base64_simd::STANDARD;
use libdeflater::{CompressionLvl, Compressor};
use sluicegate::decode::envelope::RECORDS_MAX;
use sluicegate::demo::stream::Format;

mod decimal;
mod json;
mod metrics;
mod opentelemetry;
mod replay;
pub mod request_id;

use metrics::Population;
pub use metrics::RUN_DIMENSION;
use replay::Captured;
use request_id::RequestIds;

/// Bytes that one record may have before base64 (Firehose's limit).
const RECORD_BYTES_MAX: usize = 1_024_000;

/// Number of the first data point: a sum of 0 would be left out of protobuf, and no receiver could
/// tell it from a missing one.
const POINT_FIRST: u64 = 1;

/// Sums are exact below this: 2^53.
const POINTS_MAX: u64 = 1 << 53;

/// What the metrics' periods last.
const PERIOD_MS: u64 = 60_000;

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

    /// The same load with about as many data points a body as fit into `bytes` before compression,
    /// in no more records than Firehose allows.
    ///
    /// # Errors
    /// As [`Self::bodies`].
    pub fn sized(&self, bytes: usize) -> anyhow::Result<Self> {
        const PROBE: u32 = 3_000;
        ensure!(self.numbered(), "captured bodies have the size that they have");
        let formats = if self.format.is_some() { 1 } else { Format::ALL.len() };
        let mut points = PROBE;
        loop {
            let least = points.div_ceil(u32::try_from(RECORDS_MAX).unwrap_or(u32::MAX));
            let sized = Self {
                points_per_body: points,
                points_per_record: self.points_per_record.max(least),
                ..self.clone()
            };
            // The longest numbers, so that no body outgrows the size.
            let probe = Self { gzip: 0, metrics: self.metrics.min(PROBE), ..sized.clone() };
            let bodies = probe.bodies("0123456789ab", POINTS_MAX / 2 / u64::from(points))?;
            let size = bodies.take(formats).map(|body| body.bytes.len()).max().unwrap_or(1);
            // From the first guess on, it only becomes smaller.
            let fit = bytes as u64 * u64::from(points) / size.max(1) as u64;
            if size <= bytes && (points != PROBE || fit <= u64::from(PROBE)) {
                return Ok(sized);
            }
            let fewer = if points == PROBE { fit } else { fit.min(u64::from(points) - 1) };
            points = u32::try_from(fewer).context("no body can be so large")?;
            ensure!(points > 0, "no data point fits into {bytes} bytes");
        }
    }

    /// Data points that a captured body has on average, at least one.
    ///
    /// # Errors
    /// If a captured body cannot be read.
    pub fn captured_points_per_body(&self) -> anyhow::Result<u32> {
        let mean = Captured::read(&self.replay)?.points_per_body();
        u32::try_from(mean.max(1)).context("too many data points")
    }

    /// Endless bodies of a run, from one number on. Two iterators of one run must not share numbers.
    ///
    /// # Errors
    /// If the options contradict each other, or a captured body cannot be read.
    pub fn bodies(&self, run: &str, first: u64) -> anyhow::Result<Bodies> {
        let level = match self.gzip {
            0 => None,
            level => Some(CompressionLvl::new(i32::from(level)).ok().context("no such level")?),
        };
        let source = if self.numbered() {
            Source::Made(Made::new(self, run)?)
        } else {
            Source::Captured(Captured::read(&self.replay)?)
        };
        Ok(Bodies {
            ids: RequestIds::of(run),
            number: first,
            source,
            gzip: level.map(Compressor::new),
            plain: Vec::new(),
        })
    }
}

/// Endless bodies.
pub struct Bodies {
    ids: RequestIds,
    number: u64,
    source: Source,
    gzip: Option<Compressor>,
    plain: Vec<u8>,
}

enum Source {
    Made(Made),
    Captured(Captured),
}

impl Iterator for Bodies {
    type Item = Body;

    /// None only after 2^53 data points.
    fn next(&mut self) -> Option<Body> {
        let number = self.number;
        self.number += 1;
        let request_id = self.ids.id(number);
        let now_ms = now_ms();
        self.plain.clear();
        let body = &mut self.plain;
        body.extend_from_slice(b"{\"requestId\":\"");
        body.extend_from_slice(request_id.as_bytes());
        body.extend_from_slice(format!("\",\"timestamp\":{now_ms},\"records\":[").as_bytes());
        let points = match &mut self.source {
            Source::Made(made) => made.records(number, now_ms, body)?,
            Source::Captured(captured) => captured.records(number, body),
        };
        body.extend_from_slice(b"]}");
        let bytes = match &mut self.gzip {
            None => self.plain.clone(),
            Some(gzip) => {
                let mut bytes = vec![0; gzip.gzip_compress_bound(self.plain.len())];
                // The bound is one.
                let length = gzip.gzip_compress(&self.plain, &mut bytes).ok()?;
                bytes.truncate(length);
                bytes
            }
        };
        Some(Body { number, request_id, points, bytes })
    }
}

/// Milliseconds since 1970.
fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or_default()
}

/// Appends one record to a list of them.
fn put_record(record: &[u8], body: &mut Vec<u8>) {
    if body.last() != Some(&b'[') {
        body.push(b',');
    }
    body.extend_from_slice(b"{\"data\":\"");
    STANDARD.encode_append(record, body);
    body.extend_from_slice(b"\"}");
}

/// Makes numbered data points, each body of one format.
struct Made {
    points_per_body: u64,
    points_per_record: usize,
    metrics: u64,
    writers: Vec<Writer>,
    clock: Clock,
    record: Vec<u8>,
}

enum Writer {
    Lines(json::Lines),
    Messages(opentelemetry::Messages),
}

impl Made {
    fn new(load: &Load, run: &str) -> anyhow::Result<Self> {
        ensure!(load.points_per_body > 0, "a body has no data points");
        ensure!(load.points_per_record > 0, "a record has no data points");
        let records = load.points_per_body.div_ceil(load.points_per_record) as usize;
        ensure!(
            records <= RECORDS_MAX,
            "a body would have {records} records, and may have {RECORDS_MAX}: \
             more data points a record are needed"
        );
        let population = Population::new(load, run)?;
        let formats = load.format.map_or(Format::ALL.to_vec(), |format| vec![format]);
        let writers: Vec<_> = formats
            .into_iter()
            .map(|format| match format {
                Format::Json => Writer::Lines(json::Lines::of(&population)),
                Format::OpenTelemetry07 | Format::OpenTelemetry10 => {
                    Writer::Messages(opentelemetry::Messages::of(&population, format))
                }
            })
            .collect();
        for writer in &writers {
            let bytes = load.points_per_record as usize
                * match writer {
                    Writer::Lines(lines) => lines.bytes_max(),
                    Writer::Messages(messages) => messages.bytes_max(),
                };
            ensure!(bytes <= RECORD_BYTES_MAX, "a record would have up to {bytes} bytes");
        }
        Ok(Self {
            points_per_body: u64::from(load.points_per_body),
            points_per_record: load.points_per_record as usize,
            metrics: u64::from(load.metrics),
            writers,
            clock: Clock::default(),
            record: Vec::new(),
        })
    }

    /// Writes the records of a body; none if the numbers have run out.
    fn records(&mut self, number: u64, now_ms: u64, body: &mut Vec<u8>) -> Option<Range<u64>> {
        let first = number.checked_mul(self.points_per_body)?.checked_add(POINT_FIRST)?;
        let end = first.checked_add(self.points_per_body).filter(|end| *end <= POINTS_MAX)?;
        self.clock.is(now_ms.saturating_sub(PERIOD_MS));
        let turn = usize::try_from(number % self.writers.len() as u64).unwrap_or_default();
        let writer = self.writers.get_mut(turn)?;
        for start in (first..end).step_by(self.points_per_record) {
            let some = start..end.min(start + self.points_per_record as u64);
            self.record.clear();
            match writer {
                Writer::Lines(lines) => {
                    lines.write(some, self.metrics, &mut self.clock, &mut self.record);
                }
                Writer::Messages(messages) => {
                    messages.write(some, self.metrics, &mut self.clock, &mut self.record);
                }
            }
            put_record(&self.record, body);
        }
        Some(first..end)
    }
}

/// Start of the data points' periods. A round in which every metric had a data point makes it tick,
/// so that no metric has two of one time; else it follows the time of day.
#[derive(Default)]
struct Clock(u64);

impl Clock {
    /// It is no less than this.
    fn is(&mut self, ms: u64) {
        self.0 = self.0.max(ms);
    }

    /// Start of the data point of a metric, milliseconds since 1970.
    fn at(&mut self, metric: u64) -> u64 {
        if metric == 0 {
            self.0 += 1;
        }
        self.0
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests;
