//! From what became of a run to its report, judged.

use std::time::Duration;

use crate::books::Books;
use crate::condition::{Condition, all_hold};
use crate::course::Course;
use crate::evidence::{Codes, Evidence};
use crate::figures::{seconds, stage_figures};
use crate::latency::{Class, Latency};
use crate::load::Load;
use crate::machine::Machine;
use crate::report::{GatewayFigures, LoadFigures, Report};
use crate::scenario::{Plan, Scenario};
use crate::stand::{Stand, joined};

/// What a report is made of, besides the course itself.
#[derive(Clone, Debug)]
pub struct Circumstances {
    /// The command that makes the same run again.
    pub command: String,
    /// Programs and their versions.
    pub versions: Vec<(String, String)>,
    /// How long the whole run took.
    pub took: Duration,
}

/// Judges a run and writes its report.
#[must_use]
pub fn conclude(
    scenario: &Scenario,
    plan: &Plan,
    stand: &Stand,
    load: &Load,
    course: &Course,
    around: Circumstances,
) -> Report {
    let attacked: Vec<_> = course.attacks.iter().map(|(_, _, attacked)| attacked.clone()).collect();
    let stored = course.stored.as_ref();
    let mut books = Books::close(&attacked, stored);
    let strangers = course
        .strangers
        .as_ref()
        .map(|strangers| Books::close(std::slice::from_ref(strangers), stored));
    // What strangers sent is not the load's: it is judged by itself.
    let strangers_stored =
        strangers.as_ref().and_then(|books| Some(books.stored.as_ref()?.unacknowledged));
    // Captured data points have no numbers of their own, and come again and again.
    let strangers_stored = strangers_stored.filter(|_| load.numbered());
    let tells_twice = stand.tells_twice() && load.numbered();
    if let (Some(stored), Some(theirs)) = (&mut books.stored, strangers_stored) {
        stored.unknown = stored.unknown.saturating_sub(theirs);
    }
    let answers = || attacked.iter().flat_map(|attacked| &attacked.answers);
    let accepted = Latency::of(answers(), Class::Accepted);
    let stages: Vec<_> = course
        .attacks
        .iter()
        .flat_map(|(_, steps, attacked)| stage_figures(attacked, steps, load))
        .collect();
    let moments = joined(&course.sightings);
    let gateway = gateway_figures(stand, plan, course, &books);
    let peak = gateway.as_ref().and_then(|gateway| gateway.peak_rss_bytes);
    let breaches = stand.breaches();
    let stored_books = books.stored.as_ref();
    let evidence = Evidence {
        codes: codes(&books),
        missing: stored_books.and_then(|stored| stored.missing),
        duplicated: stored_books.map(|stored| stored.duplicated).filter(|_| tells_twice),
        accepted_p99: accepted.map(|latency| Duration::from_secs_f64(latency.p99)),
        accepted_max: accepted.map(|latency| Duration::from_secs_f64(latency.max)),
        stages: stages.clone(),
        peak_rss_bytes: peak,
        rss_bytes: moments
            .iter()
            .filter_map(|moment| Some((moment.at_seconds, moment.rss_bytes? as f64)))
            .collect(),
        budget_left_bytes: course.budget_left,
        retries: gateway.as_ref().map(|gateway| gateway.retries),
        strangers: strangers.as_ref().map(codes),
        strangers_stored,
        half_open: course.half_open,
        restarts: stand.is_own().then_some(course.restarted.len() as u64),
        exits: course
            .exits
            .as_ref()
            .map(|exits| exits.iter().chain(&course.restarted).copied().collect()),
        breaches: breaches.as_ref().map(|(count, _)| count + books.breaches),
    };
    let conditions: Vec<_> = plan.conditions.iter().map(|one| one.judge(&evidence)).collect();
    let mut remarks = stand.remarks.clone();
    remarks.extend(course.remarks.iter().cloned());
    remarks.extend(breaches.into_iter().flat_map(|(_, words)| words));
    remarks.extend(attacked.iter().filter_map(|attacked| attacked.first_breach.clone()));
    if stored.is_some() && !stand.tells_twice() {
        remarks.push(
            "a Prometheus takes what is written twice as one sample: duplicates are NOT COUNTED, and \
             samples are those of `_sum` series only"
                .to_owned(),
        );
    }
    let mut watched = course.sightings.iter();
    if !course.sightings.is_empty() && watched.all(|sightings| sightings.last().is_none()) {
        remarks.push("/metrics did not answer: the gateway's own figures are NOT SEEN".to_owned());
    }
    let killed: usize = attacked.iter().map(|attacked| attacked.killed).sum();
    if killed > 0 {
        remarks
            .push(format!("vegeta had to be killed in {killed} stages: its last answers are lost"));
    }
    if stored.is_none() {
        remarks.push(
            "what is stored was NOT COUNTED: --query-url names an API that can be asked".to_owned(),
        );
    } else if !load.numbered() {
        remarks.push(
            "captured data points have no numbers: missing ones, and those stored twice, are NOT \
             COUNTED"
                .to_owned(),
        );
    }
    let must_be_seen = stand.is_own() && load.numbered();
    // Books that lack answers prove nothing.
    let passed = all_hold(&conditions, must_be_seen) && killed == 0;
    Report {
        scenario: scenario.name.to_owned(),
        about: scenario.about.to_owned(),
        passed,
        conditions,
        began_ms: u64::try_from(course.began_ms).unwrap_or_default(),
        took_s: around.took.as_secs_f64(),
        command: around.command,
        target: target(stand),
        destination: stand.store.describe(),
        load: LoadFigures {
            format: load.format.map_or("all in turn".to_owned(), |format| format.to_string()),
            points_per_body: load.points_per_body,
            points_per_record: load.points_per_record,
            metrics: load.metrics,
            gzip: load.gzip,
            bytes_sent: answers().map(|answer| answer.bytes_out).sum(),
        },
        accepted,
        refused: Latency::of(answers(), Class::Refused),
        stages,
        gateway,
        strangers,
        events: course.happened.iter().map(|(at, what)| (at.as_secs_f64(), what.clone())).collect(),
        remarks,
        machine: Machine::this(),
        versions: around.versions,
        moments,
        seconds: seconds(&course.attacks, load),
        books,
    }
}

