//! Who empties which lanes: what is little goes out as one request, what is much side by side, and no lane
//! has two requests in flight.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use sluicegate::deliver::config::Destination;
use sluicegate::deliver::judge::Verdict;
use sluicegate::meters::Meters;
use sluicegate::queue::{
    Acked, Budget, Inbox, Lanes, LanesBuilder, Limits, Part, Request, Settled, Taken,
};
use sluicegate::tasks::Tasks;
use tokio::runtime::Builder;
use tokio::time::{Instant, sleep, timeout};

use super::lane_kit::{Script, Works, batch, destination};

const DEADLINE: Duration = Duration::from_secs(150);
const ANSWER: Duration = Duration::from_secs(1);

/// What a slow receiver has got: seconds since the beginning, and the series with their timestamps.
type Got = Vec<(u64, Vec<(String, i64)>)>;

/// Hands over what comes at each of these moments (milliseconds: series and timestamps), to so many lanes.
async fn got(lanes: u32, handed: &[(u64, &[(u32, i64)])]) -> Got {
    let script = Script::slow(ANSWER, |_, _| Verdict::Accepted);
    got_by(&script, destination("d", lanes), handed).await
}

/// The same by this receiver and for this destination.
async fn got_by(script: &Arc<Script>, d: Destination, handed: &[(u64, &[(u32, i64)])]) -> Got {
    let works = Works::of(d, script);
    let begin = Instant::now();
    let mut acks: Vec<Acked> = Vec::new();
    for (at_ms, samples) in handed {
        sleep(Duration::from_millis(*at_ms).saturating_sub(begin.elapsed())).await;
        let samples: Vec<_> = samples.iter().map(|(series, ms)| (*series, *ms, 0.0)).collect();
        acks.push(works.submit(&samples, DEADLINE).unwrap());
    }
    for mut acked in acks {
        assert_eq!(acked.settled().await, Settled::Delivered);
    }
    works.rest(&["d"]).await;
    let requests = script.requests.lock().unwrap();
    let seen = requests.iter().map(|(at, seen)| {
        let seen = seen.iter().map(|(series, ms, _)| (series.clone(), *ms)).collect();
        (at.duration_since(begin).as_secs(), seen)
    });
    seen.collect()
}

/// When the requests came, and how many samples they had.
fn sizes(got: &Got) -> Vec<(u64, usize)> {
    got.iter().map(|(at, seen)| (*at, seen.len())).collect()
}

/// Series as the receiver sees them.
fn series(number: u32, ms: i64) -> (String, i64) {
    (format!("m{{i=\"{number}\"}}"), ms)
}

#[tokio::test(start_paused = true)]
async fn what_is_little_goes_out_as_one_request() {
    let few: Vec<_> = (0..100).map(|number| (number, 1)).collect();
    let got = got(8, &[(0, &few)]).await;
    assert_eq!(sizes(&got), [(0, 100)]);
}

