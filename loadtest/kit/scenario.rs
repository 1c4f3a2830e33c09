//! What scenarios there are, and what a scenario is: a load, a stand around it, what happens
//! meanwhile, and what must hold in the end.

use std::time::Duration;

use crate::behaviour::Behaviour;
use crate::condition::Condition;
use crate::scenarios::{bodies, clients, destinations, plain, ramp, rolling, sizing};

/// A scenario by name.
#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    /// Its name on the command line.
    pub name: &'static str,
    /// What it is, in a sentence.
    pub about: &'static str,
    /// How it goes.
    pub plan: fn(&Wishes) -> Plan,
}

/// All of them, in the order in which `all` runs them.
pub const ALL: &[Scenario] = &[
    plain::SMOKE,
    plain::STEADY,
    plain::BURST,
    plain::SOAK,
    ramp::RAMP,
    ramp::RAMP_DESTINATION,
    bodies::LARGE,
    bodies::SMALL,
    destinations::SLOW,
    destinations::OUTAGE,
    destinations::THROTTLE,
    clients::HALF_OPEN,
    clients::KEYS,
    rolling::ROLLING,
    sizing::SIZING,
];

/// Finds a scenario.
#[must_use]
pub fn named(name: &str) -> Option<&'static Scenario> {
    ALL.iter().find(|scenario| scenario.name == name)
}

/// What the user wants otherwise than the scenario has it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wishes {
    /// Data points per second.
    pub rate: Option<f64>,
    /// How long the load lasts.
    pub duration: Option<Duration>,
    /// Bytes of the gateway's budget.
    pub budget: Option<u64>,
    /// Processors that the gateway may use, where that can be bounded.
    pub cpus: Option<f64>,
    /// Whether the short form will do.
    pub short: bool,
}

impl Wishes {
    /// The rate wished for, or this one.
    #[must_use]
    pub fn rate_or(&self, points_per_s: f64) -> f64 {
        self.rate.unwrap_or(points_per_s)
    }

    /// The duration wished for, or this one.
    #[must_use]
    pub fn duration_or(&self, seconds: u64) -> Duration {
        self.duration.unwrap_or(Duration::from_secs(seconds))
    }

    /// The budget wished for, or this one in MiB.
    #[must_use]
    pub fn budget_or(&self, mib: u64) -> u64 {
        self.budget.unwrap_or(mib << 20)
    }
}

/// How a scenario goes.
#[derive(Clone, Debug)]
pub struct Plan {
    /// How fast the load comes.
    pub pace: Pace,
    /// What bodies are made of, where the scenario has a say in it.
    pub bodies: Bodies,
    /// Requests in flight at most.
    pub workers: usize,
    /// Of one request.
    pub timeout: Duration,
    /// The gateway that the kit starts.
    pub gateway: GatewayPlan,
    /// What the destination does at first.
    pub destination: Behaviour,
    /// What happens meanwhile.
    pub events: Vec<Event>,
    /// What must hold in the end.
    pub conditions: Vec<Condition>,
}

/// How fast a load comes.
#[derive(Clone, Debug)]
pub enum Pace {
    /// Stages that are known before.
    Steps(Vec<Step>),
    /// Upwards until it does not go on, beyond that, and back to where it began.
    Climb(Climb),
}

/// One stage.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// Data points per second.
    pub points_per_s: f64,
    /// How long.
    pub duration: Duration,
}

/// A climb to where it does not go on.
#[derive(Clone, Copy, Debug)]
pub struct Climb {
    /// The first stage, in data points per second.
    pub from: f64,
    /// From one stage to the next.
    pub factor: f64,
    /// How long each stage lasts.
    pub step: Duration,
    /// Stages upwards at most.
    pub most: usize,
    /// A stage of which a smaller share is answered 200 is the top.
    pub accepted: f64,
    /// So is one whose p99 is higher.
    pub p99: Duration,
    /// From the top to the stage beyond it.
    pub beyond: f64,
}

/// What bodies are made of; none where the options decide.
#[derive(Clone, Copy, Debug, Default)]
pub struct Bodies {
    /// Data points of one body.
    pub points_per_body: Option<u32>,
    /// Data points of one record.
    pub points_per_record: Option<u32>,
    /// Distinct metrics.
    pub metrics: Option<u32>,
    /// As many data points as fit into so many bytes before compression.
    pub bytes: Option<usize>,
    /// Whether they are JSON, as large bodies are.
    pub json: bool,
}

