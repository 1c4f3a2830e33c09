//! `sluicegate explain`: a captured body or record in, the series that it becomes out.

use std::collections::BTreeMap;
use std::io::{Read as _, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;

use super::environment;
use crate::config;
use crate::decode::{self, Reading, Reason, Visit, envelope};
use crate::map::{self, Mapper, Mapping, Outlet, Plan, exposition};

/// Bytes that are read and unpacked at most.
const BYTES_MAX: u64 = 256 << 20;

/// Bytes of an undecodable piece that are shown.
const PREFIX_MAX: usize = 64;

/// Prints the series of `body` for every destination, and what was skipped with its reason. Exit
/// status 0 if anything could be decoded, or nothing was there to decode.
pub(super) fn explain(
    file: Option<PathBuf>,
    body: &Path,
    out: &mut dyn Write,
) -> anyhow::Result<ExitCode> {
    let (plan, destinations) = plan(file)?;
    let bytes = unpacked(read(body)?)?;
    let mapper = Mapper::new(plan);
    let mut pieces = Pieces { mapping: mapper.begin(&[]), skipped: Vec::new(), at: 0 };
    match envelope::open(&bytes) {
        Ok(envelope) => {
            writeln!(out, "# Firehose body, {} records", envelope.records.len())?;
            let mut scratch = Vec::new();
            for (number, data) in envelope.records.iter().enumerate() {
                pieces.at = number;
                match data.decode(&mut scratch) {
                    Ok(record) => decode::record(record, &mut pieces),
                    Err(reason) => pieces.skipped(reason, &[]),
                }
            }
        }
        Err(fault) if looks_like_envelope(&bytes) => {
            writeln!(out, "# not a Firehose body ({fault}), taken as a record")?;
            decode::record(&bytes, &mut pieces);
        }
        Err(_) => decode::record(&bytes, &mut pieces),
    }
    let skipped = std::mem::take(&mut pieces.skipped);
    let mapped = pieces.mapping.finish();
    let batch = &mapped.batch;
    for (destination, name) in destinations.iter().enumerate() {
        writeln!(out, "# destination `{name}`")?;
        let mut lines: BTreeMap<String, Vec<(i64, String)>> = BTreeMap::new();
        for at in batch.lanes.get(destination).into_iter().flatten().flatten() {
            let sample = batch.sample(destination, *at);
            let series = exposition::series(&exposition::labels(sample.set.labels(sample.series)));
            lines.entry(series).or_default().push((sample.timestamp_ms, exposition::line(&sample)));
        }
        for (_, mut samples) in lines {
            samples.sort();
            for (_, line) in samples {
                writeln!(out, "{line}")?;
            }
        }
    }
    for (record, reason, prefix) in &skipped {
        writeln!(out, "# skipped in record {record}: {}: {prefix}", reason.name())?;
    }
    let nothing = mapped.points_by_format.iter().all(|points| *points == 0);
    Ok(if nothing && !skipped.is_empty() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// The mapping of the configuration, or the defaults with one destination if there is none at all.
fn plan(file: Option<PathBuf>) -> anyhow::Result<(Plan, Vec<String>)> {
    let configured = file.is_some()
        || ["SLUICEGATE_CONFIG", "SLUICEGATE_CONFIG_CONTENT", "SLUICEGATE_REMOTE_WRITE_URL"]
            .iter()
            .any(|name| environment(name).is_some());
    if !configured {
        let outlets = vec![Outlet { lanes: 1, write_relabel: Vec::new() }];
        let config = map::Config::default();
        let plan = Plan { config, external_labels: Vec::new(), relabel: Vec::new(), outlets };
        return Ok((plan, vec!["default".to_owned()]));
    }
    let config = config::from_environment(file, &environment).map_err(anyhow::Error::new)?.config;
    let names = config.remote_write.iter().map(|destination| destination.name.clone()).collect();
    Ok((config.plan(), names))
}

fn read(body: &Path) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if body == Path::new("-") {
        std::io::stdin()
            .lock()
            .take(BYTES_MAX)
            .read_to_end(&mut bytes)
            .context("read standard input")?;
    } else {
        let file = std::fs::File::open(body).with_context(|| format!("open {}", body.display()))?;
        file.take(BYTES_MAX).read_to_end(&mut bytes)?;
    }
    Ok(bytes)
}

fn unpacked(bytes: Vec<u8>) -> anyhow::Result<Vec<u8>> {
    if !bytes.starts_with(&[0x1f, 0x8b]) {
        return Ok(bytes);
    }
    let mut plain = Vec::new();
    let unpacking = flate2::bufread::MultiGzDecoder::new(bytes.as_slice());
    unpacking.take(BYTES_MAX).read_to_end(&mut plain).context("unpack gzip")?;
    Ok(plain)
}

/// Whether a text that is no envelope was probably meant to be one.
fn looks_like_envelope(bytes: &[u8]) -> bool {
    bytes.starts_with(b"{") && memchr::memmem::find(bytes, b"\"records\"").is_some()
}

struct Pieces<'a> {
    mapping: Mapping<'a>,
    skipped: Vec<(usize, Reason, String)>,
    at: usize,
}

impl Visit for Pieces<'_> {
    fn reading(&mut self, reading: &Reading<'_>) {
        self.mapping.reading(reading);
    }

    fn skipped(&mut self, reason: Reason, piece: &[u8]) {
        let prefix = piece.get(..PREFIX_MAX.min(piece.len())).unwrap_or_default();
        self.skipped.push((self.at, reason, prefix.escape_ascii().to_string()));
    }
}
