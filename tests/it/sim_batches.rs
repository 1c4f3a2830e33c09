//! What the senders of a simulated world send: batches of records, and what must come of them.

use std::collections::{BTreeMap, HashMap};

use sluicegate::demo::catalogue::TEMPLATES;
use sluicegate::demo::dice::Dice;
use sluicegate::demo::records::records;
use sluicegate::demo::stream::{Format, Metric, MetricStream, Point};

use super::sim_plan::{Plan, Sender};

/// When the first data point begins. Fixed, so that a seed yields the same bytes every day.
/// Not at a full second, to which a timestamp could be cut.
pub(crate) const EPOCH_MS: i64 = 1_760_000_040_123;

/// A sample: the number of its series, its timestamp, the bits of its value.
pub(crate) type Sample = (u32, i64, u64);

/// Whether an envelope can be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Envelope {
    Good,
    NotJson,
    OtherId,
}

/// One Firehose request, the same in every attempt.
#[derive(Debug)]
pub(crate) struct Batch {
    pub(crate) sender: usize,
    pub(crate) id: String,
    pub(crate) ready_ms: u64,
    pub(crate) records: Vec<Vec<u8>>,
    pub(crate) envelope: Envelope,
    /// Pieces that cannot be decoded.
    pub(crate) spoilt: u64,
    /// By series: what must arrive, by time.
    pub(crate) samples: BTreeMap<u32, BTreeMap<i64, u64>>,
}

impl Batch {
    pub(crate) fn samples(&self) -> impl Iterator<Item = Sample> {
        self.samples.iter().flat_map(|(series, values)| {
            values.iter().map(move |(at_ms, bits)| (*series, *at_ms, *bits))
        })
    }
}

/// Everything that will ever be sent.
#[derive(Debug, Default)]
pub(crate) struct Cargo {
    pub(crate) batches: Vec<Batch>,
    series: HashMap<String, u32>,
    names: Vec<String>,
    /// The batches that a sample stands in.
    owners: HashMap<Sample, Vec<usize>>,
}

impl Cargo {
    pub(crate) fn of(plan: &Plan) -> Self {
        let mut cargo = Self::default();
        for (number, sender) in plan.senders.iter().enumerate() {
            let dice = &mut Dice::of(plan.seed, 2, number as u64);
            cargo.load(number, sender, dice);
        }
        for (number, batch) in cargo.batches.iter().enumerate() {
            if batch.envelope == Envelope::Good {
                for sample in batch.samples() {
                    cargo.owners.entry(sample).or_default().push(number);
                }
            }
        }
        cargo
    }

    /// The number of a series; none if nobody sends it.
    pub(crate) fn series(&self, text: &str) -> Option<u32> {
        self.series.get(text).copied()
    }

    pub(crate) fn name(&self, series: u32) -> &str {
        self.names.get(series as usize).map_or("?", String::as_str)
    }

    /// The batches that a sample stands in; none if nobody sends it.
    pub(crate) fn owners(&self, sample: &Sample) -> &[usize] {
        self.owners.get(sample).map_or(&[], Vec::as_slice)
    }

    fn load(&mut self, number: usize, sender: &Sender, dice: &mut Dice) {
        // Beyond the first of each kind metrics have dimensions, and those differ from seed to seed.
        let first = TEMPLATES.len() + dice.below(TEMPLATES.len() as u64) as usize;
        let metrics = first..first + sender.metrics;
        let stream = MetricStream::new(metrics.end, dice.bits());
        for minute in 0..i64::from(sender.minutes) {
            let start_ms = EPOCH_MS + minute * 60_000;
            let mut points: Vec<Point<'_>> = stream.points(start_ms, metrics.clone()).collect();
            // A metric that was late the minute before.
            if minute > 0 && dice.below(10) == 0 {
                let late = stream.points(start_ms - 60_000, metrics.start..metrics.start + 1);
                points.extend(late);
            }
            if dice.below(100) < sender.restated
                && let Some(point) = points.first().cloned()
            {
                // In the same request or after all that stood in it: other values of one minute.
                let again = Point {
                    sum: point.sum + 1.0,
                    start_ms: start_ms - dice_minutes(dice),
                    ..point
                };
                points.push(again);
            }
            let (mut pieces, spoilt) = self.spoil(records(sender.format, &points), sender, dice);
            if dice.below(20) == 0 {
                pieces.push(Vec::new());
            }
            let envelope = match dice.below(200) {
                n if n < sender.unreadable => Envelope::NotJson,
                n if n < 2 * sender.unreadable => Envelope::OtherId,
                _ => Envelope::Good,
            };
            let mut samples: BTreeMap<u32, BTreeMap<i64, u64>> = BTreeMap::new();
            for point in &points {
                for (suffix, value) in point.samples(sender.format) {
                    let series = self.number(point.metric, suffix);
                    samples.entry(series).or_default().insert(point.start_ms, value.to_bits());
                }
            }
            self.batches.push(Batch {
                sender: number,
                id: format!("{:016x}-{number}-{minute}", dice.bits()),
                // Firehose buffers; the streams do not deliver at the same second.
                ready_ms: minute as u64 * sender.pace_ms + dice.below(sender.pace_ms / 2),
                records: pieces,
                envelope,
                spoilt,
                samples,
            });
        }
    }

    /// Records with some beside them, or lines within them, that cannot be decoded.
    fn spoil(
        &self,
        mut records: Vec<Vec<u8>>,
        sender: &Sender,
        dice: &mut Dice,
    ) -> (Vec<Vec<u8>>, u64) {
        if dice.below(100) >= sender.spoilt {
            return (records, 0);
        }
        let at = dice.below(records.len() as u64 + 1) as usize;
        match dice.below(4) {
            0 if sender.format == Format::Json && !records.is_empty() => {
                records[0].splice(0..0, b"{\"metric_stream_name\":\"cut o\n".iter().copied());
            }
            1 => records.insert(at, b"hello, world".to_vec()),
            2 => records.insert(at, vec![0x1f, 0x8b, 0x08, 0x00, 0x01]),
            _ => records.insert(at, b"{\"TICKER_SYMBOL\":\"QXZ\",\"PRICE\":84.51}".to_vec()),
        }
        (records, 1)
    }

    fn number(&mut self, metric: &Metric, suffix: &str) -> u32 {
        let labels = metric.labels(suffix);
        let name = labels.iter().find(|(name, _)| name == "__name__").map_or("", |(_, name)| name);
        let others = labels.iter().filter(|(name, _)| name != "__name__");
        let others: Vec<String> = others.map(|(name, value)| format!("{name}={value:?}")).collect();
        let text = format!("{name}{{{}}}", others.join(","));
        let next = self.names.len() as u32;
        *self.series.entry(text).or_insert_with_key(|text| {
            self.names.push(text.clone());
            next
        })
    }
}

/// No or one minute.
fn dice_minutes(dice: &mut Dice) -> i64 {
    if dice.below(2) == 0 { 0 } else { 60_000 }
}
