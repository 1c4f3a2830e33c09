//! Builds the rooms back to front, owns every task, and runs until told to stop.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::net::TcpListener;
use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::config::Config;
use crate::deliver::metadata::Families;
use crate::deliver::{Destination, Lane, Remote, Report, Witnesses};
use crate::map::Mapper;
use crate::meters::{self, Meters};
use crate::queue::{self, Budget, Inbox, Lanes, LanesBuilder};
use crate::receive::{Door, Limits, Rules, health_routes, listener};
use crate::tasks::Tasks;
use crate::telemetry::{self, Exhibit};

/// How often recorded histogram values are folded into their buckets.
const FOLD_INTERVAL: Duration = Duration::from_secs(5);

/// After the drain deadline: time for the answers of given-up requests to leave.
const FAREWELL: Duration = Duration::from_secs(2);

/// How remote-write requests name their sender.
const USER_AGENT: &str = concat!("sluicegate/", env!("CARGO_PKG_VERSION"));

/// The sockets that a house listens on; bound by the caller, so that a test passes port 0.
#[derive(Debug)]
pub struct Listeners {
    /// For Firehose.
    pub ingest: TcpListener,
    /// For `/metrics`.
    pub telemetry: TcpListener,
}

impl Listeners {
    /// Binds what the configuration names.
    ///
    /// # Errors
    /// If an address is in use or not ours.
    pub async fn bind(config: &Config) -> anyhow::Result<Self> {
        let bind = async |section, address: SocketAddr| {
            let bound = TcpListener::bind(address).await;
            bound.with_context(|| format!("listen on {section}.listen_address, {address}"))
        };
        Ok(Self {
            ingest: bind("server", config.server.listen_address).await?,
            telemetry: bind("telemetry", config.telemetry.listen_address).await?,
        })
    }
}

/// A running gateway.
#[derive(Debug)]
pub struct House {
    /// Where Firehose is served.
    pub ingest_address: SocketAddr,
    /// Where telemetry is served.
    pub telemetry_address: SocketAddr,
    /// Everything counted.
    pub meters: Meters,
    shutdown_delay: Duration,
    drain_deadline: Duration,
    door: Arc<Door>,
    /// The ingest listener, its connections and what they started.
    front: Tasks,
    /// The lanes.
    back: Tasks,
    /// Telemetry and upkeep.
    side: Tasks,
    close_front: CancellationToken,
    give_up: CancellationToken,
    close_side: CancellationToken,
    broken: CancellationToken,
}

impl House {
    /// Builds every room and starts serving. Must be called within a runtime.
    ///
    /// # Errors
    /// If a file that the configuration names cannot be read, or a socket is broken.
    pub async fn start(config: Config, listeners: Listeners) -> anyhow::Result<Self> {
        let meters = Meters::new();
        let (front, back, side) = (Tasks::new(), Tasks::new(), Tasks::new());
        let (close_front, close_side) = (CancellationToken::new(), CancellationToken::new());
        let (give_up, broken) = (CancellationToken::new(), CancellationToken::new());
        let ingest_address = listeners.ingest.local_addr().context("ask for the ingest address")?;
        let telemetry_address =
            listeners.telemetry.local_addr().context("ask for the telemetry address")?;

        let budget = Budget::new(config.server.budget);
        let workers = Workers { meters: &meters, back: &back, give_up: &give_up, broken: &broken };
        let lanes = workers.start(&config, &side, &close_side)?;

        let mapper = Arc::new(Mapper::new(config.plan()));
        let rules = Rules::new(&config.server, Arc::clone(&mapper), lanes, &budget, &meters)?;
        let door = Door::new(rules, &meters, front.clone());

        let serve = |listener: TcpListener,
                     limits: Limits,
                     app,
                     tasks: &Tasks,
                     stop: &CancellationToken| {
            let (on, stop) = (tasks.clone(), stop.clone());
            tasks.spawn(async move { listener::serve(listener, app, limits, &on, stop).await });
        };
        let limits = Limits::new(&config.server, &meters, "ingest");
        serve(listeners.ingest, limits, door.router(), &front, &close_front);
        let exhibit = Exhibit {
            meters: meters.clone(),
            config: config.to_yaml().into(),
            refresh: refresh(&meters, &budget, &mapper),
        };
        let app = telemetry::router(exhibit).merge(health_routes(door.health()));
        let limits = Limits::telemetry(&config.server, &meters);
        serve(listeners.telemetry, limits, app, &side, &close_side);
        side.spawn(fold(meters.clone(), close_side.clone()));
        meters.gauge(&meters::BUILD_INFO, &[env!("CARGO_PKG_VERSION")]).set(1.0);
        info!(%ingest_address, %telemetry_address, "serving");
        Ok(Self {
            ingest_address,
            telemetry_address,
            meters,
            shutdown_delay: config.server.shutdown_delay,
            drain_deadline: config.server.drain_deadline,
            door,
            front,
            back,
            side,
            close_front,
            give_up,
            close_side,
            broken,
        })
    }

    /// Ends if a lane has died of a fault of ours. The process should end then: its requests are
    /// answered 503, and Firehose sends them to its successor.
    pub async fn broken(&self) {
        self.broken.cancelled().await;
    }

