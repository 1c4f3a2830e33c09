//! Clients that are no Firehose stand beside it, and it does not notice.

use std::time::Duration;

use crate::condition::Condition::{
    AllAccepted, HalfOpen, NothingTwice, P99, StrangersRefused, StrangersStoreNothing,
};
use crate::scenario::{Event, Happening, Plan, Scenario, Step, Wishes};

/// They never finish.
pub const HALF_OPEN: Scenario = Scenario {
    name: "half-open",
    about: "connections that never finish a request, more than may be open",
    plan: half_open,
};

/// They have no key.
pub const KEYS: Scenario = Scenario {
    name: "keys",
    about: "as many requests with a wrong key beside the load",
    plan: keys,
};

/// More than the 256 connections that a gateway has open.
const CONNECTIONS: usize = 400;

fn half_open(wishes: &Wishes) -> Plan {
    let mut plan = Plan::steady(wishes.rate_or(5_000.0), wishes.duration_or(20));
    let at = plan.load_lasts() / 4;
    plan.events = vec![Event { at, what: Happening::HalfOpen(CONNECTIONS) }];
    plan.gateway.budget = Some(wishes.budget_or(256));
    // Of requests on new connections some wait for a place.
    plan.must([
        AllAccepted,
        NothingTwice,
        P99(Duration::from_secs(5)),
        HalfOpen(CONNECTIONS as u64),
    ])
}

fn keys(wishes: &Wishes) -> Plan {
    let rate = wishes.rate_or(5_000.0);
    let mut plan = Plan::steady(rate, wishes.duration_or(15));
    let at = plan.load_lasts() / 5;
    let strangers = Step { points_per_s: rate, duration: plan.load_lasts() * 3 / 5 };
    plan.events = vec![Event { at, what: Happening::Strangers(strangers) }];
    plan.gateway.budget = Some(wishes.budget_or(256));
    plan.must([
        AllAccepted,
        NothingTwice,
        P99(Duration::from_secs(1)),
        StrangersRefused,
        StrangersStoreNothing,
    ])
}
