//! The destinations at work: each one's remote, couriers and metadata, across reloads of the
//! configuration. They are known by name, and what they have settled by their serials.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::error;

use crate::config::Config;
use crate::deliver::metadata::Families;
use crate::deliver::{Courier, Destination, Orders, Remote, Report, Witnesses};
use crate::meters::{self, Meters};
use crate::queue::{self, Inbox, Lanes, LanesBuilder};
use crate::tasks::Tasks;

/// How remote-write requests name their sender.
const USER_AGENT: &str = concat!("sluicegate/", env!("CARGO_PKG_VERSION"));

/// What outposts are built with.
#[derive(Debug)]
pub(super) struct Builders {
    pub(super) meters: Meters,
    /// For the couriers.
    pub(super) back: Tasks,
    /// For the metadata.
    pub(super) side: Tasks,
    /// Ends the couriers' waiting.
    pub(super) give_up: CancellationToken,
    /// Ends the metadata.
    pub(super) close_side: CancellationToken,
    /// Cancelled by a courier that has died.
    pub(super) broken: CancellationToken,
}

/// All destinations of the configuration in force.
#[derive(Debug)]
pub(super) struct Outposts {
    builders: Builders,
    lanes: Lanes,
    standing: HashMap<String, Outpost>,
    last_serial: u64,
    /// Of destinations that were removed: cancelled when their couriers have ended.
    retired: HashMap<String, CancellationToken>,
}

/// One destination.
#[derive(Debug)]
struct Outpost {
    /// Another one as soon as its samples may go to another place.
    serial: u64,
    orders: watch::Sender<Arc<Orders<Remote>>>,
    report: Arc<Report>,
    families: Arc<Families>,
    /// Ends the sending of metadata.
    _metadata: DropGuard,
    /// Cancelled when its couriers have ended.
    ended: CancellationToken,
}

/// The remotes of a new configuration's destinations, in its order. Making them can fail, and
/// changes nothing.
#[derive(Debug)]
pub(super) struct Prepared(Vec<Arc<Orders<Remote>>>);

impl Outposts {
    pub(super) fn new(builders: Builders) -> Self {
        let lanes = LanesBuilder::default().build();
        Self { builders, lanes, standing: HashMap::new(), last_serial: 0, retired: HashMap::new() }
    }

    /// Makes what the destinations need that are new or have changed.
    ///
    /// # Errors
    /// What is wrong with each destination that cannot be made.
    pub(super) fn prepare(&self, config: &Config) -> Result<Prepared, Vec<String>> {
        let mut faults = Vec::new();
        let mut prepared = Vec::with_capacity(config.remote_write.len());
        for destination in &config.remote_write {
            let standing = self.standing.get(&destination.name).map(|post| post.orders.borrow());
            if let Some(orders) = standing
                && has_the_same_remote(&orders.destination, destination)
            {
                let is_same = orders.destination == *destination;
                prepared.push(match is_same {
                    true => Arc::clone(&orders),
                    false => Arc::new(Orders {
                        destination: destination.clone(),
                        remote: Arc::clone(&orders.remote),
                    }),
                });
                continue;
            }
            match Remote::new(destination, &self.builders.meters, USER_AGENT) {
                Ok(remote) => prepared.push(Arc::new(Orders {
                    destination: destination.clone(),
                    remote: Arc::new(remote),
                })),
                Err(fault) => faults.push(format!("remote_write `{}`: {fault}", destination.name)),
            }
        }
        if faults.is_empty() { Ok(Prepared(prepared)) } else { Err(faults) }
    }

    /// Brings the destinations to a new configuration, and returns the way to their lanes. Lanes of
    /// a destination whose number stays are kept with what they hold; new ones of the same name
    /// begin when the old ones have ended, so that no series goes two ways at once.
    pub(super) fn follow(&mut self, config: &Config, prepared: Prepared) -> Lanes {
        let mut builder = LanesBuilder::default();
        let mut before = std::mem::take(&mut self.standing);
        self.retired.retain(|_, ended| !ended.is_cancelled());
        for orders in prepared.0 {
            let destination = orders.destination.clone();
            let name = destination.name.clone();
            let old = before.remove(&name);
            let serial = match &old {
                Some(post) if goes_to_the_same(&post.orders.borrow().destination, &destination) => {
                    post.serial
                }
                _ => {
                    self.last_serial += 1;
                    self.last_serial
                }
            };
            let lanes = destination.queue_config.max_shards;
            let limits = queue::Limits {
                share_bytes: share_bytes(config, &destination),
                isolation_max: destination.max_isolation_requests,
            };
            let is_kept = old.is_some()
                && builder.keep(&self.lanes, &name, serial, destination.required, lanes, limits);
            let post = match old {
                Some(post) if is_kept => self.builders.change(post, orders, serial),
                old => {
                    let previous = match &old {
                        Some(post) => Some(post.ended.clone()),
                        None => self.retired.get(&name).cloned(),
                    };
                    let meters = &self.builders.meters;
                    let inboxes = builder.destination(
                        &name,
                        serial,
                        destination.required,
                        lanes,
                        limits,
                        meters,
                    );
                    self.builders.build(orders, serial, inboxes, previous.as_ref(), old)
                }
            };
            self.standing.insert(name, post);
        }
        for (name, post) in before {
            self.builders.meters.gauge(&meters::REMOTE_WRITE_LANES, &[&name]).set(0.0);
            self.retired.insert(name, post.ended);
        }
        self.lanes = builder.build();
        self.lanes.clone()
    }
}