#[tokio::test(start_paused = true)]
async fn what_is_much_goes_out_side_by_side() {
    for (count, wanted) in [(1000, vec![1000]), (1002, vec![501, 501]), (2000, vec![1000, 1000])] {
        let many: Vec<_> = (0..count).map(|number| (number, 1)).collect();
        let got = got(2, &[(0, &many)]).await;
        assert_eq!(sizes(&got), wanted.into_iter().map(|size| (0, size)).collect::<Vec<_>>());
    }
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_taken_along_waits_for_nobody() {
    // Lanes of 600, 500 and 300 samples, of which a request holds 1,000.
    let lanes = [600, 500, 300];
    let samples: Vec<_> = (0..3u32)
        .flat_map(|lane| (0..lanes[lane as usize]).map(move |number| (number * 3 + lane, 1)))
        .collect();
    let got = got(3, &[(0, &samples)]).await;
    assert_eq!(sizes(&got), [(0, 900), (0, 500)]);
}

/// Two lanes, and requests of 500 to 600 small samples.
fn tight() -> Destination {
    let mut destination = destination("d", 2);
    destination.queue_config.max_bytes_per_send = 20_000;
    destination
}

#[tokio::test(start_paused = true)]
async fn what_would_be_cut_goes_side_by_side_while_answers_are_slow() {
    let many: Vec<_> = (0..600).map(|number| (number, 1)).collect();
    let handed = [(0, &many[..]), (10_000, &many), (20_000, &many), (30_000, &many)];
    // The first body's two requests are slow, and the first of the third.
    let slow = |number| [0, 1, 4].contains(&number);
    let delay = move |number| if slow(number) { ANSWER } else { Duration::from_millis(1) };
    let script = Script::paced(delay, |_, _| Verdict::Accepted);
    let got = got_by(&script, tight(), &handed).await;
    let sizes = sizes(&got);
    let cut = sizes[0].1;
    assert!((500..600).contains(&cut), "{sizes:?}");
    let rest = 600 - cut;
    let wanted =
        [(0, cut), (1, rest), (10, 300), (10, 300), (20, cut), (21, rest), (30, cut), (30, rest)];
    assert_eq!(sizes, wanted);
}

#[tokio::test(start_paused = true)]
async fn of_what_has_gathered_no_more_is_taken_than_will_not_be_cut() {
    let many: Vec<_> = (0..600).map(|number| (number, 1)).collect();
    let few: Vec<_> = (0..200).map(|number| (number, 2)).collect();
    let mut handed = vec![(0, &many[..]), (10_000, &many)];
    handed.extend((1..=6).map(|count| (10_000 + count * 100, &few[..])));
    let script = Script::slow(ANSWER, |_, _| Verdict::Accepted);
    let got = got_by(&script, tight(), &handed).await;
    // In each lane there were six parts of 100.
    assert_eq!(
        sizes(&got)[2..],
        [(10, 300), (10, 300), (11, 500), (11, 500), (12, 100), (12, 100)]
    );
}

#[tokio::test(start_paused = true)]
async fn a_lane_has_one_request_in_flight_and_others_do_not_wait_for_it() {
    let got = got(2, &[(0, &[(0, 1)]), (300, &[(0, 2), (1, 2)]), (600, &[(0, 3), (1, 3)])]).await;
    assert_eq!(
        got,
        [
            (0, vec![series(0, 1)]),
            (0, vec![series(1, 2)]),
            (1, vec![series(0, 2), series(0, 3)]),
            (1, vec![series(1, 3)]),
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn what_has_gathered_in_several_lanes_goes_out_together() {
    let got = got(2, &[(0, &[(0, 1), (1, 1)]), (300, &[(0, 2)]), (600, &[(1, 3), (0, 3)])]).await;
    let [(0, first), (1, second)] = &got[..] else { panic!("{got:?}") };
    assert_eq!(first.len(), 2);
    let of = |number| second.iter().filter(move |(name, _)| *name == series(number, 0).0);
    assert_eq!(of(0).map(|(_, ms)| *ms).collect::<Vec<_>>(), [2, 3]);
    assert_eq!(of(1).map(|(_, ms)| *ms).collect::<Vec<_>>(), [3]);
}

/// Lanes of one destination without couriers.
struct Bare {
    lanes: Option<Lanes>,
    inboxes: Vec<Inbox>,
    budget: Arc<Budget>,
    count: u32,
}

impl Bare {
    fn new(count: u32) -> Self {
        let mut builder = LanesBuilder::default();
        let limits = Limits { share_bytes: 1 << 30, isolation_max: 0 };
        let inboxes = builder.destination("d", 0, true, count, limits, &Meters::new());
        Self { lanes: Some(builder.build()), inboxes, budget: Budget::new(1 << 30), count }
    }

    /// Hands over one sample of each of these series, at this time.
    fn submit(&self, series: &[u32], ms: i64) -> Acked {
        let samples: Vec<_> = series.iter().map(|number| (*number, ms, 0.0)).collect();
        let permit = self.budget.try_take(1).unwrap();
        let deadline = Instant::now() + DEADLINE;
        let request = Request { id: "r".to_owned(), deadline, batches: 1, claim: None };
        let lanes = self.lanes.as_ref().unwrap();
        lanes.submit(batch(&samples, &[self.count]), permit, request).unwrap()
    }
}

/// A part's lane, time and number of samples.
fn told(part: &Part) -> (u32, i64, usize) {
    let row = &part.load().batch.rows[part.samples()[0].row as usize];
    (row.identity.series(0, 0).unwrap().lane, row.timestamp_ms, part.samples().len())
}

#[derive(Clone, Debug)]
enum Step {
    Submit(Vec<u32>),
    Take { who: usize, samples_max: usize },
    LetGo(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        prop::collection::vec(0u32..12, 1..8).prop_map(Step::Submit),
        (0usize..8, 1usize..12).prop_map(|(who, samples_max)| Step::Take { who, samples_max }),
        (0usize..8).prop_map(Step::LetGo),
    ]
}

/// What waits in each lane, and which lanes are being emptied.
struct Model {
    waiting: Vec<VecDeque<(i64, usize)>>,
    held: Vec<Taken>,
}

impl Model {
    fn is_held(&self, lane: usize) -> bool {
        let parts = self.held.iter().flat_map(|taken| &taken.parts);
        parts.map(told).any(|(of, _, _)| of as usize == lane)
    }

    fn samples(&self, lane: usize) -> usize {
        self.waiting[lane].iter().map(|(_, samples)| samples).sum()
    }

    /// Lanes from which something may be taken.
    fn ready(&self) -> Vec<usize> {
        let lanes = 0..self.waiting.len();
        lanes.filter(|lane| !self.is_held(*lane) && self.samples(*lane) > 0).collect()
    }

    /// Holds what was taken against what waited.
    fn take(&mut self, taken: Option<Taken>, samples_max: usize) {
        let ready = self.ready();
        let Some(taken) = taken else { return assert!(ready.is_empty(), "{ready:?}") };
        let (mut lanes, mut total) = (Vec::new(), 0);
        for (lane, ms, samples) in taken.parts.iter().map(told) {
            let lane = lane as usize;
            assert!(ready.contains(&lane), "lane {lane} of {ready:?}");
            assert_eq!(self.waiting[lane].pop_front(), Some((ms, samples)), "in order");
            assert!(total < samples_max, "no more than are needed");
            total += samples;
            lanes.push(lane);
        }
        lanes.dedup();
        assert!(lanes.len() == 1 || total <= samples_max, "{total} of {samples_max}");
        if let [_, along @ ..] = &lanes[..] {
            assert!(along.iter().all(|lane| self.samples(*lane) == 0), "all of it or nothing");
        }
        for lane in ready.into_iter().filter(|lane| !lanes.contains(lane)) {
            assert!(total + self.samples(lane) > samples_max, "lane {lane} would have fitted");
        }
        self.held.push(taken);
    }
}

/// Whether something can be taken; panics where nobody would ever be told.
async fn ready(inbox: &Inbox) -> bool {
    timeout(DEADLINE, inbox.ready()).await.expect("it waits for ever")
}

proptest! {
    #[test]
    fn lanes_are_emptied_in_order_and_by_one_at_a_time(
        count in 1u32..6,
        steps in prop::collection::vec(step(), 0..60),
    ) {
        let runtime = Builder::new_current_thread().enable_time().start_paused(true).build();
        runtime.unwrap().block_on(async {
            let mut bare = Bare::new(count);
            let waiting = vec![VecDeque::new(); count as usize];
            let mut model = Model { waiting, held: Vec::new() };
            for (step, ms) in steps.into_iter().zip(1..) {
                match step {
                    Step::Submit(series) => {
                        let _acked = bare.submit(&series, ms);
                        for (lane, waiting) in (0..count).zip(&mut model.waiting) {
                            let samples = series.iter().filter(|of| **of % count == lane).count();
                            waiting.extend((samples > 0).then_some((ms, samples)));
                        }
                    }
                    Step::Take { who, samples_max } => {
                        let taken = bare.inboxes[who % count as usize].take(samples_max);
                        model.take(taken, samples_max);
                    }
                    Step::LetGo(which) if which < model.held.len() => {
                        model.held.remove(which);
                    }
                    Step::LetGo(_) => {}
                }
                if !model.ready().is_empty() {
                    assert!(ready(&bare.inboxes[0]).await);
                }
            }
            // What was handed over before the end is taken to the last part.
            bare.lanes = None;
            model.held.clear();
            while ready(&bare.inboxes[0]).await {
                let taken = bare.inboxes[0].take(3);
                model.take(taken, 3);
                model.held.clear();
            }
            assert!(model.ready().is_empty());
            for inbox in &bare.inboxes {
                assert!(!ready(inbox).await);
            }
        });
    }
}

#[tokio::test(start_paused = true)]
async fn all_who_wait_hear_of_the_end() {
    let mut bare = Bare::new(4);
    let all = std::mem::take(&mut bare.inboxes).into_iter();
    let all: Vec<_> =
        all.map(|inbox| Tasks::new().spawn(async move { ready(&inbox).await })).collect();
    sleep(Duration::from_secs(1)).await;
    bare.lanes = None;
    for one in all {
        assert!(!one.await.unwrap());
    }
}

#[tokio::test(start_paused = true)]
async fn who_goes_leaves_its_lanes_to_the_others() {
    let mut bare = Bare::new(2);
    let (mut going, staying) = (bare.inboxes.remove(0), bare.inboxes.remove(0));
    let _first = bare.submit(&[0], 1);
    let taken = going.take(1).unwrap();
    let _second = bare.submit(&[0], 2);
    let waiting = Tasks::new().spawn(async move { ready(&staying).await });
    sleep(Duration::from_secs(1)).await;
    assert!(!waiting.is_finished(), "its lane is held");
    drop((taken, going));
    assert!(waiting.await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn what_nobody_takes_any_more_is_lost_and_says_so() {
    let mut bare = Bare::new(2);
    let waiting = bare.submit(&[0, 1], 1);
    bare.inboxes.clear();
    for mut acked in [waiting, bare.submit(&[0], 2)] {
        let Settled::Lost { reason } = acked.settled().await else { panic!("delivered") };
        assert!(reason.contains("`d`") && reason.contains("its lanes have ended"), "{reason}");
    }
    assert_eq!(bare.budget.used(), 0);
}