/// The gateways that the kit starts.
#[derive(Clone, Debug)]
pub struct GatewayPlan {
    /// How many; more than one stand behind a balancer.
    pub count: usize,
    /// Bytes of the budget; none leaves it to the gateway.
    pub budget: Option<u64>,
    /// From a request's headers to its answer.
    pub request_deadline: Duration,
    /// Of one request to the destination.
    pub remote_timeout: Duration,
    /// Lanes to the destination.
    pub lanes: usize,
    /// What the gateway may use of the machine; none: all of it.
    pub quota: Option<Bounds>,
}

/// Bounds of the gateway's process, as a container has them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bounds {
    /// Processors.
    pub cpus: f64,
    /// Bytes of memory; none: not bounded.
    pub memory: Option<u64>,
}

impl Default for GatewayPlan {
    fn default() -> Self {
        Self {
            count: 1,
            budget: Some(256 << 20),
            request_deadline: Duration::from_secs(30),
            remote_timeout: Duration::from_secs(5),
            lanes: 4,
            quota: None,
        }
    }
}

/// Something that happens at a moment of the run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Event {
    /// Since the load began.
    pub at: Duration,
    /// What.
    pub what: Happening,
}

/// What may happen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Happening {
    /// The destination does this from now on.
    Destination(Behaviour),
    /// So many connections are opened, and none finishes a request until the end of the load.
    HalfOpen(usize),
    /// Requests with a wrong key come beside the load.
    Strangers(Step),
    /// A gateway is stopped and started again.
    Restart(usize),
}

impl Happening {
    /// In words; `told` where someone else must do it.
    #[must_use]
    pub fn text(&self) -> String {
        match self {
            Self::Destination(behaviour) => format!("the destination is {}", behaviour.name()),
            Self::HalfOpen(count) => format!("{count} connections are opened and left half open"),
            Self::Strangers(step) => {
                format!("{:.0} points/s come with a wrong key", step.points_per_s)
            }
            Self::Restart(gateway) => {
                format!("gateway {} is stopped and started again", gateway + 1)
            }
        }
    }

    /// Whether it takes the kit's own gateway and destination.
    #[must_use]
    pub const fn takes_own(&self) -> bool {
        matches!(self, Self::Destination(_) | Self::Restart(_))
    }
}

/// Beside what the load takes: starting, settling, reading back.
const AROUND: Duration = Duration::from_secs(10);

/// Beside what may be bounded by itself: a machine that is busy.
const SLACK: Duration = Duration::from_secs(60);

impl Plan {
    /// Stages of one rate.
    #[must_use]
    pub fn steady(points_per_s: f64, duration: Duration) -> Self {
        Self::of(vec![Step { points_per_s, duration }])
    }

    /// Stages that are known before.
    #[must_use]
    pub fn of(steps: Vec<Step>) -> Self {
        Self {
            pace: Pace::Steps(steps),
            bodies: Bodies::default(),
            workers: 128,
            timeout: Duration::from_secs(40),
            gateway: GatewayPlan::default(),
            destination: Behaviour::Store,
            events: Vec::new(),
            conditions: Vec::new(),
        }
    }

    /// Whether something happens to the destination.
    #[must_use]
    pub fn troubles_destination(&self) -> bool {
        let mut events = self.events.iter();
        self.destination != Behaviour::Store
            || events.any(|event| matches!(event.what, Happening::Destination(_)))
    }

    /// Whether something happens to the destination or the gateways.
    #[must_use]
    pub fn troubles(&self) -> bool {
        self.troubles_destination() || self.events.iter().any(|event| event.what.takes_own())
    }

    /// How long the load lasts at most.
    #[must_use]
    pub fn load_lasts(&self) -> Duration {
        match &self.pace {
            Pace::Steps(steps) => steps.iter().map(|step| step.duration).sum(),
            // The stage beyond and the one back.
            Pace::Climb(climb) => climb
                .step
                .saturating_mul(u32::try_from(climb.most).unwrap_or(u32::MAX).saturating_add(2)),
        }
    }

