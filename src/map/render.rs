//! The making of an identity: every series that every destination gets of it.

use std::collections::HashSet;

use super::config::Plan;
use super::encode::{Draft, Hashes, pack};
use super::labels::{self, Conflict, Conflicts, Label, NAME};
use super::naming::{Named, Statistic, Stem};
use super::{relabel, statistics};
use crate::decode::Reading;
use crate::sample::{Family, Identity, SeriesSet, slot};

/// The longest identity of which series are made, as its key has it. CloudWatch's own limits
/// (API `PutMetricData`: 30 dimensions, names of 255 and values of 1024 characters) end far below;
/// no receiver would take more.
pub(super) const KEY_BYTES_MAX: usize = 128 << 10;
/// The most dimensions of which series are made.
const DIMENSIONS_MAX: usize = 128;

/// A new identity, and the families that its series belong to.
pub(super) struct Made {
    pub(super) identity: Identity,
    pub(super) families: Vec<Family>,
}

/// Whether an identity is beyond all that CloudWatch allows.
pub(super) fn is_too_long(key_bytes: usize, reading: &Reading<'_>) -> bool {
    key_bytes > KEY_BYTES_MAX || reading.dimensions.len() > DIMENSIONS_MAX
}

/// Makes a reading's identity, to be known by a key. `extra` are the request's own labels.
pub(super) fn identity(
    plan: &Plan,
    hashes: &Hashes,
    key: &[u8],
    reading: &Reading<'_>,
    extra: &[Label],
    conflicts: &mut Conflicts,
) -> Made {
    let names = reading.dimensions.iter().map(|(name, _)| name.as_ref());
    let naming = plan.config.naming;
    let stem = Stem::new(naming, reading.namespace, reading.metric, reading.unit, names);
    let shared = labels::of_identity(&plan.config, reading, extra, conflicts);
    let wanted = wanted_statistics(plan, reading);

    let mut drafts: Vec<Vec<Option<Draft>>> =
        plan.outlets.iter().map(|_| Vec::with_capacity(wanted.len())).collect();
    let mut families = Vec::new();
    for named in all_named(&stem, &wanted, conflicts) {
        let labels = named.and_then(|named| relabelled(plan, named, &shared));
        for (destination, (outlet, drafts)) in plan.outlets.iter().zip(&mut drafts).enumerate() {
            let draft = labels.as_ref().and_then(|labels| {
                let mut labels = labels.clone();
                let is_kept = relabel::apply(&outlet.write_relabel, &mut labels)
                    && labels::finish(&mut labels, conflicts);
                is_kept.then_some(labels)
            });
            drafts.push(draft.map(|labels| {
                if let Some((_, name)) = labels.iter().find(|(name, _)| name == NAME) {
                    let (name, unit) = (name.clone(), reading.unit.to_owned());
                    families.push(Family { destination, name, unit });
                }
                Draft::new(&labels, outlet.lanes, hashes)
            }));
        }
    }
    let sets: Vec<_> = drafts.iter().map(|drafts| pack(drafts)).collect();
    Made { identity: Identity::new(&[key], reading.namespace, &sets), families }
}

/// An identity without series.
pub(super) fn nothing(plan: &Plan, reading: &Reading<'_>, conflicts: &mut Conflicts) -> Made {
    conflicts.count(Conflict::TooLong);
    let sets = vec![SeriesSet::default(); plan.outlets.len()];
    Made { identity: Identity::new(&[], reading.namespace, &sets), families: Vec::new() }
}

/// By slot: the statistic, or none if the configuration does not want it.
fn wanted_statistics<'a>(plan: &Plan, reading: &'a Reading<'_>) -> Vec<Option<Statistic<'a>>> {
    let chosen = statistics::chosen(&plan.config, reading.namespace, reading.metric);
    // In the order of the slots.
    let plain = [
        chosen.sum.then_some(Statistic::Sum),
        chosen.minimum.then_some(Statistic::Minimum),
        chosen.maximum.then_some(Statistic::Maximum),
        chosen.sample_count.then_some(Statistic::SampleCount),
        chosen.average.then_some(Statistic::Average),
    ];
    let extended = reading
        .extended
        .iter()
        .take(slot::EXTENDED_MAX)
        .map(|(name, _)| chosen.extended.then_some(Statistic::Extended(name.as_ref())));
    plain.into_iter().chain(extended).collect()
}

/// By slot: the name. Further statistics whose names become one give way in the order of their own
/// names, lest one takes the other's values. (Quantiles of one value are one statistic.)
fn all_named(
    stem: &Stem,
    wanted: &[Option<Statistic<'_>>],
    conflicts: &mut Conflicts,
) -> Vec<Option<Named>> {
    let mut names: Vec<_> =
        wanted.iter().map(|wanted| wanted.map(|statistic| stem.named(statistic))).collect();
    let mut taken: HashSet<String> = HashSet::new();
    let mut extended = Vec::new();
    for (named, wanted) in names.iter_mut().zip(wanted) {
        match (named, wanted) {
            (Some(named), Some(Statistic::Extended(own))) => extended.push((*own, named)),
            (Some(named), Some(_)) => _ = taken.insert(named.name.clone()),
            _ => {}
        }
    }
    extended.retain(|(_, named)| named.quantile.is_none());
    extended.sort_by_key(|(own, _)| *own);
    for (_, named) in extended {
        if taken.contains(&named.name) {
            conflicts.count(Conflict::Duplicate);
            let free = (2..).map(|number| format!("{}_{number}", named.name));
            named.name = free.into_iter().find(|name| !taken.contains(name)).unwrap_or_default();
        }
        taken.insert(named.name.clone());
    }
    names
}

/// A series' labels after the global rules, with the external labels that it lacks.
fn relabelled(plan: &Plan, named: Named, shared: &[Label]) -> Option<Vec<Label>> {
    let mut labels = Vec::with_capacity(shared.len() + plan.external_labels.len() + 2);
    labels.push((NAME.to_owned(), named.name));
    labels.extend(named.quantile.map(|quantile| ("quantile".to_owned(), quantile)));
    labels.extend_from_slice(shared);
    if !relabel::apply(&plan.relabel, &mut labels) {
        return None;
    }
    labels.retain(|(_, value)| !value.is_empty());
    for (name, value) in &plan.external_labels {
        if !labels.iter().any(|(present, _)| present == name) {
            labels.push((name.clone(), value.clone()));
        }
    }
    Some(labels)
}
