//! The whole gateway in a simulated world: hundreds of seeds, each of them senders, receivers,
//! outages, crashes and a clock that stands still unless nothing else can be done.
//!
//! `SLUICEGATE_SIM_SEED=n` runs one seed alone and tells what happens in it;
//! `SLUICEGATE_SIM_SEEDS=n` runs so many.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use super::sim_life::{Outcome, run};
use super::sim_plan::Plan;
use super::sim_world::Breach;

/// Seeds of an ordinary run.
const SEEDS: u64 = 400;
/// Those run at once.
const THREADS: usize = 2;

#[expect(clippy::disallowed_methods, reason = "a person says which worlds to run")]
fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

fn fail(seed: u64, Breach { law, what, at_ms }: &Breach) -> ! {
    panic!(
        "seed {seed}, at {at_ms} ms: it does not hold that {law}.\n{what}\n\
         Alone: SLUICEGATE_SIM_SEED={seed} cargo test --test it sim:: -- --nocapture"
    );
}

/// Runs the seeds, stops at the first that breaks a law, and returns what they came to.
fn run_all(seeds: u64) -> Outcome {
    let next = AtomicU64::new(0);
    let broken: Mutex<Option<(u64, Breach)>> = Mutex::default();
    let total: Mutex<Outcome> = Mutex::default();
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                while broken.lock().unwrap().is_none() {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds {
                        return;
                    }
                    match run(seed, false) {
                        Ok(outcome) => {
                            let mut total = total.lock().unwrap();
                            total.acknowledged += outcome.acknowledged;
                            total.backup += outcome.backup;
                            total.samples += outcome.samples;
                            total.sends += outcome.sends;
                            total.lives += outcome.lives;
                        }
                        Err(breach) => {
                            broken.lock().unwrap().get_or_insert((seed, breach));
                        }
                    }
                }
            });
        }
    });
    if let Some((seed, breach)) = &*broken.lock().unwrap() {
        fail(*seed, breach);
    }
    total.into_inner().unwrap()
}

#[test]
fn the_laws_hold_in_every_world() {
    if let Some(seed) = number("SLUICEGATE_SIM_SEED") {
        match run(seed, true) {
            Ok(outcome) => eprintln!("{outcome:?}"),
            Err(breach) => fail(seed, &breach),
        }
        return;
    }
    let seeds = number("SLUICEGATE_SIM_SEEDS").unwrap_or(SEEDS);
    let total = run_all(seeds);
    eprintln!("{seeds} worlds: {total:?}");
    // A world in which nothing happens would break no law either.
    assert!(total.acknowledged > seeds * 5 && total.samples > seeds * 50, "{total:?}");
}

#[test]
fn a_seed_is_one_world() {
    for seed in (0..).filter(|seed| Plan::of(*seed).is_exact).take(20) {
        let digests = [(); 2].map(|()| run(seed, false).map(|outcome| outcome.digest).ok());
        assert_eq!(digests[0], digests[1], "seed {seed}");
    }
}
