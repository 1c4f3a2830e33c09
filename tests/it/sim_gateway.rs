//! The real rooms of the gateway, put together as the pipeline does it, with a way to the receivers
//! that a test provides.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, Response};
use sluicegate::deliver::config::Destination;
use sluicegate::deliver::lane::{Transport, Witnesses};
use sluicegate::deliver::metadata::Families;
use sluicegate::deliver::{Lane, Report};
use sluicegate::map::{self, Mapper};
use sluicegate::meters::Meters;
use sluicegate::queue::{self, Budget, LanesBuilder};
use sluicegate::receive::{Config, Door, Rules};
use sluicegate::tasks::Tasks;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

/// What the pipeline leaves the answers of given-up requests to go out.
const FAREWELL: Duration = Duration::from_secs(2);

/// A gateway without sockets.
pub(crate) struct Gateway {
    pub(crate) door: Arc<Door>,
    pub(crate) budget: Arc<Budget>,
    pub(crate) meters: Meters,
    pub(crate) has_broken: Arc<AtomicBool>,
    pub(crate) destinations: Vec<String>,
    front: Tasks,
    back: Tasks,
    give_up: CancellationToken,
    drain_deadline: Duration,
}

impl Gateway {
    /// Builds every room. The budget is the caller's, so that its ways can look at it.
    pub(crate) fn new<R: Transport>(
        config: &Config,
        budget: Arc<Budget>,
        ends: Vec<(Destination, Arc<R>)>,
    ) -> Self {
        let (meters, give_up) = (Meters::new(), CancellationToken::new());
        let (front, back) = (Tasks::new(), Tasks::new());
        let has_broken = Arc::new(AtomicBool::new(false));
        let mut lanes = LanesBuilder::new(config.budget);
        let mut outlets = Vec::new();
        let destinations = ends.iter().map(|(to, _)| to.name.clone()).collect();
        let shares = shares(config.budget, ends.iter().map(|(to, _)| to.required));
        for (index, ((to, way), share_bytes)) in ends.into_iter().zip(shares).enumerate() {
            let limits = queue::Limits { share_bytes, isolation_max: to.max_isolation_requests };
            let shards = to.queue_config.max_shards;
            outlets.push(map::Outlet { lanes: shards, write_relabel: Vec::new() });
            let report = Arc::new(Report::new(&to.name, &meters));
            let witnesses = Witnesses { report, families: Arc::new(Families::new(index)) };
            for inbox in lanes.destination(&to.name, to.required, shards, limits, &meters) {
                let (way, witnesses) = (Arc::clone(&way), witnesses.clone());
                let lane = Lane::new(inbox, &to, way, witnesses, &meters, give_up.clone());
                let lane = back.spawn(lane.run());
                let has_broken = Arc::clone(&has_broken);
                back.spawn(async move {
                    if lane.await.is_err_and(|ended| ended.is_panic()) {
                        has_broken.store(true, Ordering::Release);
                    }
                });
            }
        }
        let mapper = Arc::new(Mapper::new(map::Plan {
            config: map::Config::default(),
            external_labels: Vec::new(),
            relabel: Vec::new(),
            outlets,
        }));
        let rules = Rules::new(config, mapper, lanes.build(), &meters).expect("rules");
        let door = Door::new(rules, Arc::clone(&budget), &meters, front.clone());
        let drain_deadline = config.drain_deadline;
        Self {
            door,
            budget,
            meters,
            has_broken,
            destinations,
            front,
            back,
            give_up,
            drain_deadline,
        }
    }

    /// Serves a request. Who drops the handle has not hung up; who aborts it has.
    pub(crate) fn call(&self, request: Request<Body>) -> JoinHandle<Response<Body>> {
        let router = self.door.router();
        self.front.spawn(async move { router.oneshot(request).await.expect("it never fails") })
    }

    /// Stops as the pipeline does, from where no new requests come in. False if something is left.
    pub(crate) async fn stop(self) -> bool {
        let deadline = Instant::now() + self.drain_deadline;
        self.door.drain();
        if timeout_at(deadline, self.front.ended()).await.is_err() {
            self.door.give_up();
            self.give_up.cancel();
            let _ = timeout_at(deadline + FAREWELL, self.front.ended()).await;
        }
        drop(self.door);
        if timeout_at(deadline, self.back.ended()).await.is_err() {
            self.give_up.cancel();
        }
        timeout_at(deadline + FAREWELL, self.back.ended()).await.is_ok()
    }
}

/// What each destination may hold of a budget, as the pipeline has it.
fn shares(budget: u64, required: impl Iterator<Item = bool>) -> Vec<u64> {
    let required: Vec<bool> = required.collect();
    let optional = required.iter().filter(|required| !**required).count() as u64;
    required
        .iter()
        .map(|is_required| match (required.len(), is_required) {
            (0 | 1, _) => budget,
            (_, true) => budget / 4 * 3,
            (_, false) => budget / 4 / optional.max(1),
        })
        .collect()
}
