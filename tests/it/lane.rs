//! Retry, split, isolation, age-out, deadlines and the books, in paused time.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use proptest::prelude::*;
use sluicegate::deliver::judge::{Reason, Refusal, Verdict};
use sluicegate::queue::Settled;
use tokio::time::{Instant, advance};

use super::lane_kit::{Script, Seen, Works, destination, try_again};

const DEADLINE: Duration = Duration::from_secs(150);

/// `count` samples of as many series at one time.
fn samples(count: u32) -> Vec<(u32, i64, f64)> {
    (0..count).map(|i| (i, 1_760_000_000_000, f64::from(i))).collect()
}

fn refusal(reason: Reason) -> Refusal {
    Refusal { reason, message: "no".to_owned() }
}

/// Refuses whole requests that hold one of the series, as Prometheus does.
fn rolls_back(bad: &'static [u32]) -> impl Fn(usize, &[Seen]) -> Verdict + Send + Sync {
    move |_, seen| {
        let is_bad = |series: &str| bad.iter().any(|i| series == format!("m{{i=\"{i}\"}}"));
        match seen.iter().any(|(series, _, _)| is_bad(series)) {
            true => Verdict::Isolate(refusal(Reason::TooOld)),
            false => Verdict::Accepted,
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_accepted_is_stored_and_the_bytes_come_back() {
    let script = Script::new(|_, _| Verdict::Accepted);
    let works = Works::of(destination("d", 4), &script);
    let mut acked = works.submit(&samples(5000), DEADLINE).unwrap();
    assert_eq!(acked.settled().await, Settled::Delivered);
    works.rest(&["d"]).await;
    assert_eq!(script.stored.lock().unwrap().len(), 5000);
    assert_eq!(works.books("d"), [5000.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
    assert!(script.request_sizes().iter().all(|size| *size <= 1000));
}

#[tokio::test(start_paused = true)]
async fn an_outage_within_the_deadline_costs_nothing_but_time() {
    let begin = Instant::now();
    let script = Script::new(move |_, _| match begin.elapsed() < Duration::from_secs(60) {
        true => try_again("503 Service Unavailable"),
        false => Verdict::Accepted,
    });
    let works = Works::of(destination("d", 2), &script);
    let mut acked = works.submit(&samples(100), DEADLINE).unwrap();
    assert_eq!(acked.settled().await, Settled::Delivered);
    assert!(begin.elapsed() < Duration::from_secs(75), "{:?}", begin.elapsed());
    let attempts = script.requests.lock().unwrap().len();
    assert!(attempts < 60, "the backoff grows: {attempts} attempts");
    works.rest(&["d"]).await;
}

#[tokio::test(start_paused = true)]
async fn a_receiver_that_stays_broken_ends_with_the_deadline() {
    let begin = Instant::now();
    let script = Script::new(|_, _| try_again("503 broken"));
    let works = Works::of(destination("d", 2), &script);
    let mut acked = works.submit(&samples(100), DEADLINE).unwrap();
    let Settled::Lost { reason } = acked.settled().await else { panic!("delivered") };
    assert!(reason.contains("`d`") && reason.contains("503 broken"), "{reason}");
    assert!(begin.elapsed() <= DEADLINE);
    works.rest(&["d"]).await;
    assert_eq!(works.books("d"), [0.0, 0.0, 0.0, 0.0, 0.0, 100.0, 0.0]);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_too_large_is_halved_until_it_fits() {
    let script = Script::new(|_, seen| match seen.len() > 70 {
        true => Verdict::Split { trouble: "413".to_owned() },
        false => Verdict::Accepted,
    });
    let works = Works::of(destination("d", 1), &script);
    let mut acked = works.submit(&samples(1000), DEADLINE).unwrap();
    assert_eq!(acked.settled().await, Settled::Delivered);
    assert_eq!(script.stored.lock().unwrap().len(), 1000);
    works.rest(&["d"]).await;
}

#[tokio::test(start_paused = true)]
async fn a_receiver_to_which_anything_is_too_large_is_set_up_wrongly_and_loses_nothing() {
    let script = Script::new(|_, _| Verdict::Split { trouble: "413 too large".to_owned() });
    let works = Works::of(destination("d", 1), &script);
    let mut acked = works.submit(&samples(100), DEADLINE).unwrap();
    let Settled::Lost { reason } = acked.settled().await else { panic!("delivered") };
    assert!(reason.contains("413 too large"), "{reason}");
    works.rest(&["d"]).await;
    assert_eq!(works.books("d"), [0.0, 0.0, 0.0, 0.0, 0.0, 100.0, 0.0]);
    let requests = script.requests.lock().unwrap().len();
    assert!(requests < 40, "it is asked slowly: {requests}");
}

#[tokio::test(start_paused = true)]
async fn bad_samples_are_told_from_the_good_ones_around_them() {
    let script = Script::new(rolls_back(&[0, 499, 999]));
    let works = Works::of(destination("d", 1), &script);
    let mut acked = works.submit(&samples(1000), DEADLINE).unwrap();
    assert_eq!(acked.settled().await, Settled::Delivered);
    works.rest(&["d"]).await;
    assert_eq!(works.books("d"), [997.0, 0.0, 3.0, 0.0, 0.0, 0.0, 0.0]);
    let refused = "sluicegate_samples_refused_total{destination=\"d\",reason=\"too_old\"}";
    assert_eq!(works.metric(refused), 3.0);
    assert_eq!(script.stored.lock().unwrap().len(), 997);
    let requests = script.requests.lock().unwrap().len();
    assert!(requests < 64, "a few dozen requests, not {requests}");
}

#[tokio::test(start_paused = true)]
async fn isolation_stays_within_its_allowance() {
    let script = Script::new(|_, _| Verdict::Isolate(refusal(Reason::OutOfOrder)));
    let mut to = destination("d", 1);
    to.max_isolation_requests = 40;
    let works = Works::of(to, &script);
    let mut acked = works.submit(&samples(1000), DEADLINE).unwrap();
    assert_eq!(acked.settled().await, Settled::Delivered);
    works.rest(&["d"]).await;
    assert_eq!(script.requests.lock().unwrap().len(), 41);
    let refused = |reason: &str| {
        works.metric(&format!(
            "sluicegate_samples_refused_total{{destination=\"d\",reason=\"{reason}\"}}"
        ))
    };
    assert!(refused("unisolated") > 900.0);
    assert_eq!(refused("unisolated") + refused("out_of_order"), 1000.0);
    assert_eq!(works.books("d")[2], 1000.0);
}

#[tokio::test(start_paused = true)]
async fn one_requests_bad_samples_do_not_cost_another_its_good_ones() {
    // The first request keeps the lane busy, so that the next four travel together.
    let script = Script::slow(Duration::from_secs(1), |_, seen| {
        let is_bad = |series: &str| {
            series
                .trim_start_matches("m{i=\"")
                .trim_end_matches("\"}")
                .parse()
                .is_ok_and(|i: u32| i >= 200)
        };
        match seen.iter().any(|(series, _, _)| is_bad(series)) {
            true => Verdict::Isolate(refusal(Reason::TooOld)),
            false => Verdict::Accepted,
        }
    });
    let mut to = destination("d", 1);
    to.max_isolation_requests = 4;
    let works = Works::of(to, &script);
    let request = |from: u32, to: u32| (from..to).map(|i| (i, 1_760_000_000_000, 1.0)).collect();
    let requests: [Vec<_>; 5] =
        [request(0, 1), request(150, 250), request(0, 100), request(100, 200), request(0, 100)];
    let mut waiting = Vec::new();
    for samples in &requests {
        waiting.push(works.submit(samples, DEADLINE).unwrap());
        tokio::task::yield_now().await;
    }
    for acked in &mut waiting {
        assert_eq!(acked.settled().await, Settled::Delivered);
    }
    assert_eq!(script.request_sizes()[1], 400, "they did not travel together");
    works.rest(&["d"]).await;
    // The bad request's allowance ends before its bad samples stand alone; nobody else loses one.
    let [delivered, _, refused, ..] = works.books("d");
    assert_eq!(delivered + refused, 401.0);
    assert!(delivered >= 301.0, "{delivered}");
    let stored = script.stored.lock().unwrap();
    assert!((0..200).all(|i| stored.contains_key(&(format!("m{{i=\"{i}\"}}"), 1_760_000_000_000))));
}

#[tokio::test(start_paused = true)]
async fn one_destinations_bad_samples_do_not_cost_another_its_allowance() {
    let greedy = Script::new(|_, _| Verdict::Isolate(refusal(Reason::Other)));
    let fair = Script::new(rolls_back(&[77]));
    let mut optional = destination("optional", 1);
    optional.required = false;
    let works = Works::start(vec![
        (optional, 1 << 29, greedy),
        (destination("d", 1), 1 << 29, Arc::clone(&fair)),
    ]);
    let mut acked = works.submit(&samples(1000), DEADLINE).unwrap();
    assert_eq!(acked.settled().await, Settled::Delivered);
    works.rest(&["d", "optional"]).await;
    assert_eq!(works.books("d")[0], 999.0);
}

#[tokio::test(start_paused = true)]
async fn a_receiver_that_asks_for_no_waiting_at_all_is_not_hammered() {
    let script = Script::new(|_, _| Verdict::TryAgain {
        after: Some(Duration::ZERO),
        over_rate: false,
        misconfigured: false,
        trouble: "503".to_owned(),
    });
    let works = Works::of(destination("d", 1), &script);
    let mut acked = works.submit(&samples(1), DEADLINE).unwrap();
    assert!(matches!(acked.settled().await, Settled::Lost { .. }));
    let requests = script.requests.lock().unwrap().len();
    assert!(requests < 60, "{requests} requests in 150 s");
}

#[tokio::test(start_paused = true)]
async fn the_receivers_own_waiting_time_is_honoured() {
    let after = Some(Duration::from_secs(42));
    let script = Script::new(move |number, _| match number {
        0 => Verdict::TryAgain {
            after,
            over_rate: false,
            misconfigured: false,
            trouble: "429".to_owned(),
        },
        _ => Verdict::Accepted,
    });
    let works = Works::of(destination("d", 1), &script);
    let mut acked = works.submit(&samples(1), DEADLINE).unwrap();
    assert_eq!(acked.settled().await, Settled::Delivered);
    let requests = script.requests.lock().unwrap();
    let waited = requests[1].0 - requests[0].0;
    assert!(waited >= Duration::from_secs(42) && waited < Duration::from_secs(43), "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn a_waiting_time_beyond_the_deadline_is_answered_at_once() {
    let after = Some(Duration::from_secs(300));
    let script = Script::new(move |_, _| Verdict::TryAgain {
        after,
        over_rate: false,
        misconfigured: false,
        trouble: "429 come back later".to_owned(),
    });
    let works = Works::of(destination("d", 1), &script);
    let begin = Instant::now();
    let mut acked = works.submit(&samples(1), DEADLINE).unwrap();
    let Settled::Lost { reason } = acked.settled().await else { panic!("delivered") };
    assert!(reason.contains("429 come back later"), "{reason}");
    assert!(begin.elapsed() < Duration::from_secs(1));
    works.rest(&["d"]).await;
}

#[tokio::test(start_paused = true)]
async fn more_samples_than_the_rate_limit_admits_are_halved_the_second_time() {
    let script = Script::new(|_, seen| match seen.len() > 300 {
        true => Verdict::TryAgain {
            after: None,
            over_rate: true,
            misconfigured: false,
            trouble: "429 ingestion rate limit".to_owned(),
        },
        false => Verdict::Accepted,
    });
    let works = Works::of(destination("d", 1), &script);
    let mut acked = works.submit(&samples(1000), DEADLINE).unwrap();
    assert_eq!(acked.settled().await, Settled::Delivered);
    works.rest(&["d"]).await;
    assert_eq!(script.request_sizes()[..3], [1000, 1000, 500]);
}

#[tokio::test(start_paused = true)]
async fn samples_beyond_the_age_limit_are_aged_out_and_counted() {
    let script = Script::new(|_, _| Verdict::Accepted);
    let mut to = destination("d", 1);
    to.queue_config.sample_age_limit = Some(Duration::from_secs(3600));
    let works = Works::of(to, &script);
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let now_ms = i64::try_from(now.as_millis()).unwrap();
    let age_s = |i: u32| if i.is_multiple_of(3) { 7200 } else { 60 };
    let samples: Vec<_> = (0..90).map(|i| (i, now_ms - age_s(i) * 1000, 1.0)).collect();
    let mut acked = works.submit(&samples, DEADLINE).unwrap();
    assert_eq!(acked.settled().await, Settled::Delivered);
    works.rest(&["d"]).await;
    assert_eq!(works.books("d"), [60.0, 0.0, 0.0, 30.0, 0.0, 0.0, 0.0]);
    // A request of nothing but old samples settles as well, and sends nothing.
    let requests = script.requests.lock().unwrap().len();
    let mut acked = works.submit(&[(1, now_ms - 9_000_000, 1.0)], DEADLINE).unwrap();
    assert_eq!(acked.settled().await, Settled::Delivered);
    assert_eq!(script.requests.lock().unwrap().len(), requests);
}

/// Old, good and new samples within one request, each with what becomes of it.
#[tokio::test(start_paused = true)]
async fn samples_outside_the_window_are_left_out_and_counted_apart() {
    let (hour, ten_minutes) = (Duration::from_secs(3600), Duration::from_secs(600));
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let now_ms = i64::try_from(now.as_millis()).unwrap();
    let ages = |some: &[(i64, u32)]| -> Vec<i64> {
        some.iter().flat_map(|(age_s, times)| vec![*age_s; *times as usize]).collect()
    };
    // Limits back and ahead; ages in seconds; delivered, refused, aged out, too new.
    for (back, ahead, ages, sum) in [
        (Some(hour), Some(ten_minutes), ages(&[(7200, 3), (60, 5), (-1200, 2)]), [5, 0, 3, 2]),
        (None, Some(ten_minutes), ages(&[(7200, 3), (60, 5), (-1200, 2)]), [8, 0, 0, 2]),
        (Some(hour), None, ages(&[(7200, 3), (60, 5), (-1200, 2)]), [7, 0, 3, 0]),
        (None, None, ages(&[(7200, 3), (60, 5), (-1200, 2)]), [10, 0, 0, 0]),
        (Some(hour), Some(ten_minutes), ages(&[(-300, 4), (-900, 1)]), [4, 0, 0, 1]),
        (None, Some(ten_minutes), ages(&[(-1200, 6)]), [0, 0, 0, 6]),
        (Some(hour), Some(ten_minutes), ages(&[(7200, 1), (-1200, 1)]), [0, 0, 1, 1]),
        // In isolation: one bad sample among good ones, old ones and new ones.
        (
            Some(hour),
            Some(ten_minutes),
            ages(&[(7200, 30), (666, 1), (60, 40), (-1200, 20)]),
            [40, 1, 30, 20],
        ),
    ] {
        let bad_ms = now_ms - 666_000;
        let script =
            Script::new(move |_, seen| match seen.iter().any(|(_, at, _)| *at == bad_ms) {
                true => Verdict::Isolate(refusal(Reason::OutOfOrder)),
                false => Verdict::Accepted,
            });
        let mut to = destination("d", 1);
        to.queue_config.sample_age_limit = back;
        to.queue_config.sample_future_limit = ahead;
        let works = Works::of(to, &script);
        let samples: Vec<_> =
            (0..).zip(&ages).map(|(i, age_s)| (i, now_ms - age_s * 1000, 1.0)).collect();
        let mut acked = works.submit(&samples, DEADLINE).unwrap();
        assert_eq!(acked.settled().await, Settled::Delivered, "{ages:?}");
        works.rest(&["d"]).await;
        let [delivered, _, refused, aged_out, ..] = works.books("d");
        let found = [delivered, refused, aged_out, works.too_new("d")];
        assert_eq!(found, sum.map(f64::from), "{ages:?}");
        let sent =
            script.requests.lock().unwrap().iter().flat_map(|(_, seen)| seen.clone()).count();
        assert_eq!(sent == 0, delivered + refused == 0.0, "{ages:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn partial_refusals_settle_the_request() {
    let script = Script::new(|_, _| Verdict::Partial(refusal(Reason::Duplicate)));
    let works = Works::of(destination("d", 1), &script);
    let mut acked = works.submit(&samples(10), DEADLINE).unwrap();
    assert_eq!(acked.settled().await, Settled::Delivered);
    works.rest(&["d"]).await;
    assert_eq!(works.books("d"), [0.0, 10.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
    let refused = "sluicegate_samples_refused_total{destination=\"d\",reason=\"duplicate\"}";
    assert_eq!(works.metric(refused), 1.0);
}

#[tokio::test(start_paused = true)]
async fn a_dead_best_effort_destination_drops_and_never_delays() {
    let good = Script::new(|_, _| Verdict::Accepted);
    let dead = Script::slow(Duration::from_secs(3600), |_, _| Verdict::Accepted);
    let mut optional = destination("optional", 2);
    optional.required = false;
    let works = Works::start(vec![
        (destination("d", 2), 1 << 29, Arc::clone(&good)),
        // Room for two requests.
        (optional, 32 << 10, Arc::clone(&dead)),
    ]);
    let begin = Instant::now();
    for i in 0..10 {
        let mut acked = works.submit(&[(i, 1, 1.0), (i + 1, 1, 1.0)], DEADLINE).unwrap();
        assert_eq!(acked.settled().await, Settled::Delivered);
    }
    assert!(begin.elapsed() < Duration::from_secs(1));
    works.rest(&["d", "optional"]).await;
    assert_eq!(works.books("d")[0], 20.0);
    assert_eq!(works.books("optional")[4], 20.0, "dropped");
}

#[tokio::test(start_paused = true)]
async fn a_dead_required_destination_fails_the_request_and_keeps_its_share() {
    let good = Script::new(|_, _| Verdict::Accepted);
    let dead = Script::new(|_, _| try_again("503"));
    let works = Works::start(vec![
        (destination("good", 1), 1 << 29, Arc::clone(&good)),
        (destination("dead", 1), 32 << 10, Arc::clone(&dead)),
    ]);
    let mut first = works.submit(&samples(1), DEADLINE).unwrap();
    let _second = works.submit(&samples(1), DEADLINE).unwrap();
    assert_eq!(works.submit(&samples(1), DEADLINE).unwrap_err().destination, "dead");
    let Settled::Lost { reason } = first.settled().await else { panic!("delivered") };
    assert!(reason.contains("`dead`"), "{reason}");
    works.rest(&["good", "dead"]).await;
    assert_eq!(works.books("good")[0], 2.0);
}

#[tokio::test(start_paused = true)]
async fn giving_up_settles_everything_as_lost_at_once() {
    let script = Script::new(|_, _| try_again("503"));
    let works = Works::of(destination("d", 3), &script);
    let mut acked = works.submit(&samples(30), DEADLINE).unwrap();
    advance(Duration::from_secs(1)).await;
    let begin = Instant::now();
    works.give_up.cancel();
    assert!(matches!(acked.settled().await, Settled::Lost { .. }));
    assert!(begin.elapsed() < Duration::from_secs(1));
    works.rest(&["d"]).await;
}

/// What a random receiver does with a request.
fn random_verdict(choice: u8, seen: &[Seen]) -> Verdict {
    match choice % 8 {
        0 => try_again("503"),
        1 if seen.len() > 3 => Verdict::Split { trouble: "413".to_owned() },
        2 => Verdict::Isolate(refusal(Reason::Other)),
        3 => Verdict::Resign { trouble: "403".to_owned() },
        4 => Verdict::TryAgain {
            after: Some(Duration::from_secs(u64::from(choice))),
            over_rate: choice > 128,
            misconfigured: false,
            trouble: "429".to_owned(),
        },
        _ => Verdict::Accepted,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// Whatever the receiver answers: an acknowledged request's samples are stored or counted as
    /// refused, each series arrives in order, the books balance and the bytes come back.
    #[test]
    fn the_laws_hold_whatever_the_receiver_answers(
        choices in prop::collection::vec(any::<u8>(), 1..40),
        requests in prop::collection::vec((1u32..60, 0u64..20), 1..12),
        lanes in 1u32..4,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(async {
            let script = Script::slow(Duration::from_millis(70), move |number, seen| {
                random_verdict(choices[number % choices.len()], seen)
            });
            let works = Works::of(destination("d", lanes), &script);
            let mut waiting = Vec::new();
            for (at, (count, pause_s)) in requests.iter().enumerate() {
                let at_ms = 1_760_000_000_000 + at as i64 * 60_000;
                let samples: Vec<_> =
                    (0..*count).map(|i| (i, at_ms, f64::from(i) + at as f64)).collect();
                waiting.push((works.submit(&samples, DEADLINE).unwrap(), samples));
                tokio::time::sleep(Duration::from_secs(*pause_s)).await;
            }
            let mut acknowledged = Vec::new();
            for (mut acked, samples) in waiting {
                if acked.settled().await == Settled::Delivered {
                    acknowledged.extend(samples);
                }
            }
            works.rest(&["d"]).await;
            let stored = script.stored.lock().unwrap();
            let missing = acknowledged
                .iter()
                .filter(|(i, at_ms, value)| {
                    stored.get(&(format!("m{{i=\"{i}\"}}"), *at_ms)) != Some(value)
                })
                .count();
            assert!(missing as f64 <= works.books("d")[2], "acknowledged and neither stored nor refused");
            let mut newest: BTreeMap<String, i64> = BTreeMap::new();
            for (series, at_ms, _) in script.accepted.lock().unwrap().iter() {
                let newest = newest.entry(series.clone()).or_insert(*at_ms);
                assert!(*at_ms >= *newest, "{series} went back in time");
                *newest = *at_ms;
            }
        });
    }
}
