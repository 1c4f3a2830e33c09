//! Tells a destination what its metrics are: TYPE and unit, apart from the samples, at leisure.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use super::config::Metadata;
use super::judge::Verdict;
use super::remote::Remote;
use crate::sample::Family;

/// Families known per destination. Amazon Managed Service for Prometheus keeps metadata of 20,000
/// metrics (<https://docs.aws.amazon.com/prometheus/latest/userguide/AMP_quotas.html>).
pub const FAMILIES_MAX: usize = 20_000;
/// All families are told again after so many intervals: receivers forget.
const FULL_ROUND: u32 = 5;
/// Bytes of one request before compression, well under what any receiver takes.
const REQUEST_BYTES_MAX: usize = 512 * 1024;
/// Failures are logged at most this often.
const LOG_INTERVAL: Duration = Duration::from_secs(60);
/// `MetricMetadata.type` of a gauge (prompb/types.proto).
const GAUGE: u8 = 2;

/// The metric families that one destination is to be told of.
#[derive(Debug, Default)]
pub struct Families {
    book: Mutex<Book>,
}

#[derive(Debug, Default)]
struct Book {
    units: BTreeMap<String, String>,
    /// Names not told yet.
    untold: BTreeSet<String>,
    ignored: u64,
}

impl Families {
    /// Notes those families of a batch that are of the destination with this index in the batch.
    /// Cheap where all are known.
    pub fn note(&self, destination: usize, families: &[Family]) {
        let mut mine = families.iter().filter(|f| f.destination == destination).peekable();
        if mine.peek().is_none() {
            return;
        }
        let mut book = self.book();
        for family in mine {
            let unit = unit_word(&family.unit);
            match book.units.get(&family.name) {
                Some(known) if *known == unit => continue,
                None if book.units.len() >= FAMILIES_MAX => {
                    book.ignored += 1;
                    continue;
                }
                _ => {}
            }
            book.units.insert(family.name.clone(), unit);
            book.untold.insert(family.name.clone());
        }
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is to be told now, by name, all of it or the new ones.
    fn due(&self, all: bool) -> Vec<(String, String)> {
        let mut book = self.book();
        let ignored = std::mem::take(&mut book.ignored);
        if ignored > 0 {
            tracing::debug!(ignored, limit = FAMILIES_MAX, "too many metric families for metadata");
        }
        let due = |(name, unit): (&String, &String)| (name.clone(), unit.clone());
        if all {
            book.untold = book.units.keys().cloned().collect();
            return book.units.iter().map(due).collect();
        }
        book.untold.iter().filter_map(|name| book.units.get_key_value(name)).map(due).collect()
    }

    fn told(&self, families: &[(String, String)]) {
        let mut book = self.book();
        for (name, unit) in families {
            if book.units.get(name) == Some(unit) {
                book.untold.remove(name);
            }
        }
    }

    /// Sends what is new at each interval, and everything again every five intervals; never ends.
    /// A failure is tried again at the next interval, and no sample waits for it.
    pub async fn run(&self, remote: &Remote, config: &Metadata, timeout: Duration) {
        let every = config.send_interval.max(Duration::from_millis(1));
        let mut ticks = interval_at(Instant::now() + every, every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut logged: Option<Instant> = None;
        let mut round = 0_u32;
        loop {
            ticks.tick().await;
            let due = self.due(round == FULL_ROUND);
            round = if round == FULL_ROUND { 1 } else { round + 1 };
            let Err(trouble) = self.send(remote, config, timeout, &due).await else { continue };
            if logged.is_none_or(|at| at.elapsed() >= LOG_INTERVAL) {
                logged = Some(Instant::now());
                tracing::warn!(destination = remote.name(), trouble, "metadata not sent");
            }
        }
    }

    async fn send(
        &self,
        remote: &Remote,
        config: &Metadata,
        timeout: Duration,
        mut due: &[(String, String)],
    ) -> Result<(), String> {
        let mut most = config.max_samples_per_send.max(1);
        let mut refused = None;
        while !due.is_empty() {
            let (body, taken) = encode(due, most);
            let (now, later) = due.split_at(taken);
            match remote.send(body, timeout).await {
                Verdict::Accepted => {}
                // Told all the same: no repetition before the next full round will change it.
                Verdict::Partial(refusal)
                | Verdict::Isolate(refusal)
                | Verdict::Refused(refusal) => refused = Some(refusal.message),
                Verdict::Split { .. } if taken > 1 => {
                    most = taken / 2;
                    continue;
                }
                Verdict::Split { trouble } => refused = Some(trouble),
                Verdict::TryAgain { trouble, .. } | Verdict::Resign { trouble } => {
                    return Err(trouble);
                }
            }
            self.told(now);
            due = later;
        }
        refused.map_or(Ok(()), Err)
    }
}

/// A snappy block of a `WriteRequest` with the metadata of the first families, and how many of
/// them fit: at least one, at most `most`.
fn encode(families: &[(String, String)], most: usize) -> (Bytes, usize) {
    let mut request = Vec::new();
    let mut taken = 0;
    for (name, unit) in families.iter().take(most) {
        if taken > 0 && request.len() + name.len() + unit.len() > REQUEST_BYTES_MAX {
            break;
        }
        // MetricMetadata: type = 1, metric_family_name = 2, help = 4 (left empty), unit = 5.
        let mut metadata = vec![1 << 3, GAUGE];
        text(2, name, &mut metadata);
        text(5, unit, &mut metadata);
        bytes(3, &metadata, &mut request);
        taken += 1;
    }
    // The encoder fails for inputs of 4 GiB alone.
    let block = snap::raw::Encoder::new().compress_vec(&request).unwrap_or_default();
    (block.into(), taken)
}

fn text(field: u8, text: &str, into: &mut Vec<u8>) {
    if !text.is_empty() {
        bytes(field, text.as_bytes(), into);
    }
}

/// A length-delimited protobuf field with a number below 16.
fn bytes(field: u8, content: &[u8], into: &mut Vec<u8>) {
    into.push(field << 3 | 2);
    let mut length = content.len();
    while length > 0x7f {
        into.push((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    into.push(length as u8);
    into.extend_from_slice(content);
}

/// A CloudWatch unit as `OpenMetrics` writes units: `Bytes/Second` is `bytes_per_second`; nothing
/// for `None`.
fn unit_word(unit: &str) -> String {
    if unit == "None" {
        return String::new();
    }
    unit.replace('/', "_per_").to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_units_in_words() {
        for (unit, word) in [
            ("Percent", "percent"),
            ("Bytes", "bytes"),
            ("Count", "count"),
            ("Kilobits/Second", "kilobits_per_second"),
            ("None", ""),
            ("", ""),
        ] {
            assert_eq!(unit_word(unit), word);
        }
    }

    #[test]
    fn the_book_is_bounded_and_forgets_what_was_told() {
        let families = Families::default();
        let family = |n: usize, unit: &str| Family {
            destination: 1,
            name: format!("m{n}"),
            unit: unit.to_owned(),
        };
        let many: Vec<_> = (0..FAMILIES_MAX + 9).map(|n| family(n, "Count")).collect();
        families.note(1, &many);
        families.note(1, &[Family { destination: 0, ..family(0, "Bytes") }]);
        let due = families.due(false);
        assert_eq!(due.len(), FAMILIES_MAX);
        assert!(due.iter().all(|(_, unit)| unit == "count"));
        families.told(&due);
        families.note(1, &many[..5]);
        assert!(families.due(false).is_empty());
        families.note(1, &[family(3, "Bytes")]);
        assert_eq!(families.due(false), [("m3".to_owned(), "bytes".to_owned())]);
        assert_eq!(families.due(true).len(), FAMILIES_MAX);
    }
}