    /// How long the whole run takes if all goes well.
    #[must_use]
    pub fn expected(&self) -> Duration {
        self.load_lasts() + AROUND
    }

    /// How long it takes at most; it is broken off then.
    #[must_use]
    pub fn at_most(&self) -> Duration {
        let attacks = match &self.pace {
            Pace::Steps(_) => 1,
            Pace::Climb(climb) => u32::try_from(climb.most).unwrap_or(u32::MAX).saturating_add(2),
        };
        // Each attack may have to wait for its last answers.
        let waits =
            self.timeout.saturating_mul(2).min(Duration::from_secs(20).saturating_mul(attacks));
        self.expected() + self.timeout.saturating_mul(2) + waits + SLACK
    }

    /// The fastest stage, in data points per second; of a climb the last that it could have.
    #[must_use]
    pub fn fastest(&self) -> f64 {
        match &self.pace {
            Pace::Steps(steps) => steps.iter().map(|step| step.points_per_s).fold(0.0, f64::max),
            Pace::Climb(climb) => {
                let stages = i32::try_from(climb.most).unwrap_or(i32::MAX);
                climb.from * climb.factor.powi(stages) * climb.beyond
            }
        }
    }

    /// The gateway's memory promise: its budget and 128 MiB.
    #[must_use]
    pub fn memory_promise(&self) -> Option<u64> {
        self.gateway.budget.map(|budget| budget + (128 << 20))
    }

    /// The same with these conditions, behind those that hold for every run: nothing acknowledged is
    /// missing, the contracts are kept, memory stays within the promise, the gateway ends well.
    #[must_use]
    pub fn must(mut self, conditions: impl IntoIterator<Item = Condition>) -> Self {
        self.conditions.extend(conditions);
        self.conditions.push(Condition::NothingMissing);
        if let Some(promise) = self.memory_promise() {
            self.conditions.push(Condition::MemoryUnder(promise));
        }
        let always = [Condition::BudgetReturned, Condition::ContractKept, Condition::EndedWell];
        self.conditions.extend(always);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_found() {
        for scenario in ALL {
            let found = named(scenario.name).expect("a scenario");
            assert_eq!(found.about, scenario.about, "{} is there twice", scenario.name);
        }
        assert!(named("nothing").is_none());
    }

    #[test]
    fn every_scenario_is_bounded_and_says_what_it_must_show() {
        for scenario in ALL {
            for short in [true, false] {
                let plan = (scenario.plan)(&Wishes { short, ..Wishes::default() });
                let name = scenario.name;
                assert!(plan.load_lasts() > Duration::ZERO, "{name}");
                assert!(plan.expected() < plan.at_most(), "{name}");
                assert!(plan.at_most() < Duration::from_secs(900), "{name}: {:?}", plan.at_most());
                assert!(plan.conditions.contains(&Condition::NothingMissing), "{name}");
                for event in &plan.events {
                    assert!(event.at < plan.load_lasts(), "{name}: {event:?}");
                }
                let in_order = plan.events.is_sorted_by_key(|event| event.at);
                assert!(in_order, "{name}: events in order");
            }
        }
    }

    #[test]
    fn all_short_forms_together_take_less_than_twelve_minutes() {
        let wishes = Wishes { short: true, ..Wishes::default() };
        let all: Duration = ALL.iter().map(|scenario| (scenario.plan)(&wishes).expected()).sum();
        assert!(all < Duration::from_secs(720), "{all:?}");
    }

    #[test]
    fn a_wish_for_rate_and_duration_is_heard_everywhere() {
        let wishes = Wishes {
            rate: Some(1234.0),
            duration: Some(Duration::from_secs(60)),
            ..Wishes::default()
        };
        for scenario in ALL {
            let plan = (scenario.plan)(&wishes);
            match &plan.pace {
                Pace::Steps(steps) => {
                    assert!(steps.iter().any(|step| (step.points_per_s - 1234.0).abs() < 1e-6));
                    let lasts = plan.load_lasts().as_secs_f64();
                    assert!((lasts - 60.0).abs() < 1.0, "{}: {lasts}", scenario.name);
                }
                Pace::Climb(climb) => assert!((climb.from - 1234.0).abs() < 1e-6),
            }
        }
    }
}
