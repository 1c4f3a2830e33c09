//! The books under random sequences of requests, verdicts, clients that hang up and reloads, at the
//! door of the real gateway: they balance at every moment, and the bytes come back.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, Response};
use bytes::Bytes;
use proptest::prelude::*;
use sluicegate::deliver::config::Destination;
use sluicegate::deliver::courier::Transport;
use sluicegate::deliver::judge::{Reason, Refusal, Verdict};
use sluicegate::queue::Budget;
use sluicegate::receive::Config;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use super::lane_kit::{destination, try_again};
use super::prompb::unpack;
use super::receive_door::{Answer, config, envelope, gzip, line, request, with};
use super::sim_audit::Sums;
use super::sim_gateway::Gateway;

const DEADLINE: Duration = Duration::from_secs(40);
/// Series of a data point without extended statistics.
const SAMPLES_PER_POINT: f64 = 5.0;

#[derive(Clone, Debug)]
enum Step {
    Request { points: usize, spoilt: usize, packed: bool, gone_after_ms: Option<u64> },
    Wait { ms: u64 },
    Reload { lanes: u32 },
}

fn step() -> impl Strategy<Value = Step> {
    let gone = prop::option::weighted(0.2, 0u64..3_000);
    prop_oneof![
        6 => (0usize..40, 0usize..3, any::<bool>(), gone).prop_map(
            |(points, spoilt, packed, gone_after_ms)| {
                Step::Request { points, spoilt, packed, gone_after_ms }
            }
        ),
        4 => (0u64..20_000).prop_map(|ms| Step::Wait { ms }),
        1 => (1u32..5).prop_map(|lanes| Step::Reload { lanes }),
    ]
}

/// A receiver that answers by a list, over and over.
struct Fickle {
    choices: Vec<u8>,
    next: AtomicUsize,
    accepted: AtomicU64,
}

impl Transport for Fickle {
    async fn send(&self, block: Bytes, timeout: Duration) -> Verdict {
        let samples: usize = unpack(&block).timeseries.iter().map(|s| s.samples.len()).sum();
        let next = self.next.fetch_add(1, Ordering::Relaxed);
        let choice = self.choices[next % self.choices.len()];
        let refusal = || Refusal { reason: Reason::Other, message: "no".to_owned() };
        if choice == 255 {
            sleep(timeout).await;
            return try_again("no answer");
        }
        sleep(Duration::from_millis(u64::from(choice)).min(timeout)).await;
        match choice % 11 {
            0 => try_again("503"),
            1 => Verdict::Split { trouble: "413".to_owned() },
            2 => Verdict::Isolate(refusal()),
            3 => Verdict::Resign { trouble: "403".to_owned() },
            4 => Verdict::Partial(refusal()),
            5 => Verdict::Refused(refusal()),
            6 => Verdict::TryAgain {
                after: Some(Duration::from_secs(u64::from(choice))),
                over_rate: choice > 128,
                misconfigured: choice.is_multiple_of(2),
                trouble: "429".to_owned(),
            },
            _ => {
                self.accepted.fetch_add(samples as u64, Ordering::Relaxed);
                Verdict::Accepted
            }
        }
    }
}

type Ends = Vec<(Destination, Arc<Fickle>)>;

/// One required destination and a best-effort one, to the same receivers as ever.
fn ends(receivers: &[Arc<Fickle>; 2], lanes: u32) -> Ends {
    let mut optional = destination("optional", lanes);
    optional.required = false;
    let mut required = destination("required", lanes);
    required.queue_config.max_samples_per_send = 50;
    required.max_isolation_requests = 20;
    let [first, second] = receivers;
    vec![(required, Arc::clone(first)), (optional, Arc::clone(second))]
}

fn body(points: usize, spoilt: usize, packed: bool, id: &str) -> Request<Body> {
    let record: String = (0..points).map(line).collect();
    let mut records = vec![record.as_bytes()];
    records.extend([b"hello".as_slice(); 3].iter().take(spoilt));
    let mut body = envelope(id, &records);
    let mut request = request(Body::empty());
    if packed {
        body = gzip(&body);
        request = with(request, "content-encoding", "gzip");
    }
    let length = body.len().to_string();
    *request.body_mut() = Body::from(body);
    with(with(request, "content-length", &length), "x-amz-firehose-request-id", id)
}

