//! Who empties which lanes: what is little goes out as one request, what is much side by side, and no lane
//! has two requests in flight.

use std::time::Duration;

use sluicegate::deliver::judge::Verdict;
use sluicegate::queue::{Acked, Settled};
use tokio::time::{Instant, sleep};

use super::lane_kit::{Script, Works, destination};

const DEADLINE: Duration = Duration::from_secs(150);
const ANSWER: Duration = Duration::from_secs(1);

/// What a slow receiver has got: seconds since the beginning, and the series with their timestamps.
type Got = Vec<(u64, Vec<(String, i64)>)>;

/// Hands over what comes at each of these moments (milliseconds: series and timestamps), to so many lanes.
async fn got(lanes: u32, handed: &[(u64, &[(u32, i64)])]) -> Got {
    let script = Script::slow(ANSWER, |_, _| Verdict::Accepted);
    let works = Works::of(destination("d", lanes), &script);
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

/// Series as the receiver sees them.
fn series(number: u32, ms: i64) -> (String, i64) {
    (format!("m{{i=\"{number}\"}}"), ms)
}

#[tokio::test(start_paused = true)]
async fn what_is_little_goes_out_as_one_request() {
    let few: Vec<_> = (0..100).map(|number| (number, 1)).collect();
    let got = got(8, &[(0, &few)]).await;
    let sizes: Vec<_> = got.iter().map(|(at, seen)| (*at, seen.len())).collect();
    assert_eq!(sizes, [(0, 100)]);
}

#[tokio::test(start_paused = true)]
async fn what_is_much_goes_out_side_by_side() {
    for (count, wanted) in [(1000, vec![1000]), (1002, vec![501, 501]), (2000, vec![1000, 1000])] {
        let many: Vec<_> = (0..count).map(|number| (number, 1)).collect();
        let got = got(2, &[(0, &many)]).await;
        let sizes: Vec<_> = got.iter().map(|(at, seen)| (*at, seen.len())).collect();
        assert_eq!(sizes, wanted.into_iter().map(|size| (0, size)).collect::<Vec<_>>());
    }
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_taken_along_waits_for_nobody() {
    // Lanes of 600, 500 and 300 samples, of which a request holds 1,000.
    let sizes = [600, 500, 300];
    let samples: Vec<_> = (0..3u32)
        .flat_map(|lane| (0..sizes[lane as usize]).map(move |number| (number * 3 + lane, 1)))
        .collect();
    let got = got(3, &[(0, &samples)]).await;
    let sizes: Vec<_> = got.iter().map(|(at, seen)| (*at, seen.len())).collect();
    assert_eq!(sizes, [(0, 900), (0, 500)]);
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
