//! The ledger held against a naive one: random requests that come, settle, fail, vanish and expire.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use sluicegate::meters::Meters;
use sluicegate::queue::{Claim, Entry, Key, Ledger, Serials, Settled};
use tokio::time::Instant;

const REMEMBERED_FOR: Duration = Duration::from_secs(100);
const ENTRIES_MAX: usize = 3;
const DESTINATIONS: [u64; 3] = [7, 8, 9];

#[derive(Clone, Debug)]
enum Step {
    /// The bits say which destinations it has to wait for.
    Enter(u8, u8),
    /// Of a claim that is held: one of its destinations has settled.
    SettleAt(u8, usize),
    Deliver(u8),
    Lose(u8),
    Drop(u8),
    Pass(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let key = 0..6_u8;
    // Most come by one configuration, as they do.
    let wanted = prop_oneof![3 => Just(0b011), 2 => 0..8_u8];
    let step = prop_oneof![
        4 => (key.clone(), wanted).prop_map(|(key, wanted)| Step::Enter(key, wanted)),
        2 => (key.clone(), 0..3_usize).prop_map(|(key, at)| Step::SettleAt(key, at)),
        2 => key.clone().prop_map(Step::Deliver),
        1 => key.clone().prop_map(Step::Lose),
        2 => key.prop_map(Step::Drop),
        1 => (1..60_u64).prop_map(Step::Pass),
    ];
    prop::collection::vec(step, 1..80)
}

/// What one key has come to.
#[derive(Clone, Debug, PartialEq)]
enum Naive {
    AtWork { serves: BTreeSet<u64>, settled_at: BTreeSet<u64>, deadline: Instant, lost: bool },
    Ended(BTreeSet<u64>),
    Forgotten,
}

/// Ends of keys in their order; the last of a key says what it has come to.
#[derive(Default)]
struct Model {
    at_work: Vec<(u8, Naive)>,
    ended: Vec<(Instant, u8, Naive)>,
}

impl Model {
    fn end(&mut self, key: u8, what: Naive) {
        self.at_work.retain(|(k, _)| *k != key);
        self.expire();
        self.ended.push((Instant::now(), key, what));
        if self.ended.len() > ENTRIES_MAX {
            self.ended.remove(0);
        }
    }

    fn expire(&mut self) {
        self.ended.retain(|(at, _, _)| Instant::now() < *at + REMEMBERED_FOR);
    }

    /// Nothing has come of the work.
    fn vanish(&mut self, key: u8) {
        self.at_work.retain(|(k, _)| *k != key);
        for (_, _, what) in self.ended.iter_mut().filter(|e| e.1 == key) {
            *what = Naive::Forgotten;
        }
    }

    fn find(&mut self, key: u8) -> Naive {
        self.expire();
        let at_work = self.at_work.iter().find(|(k, _)| *k == key).map(|(_, n)| n);
        let ended = || self.ended.iter().rev().find(|e| e.1 == key).map(|e| &e.2);
        at_work.or_else(ended).cloned().unwrap_or(Naive::Forgotten)
    }
}

fn key(ledger: &Ledger, number: u8) -> Key {
    let mut content = ledger.content();
    content.record(&[number / 2]);
    ledger.key(&format!("id-{}", number % 2), &[], &content)
}

fn wanted_by(bits: u8) -> BTreeSet<u64> {
    (0..).zip(DESTINATIONS).filter(|(bit, _)| bits >> bit & 1 == 1).map(|(_, at)| at).collect()
}

fn lost() -> Settled {
    Settled::Lost { reason: "on purpose".to_owned() }
}

async fn run(steps: Vec<Step>) {
    let meters = Meters::new();
    let ledger = Ledger::bounded(ENTRIES_MAX, REMEMBERED_FOR, &meters);
    let mut model = Model::default();
    let mut claims: Vec<(u8, Claim)> = Vec::new();
    for step in steps {
        match step {
            Step::Enter(number, wanted) => {
                let deadline = Instant::now() + Duration::from_secs(30);
                let wanted = wanted_by(wanted);
                let required: Serials = wanted.iter().copied().collect();
                let entry = ledger.enter(key(&ledger, number), deadline, &required);
                match (entry, model.find(number)) {
                    (Entry::Remembered, Naive::Ended(settled_at))
                        if wanted.is_subset(&settled_at) => {}
                    (Entry::New(claim), before @ (Naive::Forgotten | Naive::Ended(_))) => {
                        let settled_at = match before {
                            Naive::Ended(settled_at) => settled_at,
                            _ => BTreeSet::new(),
                        };
                        assert_eq!(claim.resumes(), !settled_at.is_empty());
                        for serial in DESTINATIONS {
                            assert_eq!(claim.has_settled(serial), settled_at.contains(&serial));
                        }
                        claims.push((number, claim));
                        let serves = &wanted | &settled_at;
                        let at_work = Naive::AtWork { serves, settled_at, deadline, lost: false };
                        model.at_work.push((number, at_work));
                    }
                    (entry, Naive::AtWork { serves, deadline, lost, .. }) => {
                        let is_good = !lost && Instant::now() < deadline;
                        let joins = is_good && wanted.is_subset(&serves);
                        match entry {
                            Entry::Joined(_) if joins => {}
                            Entry::Ending(_) if !joins => {}
                            entry => panic!("{number}: {entry:?} for {wanted:?} of {serves:?}"),
                        }
                    }
                    (entry, naive) => panic!("{number}: {entry:?}, but {naive:?}"),
                }
            }
            Step::Pass(seconds) => tokio::time::advance(Duration::from_secs(seconds)).await,
            Step::SettleAt(number, _)
            | Step::Deliver(number)
            | Step::Lose(number)
            | Step::Drop(number) => {
                let Some(at) = claims.iter().position(|(held, _)| *held == number) else {
                    continue;
                };
                let (_, claim) = &mut claims[at];
                let naive = model.at_work.iter_mut().find(|(held, _)| *held == number);
                let Some((_, Naive::AtWork { serves, settled_at, lost: is_lost, .. })) = naive
                else {
                    panic!("a claim of {number} without work");
                };
                match step {
                    Step::SettleAt(_, at) => {
                        claim.settled_at(DESTINATIONS[at]);
                        settled_at.insert(DESTINATIONS[at]);
                    }
                    Step::Lose(_) => {
                        claim.answered(lost());
                        *is_lost = true;
                    }
                    Step::Deliver(_) if !*is_lost => {
                        let (_, mut claim) = claims.remove(at);
                        claim.answered(Settled::Delivered);
                        let settled_at = &*serves | &*settled_at;
                        model.end(number, Naive::Ended(settled_at));
                    }
                    _ => {
                        let settled_at = settled_at.clone();
                        claims.remove(at);
                        match settled_at.is_empty() {
                            true => model.vanish(number),
                            false => model.end(number, Naive::Ended(settled_at)),
                        }
                    }
                }
            }
        }
    }
    let held = claims.len();
    drop(claims);
    let most = (held + ENTRIES_MAX) as f64;
    let text = meters.render();
    let line = text.lines().find_map(|l| l.strip_prefix("sluicegate_request_memory_entries "));
    let entries: f64 = line.unwrap().parse().unwrap();
    assert!(entries <= most.min(ENTRIES_MAX as f64), "{entries}");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) })]

    #[test]
    fn it_does_what_a_naive_one_does(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(run(steps));
    }
}

