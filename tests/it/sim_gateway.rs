//! The real rooms of the gateway, put together as the pipeline does it, with a way to the receivers
//! that a test provides.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, Response};
use sluicegate::deliver::config::Destination;
use sluicegate::deliver::courier::Transport;
use sluicegate::deliver::{Courier, Orders, Report, Witnesses};
use sluicegate::map::{self, Mapper};
use sluicegate::meters::Meters;
use sluicegate::queue::{self, Budget, Inbox, Lanes, LanesBuilder};
use sluicegate::receive::{Config, Door, Keys, Rules};
use sluicegate::tasks::Tasks;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use super::receive_door::serial;

/// What the pipeline leaves the answers of given-up requests to go out.
const FAREWELL: Duration = Duration::from_secs(2);

/// A gateway without sockets.
pub(crate) struct Gateway<R> {
    pub(crate) door: Arc<Door>,
    pub(crate) budget: Arc<Budget>,
    pub(crate) meters: Meters,
    pub(crate) has_broken: Arc<AtomicBool>,
    pub(crate) destinations: Vec<String>,
    front: Tasks,
    back: Back,
    standing: Mutex<Standing<R>>,
    drain_deadline: Duration,
}

impl<R: Transport> Gateway<R> {
    /// Builds every room. The budget is the caller's, so that its ways can look at it.
    pub(crate) fn new(
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
        let mut standing = Standing::default();
        let rules = back.rules(config, &budget, ends, &mut standing);
        let front = Tasks::new();
        let door = Door::new(rules, &back.meters, front.clone());
        let (meters, has_broken) = (back.meters.clone(), Arc::clone(&back.has_broken));
        let (standing, drain_deadline) = (Mutex::new(standing), config.drain_deadline);
        Self {
            door,
            budget,
            meters,
            has_broken,
            destinations,
            front,
            back,
            standing,
            drain_deadline,
        }
    }

    /// Requests that begin from now on go by other rules; so does what waits in lanes that stay.
    pub(crate) fn reload(&self, config: &Config, ends: Vec<(Destination, Arc<R>)>) {
        let standing = &mut self.standing.lock().unwrap();
        self.door.follow(self.back.rules(config, &self.budget, ends, standing));
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
        drop((self.door, self.standing));
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

/// The destinations at work, across reloads.
struct Standing<R> {
    lanes: Option<Lanes>,
    posts: BTreeMap<String, Post<R>>,
}

impl<R> Default for Standing<R> {
    fn default() -> Self {
        Self { lanes: None, posts: BTreeMap::new() }
    }
}

struct Post<R> {
    orders: watch::Sender<Arc<Orders<R>>>,
    /// Cancelled when its lanes have ended.
    ended: CancellationToken,
}

impl Back {
    /// Makes the rules that lead to the destinations. Lanes are kept where their number is, and
    /// others begin when those before them have ended.
    fn rules<R: Transport>(
        &self,
        config: &Config,
        budget: &Arc<Budget>,
        ends: Vec<(Destination, Arc<R>)>,
        standing: &mut Standing<R>,
    ) -> Rules {
        let mut lanes = LanesBuilder::default();
        let mut outlets = Vec::new();
        let shares = shares(config.budget, ends.iter().map(|(to, _)| to.required));
        for ((to, remote), share_bytes) in ends.into_iter().zip(shares) {
            let limits = queue::Limits { share_bytes, isolation_max: to.max_isolation_requests };
            let (name, required) = (to.name.clone(), to.required);
            let serial = serial(&name);
            let shards = to.queue_config.max_shards;
            outlets.push(map::Outlet { lanes: shards, write_relabel: Vec::new() });
            let orders = Arc::new(Orders { destination: to, remote });
            let old = standing.posts.remove(&name);
            if let Some(old) = &old {
                old.orders.send_replace(Arc::clone(&orders));
            }
            let before = standing.lanes.as_ref();
            let is_kept = before
                .is_some_and(|before| lanes.keep(before, &name, serial, required, shards, limits));
            let post = match old {
                Some(old) if is_kept => old,
                old => {
                    let inboxes =
                        lanes.destination(&name, serial, required, shards, limits, &self.meters);
                    self.start(&name, orders, inboxes, old.as_ref().map(|old| &old.ended))
                }
            };
            standing.posts.insert(name, post);
        }
        let mapper = Arc::new(Mapper::new(map::Plan {
            config: map::Config::default(),
            external_labels: Vec::new(),
            relabel: Vec::new(),
            outlets,
        }));
        let lanes = lanes.build();
        standing.lanes = Some(lanes.clone());
        let keys = Keys::new(config, &self.meters).expect("keys");
        Rules::new(config, keys, mapper, lanes, budget, &self.meters)
    }

    /// Starts a destination's lanes, after the `previous` ones of its name.
    fn start<R: Transport>(
        &self,
        name: &str,
        orders: Arc<Orders<R>>,
        inboxes: Vec<Inbox>,
        previous: Option<&CancellationToken>,
    ) -> Post<R> {
        let report = Arc::new(Report::new(name, &self.meters));
        let witnesses = Witnesses { report, families: Arc::default() };
        let orders = watch::Sender::new(orders);
        let ended = CancellationToken::new();
        let all = Arc::new(ended.clone().drop_guard());
        for inbox in inboxes {
            let (witnesses, give_up) = (witnesses.clone(), self.give_up.clone());
            let courier =
                Courier::new(inbox, orders.subscribe(), witnesses, &self.meters, give_up.clone());
            let (previous, all) = (previous.cloned(), Arc::clone(&all));
            let courier = self.tasks.spawn(async move {
                if let Some(previous) = previous {
                    let _ = give_up.run_until_cancelled(previous.cancelled()).await;
                }
                courier.run().await;
                drop(all);
            });
            let has_broken = Arc::clone(&self.has_broken);
            self.tasks.spawn(async move {
                if courier.await.is_err_and(|ended| ended.is_panic()) {
                    has_broken.store(true, Ordering::Release);
                }
            });
        }
        Post { orders, ended }
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