impl Builders {
    /// Gives a destination new orders, if they are new.
    fn change(&self, post: Outpost, orders: Arc<Orders<Remote>>, serial: u64) -> Outpost {
        if Arc::ptr_eq(&post.orders.borrow(), &orders) {
            return post;
        }
        let metadata = self.send_metadata(&orders, &post.families);
        post.orders.send_replace(orders);
        Outpost { serial, _metadata: metadata, ..post }
    }

    /// Starts a destination's couriers, after the `previous` ones of its name.
    fn build(
        &self,
        orders: Arc<Orders<Remote>>,
        serial: u64,
        inboxes: Vec<Inbox>,
        previous: Option<&CancellationToken>,
        old: Option<Outpost>,
    ) -> Outpost {
        let name = orders.destination.name.clone();
        let (report, families, hears) = match old {
            Some(old) => (old.report, old.families, old.orders),
            None => (
                Arc::new(Report::new(&name, &self.meters)),
                Arc::default(),
                watch::Sender::new(Arc::clone(&orders)),
            ),
        };
        let metadata = self.send_metadata(&orders, &families);
        // The old couriers hear them, too: they go on for what they hold, by these orders and all later.
        hears.send_replace(orders);
        let orders = hears;
        self.meters.gauge(&meters::REMOTE_WRITE_LANES, &[&name]).set(inboxes.len() as f64);
        let ended = CancellationToken::new();
        let all = Arc::new(ended.clone().drop_guard());
        for inbox in inboxes {
            let witnesses =
                Witnesses { report: Arc::clone(&report), families: Arc::clone(&families) };
            let courier = Courier::new(
                inbox,
                orders.subscribe(),
                witnesses,
                &self.meters,
                self.give_up.clone(),
            );
            let (previous, give_up) = (previous.cloned(), self.give_up.clone());
            let all = Arc::clone(&all);
            let courier = self.back.spawn(async move {
                if let Some(previous) = previous {
                    let _ = give_up.run_until_cancelled(previous.cancelled()).await;
                }
                courier.run().await;
                drop(all);
            });
            let panics = self.meters.counter(&meters::PANICS, &[]);
            let broken = self.broken.clone();
            self.back.spawn(async move {
                if courier.await.is_err_and(|ended| ended.is_panic()) {
                    error!("a courier has died, which is a fault of the gateway");
                    panics.increment(1);
                    broken.cancel();
                }
            });
        }
        Outpost { serial, orders, report, families, _metadata: metadata, ended }
    }

    /// Tells a destination of its metric families until the guard is dropped.
    fn send_metadata(&self, orders: &Arc<Orders<Remote>>, families: &Arc<Families>) -> DropGuard {
        let stop = self.close_side.child_token();
        if orders.destination.metadata_config.send {
            let (orders, families, stop) = (Arc::clone(orders), Arc::clone(families), stop.clone());
            self.side.spawn(async move {
                let Orders { destination, remote } = &*orders;
                let (settings, timeout) =
                    (&destination.metadata_config, destination.remote_timeout);
                let _ = stop.run_until_cancelled(families.run(remote, settings, timeout)).await;
            });
        }
        stop.drop_guard()
    }
}

/// Whether two destinations of one name are one receiver, that gets the same samples. Credentials
/// count: receivers tell by them whose the samples are.
fn goes_to_the_same(old: &Destination, new: &Destination) -> bool {
    old.url == new.url
        && old.headers == new.headers
        && old.auth == new.auth
        && old.tls_config == new.tls_config
        && old.write_relabel_configs == new.write_relabel_configs
}

/// Whether two settings of a destination differ in nothing but what its remote does not know. Then it
/// keeps its connections, credentials and what it was asked to wait.
fn has_the_same_remote(old: &Destination, new: &Destination) -> bool {
    let new = Destination {
        required: old.required,
        write_relabel_configs: old.write_relabel_configs.clone(),
        queue_config: old.queue_config.clone(),
        metadata_config: old.metadata_config.clone(),
        remote_timeout: old.remote_timeout,
        max_isolation_requests: old.max_isolation_requests,
        ..new.clone()
    };
    *old == new
}

/// What a destination's unsettled batches may hold of the budget. With several destinations none
/// may hold all of it, so that requests for the others still find room.
fn share_bytes(config: &Config, destination: &Destination) -> u64 {
    let budget = config.requests_budget();
    match (config.remote_write.len(), destination.required) {
        (0 | 1, _) => budget,
        (_, true) => budget / 4 * 3,
        (_, false) => {
            let optional = config.remote_write.iter().filter(|to| !to.required).count() as u64;
            budget / 4 / optional.max(1)
        }
    }
}
