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
    back: Back,
    drain_deadline: Duration,
}

impl Gateway {
    /// Builds every room. The budget is the caller's, so that its ways can look at it.
    pub(crate) fn new<R: Transport>(
        config: &Config,
        budget: Arc<Budget>,
        ends: Vec<(Destination, Arc<R>)>,
    ) -> Self {
        let back = Back {
            meters: Meters::new(),
            tasks: Tasks::new(),
            give_up: CancellationToken::new(),
            has_broken: Arc::default(),
        };
        let destinations = ends.iter().map(|(to, _)| to.name.clone()).collect();
        let front = Tasks::new();
        let door =
            Door::new(back.rules(config, ends), Arc::clone(&budget), &back.meters, front.clone());
        let (meters, has_broken) = (back.meters.clone(), Arc::clone(&back.has_broken));
        let drain_deadline = config.drain_deadline;
        Self { door, budget, meters, has_broken, destinations, front, back, drain_deadline }
    }

    /// Requests that begin from now on go by other rules, to lanes of their own.
    pub(crate) fn reload<R: Transport>(&self, config: &Config, ends: Vec<(Destination, Arc<R>)>) {
        self.door.follow(self.back.rules(config, ends));
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
            self.back.give_up.cancel();
            let _ = timeout_at(deadline + FAREWELL, self.front.ended()).await;
        }
        drop(self.door);
        if timeout_at(deadline, self.back.tasks.ended()).await.is_err() {
            self.back.give_up.cancel();
        }
        timeout_at(deadline + FAREWELL, self.back.tasks.ended()).await.is_ok()
    }
}

/// What lanes are made with.
struct Back {
    meters: Meters,
    tasks: Tasks,
    give_up: CancellationToken,
    has_broken: Arc<AtomicBool>,
}

impl Back {
    /// Starts lanes to the destinations and makes the rules that lead there.
    fn rules<R: Transport>(&self, config: &Config, ends: Vec<(Destination, Arc<R>)>) -> Rules {
        let mut lanes = LanesBuilder::new(config.budget);
        let mut outlets = Vec::new();
        let shares = shares(config.budget, ends.iter().map(|(to, _)| to.required));
        for (index, ((to, way), share_bytes)) in ends.into_iter().zip(shares).enumerate() {
            let limits = queue::Limits { share_bytes, isolation_max: to.max_isolation_requests };
            let shards = to.queue_config.max_shards;
            outlets.push(map::Outlet { lanes: shards, write_relabel: Vec::new() });
            let report = Arc::new(Report::new(&to.name, &self.meters));
            let witnesses = Witnesses { report, families: Arc::new(Families::new(index)) };
            for inbox in lanes.destination(&to.name, to.required, shards, limits, &self.meters) {
                let (way, witnesses) = (Arc::clone(&way), witnesses.clone());
                let give_up = self.give_up.clone();
                let lane = Lane::new(inbox, &to, way, witnesses, &self.meters, give_up);
                let lane = self.tasks.spawn(lane.run());
                let has_broken = Arc::clone(&self.has_broken);
                self.tasks.spawn(async move {
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
        Rules::new(config, mapper, lanes.build(), &self.meters).expect("rules")
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
