//! A destination in trouble: Firehose is answered late or not 200, and nothing is lost.

use std::time::Duration;

use crate::behaviour::Behaviour;
use crate::condition::Condition::{
    AllAccepted, Longest, NothingTwice, Only, Recovered, TroubleFelt,
};
use crate::scenario::{Event, Happening, Plan, Scenario, Step, Wishes};

/// It takes its time.
pub const SLOW: Scenario =
    Scenario { name: "slow", about: "a destination that answers after 200 ms", plan: slow };

/// It is away.
pub const OUTAGE: Scenario = Scenario {
    name: "outage",
    about: "the destination is away for a third of the time, in the middle",
    plan: outage,
};

/// It takes so much and no more.
pub const THROTTLE: Scenario = Scenario {
    name: "throttle",
    about: "a destination that answers 429 beyond half of the load",
    plan: throttle,
};

/// From a request's headers to its answer, shorter than in production: a short run sees the end.
const DEADLINE: Duration = Duration::from_secs(15);
const DRIVEN: Duration = Duration::from_secs(3);

/// Samples of a data point of the load: sum, minimum, maximum, count, average.
const SAMPLES_PER_POINT: f64 = 5.0;

fn slow(wishes: &Wishes) -> Plan {
    let mut plan = Plan::steady(wishes.rate_or(2_500.0), wishes.duration_or(20));
    plan.destination = Behaviour::Delay(Duration::from_millis(200));
    plan.gateway.budget = Some(wishes.budget_or(256));
    plan.must([AllAccepted, NothingTwice, Longest(Duration::from_secs(10))])
}

/// A third before, a third after; the last stage begins when what waited has had time to go.
fn troubled(wishes: &Wishes, rate: f64, seconds: u64) -> (Plan, Duration) {
    let whole = wishes.duration_or(seconds);
    let rate = wishes.rate_or(rate);
    let third = whole / 3;
    let step = |duration| Step { points_per_s: rate, duration };
    let mut plan = Plan::of(vec![step(whole - third / 2), step(third / 2)]);
    plan.gateway.request_deadline = DEADLINE;
    plan.gateway.remote_timeout = Duration::from_secs(3);
    plan.gateway.budget = Some(wishes.budget_or(256));
    plan.timeout = DEADLINE * 2;
    (plan, third)
}

fn outage(wishes: &Wishes) -> Plan {
    let (mut plan, third) = troubled(wishes, 5_000.0, 30);
    plan.events = vec![
        Event { at: third, what: Happening::Destination(Behaviour::Refuse) },
        Event { at: third * 2, what: Happening::Destination(Behaviour::Store) },
    ];
    plan.must([TroubleFelt, Only(&[200, 503]), Longest(DEADLINE + DRIVEN), Recovered])
}

fn throttle(wishes: &Wishes) -> Plan {
    let (mut plan, third) = troubled(wishes, 5_000.0, 30);
    let samples = (wishes.rate_or(5_000.0) * SAMPLES_PER_POINT / 2.0).max(1.0) as u64;
    let behaviour = Behaviour::Throttle { samples, retry_after: Some(Duration::from_secs(1)) };
    plan.events = vec![
        Event { at: third, what: Happening::Destination(behaviour) },
        Event { at: third * 2, what: Happening::Destination(Behaviour::Store) },
    ];
    plan.must([TroubleFelt, Only(&[200, 503]), Longest(DEADLINE + DRIVEN), Recovered])
}