/// Requests by answer, those without one as 0.
fn codes(books: &Books) -> Codes {
    let mut codes = books.answers.clone();
    codes.remove(&0);
    if books.unanswered > 0 {
        codes.insert(0, books.unanswered);
    }
    codes
}

fn target(stand: &Stand) -> String {
    if !stand.is_own() {
        return sluicegate::secret::hidden_in_url(&stand.url).into_owned();
    }
    let behind = if stand.balancer.is_some() { " behind HAProxy" } else { "" };
    match stand.gateways.len() {
        1 => format!("a gateway started by the kit{behind}"),
        count => format!("{count} gateways started by the kit{behind}"),
    }
}

/// What the gateways did; none if nothing of them was seen.
fn gateway_figures(
    stand: &Stand,
    plan: &Plan,
    course: &Course,
    books: &Books,
) -> Option<GatewayFigures> {
    let seen = course.sightings.iter().any(|sightings| sightings.last().is_some());
    if !seen && !stand.is_own() {
        return None;
    }
    let sum =
        |of: &dyn Fn(&crate::watch::Sightings) -> f64| course.sightings.iter().map(of).sum::<f64>();
    let cpu_seconds = stand.is_own().then(|| sum(&|sightings| sightings.cpu_seconds()));
    let millions = books.points_acknowledged as f64 / 1e6;
    let watched = course.sightings.iter().map(|sightings| sightings.peak_rss_bytes()).max();
    let used = course.used.iter().map(|usage| usage.peak_rss_bytes).max();
    let budget = sum(&|sightings| sightings.most("sluicegate_budget_bytes", &[]));
    let hits = sum(&|one| one.growth("sluicegate_series_cache_hits_total", &[]));
    let misses = sum(&|one| one.growth("sluicegate_series_cache_misses_total", &[]));
    Some(GatewayFigures {
        series_known: (hits + misses > 0.0).then(|| hits / (hits + misses)),
        cpu_seconds,
        cpu_seconds_per_million_points: cpu_seconds
            .filter(|_| millions > 0.0)
            .map(|seconds| seconds / millions),
        idle_rss_bytes: course.idle.iter().map(|usage| usage.rss_bytes).max(),
        peak_rss_bytes: watched.max(used).filter(|_| stand.is_own()),
        budget_bytes: if budget > 0.0 { Some(budget as u64) } else { plan.gateway.budget },
        budget_used_peak_bytes: sum(&|one| one.most("sluicegate_budget_used_bytes", &[])) as u64,
        retries: sum(&|one| one.growth("sluicegate_remote_write_retries_total", &[])) as u64,
        bounds: stand.bounds.clone(),
    })
}

/// The conditions of a plan that have to hold before it begins, in words.
#[must_use]
pub fn announced(plan: &Plan) -> Vec<String> {
    plan.conditions.iter().map(Condition::text).collect()
}
