//! Nothing goes wrong: does it all arrive, and what does it cost?

use std::time::Duration;

use crate::condition::Condition::{AllAccepted, Kept, MemoryFlat, NothingTwice, P99};
use crate::scenario::{Plan, Scenario, Step, Wishes};

/// Seconds long.
pub const SMOKE: Scenario = Scenario {
    name: "smoke",
    about: "a few seconds of load: everything works together",
    plan: smoke,
};

/// The rate at which things stand.
pub const STEADY: Scenario = Scenario {
    name: "steady",
    about: "one rate: what a data point costs, and how long a request takes",
    plan: steady,
};

/// Ten times as much for ten seconds.
pub const BURST: Scenario =
    Scenario { name: "burst", about: "ten times the rate for ten seconds, and back", plan: burst };

/// Long.
pub const SOAK: Scenario =
    Scenario { name: "soak", about: "one rate for long: memory stays flat", plan: soak };

/// Latency of accepted requests where nothing is short; a machine that is shared gets the most of it.
const CALM: Duration = Duration::from_secs(1);

fn smoke(wishes: &Wishes) -> Plan {
    Plan::steady(wishes.rate_or(10_000.0), wishes.duration_or(5)).must([AllAccepted, NothingTwice])
}

fn steady(wishes: &Wishes) -> Plan {
    let duration = wishes.duration_or(if wishes.short { 20 } else { 60 });
    let mut plan = Plan::steady(wishes.rate_or(25_000.0), duration);
    plan.gateway.budget = Some(wishes.budget_or(256));
    plan.must([AllAccepted, NothingTwice, Kept(0.97), P99(CALM)])
}

fn burst(wishes: &Wishes) -> Plan {
    let rate = wishes.rate_or(5_000.0);
    let whole = wishes.duration_or(25);
    // Ten seconds, unless the whole is too short for that.
    let peak = Duration::from_secs(10).min(whole.mul_f64(0.4));
    let around = (whole - peak) / 2;
    let step = |points_per_s, duration| Step { points_per_s, duration };
    let mut plan = Plan::of(vec![step(rate, around), step(rate * 10.0, peak), step(rate, around)]);
    plan.gateway.budget = Some(wishes.budget_or(256));
    plan.must([AllAccepted, NothingTwice, P99(CALM * 2)])
}

fn soak(wishes: &Wishes) -> Plan {
    let duration = wishes.duration_or(if wishes.short { 60 } else { 300 });
    let mut plan = Plan::steady(wishes.rate_or(10_000.0), duration);
    plan.gateway.budget = Some(wishes.budget_or(256));
    plan.must([AllAccepted, NothingTwice, Kept(0.97), P99(CALM), MemoryFlat(0.05)])
}
