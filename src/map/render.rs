//! The making of an identity: every series that every destination gets of it.

use std::collections::HashSet;

use super::config::{Outlet, Plan};
use super::encode::{Draft, Hashes, pack};
use super::labels::{self, Conflict, Conflicts, Label, NAME, OwnedLabel, QUANTILE};
use super::naming::{Named, Statistic, Stem};
use super::siblings::Siblings;
use super::{relabel, statistics};
use crate::decode::Reading;
use crate::sample::{Identity, SeriesSet, slot};

/// The longest identity of which series are made, as its key has it. CloudWatch's own limits
/// (API `PutMetricData`: 30 dimensions, names of 255 and values of 1024 characters) end far below;
/// no receiver would take more.
pub(super) const KEY_BYTES_MAX: usize = 128 << 10;
/// The most dimensions of which series are made.
const DIMENSIONS_MAX: usize = 128;

/// Whether an identity is beyond all that CloudWatch allows.
pub(super) fn is_too_long(key_bytes: usize, reading: &Reading<'_>) -> bool {
    key_bytes > KEY_BYTES_MAX || reading.dimensions.len() > DIMENSIONS_MAX
}

/// Makes a reading's identity, to be known by a key. `extra` are the request's own labels. `met` is
/// told the destination and the name of each series.
pub(super) fn identity(
    plan: &Plan,
    hashes: &Hashes,
    key: &[u8],
    reading: &Reading<'_>,
    extra: &[OwnedLabel],
    conflicts: &mut Conflicts,
    met: &mut impl FnMut(usize, &str),
) -> Identity {
    let names = reading.dimensions.iter().map(|(name, _)| name.as_ref());
    let naming = plan.config.naming;
    let stem = Stem::new(naming, reading.namespace, reading.metric, reading.unit, names);
    let shared = labels::of_identity(&plan.config, reading, extra, conflicts);
    let wanted = wanted_statistics(plan, reading);
    let named = all_named(&stem, &wanted, conflicts);

    let is_untouched = |outlet: &Outlet| plan.relabel.is_empty() && outlet.write_relabel.is_empty();
    let finished =
        if plan.outlets.iter().any(is_untouched) { finished(plan, &shared) } else { None };
    let siblings = finished.map(|shared| Siblings::new(&named, &shared, hashes));
    let untouched = |outlet| siblings.as_ref().filter(|_| is_untouched(outlet));

    let mut drafts: Vec<Vec<Option<Draft>>> = plan.outlets.iter().map(|_| Vec::new()).collect();
    let has_rules = !plan.outlets.iter().all(|outlet| untouched(outlet).is_some());
    for named in &named {
        let labels = named.as_ref().filter(|_| has_rules);
        let labels = labels.and_then(|named| relabelled(plan, named, &shared));
        for (destination, (outlet, drafts)) in plan.outlets.iter().zip(&mut drafts).enumerate() {
            if untouched(outlet).is_some() {
                named.iter().for_each(|named| met(destination, &named.name));
                continue;
            }
            let draft = labels.as_ref().and_then(|labels| {
                let mut labels = labels.clone();
                let is_kept = relabel::apply(&outlet.write_relabel, &mut labels)
                    && labels::finish(&mut labels, conflicts);
                is_kept.then_some(labels)
            });
            drafts.push(draft.map(|labels| {
                if let Some((_, name)) = labels.iter().find(|(name, _)| name == NAME) {
                    met(destination, name);
                }
                Draft::new(&labels, outlet.lanes, hashes)
            }));
        }
    }
    let sets = plan.outlets.iter().zip(&drafts).map(|(outlet, drafts)| match untouched(outlet) {
        Some(siblings) => siblings.set(outlet.lanes),
        None => pack(drafts),
    });
    Identity::new(&[key], reading.namespace, &sets.collect::<Vec<_>>())
}

/// An identity without series.
pub(super) fn nothing(plan: &Plan, reading: &Reading<'_>, conflicts: &mut Conflicts) -> Identity {
    conflicts.count(Conflict::TooLong);
    let sets = vec![SeriesSet::default(); plan.outlets.len()];
    Identity::new(&[], reading.namespace, &sets)
}

/// What all series end up with if no rule touches them: the labels of the identity with the external
/// ones that it lacks, sorted. None if something has to be made legal, series by series.
fn finished<'a>(plan: &'a Plan, shared: &[Label<'a>]) -> Option<Vec<Label<'a>>> {
    let mut labels = Vec::with_capacity(shared.len() + plan.external_labels.len());
    labels.extend_from_slice(shared);
    for (name, value) in &plan.external_labels {
        if !labels::is_finished(name, value) {
            return None;
        }
        if !shared.iter().any(|(present, _)| present == name) {
            labels.push((name.into(), value.into()));
        }
    }
    labels.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
    Some(labels)
}

/// By slot: the statistic, or none if the configuration does not want it.
fn wanted_statistics<'a>(plan: &Plan, reading: &'a Reading<'_>) -> Vec<Option<Statistic<'a>>> {
    let chosen = statistics::chosen(&plan.config, reading.namespace, reading.metric);
    let mut plain = [None; slot::EXTENDED];
    plain[slot::SAMPLE_COUNT] = chosen.sample_count.then_some(Statistic::SampleCount);
    plain[slot::SUM] = chosen.sum.then_some(Statistic::Sum);
    plain[slot::MINIMUM] = chosen.minimum.then_some(Statistic::Minimum);
    plain[slot::MAXIMUM] = chosen.maximum.then_some(Statistic::Maximum);
    plain[slot::AVERAGE] = chosen.average.then_some(Statistic::Average);
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
    if wanted.iter().flatten().any(|wanted| matches!(wanted, Statistic::Extended(_))) {
        tell_apart(&mut names, wanted, conflicts);
    }
    names
}

fn tell_apart(
    names: &mut [Option<Named>],
    wanted: &[Option<Statistic<'_>>],
    conflicts: &mut Conflicts,
) {
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
}

/// A series' labels after the global rules, with the external labels that it lacks.
fn relabelled(plan: &Plan, named: &Named, shared: &[Label<'_>]) -> Option<Vec<OwnedLabel>> {
    let mut labels = Vec::with_capacity(shared.len() + plan.external_labels.len() + 2);
    labels.push((NAME.to_owned(), named.name.clone()));
    let quantile = named.quantile.as_deref();
    labels.extend(quantile.map(|quantile| (QUANTILE.to_owned(), quantile.to_owned())));
    labels.extend(shared.iter().map(|(name, value)| (name.to_string(), value.to_string())));
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
