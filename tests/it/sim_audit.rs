//! The gateway's own books, read from its meters and held against what the world knows.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;

use sluicegate::meters::Meters;

use super::sim_gateway::Gateway;
use super::sim_laws::{Attempt, Ledger, STORED};
use super::sim_world::World;

pub(crate) const BALANCED: &str = "the books balance";

/// Sums of a gateway's metrics.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Sums {
    /// By destination.
    pub(crate) received: BTreeMap<String, f64>,
    pub(crate) in_flight: BTreeMap<String, f64>,
    pub(crate) outcomes: BTreeMap<String, BTreeMap<String, f64>>,
    pub(crate) unisolated: BTreeMap<String, f64>,
    pub(crate) records: f64,
    pub(crate) skipped: f64,
    pub(crate) panics: f64,
}

impl Sums {
    pub(crate) fn of(meters: &Meters) -> Self {
        let mut sums = Self::default();
        for line in meters.render().lines().filter(|line| line.starts_with("sluicegate_")) {
            let Some((series, value)) = line.rsplit_once(' ') else { continue };
            let Ok(value) = value.parse::<f64>() else { continue };
            let (name, labels) = series.split_once('{').unwrap_or((series, ""));
            let label = |name: &str| {
                let from = labels.split_once(&format!("{name}=\""))?.1;
                from.split_once('"').map(|(value, _)| value.to_owned())
            };
            let to = label("destination").unwrap_or_default();
            match name {
                "sluicegate_samples_received_total" => {
                    *sums.received.entry(to).or_default() += value;
                }
                "sluicegate_samples_in_flight" => *sums.in_flight.entry(to).or_default() += value,
                "sluicegate_samples_total" => {
                    let outcome = label("outcome").unwrap_or_default();
                    *sums.outcomes.entry(to).or_default().entry(outcome).or_default() += value;
                }
                "sluicegate_samples_refused_total"
                    if label("reason").as_deref() == Some("unisolated") =>
                {
                    *sums.unisolated.entry(to).or_default() += value;
                }
                "sluicegate_records_total" => sums.records += value,
                "sluicegate_records_skipped_total" => sums.skipped += value,
                "sluicegate_panics_total" => sums.panics += value,
                _ => {}
            }
        }
        sums
    }

    fn at(by_destination: &BTreeMap<String, f64>, to: &str) -> f64 {
        by_destination.get(to).copied().unwrap_or_default()
    }

    pub(crate) fn outcome(&self, to: &str, outcome: &str) -> f64 {
        self.outcomes.get(to).map_or(0.0, |outcomes| Self::at(outcomes, outcome))
    }

    /// Whether each sample that came is in flight or has one outcome; what is wrong, if not.
    pub(crate) fn imbalance(&self, to: &str, is_at_rest: bool) -> Option<String> {
        let received = Self::at(&self.received, to);
        let in_flight = Self::at(&self.in_flight, to);
        let settled: f64 = self.outcomes.get(to).map_or(0.0, |outcomes| outcomes.values().sum());
        let is_wrong = received != settled + in_flight || (is_at_rest && in_flight != 0.0);
        is_wrong.then(|| {
            let outcomes = self.outcomes.get(to);
            format!("{to}: {received} received, {in_flight} in flight, {outcomes:?}")
        })
    }
}

/// Holds the books of a gateway against the laws.
pub(crate) fn check<R>(gateway: &Gateway<R>, ledger: &Ledger, is_at_rest: bool) {
    if gateway.has_broken.load(Ordering::Acquire) {
        ledger.breach(BALANCED, "a lane panicked".to_owned());
    }
    check_meters(&gateway.meters, &gateway.destinations, ledger, is_at_rest);
}

pub(crate) fn check_meters(
    meters: &Meters,
    destinations: &[String],
    ledger: &Ledger,
    is_at_rest: bool,
) {
    let sums = Sums::of(meters);
    if sums.panics > 0.0 {
        ledger.breach(BALANCED, format!("{} panics", sums.panics));
    }
    for (receiver, to) in destinations.iter().enumerate() {
        if let Some(what) = sums.imbalance(to, is_at_rest) {
            ledger.breach(BALANCED, what);
        }
        let decided = ledger.decided(receiver);
        let unisolated = Sums::at(&sums.unisolated, to);
        for (outcome, at_receiver) in [
            ("delivered", decided.accepted as f64),
            ("partial", decided.partial as f64),
            ("refused", decided.refused_alone as f64 + unisolated),
        ] {
            let counted = sums.outcome(to, outcome);
            // A part is counted as a whole, when the last of it is settled.
            if counted > at_receiver || (is_at_rest && counted < at_receiver) {
                let what = format!("{to}: {counted} {outcome}, at the receiver {at_receiver}");
                ledger.breach(BALANCED, what);
            }
        }
        let unexplained = ledger.unexplained(receiver) as f64;
        if unexplained > unisolated {
            let what = format!("{to} lacks {unexplained} samples, {unisolated} are said to be");
            ledger.breach(STORED, what);
        }
    }
    let attempts = ledger.attempts();
    let is_decoded: Vec<_> =
        attempts.iter().filter(|attempt| attempt.status == Some(200)).collect();
    let surely: BTreeSet<usize> = is_decoded.iter().map(|attempt| attempt.batch).collect();
    let spoilt = |world: &World, batch: usize| world.cargo.batches[batch].spoilt as f64;
    bounded(ledger, "skipped", sums.skipped, &surely, &attempts, spoilt);
    let records = |world: &World, batch: usize| world.cargo.batches[batch].records.len() as f64;
    bounded(ledger, "records", sums.records, &surely, &attempts, records);
    for to in destinations {
        let samples =
            |world: &World, batch: usize| world.cargo.batches[batch].samples().count() as f64;
        let received = Sums::at(&sums.received, to);
        bounded(ledger, &format!("received for {to}"), received, &surely, &attempts, samples);
    }
}

/// A count lies between what was acknowledged, each batch once, and what was sent, each attempt.
fn bounded(
    ledger: &Ledger,
    name: &str,
    counted: f64,
    surely: &BTreeSet<usize>,
    attempts: &[Attempt],
    of: impl Fn(&World, usize) -> f64,
) {
    let least: f64 = surely.iter().map(|batch| of(&ledger.world, *batch)).sum();
    let most: f64 = attempts.iter().map(|attempt| of(&ledger.world, attempt.batch)).sum();
    if counted < least || counted > most {
        ledger.breach(BALANCED, format!("{name}: {counted}, not {least} to {most}"));
    }
}