#[tokio::test(start_paused = true)]
async fn those_who_wait_learn_how_it_ended() {
    let ledger = Ledger::new(&Meters::new());
    let deadline = Instant::now() + Duration::from_secs(30);
    let key = key(&ledger, 0);
    let required: Serials = [1].into();
    let claim = |ledger: &Arc<Ledger>| match ledger.enter(key, deadline, &required) {
        Entry::New(claim) => claim,
        other => panic!("{other:?}"),
    };
    let join = |ledger: &Arc<Ledger>| match ledger.enter(key, deadline, &required) {
        Entry::Joined(joined) => joined,
        other => panic!("{other:?}"),
    };

    let (gone, joined) = (claim(&ledger), join(&ledger));
    drop(gone);
    assert!(matches!(joined.outcome().await, Settled::Lost { .. }));

    let (mut failed, joined) = (claim(&ledger), join(&ledger));
    failed.answered(lost());
    let Entry::Ending(ending) = ledger.enter(key, deadline, &required) else {
        panic!("not ending")
    };
    let ending = ending.ended();
    tokio::pin!(ending);
    let soon = tokio::time::timeout(Duration::from_millis(1), &mut ending).await;
    assert!(soon.is_err(), "the claim is held");
    drop(failed);
    assert_eq!(joined.outcome().await, lost());
    ending.await;

    let (mut good, joined) = (claim(&ledger), join(&ledger));
    good.answered(Settled::Delivered);
    assert!(matches!(ledger.enter(key, deadline, &required), Entry::Remembered));
    drop(good);
    assert_eq!(joined.outcome().await, Settled::Delivered);
    assert!(matches!(ledger.enter(key, deadline, &required), Entry::Remembered));
}

#[tokio::test(start_paused = true)]
async fn a_200_for_other_destinations_is_not_enough() {
    let ledger = Ledger::new(&Meters::new());
    let deadline = Instant::now() + Duration::from_secs(30);
    let key = key(&ledger, 0);
    let enter = |required: &[u64]| ledger.enter(key, deadline, &required.into());

    // At work for 1 and 2.
    let Entry::New(mut first) = enter(&[1, 2]) else { panic!("not new") };
    for enough in [&[1, 2][..], &[2, 1], &[2], &[]] {
        assert!(matches!(enter(enough), Entry::Joined(_)), "{enough:?}");
    }
    for other in [&[3][..], &[1, 2, 3]] {
        assert!(matches!(enter(other), Entry::Ending(_)), "{other:?}");
    }
    let Entry::Ending(ending) = enter(&[1, 3]) else { panic!("not ending") };
    // Best effort that has settled counts from the answer on.
    first.settled_at(4);
    first.answered(Settled::Delivered);
    drop(first);
    ending.ended().await;
    for enough in [&[1, 2][..], &[4, 1], &[]] {
        assert!(matches!(enter(enough), Entry::Remembered), "{enough:?}");
    }

    // What is left is taken up, and failing at it forgets nothing.
    for _ in 0..2 {
        let Entry::New(claim) = enter(&[1, 3]) else { panic!("not new") };
        assert!(claim.resumes());
        let settled = [1, 2, 3, 4].map(|serial| claim.has_settled(serial));
        assert_eq!(settled, [true, true, false, true]);
        // It will have served those who had settled it before, too.
        assert!(matches!(enter(&[2, 3]), Entry::Joined(_)));
    }
    let Entry::New(mut claim) = enter(&[1, 3]) else { panic!("not new") };
    claim.answered(Settled::Delivered);
    assert!(matches!(enter(&[1, 2, 3, 4]), Entry::Remembered));
}
