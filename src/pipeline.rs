//! Builds the rooms back to front, owns every task, and runs until told to stop.

mod outposts;
mod reload;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use tokio::net::TcpListener;
use tokio::sync::{Mutex, mpsc, watch};
use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::config::Config;
use crate::map::Mapper;
use crate::meters::{self, Meters};
use crate::queue::Budget;
use crate::receive::{Door, Keys, Limits, Rules, Tls, health_routes, listener};
use crate::tasks::Tasks;
use crate::telemetry::{self, Exhibit, ReloadAsked};

use outposts::{Builders, Outposts};

pub use reload::Rejected;

/// How often recorded histogram values are folded into their buckets.
const FOLD_INTERVAL: Duration = Duration::from_secs(5);

/// After the drain deadline: time for the answers of given-up requests to leave.
const FAREWELL: Duration = Duration::from_secs(2);

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
    door: Arc<Door>,
    budget: Arc<Budget>,
    current: Mutex<Current>,
    /// What the ingest listener holds its connections to.
    ingest_limits: watch::Sender<Limits>,
    /// What `/config` shows.
    shown: watch::Sender<Arc<str>>,
    reload_asked: Mutex<mpsc::Receiver<ReloadAsked>>,
    /// The ingest listener, its connections and what they started.
    front: Tasks,
    /// The couriers.
    back: Tasks,
    /// Telemetry and upkeep.
    side: Tasks,
    close_front: CancellationToken,
    give_up: CancellationToken,
    close_side: CancellationToken,
    broken: CancellationToken,
}

/// What a reload changes.
#[derive(Debug)]
struct Current {
    config: Config,
    mapper: Arc<Mapper>,
    outposts: Outposts,
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

        let mut outposts = Outposts::new(Builders {
            meters: meters.clone(),
            back: back.clone(),
            side: side.clone(),
            give_up: give_up.clone(),
            close_side: close_side.clone(),
            broken: broken.clone(),
        });
        let prepared = outposts.prepare(&config);
        let prepared = prepared.map_err(|faults| anyhow::anyhow!(faults.join("; ")))?;
        let keys = Keys::new(&config.server, &meters)?;
        let lanes = outposts.follow(&config, prepared);
        let budget = Budget::new(config.requests_budget());
        let mapper = Arc::new(Mapper::new(config.plan()));
        let mapping = Arc::clone(&mapper);
        let rules = Rules::new(&config.server, keys, mapping, lanes, &budget, &meters);
        let door = Door::new(rules, &meters, front.clone());

