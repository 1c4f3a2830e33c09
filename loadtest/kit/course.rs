//! One run from its first request to the last stored sample: the attack, what happens meanwhile,
//! and who looks on.

use std::path::Path;
use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout};

use crate::attack::{Attack, Attacked, Stage};
use crate::books::Stored;
use crate::figures::stage_figures;
use crate::gateway::Usage;
use crate::half_open::{HalfOpen, Unfinished};
use crate::load::Load;
use crate::options::Options;
use crate::prometheus::now_ms;
use crate::scenario::{Climb, Event, Happening, Pace, Plan, Step};
use crate::stand::{Stand, Store};
use crate::vegeta::Vegeta;
use crate::watch::Sightings;

/// What is needed to load a stand.
#[derive(Clone, Copy, Debug)]
pub struct Driver<'a> {
    /// The vegeta that sends.
    pub vegeta: &'a Vegeta,
    /// What is sent.
    pub load: &'a Load,
    /// The command line.
    pub options: &'a Options,
    /// Name of the run.
    pub run: &'a str,
    /// Where vegeta's results are kept.
    pub directory: &'a Path,
}

/// What became of a run.
#[derive(Debug)]
pub struct Course {
    /// When the load began, in milliseconds since 1970.
    pub began_ms: i64,
    /// The attacks, each with its stages and the time from the load's beginning to its own.
    pub attacks: Vec<(Duration, Vec<Step>, Attacked)>,
    /// The requests with a wrong key.
    pub strangers: Option<Attacked>,
    /// Connections that were opened and never finished a request.
    pub half_open: Option<u64>,
    /// Exit codes of gateways that were restarted.
    pub restarted: Vec<Option<i32>>,
    /// What happened, and when.
    pub happened: Vec<(Duration, String)>,
    /// What the gateways had used before the load.
    pub idle: Vec<Usage>,
    /// And after it.
    pub used: Vec<Usage>,
    /// What was seen of each gateway.
    pub sightings: Vec<Sightings>,
    /// Bytes of the budget that were held in the end.
    pub budget_left: Option<u64>,
    /// What is stored.
    pub stored: Option<Stored>,
    /// Exit codes of the gateways in the end.
    pub exits: Option<Vec<Option<i32>>>,
    /// What was not as planned.
    pub remarks: Vec<String>,
}

/// What happened beside the attack.
#[derive(Debug, Default)]
struct Beside {
    half_open: Option<HalfOpen>,
    opened: Option<u64>,
    restarted: Vec<Option<i32>>,
    happened: Vec<(Duration, String)>,
}

/// A driver that sends less of what it should is what ends a climb.
const KEPT_MIN: f64 = 0.75;

/// Numbers of requests with a wrong key are beyond those of the load.
const APART: u64 = 1000;

/// What half-open clients leave unfinished. Those who ask on and on and read no answer are left out: they
/// are no half-open clients but a flood.
const UNFINISHED: [Unfinished; 5] = [
    Unfinished::Silent,
    Unfinished::Headers,
    Unfinished::DrippingHeaders,
    Unfinished::Body,
    Unfinished::DrippingBody,
];

/// Runs a plan on a stand.
///
/// # Errors
/// If a part breaks down. What the gateway does wrong is no error: the judge sees it.
pub async fn run(plan: &Plan, stand: &mut Stand, driver: Driver<'_>) -> anyhow::Result<Course> {
    let idle = stand.usage();
    let watches = stand.watch(plan);
    let began_ms = now_ms()?;
    let began = Instant::now();
    let (url, key) = (stand.url.clone(), stand.key.clone());
    let mut beside = Beside::default();
    let mut remarks = Vec::new();
    let (attacks, strangers) = {
        let attacks = attacks(plan, &driver, &url, &key, began, &mut remarks);
        let strangers = strangers(plan, &driver, &url, began);
        let events = events(plan, stand, began, &mut beside);
        // What happens beside may end before the load, and a restart after it; an error ends all.
        let (attacks, strangers, ()) = tokio::try_join!(attacks, strangers, events)?;
        (attacks, strangers)
    };
    if let Some(half_open) = beside.half_open.take() {
        beside.opened = Some(half_open.figures().opened);
    }
    let patience = plan.gateway.request_deadline.saturating_add(Duration::from_secs(5));
    let budget_left = stand.settle(patience).await;
    let mut sightings = Vec::new();
    for watch in watches {
        sightings.push(watch.stop().await?);
    }
    let used = stand.usage();
    let exits = if stand.is_own() { Some(stand.end_gateways().await) } else { None };
    let stored = stand.stored(driver.run, began_ms).await?;
    Ok(Course {
        began_ms,
        attacks,
        strangers,
        half_open: beside.opened,
        restarted: beside.restarted,
        happened: beside.happened,
        idle,
        used,
        sightings,
        budget_left,
        stored,
        exits,
        remarks,
    })
}

