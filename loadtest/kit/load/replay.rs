//! Captured bodies, sent again with request ids of their own.

use std::io::Read as _;
use std::ops::Range;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use flate2::read::MultiGzDecoder;
use sluicegate::decode::envelope::{self, Data};
use sluicegate::decode::{self, Reading, Reason, Visit};

/// Captured bodies.
pub(super) struct Captured {
    /// Their records, as JSON, and the data points before them.
    bodies: Vec<(Vec<u8>, u64)>,
    /// Data points of all.
    points: u64,
}

/// What one body may have after decompression.
const BODY_BYTES_MAX: u64 = 256 << 20;

impl Captured {
    /// Reads files, and those in directories, in the order of their names.
    pub(super) fn read(paths: &[PathBuf]) -> anyhow::Result<Self> {
        let mut files = Vec::new();
        for path in paths {
            if path.is_dir() {
                let mut inside = Vec::new();
                for entry in path.read_dir().with_context(|| path.display().to_string())? {
                    inside.push(entry?.path());
                }
                inside.retain(|path| path.is_file());
                inside.sort();
                files.extend(inside);
            } else {
                files.push(path.clone());
            }
        }
        ensure!(!files.is_empty(), "there is no captured body in {paths:?}");
        let mut captured = Self { bodies: Vec::new(), points: 0 };
        for file in files {
            captured.take(&file).with_context(|| format!("captured body {}", file.display()))?;
        }
        Ok(captured)
    }

    fn take(&mut self, file: &Path) -> anyhow::Result<()> {
        let bytes = std::fs::read(file)?;
        let mut body = Vec::new();
        if bytes.starts_with(&[0x1f, 0x8b]) {
            let mut gzip = MultiGzDecoder::new(bytes.as_slice()).take(BODY_BYTES_MAX + 1);
            gzip.read_to_end(&mut body)?;
        } else {
            body = bytes;
        }
        ensure!(body.len() as u64 <= BODY_BYTES_MAX, "it is larger than {BODY_BYTES_MAX} bytes");
        let envelope = envelope::open(&body)?;
        let mut scratch = Vec::new();
        let (mut count, mut list) = (Count::default(), vec![b'[']);
        for data in &envelope.records {
            if let Ok(record) = data.decode(&mut scratch) {
                decode::record(record, &mut count);
            }
            if list.len() > 1 {
                list.push(b',');
            }
            match data {
                Data::Plain(text) | Data::Escaped(text) => {
                    list.extend_from_slice(b"{\"data\":\"");
                    list.extend_from_slice(text);
                    list.extend_from_slice(b"\"}");
                }
                Data::Missing => list.extend_from_slice(b"{}"),
            }
        }
        list.remove(0);
        self.bodies.push((list, self.points));
        self.points += count.0;
        Ok(())
    }

    /// Data points of a body, on average.
    pub(super) fn points_per_body(&self) -> u64 {
        self.points / self.bodies.len().max(1) as u64
    }

    /// Writes the records of a body, and gives its share of all data points.
    pub(super) fn records(&self, number: u64, body: &mut Vec<u8>) -> Range<u64> {
        let all = self.bodies.len().max(1) as u64;
        let index = usize::try_from(number % all).unwrap_or_default();
        let before = (number / all).saturating_mul(self.points);
        let Some((list, from)) = self.bodies.get(index) else { return 0..0 };
        body.extend_from_slice(list);
        let end = self.bodies.get(index + 1).map_or(self.points, |(_, from)| *from);
        let first = before.saturating_add(super::POINT_FIRST);
        first.saturating_add(*from)..first.saturating_add(end)
    }
}

/// Counts data points.
#[derive(Default)]
struct Count(u64);

impl Visit for Count {
    fn reading(&mut self, _: &Reading<'_>) {
        self.0 += 1;
    }

    fn skipped(&mut self, _: Reason, _: &[u8]) {}
}
