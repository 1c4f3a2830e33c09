//! Bodies as large, and as small, as Firehose sends them.

use std::time::Duration;

use crate::condition::Condition::{AllAccepted, NothingTwice, P99};
use crate::scenario::{Bodies, Plan, Scenario, Wishes};

/// 64 MiB.
pub const LARGE: Scenario = Scenario {
    name: "large",
    about: "bodies of 64 MiB, the largest that Firehose sends",
    plan: large,
};

/// A few data points.
pub const SMALL: Scenario = Scenario {
    name: "small",
    about: "hundreds of small bodies a second: Firehose without buffering",
    plan: small,
};

/// Firehose's limit, before compression.
const LARGE_BYTES: usize = 64 << 20;
const SMALL_POINTS: u32 = 5;

fn large(wishes: &Wishes) -> Plan {
    let mut plan = Plan::steady(wishes.rate_or(30_000.0), wishes.duration_or(24));
    plan.bodies = Bodies {
        points_per_record: Some(1000),
        bytes: Some(LARGE_BYTES),
        json: true,
        ..Bodies::default()
    };
    plan.workers = 4;
    plan.timeout = Duration::from_secs(60);
    plan.gateway.request_deadline = Duration::from_secs(50);
    plan.gateway.budget = Some(wishes.budget_or(256));
    plan.must([AllAccepted, NothingTwice, P99(Duration::from_secs(20))])
}

fn small(wishes: &Wishes) -> Plan {
    let mut plan = Plan::steady(wishes.rate_or(2_000.0), wishes.duration_or(15));
    plan.bodies = Bodies {
        points_per_body: Some(SMALL_POINTS),
        points_per_record: Some(1),
        ..Bodies::default()
    };
    plan.gateway.budget = Some(wishes.budget_or(256));
    plan.must([AllAccepted, NothingTwice, P99(Duration::from_secs(1))])
}
