//! The lives of the gateway in a simulated world, one after the other. Each has a runtime of its own:
//! when it crashes, the runtime is dropped, and with it everything but what the world remembers.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use sluicegate::queue::Budget;
use sluicegate::tasks::Tasks;
use tokio::time::timeout;

use super::sim_audit;
use super::sim_batches::Envelope;
use super::sim_gateway::Gateway;
use super::sim_laws::{ANSWERED, BOUNDED, Ledger};
use super::sim_plan::{Fate, Plan};
use super::sim_receiver::{Link, Sends};
use super::sim_sender::{self, Address};
use super::sim_world::{Breach, Clock, End, World, turns};

/// How often the books are looked at between rests.
const AUDIT_EVERY_MS: u64 = 45_000;
/// No world lasts longer.
const WORLD_MS_MAX: u64 = 12 * 3_600_000;

/// What a world came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) acknowledged: u64,
    pub(crate) backup: u64,
    pub(crate) samples: u64,
    pub(crate) sends: u64,
    pub(crate) lives: u64,
    pub(crate) digest: u64,
}

/// Runs the world of a seed to its end.
pub(crate) fn run(seed: u64, is_told: bool) -> Result<Outcome, Breach> {
    // The jitter of the lanes.
    fastrand::seed(seed);
    let plan = Plan::of(seed);
    if is_told {
        eprintln!("{plan:#?}");
    }
    let world = Arc::new(World::new(plan, is_told));
    let mut outcome = Outcome::default();
    let mut now_ms = 0;
    let mut down_ms = 0;
    loop {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime");
        let fate = world.plan.fates.get(outcome.lives as usize);
        let (end_ms, sends) = runtime.block_on(live(&world, fate, now_ms, down_ms));
        drop(runtime);
        now_ms = end_ms;
        outcome.lives += 1;
        outcome.sends += sends;
        if let Some(breach) = world.broken_law() {
            return Err(breach);
        }
        if world.is_over() {
            break;
        }
        down_ms = fate.map_or(0, |fate| fate.down_ms);
        interrupt(&world, now_ms);
    }
    finish(&world, &mut outcome, now_ms);
    outcome.digest = world.digest();
    world.broken_law().map_or(Ok(outcome), Err)
}

/// The gateway is gone: who was connected to it notices.
fn interrupt(world: &World, now_ms: u64) {
    for number in 0..world.cargo.batches.len() {
        let delivery = world.deliveries()[number].clone();
        if delivery.is_out && delivery.end.is_none() {
            let backoff = sim_sender::backoff(world, delivery.attempts);
            sim_sender::put_off(world, number, backoff, now_ms);
        }
    }
}

/// At the end of the world: what had the time to be delivered has been.
fn finish(world: &World, outcome: &mut Outcome, now_ms: u64) {
    for (number, delivery) in world.deliveries().iter().enumerate() {
        let batch = &world.cargo.batches[number];
        match delivery.end {
            Some(End::Acknowledged) => {
                outcome.acknowledged += 1;
                outcome.samples += batch.samples().count() as u64;
            }
            _ => outcome.backup += 1,
        }
        let had_time = world.plan.senders[batch.sender].retry >= Duration::from_secs(7200);
        let is_good = batch.envelope == Envelope::Good;
        if had_time && is_good && delivery.end != Some(End::Acknowledged) {
            let attempts = delivery.attempts;
            let what = format!("batch {number} was never taken in {attempts} attempts");
            world.breach(ANSWERED, now_ms, what);
        }
    }
}

