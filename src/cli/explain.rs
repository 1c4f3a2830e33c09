//! `sluicegate explain`: a captured body or record in, the series that it becomes out.

use std::collections::BTreeMap;
use std::io::{Read as _, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;

use super::{environment, faulty};
use crate::config::{self, Faults};
use crate::decode::{self, Format, Reading, Reason, Visit, envelope};
use crate::map::{self, Mapped, Mapper, Mapping, Outlet, Plan, exposition};
use crate::units;

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
    let (mut plan, destinations) = match plan(file) {
        Ok(planned) => planned,
        Err(faults) => return Ok(faulty(&faults)),
    };
    let bytes = unpacked(read(body)?)?;
    // What a series would be is to be seen, not whether there would be room for it.
    plan.config.series_limit = None;
    let mapper = Mapper::new(plan);
    let mut pieces = Pieces { mapping: mapper.begin(&[], 0), skipped: Vec::new(), at: 0 };
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
    writeln!(out, "# data points: {}", counted(points_by_format(&mapped)))?;
    for (destination, name) in destinations.iter().enumerate() {
        writeln!(out, "# destination `{name}`")?;
        let mut lines: BTreeMap<String, Vec<(i64, String)>> = BTreeMap::new();
        for at in batch.lanes.get(destination).into_iter().flatten().flatten() {
            let sample = batch.sample(destination, *at);
            let series = exposition::series(&exposition::labels(sample.labels));
            lines.entry(series).or_default().push((sample.timestamp_ms, exposition::line(&sample)));
        }
        for (_, mut samples) in lines {
            samples.sort();
            for (_, line) in samples {
                writeln!(out, "{line}")?;
            }
        }
        let superseded = mapped.superseded.get(destination).copied().unwrap_or_default();
        if superseded > 0 {
            writeln!(
                out,
                "# replaced by a later sample of the same series and time: {superseded}"
            )?;
        }
    }
    let conflicts = mapped.conflicts.iter().map(|(kind, times)| (kind.name(), *times));
    if conflicts.len() > 0 {
        writeln!(out, "# labels changed: {}", counted(conflicts))?;
    }
    for (record, reason, prefix) in &skipped {
        writeln!(out, "# skipped in record {record}: {}: {prefix}", reason.name())?;
    }
    let nothing = points_by_format(&mapped).next().is_none();
    Ok(if nothing && !skipped.is_empty() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// The mapping of the configuration, or the defaults with one destination if there is none at all.
fn plan(file: Option<PathBuf>) -> Result<(Plan, Vec<String>), Faults> {
    let configured = file.is_some()
        || ["SLUICEGATE_CONFIG", "SLUICEGATE_CONFIG_CONTENT", "SLUICEGATE_REMOTE_WRITE_URL"]
            .iter()
            .any(|name| environment(name).is_some_and(|value| !value.trim().is_empty()));
    if !configured {
        let outlets = vec![Outlet { lanes: 1, write_relabel: Vec::new() }];
        let config = map::Config::default();
        let plan = Plan { config, external_labels: Vec::new(), relabel: Vec::new(), outlets };
        return Ok((plan, vec!["default".to_owned()]));
    }
    let config = config::from_environment(file, &environment)?.config;
    let names = config.remote_write.iter().map(|destination| destination.name.clone()).collect();
    Ok((config.plan(), names))
}

fn read(body: &Path) -> anyhow::Result<Vec<u8>> {
    if body == Path::new("-") {
        return bounded(std::io::stdin().lock()).context("read standard input");
    }
    let file = std::fs::File::open(body).with_context(|| format!("open {}", body.display()))?;
    bounded(file).with_context(|| format!("read {}", body.display()))
}

/// All that a source holds, unless it is too much: a part of it would be explained wrongly.
fn bounded(source: impl std::io::Read) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    source.take(BYTES_MAX + 1).read_to_end(&mut bytes)?;
    let limit = units::format_bytes(BYTES_MAX);
    anyhow::ensure!(bytes.len() as u64 <= BYTES_MAX, "it is larger than {limit}");
    Ok(bytes)
}

fn unpacked(bytes: Vec<u8>) -> anyhow::Result<Vec<u8>> {
    if !bytes.starts_with(&[0x1f, 0x8b]) {
        return Ok(bytes);
    }
    bounded(flate2::bufread::MultiGzDecoder::new(bytes.as_slice())).context("unpack gzip")
}

/// The formats that occurred, and how many data points of each.
fn points_by_format(mapped: &Mapped) -> impl Iterator<Item = (&'static str, u64)> {
    let points = Format::ALL.into_iter().zip(mapped.points_by_format);
    points.filter(|(_, points)| *points > 0).map(|(format, points)| (format.name(), points))
}

fn counted(counts: impl Iterator<Item = (&'static str, u64)>) -> String {
    let counts: Vec<_> = counts.map(|(name, times)| format!("{times} {name}")).collect();
    if counts.is_empty() { "none".to_owned() } else { counts.join(", ") }
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
