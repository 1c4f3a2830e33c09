//! More and more, until it does not go on: beyond capacity the gateway says so, and keeps what it
//! has promised.

use std::time::Duration;

use crate::behaviour::Behaviour;
use crate::condition::Condition::{Longest, Only, Recovered, Saturated};
use crate::scenario::{Bounds, Climb, Pace, Plan, Scenario, Wishes};

/// The gateway's processor is the bound.
pub const RAMP: Scenario = Scenario {
    name: "ramp",
    about: "upwards until the gateway's processor time is used up, beyond, and back",
    plan: ramp,
};

/// The destination is the bound.
pub const RAMP_DESTINATION: Scenario = Scenario {
    name: "ramp-destination",
    about: "upwards until a slow destination takes no more, beyond, and back",
    plan: ramp_destination,
};

/// No accepted request takes longer: the deadline, and what the machine that drives adds.
const DEADLINE: Duration = Duration::from_secs(10);
const DRIVEN: Duration = Duration::from_secs(3);

/// The gateway gets so much of a machine of which the load takes the rest.
const CPUS: f64 = 0.25;

fn climb(wishes: &Wishes, from: f64, factor: f64, most: usize) -> Plan {
    let step = wishes.duration.unwrap_or(Duration::from_secs(if wishes.short { 5 } else { 10 }));
    let mut plan = Plan::steady(from, step);
    plan.pace = Pace::Climb(Climb {
        from: wishes.rate_or(from),
        factor,
        step,
        most,
        accepted: 0.9,
        p99: DEADLINE / 2,
        beyond: 1.5,
    });
    // More than the budget holds: otherwise the driver would wait, and nothing be refused.
    plan.workers = 200;
    plan.timeout = DEADLINE * 2;
    plan.gateway.request_deadline = DEADLINE;
    plan.gateway.remote_timeout = DEADLINE / 2;
    plan.gateway.budget = Some(wishes.budget_or(32));
    // As many as the series cache of so small a budget holds.
    plan.bodies.metrics = Some(1000);
    plan
}

fn ramp(wishes: &Wishes) -> Plan {
    let mut plan = climb(wishes, 20_000.0, 1.7, 7);
    plan.gateway.quota = Some(Bounds { cpus: wishes.cpus.unwrap_or(CPUS), memory: None });
    plan.must([Saturated, Only(&[200, 503]), Longest(DEADLINE + DRIVEN), Recovered])
}

fn ramp_destination(wishes: &Wishes) -> Plan {
    let mut plan = climb(wishes, 5_000.0, 2.0, 5);
    // Two lanes with 1 MB each in flight: some 31,000 samples, 6,200 data points a second.
    plan.destination = Behaviour::Delay(Duration::from_millis(250));
    plan.must([Saturated, Only(&[200, 503]), Longest(DEADLINE + DRIVEN), Recovered])
}