/// One life of the gateway, from its beginning to its crash, its stop or the end of the world.
/// Returns when it ended, and how many remote-write requests it made.
async fn live(world: &Arc<World>, fate: Option<&Fate>, now_ms: u64, down_ms: u64) -> (u64, u64) {
    let clock = Clock::new(now_ms);
    let address: Address = Arc::new(Mutex::new(None));
    let side = Tasks::new();
    let turns = turns(world);
    for (number, batch) in world.cargo.batches.iter().enumerate() {
        if world.deliveries()[number].end.is_none() {
            let turns = Arc::clone(&turns[batch.sender]);
            let (world, clock, address) = (Arc::clone(world), Arc::clone(&clock), address.clone());
            side.spawn(sim_sender::deliver(world, clock, address, turns, number));
        }
    }
    clock.sleep(down_ms).await;

    let budget = Budget::new(world.plan.server.budget);
    let ledger = Ledger::new(world, &clock, &budget);
    let sends = Arc::new(Sends::default());
    let ends = |lanes: &[u32]| {
        let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let end = |(receiver, lanes): (usize, &u32)| {
            let link = Link {
                world: Arc::clone(world),
                receiver,
                clock: Arc::clone(&clock),
                ledger: Arc::clone(&ledger),
                network: side.clone(),
                sends: Arc::clone(&sends),
            };
            let plan = &world.receivers[receiver].plan;
            (plan.destination(*lanes, wall.as_millis() as u64), Arc::new(link))
        };
        lanes.iter().enumerate().map(end).collect()
    };
    let config = world.plan.config();
    let gateway = Arc::new(Gateway::new(&config, Arc::clone(&budget), ends(&lanes(world, now_ms))));
    *address.lock().unwrap() = Some((Arc::clone(&gateway), Arc::clone(&ledger)));
    world.note(clock.now_ms(), 4, 0, || "a gateway begins".to_owned());

    let fated = async {
        match fate {
            Some(fate) => {
                while sends.count.load(Ordering::Relaxed) < fate.after_sends {
                    sends.more.notified().await;
                }
                clock.sleep(fate.and_ms).await;
            }
            None => std::future::pending().await,
        }
    };
    let mut reloads = Box::pin(async {
        for (at_ms, lanes) in &world.plan.reloads {
            if *at_ms > clock.now_ms() {
                clock.sleep_until(*at_ms).await;
                gateway.reload(&config, ends(lanes));
                world.note(clock.now_ms(), 6, 0, || format!("reload, lanes {lanes:?}"));
            }
        }
        std::future::pending::<()>().await;
    });
    tokio::pin!(fated);
    let meets_its_fate = loop {
        let next_audit = clock.sleep(AUDIT_EVERY_MS);
        tokio::select! {
            biased;
            () = world.broken.notified() => break false,
            () = &mut fated => break true,
            () = &mut reloads => {}
            () = next_audit => {}
        }
        sim_audit::check(&gateway, &ledger, false);
        if clock.now_ms() > WORLD_MS_MAX {
            ledger.breach(ANSWERED, "the world does not come to an end".to_owned());
        }
        if world.broken_law().is_some() || world.is_over() {
            break false;
        }
    };
    drop(reloads);
    let crashes = meets_its_fate && fate.is_some_and(|fate| !fate.gracefully);
    world.note(clock.now_ms(), 5, u64::from(crashes), || format!("it ends, crash: {crashes}"));
    *address.lock().unwrap() = None;
    if !crashes && world.broken_law().is_none() {
        if !meets_its_fate {
            rest(&gateway, &ledger).await;
        }
        stop(gateway, &ledger).await;
    }
    (clock.now_ms(), sends.count.load(Ordering::Relaxed))
}

/// How many lanes each destination has by the configuration of that time.
fn lanes(world: &World, now_ms: u64) -> Vec<u32> {
    let latest = world.plan.reloads.iter().rev().find(|(at_ms, _)| *at_ms <= now_ms);
    let first = || world.plan.receivers.iter().map(|receiver| receiver.lanes).collect();
    latest.map_or_else(first, |(_, lanes)| lanes.clone())
}

/// Waits until nothing is left to do, which has to come with the last deadline.
async fn rest(gateway: &Gateway<Link>, ledger: &Ledger) {
    let longest = ledger.world.plan.server.deadline + Duration::from_secs(1);
    let at_rest = async {
        while ledger.budget.used() > 0 {
            ledger.clock.sleep(500).await;
        }
    };
    if timeout(longest, at_rest).await.is_err() {
        let used = ledger.budget.used();
        ledger.breach(BOUNDED, format!("{used} bytes are held at rest"));
    }
    sim_audit::check(gateway, ledger, true);
}

async fn stop(gateway: Arc<Gateway<Link>>, ledger: &Ledger) {
    let (meters, destinations) = (gateway.meters.clone(), gateway.destinations.clone());
    let Ok(gateway) = Arc::try_unwrap(gateway) else { panic!("somebody holds the gateway") };
    if !gateway.stop().await {
        ledger.breach(ANSWERED, "something is left after the stop".to_owned());
    }
    if ledger.budget.used() > 0 {
        let used = ledger.budget.used();
        ledger.breach(BOUNDED, format!("{used} bytes are held after the stop"));
    }
    sim_audit::check_meters(&meters, &destinations, ledger, true);
}