        let serve = |listener: TcpListener,
                     limits: watch::Receiver<Limits>,
                     app,
                     tasks: &Tasks,
                     stop: &CancellationToken| {
            let (on, stop) = (tasks.clone(), stop.clone());
            tasks.spawn(async move { listener::serve(listener, app, limits, &on, stop).await });
        };
        let tls = config.server.tls_config.as_ref().map(Tls::open).transpose();
        let tls = tls.context("server.tls_config")?;
        let limits = Limits { tls, ..Limits::new(&config.server, &meters, "ingest") };
        let ingest_limits = watch::Sender::new(limits);
        serve(listeners.ingest, ingest_limits.subscribe(), door.router(), &front, &close_front);
        let shown = watch::Sender::new(Arc::from(config.to_yaml()));
        let (ask, reload_asked) = mpsc::channel(1);
        let exhibit = Exhibit {
            meters: meters.clone(),
            config: shown.subscribe(),
            refresh: refresh(&meters, &budget, &door),
            reload: config.telemetry.enable_lifecycle.then_some(ask),
        };
        let app = telemetry::router(exhibit).merge(health_routes(door.health()));
        let limits = watch::channel(Limits::telemetry(&config.server, &meters)).1;
        serve(listeners.telemetry, limits, app, &side, &close_side);
        side.spawn(fold(meters.clone(), close_side.clone()));
        reload::tell(&meters, true);
        meters.gauge(&meters::BUILD_INFO, &[env!("CARGO_PKG_VERSION")]).set(1.0);
        info!(%ingest_address, %telemetry_address, "serving");
        Ok(Self {
            ingest_address,
            telemetry_address,
            meters,
            door,
            budget,
            current: Mutex::new(Current { config, mapper, outposts }),
            ingest_limits,
            shown,
            reload_asked: Mutex::new(reload_asked),
            front,
            back,
            side,
            close_front,
            give_up,
            close_side,
            broken,
        })
    }

    /// Ends if a courier has died of a fault of ours. The process should end then: its requests are
    /// answered 503, and Firehose sends them to its successor.
    pub async fn broken(&self) {
        self.broken.cancelled().await;
    }

    /// Waits until someone asks for a reload on the telemetry listener. The asker waits for the
    /// outcome.
    pub async fn reload_asked(&self) -> ReloadAsked {
        match self.reload_asked.lock().await.recv().await {
            Some(asked) => asked,
            None => std::future::pending().await,
        }
    }

    /// Stops as a SIGTERM asks for: not ready, `shutdown_delay` of further service, then no new
    /// connections; requests in flight settle or, at `drain_deadline`, are answered 503. Returns when
    /// nothing is left.
    pub async fn stop(self) {
        let Current { config, outposts, .. } = self.current.into_inner();
        let (delay, drain) = (config.server.shutdown_delay, config.server.drain_deadline);
        let deadline = Instant::now() + drain;
        self.door.drain();
        info!(?delay, "draining");
        sleep(delay.min(drain)).await;
        self.close_front.cancel();
        if timeout_at(deadline, self.front.ended()).await.is_err() {
            warn!("drain deadline reached, requests in flight are answered 503");
            self.door.give_up();
            self.give_up.cancel();
            let _ = timeout_at(deadline + FAREWELL, self.front.ended()).await;
        }
        // These hold the last handles to the lanes: without them they end once they are empty.
        drop((self.door, outposts));
        if timeout_at(deadline, self.back.ended()).await.is_err() {
            self.give_up.cancel();
            let _ = timeout_at(deadline + FAREWELL, self.back.ended()).await;
        }
        self.close_side.cancel();
        let _ = timeout_at(Instant::now() + FAREWELL, self.side.ended()).await;
        info!("stopped");
    }
}

/// Sets the gauges that nobody sets on the way.
fn refresh(meters: &Meters, budget: &Arc<Budget>, door: &Arc<Door>) -> Arc<dyn Fn() + Send + Sync> {
    let gauge = |metric| meters.gauge(metric, &[]);
    gauge(&meters::BUDGET).set(budget.limit() as f64);
    let used = gauge(&meters::BUDGET_USED);
    let cache_bytes = gauge(&meters::SERIES_CACHE_BYTES);
    let cache_limit = gauge(&meters::SERIES_CACHE_LIMIT);
    let identities = gauge(&meters::SERIES_CACHE_IDENTITIES);
    let series = gauge(&meters::SERIES_LAST_HOUR);
    let (meters, budget, door) = (meters.clone(), Arc::clone(budget), Arc::downgrade(door));
    Arc::new(move || {
        used.set(budget.used() as f64);
        for (key, bytes) in budget.used_by_name() {
            meters.gauge(&meters::ACCESS_KEY_BUDGET_USED, &[&key]).set(bytes as f64);
        }
        let Some(door) = door.upgrade() else { return };
        let mapper = door.mapper();
        for (kind, most) in mapper.series_limits() {
            meters.gauge(&meters::SERIES_LIMIT, &[kind.name()]).set(most.map_or(0.0, f64::from));
        }
        let stats = mapper.cache_stats();
        cache_bytes.set(stats.bytes as f64);
        cache_limit.set(stats.limit_bytes as f64);
        identities.set(stats.identities as f64);
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let now_ms = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
        series.set(mapper.series_last_hour(now_ms) as f64);
    })
}

async fn fold(meters: Meters, stop: CancellationToken) {
    while stop.run_until_cancelled(sleep(FOLD_INTERVAL)).await.is_some() {
        meters.fold();
    }
}
