//! A deployment goes on while its tasks are replaced one after the other.

use std::time::Duration;

use crate::condition::Condition::{AllAccepted, Kept, P99, Restarted};
use crate::scenario::{Event, Happening, Plan, Scenario, Wishes};

/// Two gateways behind a balancer.
pub const ROLLING: Scenario = Scenario {
    name: "rolling",
    about: "two gateways behind a load balancer are restarted one after the other",
    plan: rolling,
};

fn rolling(wishes: &Wishes) -> Plan {
    let mut plan = Plan::steady(wishes.rate_or(5_000.0), wishes.duration_or(40));
    let lasts = plan.load_lasts();
    plan.gateway.count = 2;
    plan.gateway.budget = Some(wishes.budget_or(256));
    plan.events = vec![
        Event { at: lasts / 8, what: Happening::Restart(0) },
        Event { at: lasts * 9 / 16, what: Happening::Restart(1) },
    ];
    plan.must([AllAccepted, Kept(0.97), P99(Duration::from_secs(2)), Restarted(2)])
}