/// The load itself.
async fn attacks(
    plan: &Plan,
    driver: &Driver<'_>,
    url: &str,
    key: &str,
    began: Instant,
    remarks: &mut Vec<String>,
) -> anyhow::Result<Vec<(Duration, Vec<Step>, Attacked)>> {
    let climb = match &plan.pace {
        Pace::Steps(steps) => {
            let at = began.elapsed();
            let attacked = driver.attack(plan, (url, key), 0, steps, "load").await?;
            return Ok(vec![(at, steps.clone(), attacked)]);
        }
        Pace::Climb(climb) => climb,
    };
    let mut done: Vec<(Duration, Vec<Step>, Attacked)> = Vec::new();
    let mut step = Step { points_per_s: climb.from, duration: climb.step };
    let mut top = None;
    for number in 1..=climb.most.saturating_add(2) {
        let first = done.last().map_or(0, |(_, _, attacked)| attacked.next());
        let at = began.elapsed();
        let name = format!("load-{number}");
        let attacked = driver.attack(plan, (url, key), first, &[step], &name).await?;
        let why = reached(climb, step, &attacked, driver.load);
        done.push((at, vec![step], attacked));
        eprintln!("  {:.0} points/s: {}", step.points_per_s, why.as_deref().unwrap_or("carried"));
        match (top, why) {
            // The stage back was the last one.
            (Some(true), _) => return Ok(done),
            (Some(false), _) => {
                top = Some(true);
                step.points_per_s = climb.from;
            }
            (None, None) if number < climb.most => step.points_per_s *= climb.factor,
            (None, why) => {
                if why.is_none() {
                    remarks.push(format!("the climb ended at {:.0} points/s", step.points_per_s));
                }
                top = Some(false);
                step.points_per_s *= climb.beyond;
            }
        }
    }
    Ok(done)
}

/// Why a stage of a climb is the top; none if it goes on.
fn reached(climb: &Climb, step: Step, attacked: &Attacked, load: &Load) -> Option<String> {
    let figures = stage_figures(attacked, &[step], load);
    let stage = figures.first()?;
    let p99_ms = stage.p99_ms.unwrap_or(f64::INFINITY);
    if stage.accepted() < climb.accepted {
        Some(format!("{:.1} % accepted", stage.accepted() * 100.0))
    } else if p99_ms > climb.p99.as_secs_f64() * 1e3 {
        Some(format!("p99 {p99_ms:.0} ms"))
    } else if stage.kept() < KEPT_MIN {
        Some(format!("only {:.0} points/s could be sent", stage.sent_points_per_s))
    } else {
        None
    }
}

/// Requests with a wrong key beside the load.
async fn strangers(
    plan: &Plan,
    driver: &Driver<'_>,
    url: &str,
    began: Instant,
) -> anyhow::Result<Option<Attacked>> {
    let found = plan.events.iter().find_map(|event| match event.what {
        Happening::Strangers(step) => Some((event.at, step)),
        _ => None,
    });
    let Some((at, step)) = found else { return Ok(None) };
    sleep_until(began + at).await;
    let points = plan.fastest() * plan.load_lasts().as_secs_f64();
    let first = (points / f64::from(driver.load.points_per_body.max(1))) as u64 * 2 + APART;
    let steps = [step];
    let attack = driver.attack(plan, (url, "not-the-key"), first, &steps, "strangers");
    Ok(Some(attack.await?))
}