    /// Stops as a SIGTERM asks for: not ready, `shutdown_delay` of further service, then no new
    /// connections; requests in flight settle or, at `drain_deadline`, are answered 503. Returns when
    /// nothing is left.
    pub async fn stop(self) {
        let deadline = Instant::now() + self.drain_deadline;
        self.door.drain();
        info!(delay = ?self.shutdown_delay, "draining");
        sleep(self.shutdown_delay.min(self.drain_deadline)).await;
        self.close_front.cancel();
        if timeout_at(deadline, self.front.ended()).await.is_err() {
            warn!("drain deadline reached, requests in flight are answered 503");
            self.door.give_up();
            self.give_up.cancel();
            let _ = timeout_at(deadline + FAREWELL, self.front.ended()).await;
        }
        // The door holds the last handle to the lanes: without it they end once they are empty.
        drop(self.door);
        if timeout_at(deadline, self.back.ended()).await.is_err() {
            self.give_up.cancel();
            let _ = timeout_at(deadline + FAREWELL, self.back.ended()).await;
        }
        self.close_side.cancel();
        let _ = timeout_at(Instant::now() + FAREWELL, self.side.ended()).await;
        info!("stopped");
    }
}

/// What the lanes are started with.
struct Workers<'a> {
    meters: &'a Meters,
    back: &'a Tasks,
    give_up: &'a CancellationToken,
    broken: &'a CancellationToken,
}

impl Workers<'_> {
    fn start(
        &self,
        config: &Config,
        side: &Tasks,
        stop: &CancellationToken,
    ) -> anyhow::Result<Lanes> {
        let mut builder = LanesBuilder::new(config.server.budget);
        for (index, destination) in config.remote_write.iter().enumerate() {
            let inboxes = builder.destination(
                &destination.name,
                destination.required,
                destination.queue_config.max_shards,
                queue::Limits {
                    share_bytes: share_bytes(config, destination),
                    isolation_max: destination.max_isolation_requests,
                },
                self.meters,
            );
            let remote = Remote::new(destination, self.meters, USER_AGENT)
                .with_context(|| format!("remote_write `{}`", destination.name))?;
            let remote = Arc::new(remote);
            let families = Arc::new(Families::new(index));
            if destination.metadata_config.send {
                let (families, remote) = (Arc::clone(&families), Arc::clone(&remote));
                let (settings, timeout) =
                    (destination.metadata_config.clone(), destination.remote_timeout);
                let stop = stop.clone();
                side.spawn(async move {
                    let sending = families.run(&remote, &settings, timeout);
                    let _ = stop.run_until_cancelled(sending).await;
                });
            }
            self.start_lanes(destination, &remote, &families, inboxes);
        }
        Ok(builder.build())
    }

    fn start_lanes(
        &self,
        destination: &Destination,
        remote: &Arc<Remote>,
        families: &Arc<Families>,
        inboxes: Vec<Inbox>,
    ) {
        let report = Arc::new(Report::new(&destination.name, self.meters));
        let witnesses = Witnesses { report, families: Arc::clone(families) };
        self.meters
            .gauge(&meters::REMOTE_WRITE_LANES, &[&destination.name])
            .set(inboxes.len() as f64);
        for inbox in inboxes {
            let lane = Lane::new(
                inbox,
                destination,
                Arc::clone(remote),
                witnesses.clone(),
                self.meters,
                self.give_up.clone(),
            );
            let lane = self.back.spawn(lane.run());
            let panics = self.meters.counter(&meters::PANICS, &[]);
            let broken = self.broken.clone();
            self.back.spawn(async move {
                if lane.await.is_err_and(|ended| ended.is_panic()) {
                    error!("a lane has died, which is a fault of the gateway");
                    panics.increment(1);
                    broken.cancel();
                }
            });
        }
    }
}

/// What a destination's unsettled batches may hold of the budget. With several destinations none
/// may hold all of it, so that requests for the others still find room.
fn share_bytes(config: &Config, destination: &Destination) -> u64 {
    let budget = config.server.budget;
    match (config.remote_write.len(), destination.required) {
        (0 | 1, _) => budget,
        (_, true) => budget / 4 * 3,
        (_, false) => {
            let optional = config.remote_write.iter().filter(|to| !to.required).count() as u64;
            budget / 4 / optional.max(1)
        }
    }
}

/// Sets the gauges that nobody sets on the way.
fn refresh(
    meters: &Meters,
    budget: &Arc<Budget>,
    mapper: &Arc<Mapper>,
) -> Arc<dyn Fn() + Send + Sync> {
    let gauge = |metric| meters.gauge(metric, &[]);
    gauge(&meters::BUDGET).set(budget.limit() as f64);
    let used = gauge(&meters::BUDGET_USED);
    let cache_bytes = gauge(&meters::SERIES_CACHE_BYTES);
    let cache_limit = gauge(&meters::SERIES_CACHE_LIMIT);
    let identities = gauge(&meters::SERIES_CACHE_IDENTITIES);
    let (budget, mapper, meters) = (Arc::clone(budget), Arc::clone(mapper), meters.clone());
    Arc::new(move || {
        used.set(budget.used() as f64);
        for (key, bytes) in budget.used_by_name() {
            meters.gauge(&meters::ACCESS_KEY_BUDGET_USED, &[&key]).set(bytes as f64);
        }
        let stats = mapper.cache_stats();
        cache_bytes.set(stats.bytes as f64);
        cache_limit.set(stats.limit_bytes as f64);
        identities.set(stats.identities as f64);
    })
}

async fn fold(meters: Meters, stop: CancellationToken) {
    while stop.run_until_cancelled(sleep(FOLD_INTERVAL)).await.is_some() {
        meters.fold();
    }
}