/// What was asked of the gateway.
struct Asked {
    call: JoinHandle<Response<Body>>,
    points: usize,
    spoilt: usize,
    gone_at: Option<Instant>,
}

fn balanced(gateway: &Gateway<Fickle>, is_at_rest: bool) -> Result<Sums, TestCaseError> {
    let sums = Sums::of(&gateway.meters);
    for to in &gateway.destinations {
        let imbalance = sums.imbalance(to, is_at_rest);
        prop_assert!(imbalance.is_none(), "{}", imbalance.unwrap_or_default());
    }
    let (used, limit) = (gateway.budget.used(), gateway.budget.limit());
    prop_assert!(used <= limit, "{used} of {limit} bytes");
    prop_assert_eq!(sums.panics, 0.0);
    Ok(sums)
}

async fn live(steps: &[Step], receivers: &[Arc<Fickle>; 2]) -> Result<(), TestCaseError> {
    let config = Config { request_deadline: DEADLINE, budget: 1 << 20, ..config() };
    let budget = Budget::new(config.budget);
    let gateway = Gateway::new(&config, Arc::clone(&budget), ends(receivers, 2));
    let mut asked = Vec::new();
    for (number, step) in steps.iter().enumerate() {
        match step {
            Step::Request { points, spoilt, packed, gone_after_ms } => {
                let call = gateway.call(body(*points, *spoilt, *packed, &format!("id-{number}")));
                let gone_at = gone_after_ms.map(|ms| Instant::now() + Duration::from_millis(ms));
                asked.push(Asked { call, points: *points, spoilt: *spoilt, gone_at });
            }
            Step::Wait { ms } => {
                let until = Instant::now() + Duration::from_millis(*ms);
                while Instant::now() < until {
                    sleep(Duration::from_millis(1 + ms / 7)).await;
                    for one in asked
                        .iter()
                        .filter(|one| one.gone_at.is_some_and(|at| at <= Instant::now()))
                    {
                        one.call.abort();
                    }
                    balanced(&gateway, false)?;
                }
            }
            Step::Reload { lanes } => gateway.reload(&config, ends(receivers, *lanes)),
        }
        balanced(&gateway, false)?;
    }
    // Least and most that may have been decoded: points, undecodable pieces.
    let (mut least, mut most) = ((0, 0), (0, 0));
    let mut statuses = BTreeSet::new();
    for Asked { call, points, spoilt, .. } in asked {
        most = (most.0 + points, most.1 + spoilt);
        let Ok(answer) = call.await else { continue };
        let answer = Answer::checked(answer).await;
        statuses.insert(answer.status);
        if answer.status == 200 {
            least = (least.0 + points, least.1 + spoilt);
        }
    }
    prop_assert!(statuses.iter().all(|status| [200, 503].contains(status)), "{statuses:?}");
    let latest = Instant::now() + DEADLINE;
    while budget.used() > 0 {
        prop_assert!(Instant::now() <= latest, "{} bytes are still held", budget.used());
        sleep(Duration::from_millis(100)).await;
    }
    let sums = balanced(&gateway, true)?;
    let range = |least: usize, most: usize, by: f64| least as f64 * by..=most as f64 * by;
    prop_assert!(range(least.1, most.1, 1.0).contains(&sums.skipped), "{} skipped", sums.skipped);
    for (to, receiver) in gateway.destinations.iter().zip(receivers) {
        let received = sums.received[to];
        prop_assert!(range(least.0, most.0, SAMPLES_PER_POINT).contains(&received), "{received}");
        let accepted = receiver.accepted.load(Ordering::Relaxed) as f64;
        prop_assert_eq!(sums.outcome(to, "delivered"), accepted, "delivered to {}", to);
    }
    prop_assert_eq!(sums.outcome("required", "dropped"), 0.0);
    prop_assert_eq!(sums.outcome("optional", "lost"), 0.0);
    prop_assert!(gateway.stop().await, "something is left after the stop");
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn the_books_balance_whatever_comes(
        steps in prop::collection::vec(step(), 1..14),
        choices in prop::array::uniform2(prop::collection::vec(any::<u8>(), 1..30)),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        let receivers = choices.map(|choices| {
            let (next, accepted) = (AtomicUsize::new(0), AtomicU64::new(0));
            Arc::new(Fickle { choices, next, accepted })
        });

        runtime.block_on(live(&steps, &receivers))?;
    }
}
