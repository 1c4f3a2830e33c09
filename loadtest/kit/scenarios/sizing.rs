//! What the smallest Fargate task carries: a quarter of a processor and 512 MB.

use std::time::Duration;

use crate::condition::Condition::{Carries, Only};
use crate::scenario::{Bounds, Climb, Pace, Plan, Scenario, Wishes};

/// 0.25 vCPU, 512 MB.
pub const SIZING: Scenario = Scenario {
    name: "sizing",
    about: "what a task of 0.25 vCPU and 512 MB carries: upwards until it is too much",
    plan: sizing,
};

const CPUS: f64 = 0.25;
const MEMORY: u64 = 512 << 20;

/// What such a task is said to carry: 1.2 million data points a minute.
const CARRIES: f64 = 20_000.0;

/// p99 at which a task is said to carry a rate: what its requests may take is far more.
pub const P99: Duration = Duration::from_secs(2);

fn sizing(wishes: &Wishes) -> Plan {
    let from = wishes.rate_or(CARRIES);
    let step = wishes.duration.unwrap_or(Duration::from_secs(if wishes.short { 6 } else { 10 }));
    let mut plan = Plan::steady(from, step);
    plan.pace = Pace::Climb(Climb {
        from,
        factor: 1.4,
        step,
        most: 6,
        accepted: 1.0,
        p99: P99,
        beyond: 1.2,
    });
    plan.workers = 200;
    plan.gateway.request_deadline = Duration::from_secs(20);
    // A third of the memory limit, as the gateway has it by itself.
    plan.gateway.budget = Some(wishes.budget.unwrap_or(MEMORY / 3));
    let cpus = wishes.cpus.unwrap_or(CPUS);
    plan.gateway.quota = Some(Bounds { cpus, memory: Some(MEMORY) });
    plan.must([Carries(from, P99), Only(&[200, 503])])
}