/// Makes happen what is to happen.
async fn events(
    plan: &Plan,
    stand: &mut Stand,
    began: Instant,
    beside: &mut Beside,
) -> anyhow::Result<()> {
    for Event { at, what } in &plan.events {
        sleep_until(began + *at).await;
        let mut text = what.text();
        if what.takes_own() && !stand.is_own() {
            text = format!("now it is up to you: {text}");
        }
        eprintln!("  {:.1} s: {text}", began.elapsed().as_secs_f64());
        beside.happened.push((began.elapsed(), text));
        match what {
            Happening::Strangers(_) => {}
            Happening::Destination(behaviour) => {
                if let Store::Counting(receiver) = &stand.store {
                    receiver.set(*behaviour);
                }
            }
            Happening::HalfOpen(count) => {
                let each = count.div_ceil(UNFINISHED.len());
                let half_open = HalfOpen::start(&stand.url, "not-the-key", &UNFINISHED, each)?;
                beside.half_open = Some(half_open);
            }
            Happening::Restart(_) if !stand.is_own() => {}
            Happening::Restart(which) => {
                let Stand { gateways, balancer, .. } = stand;
                let code = Stand::restart(gateways, balancer.as_ref(), *which).await?;
                beside.restarted.push(code);
                let text = format!("gateway {} is back", which + 1);
                eprintln!("  {:.1} s: {text}", began.elapsed().as_secs_f64());
                beside.happened.push((began.elapsed(), text));
            }
        }
    }
    Ok(())
}

impl Driver<'_> {
    async fn attack(
        &self,
        plan: &Plan,
        (url, key): (&str, &str),
        first: u64,
        steps: &[Step],
        name: &str,
    ) -> anyhow::Result<Attacked> {
        let per_body = f64::from(self.load.points_per_body.max(1));
        let stage =
            |step: &Step| Stage { rate: step.points_per_s / per_body, duration: step.duration };
        let stages: Vec<Stage> = steps.iter().map(stage).collect();
        let directory = self.directory.join(name);
        std::fs::create_dir_all(&directory)?;
        let workers = self.options.workers.map_or(plan.workers, |workers| workers as usize);
        let attack = Attack {
            vegeta: self.vegeta,
            url,
            key,
            common_attributes: &[],
            load: self.load,
            run: self.run,
            first,
            stages: &stages,
            workers,
            timeout: plan.timeout,
            root_certs: self.options.root_certs.as_deref(),
            insecure: self.options.insecure,
            directory: &directory,
        };
        attack.run().await
    }
}

/// A run that lasts longer than it may.
///
/// # Errors
/// As [`run`], and if the time is up.
pub async fn run_in_time(
    plan: &Plan,
    stand: &mut Stand,
    driver: Driver<'_>,
) -> anyhow::Result<Course> {
    let at_most = plan.at_most();
    match timeout(at_most, run(plan, stand, driver)).await {
        Ok(course) => course,
        Err(_) => anyhow::bail!("not over after {} s: broken off", at_most.as_secs()),
    }
}

/// Why a plan cannot be run with these options; none if it can.
#[must_use]
pub fn unfit(plan: &Plan, options: &Options) -> Option<&'static str> {
    let half_open = plan.events.iter().any(|event| matches!(event.what, Happening::HalfOpen(_)));
    let tls = options.url.as_ref().is_some_and(|url| url.starts_with("https:"));
    if options.prometheus && plan.troubles_destination() {
        Some("a Prometheus is never in trouble; leave --prometheus out")
    } else if half_open && tls {
        Some("half-open clients do not speak TLS; name an http:// URL")
    } else {
        None
    }
}

/// The same where nobody stands by to make trouble.
#[must_use]
pub fn unfit_among_all(plan: &Plan, options: &Options) -> Option<&'static str> {
    let others = options.url.is_some() && plan.troubles();
    unfit(plan, options).or_else(|| {
        others.then_some("what happens to gateways and destination is up to you; run it by itself")
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::scenario::{ALL, Wishes};

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        options: Options,
    }

    #[test]
    fn what_cannot_be_run_is_known_before() {
        let names = |line: &[&str], unfit: fn(&Plan, &Options) -> Option<&'static str>| {
            let options = Line::parse_from([&["x"], line].concat()).options;
            let plans = ALL.iter().map(|one| (one.name, (one.plan)(&Wishes::default())));
            let some = plans.filter(|(_, plan)| unfit(plan, &options).is_some());
            some.map(|(name, _)| name).collect::<Vec<_>>()
        };
        let troubled = ["ramp-destination", "slow", "outage", "throttle"];
        assert_eq!(names(&[], unfit_among_all), [""; 0]);
        assert_eq!(names(&["--prometheus"], unfit), troubled);
        let plain = ["--url", "http://h/", "--key", "k"];
        assert_eq!(names(&plain, unfit), [""; 0]);
        assert_eq!(names(&plain, unfit_among_all), [&troubled[..], &["rolling"]].concat());
        assert_eq!(names(&["--url", "https://h/", "--key", "k"], unfit), ["half-open"]);
    }
}
