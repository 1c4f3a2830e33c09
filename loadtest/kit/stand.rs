//! What a run stands on: the gateway under load with what is before and behind it. Either the kit
//! starts all of it, or it is somewhere else and only what its URLs show is seen.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::time::{Instant, sleep};

use crate::balancer::{self, Balancer, Target};
use crate::books::Stored;
use crate::exposition;
use crate::gateway::{self, Gateway, Setup, Usage};
use crate::load::RUN_DIMENSION;
use crate::options::Options;
use crate::prometheus::{self, Prometheus};
use crate::quota::{Limits, Quota};
use crate::receiver::Receiver;
use crate::scenario::Plan;
use crate::watch::{Sightings, Subject, Watch};

/// Where the load goes to, and who is looked at.
#[derive(Debug)]
pub struct Stand {
    /// Where deliveries are sent.
    pub url: String,
    /// The access key.
    pub key: String,
    /// The gateways, if they are the kit's own.
    pub gateways: Vec<Gateway>,
    /// What is in front of them.
    pub balancer: Option<Balancer>,
    /// What is behind.
    pub store: Store,
    /// `/metrics` of the gateways.
    metrics_urls: Vec<String>,
    /// What the gateways may use, in words.
    pub bounds: Option<String>,
    /// What could not be had, and what that means.
    pub remarks: Vec<String>,
    client: reqwest::Client,
}

/// Where samples go, and who can say what came.
#[derive(Debug)]
pub enum Store {
    /// The kit's own receiver.
    Counting(Box<Receiver>),
    /// A Prometheus that the kit has started.
    Prometheus(Box<Prometheus>),
    /// Somewhere that can be asked.
    Api(String),
    /// Somewhere that cannot.
    Unknown,
}

/// A gateway gives requests in flight up after so long.
const DRAIN_DEADLINE: Duration = Duration::from_secs(30);

/// More than `drain_deadline`, for a machine that is busy.
const STOP_PATIENCE: Duration = Duration::from_secs(45);

/// For one look at whether budget is held.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(5);

/// Bounds of a gateway that is short of processor time only.
const MEMORY_FREE: u64 = 8 << 30;

/// How often figures are looked at: often enough for a plot, rarely enough to cost nothing. A run of
/// hours has fewer looks, or its report would not be opened.
fn look_interval(plan: &Plan) -> Duration {
    Duration::from_secs(1).max(plan.load_lasts() / 7200)
}

impl Stand {
    /// Stands on the kit's own gateway and receiver; their files go to `directory`.
    ///
    /// # Errors
    /// If a part cannot be had or started, with what is missing.
    pub async fn own(plan: &Plan, options: &Options, directory: &Path) -> anyhow::Result<Self> {
        let binary = match &options.gateway {
            Some(path) => path.clone(),
            None => Gateway::built()?,
        };
        let store = if options.prometheus {
            Store::Prometheus(Box::new(Prometheus::start(directory).await?))
        } else {
            Store::Counting(Box::new(Receiver::start(plan.destination)?))
        };
        let mut remarks = Vec::new();
        let quota = plan.gateway.quota.and_then(|bounds| {
            let memory_bytes = bounds.memory.unwrap_or(MEMORY_FREE);
            match Quota::make(Limits { cpus: bounds.cpus, memory_bytes }) {
                Ok(quota) => Some(Arc::new(quota)),
                Err(error) => {
                    remarks.push(format!(
                        "the gateway is NOT BOUNDED to {} CPUs: {error:#}",
                        bounds.cpus
                    ));
                    None
                }
            }
        });
        let key = fresh_key();
        let mut gateways = Vec::new();
        for number in 1..=plan.gateway.count {
            let setup = Setup {
                name: format!("gateway-{number}"),
                binary: binary.clone(),
                config: config(plan, &key, store.write_url().context("no receiver")?),
                directory: directory.to_owned(),
                quota: quota.clone(),
            };
            gateways.push(Gateway::start(setup).await?);
        }
        let balancer = if gateways.len() > 1 {
            let targets: Vec<_> = gateways.iter().map(Gateway::ingest).collect();
            Some(Balancer::start(&targets, balancer::Options::default(), directory).await?)
        } else {
            None
        };
        let url = match (&balancer, gateways.first()) {
            (Some(balancer), _) => format!("{}{}", balancer.url(), gateway::PATH),
            (None, Some(gateway)) => gateway.url(),
            (None, None) => anyhow::bail!("a stand without a gateway"),
        };
        let metrics_urls = gateways.iter().map(Gateway::metrics_url).collect();
        let bounds = quota.map(|quota| quota.describe());
        let client = options.client()?;
        Ok(Self { url, key, gateways, balancer, store, metrics_urls, bounds, remarks, client })
    }

    /// Stands on what is there already.
    ///
    /// # Errors
    /// If the options do not say enough.
    pub fn of_others(options: &Options) -> anyhow::Result<Self> {
        let url = options.url.clone().context("no --url")?;
        let key = options.access_key()?.context("no --key")?;
        let store = options.query_url.clone().map_or(Store::Unknown, Store::Api);
        Ok(Self {
            url,
            key,
            gateways: Vec::new(),
            balancer: None,
            store,
            metrics_urls: options.metrics_url.iter().cloned().collect(),
            bounds: None,
            remarks: Vec::new(),
            client: options.client()?,
        })
    }

    /// Whether the kit has started all of it.
    #[must_use]
    pub const fn is_own(&self) -> bool {
        !self.gateways.is_empty()
    }

    /// Looks at every gateway from now on.
    #[must_use]
    pub fn watch(&self, plan: &Plan) -> Vec<Watch> {
        let subject = |(place, url): (usize, &String)| Subject {
            pid: self.gateways.get(place).map(Gateway::pid_cell),
            metrics_url: Some(url.clone()),
            interval: look_interval(plan),
            client: self.client.clone(),
        };
        self.metrics_urls.iter().enumerate().map(subject).map(Watch::start).collect()
    }

    /// Waits until no budget is held any more, for `patience` at most. Gives what is held then, and
    /// none if that cannot be seen.
    pub async fn settle(&self, patience: Duration) -> Option<u64> {
        let over = Instant::now() + patience;
        loop {
            let mut held = 0.0;
            for url in &self.metrics_urls {
                let request = self.client.get(url).timeout(SETTLE_TIMEOUT);
                let answer = request.send().await.ok()?.text().await.ok()?;
                let page = exposition::read(&answer, &["sluicegate_budget_used_bytes"]);
                held += exposition::sum(&page, "sluicegate_budget_used_bytes", &[]);
            }
            if self.metrics_urls.is_empty() || held <= 0.0 || Instant::now() > over {
                return (!self.metrics_urls.is_empty()).then_some(held as u64);
            }
            sleep(Duration::from_millis(200)).await;
        }
    }

    /// What the gateways have used by now.
    #[must_use]
    pub fn usage(&self) -> Vec<Usage> {
        self.gateways.iter().filter_map(|gateway| gateway.usage().ok()).collect()
    }

    /// Stops one gateway and starts it again; waits until the balancer sends it requests again. Its
    /// exit code; none if it had to be killed.
    ///
    /// # Errors
    /// If it does not come back.
    pub async fn restart(
        gateways: &mut [Gateway],
        balancer: Option<&Balancer>,
        which: usize,
    ) -> anyhow::Result<Option<i32>> {
        let gateway = gateways.get_mut(which).context("no such gateway")?;
        let code = gateway.terminate(STOP_PATIENCE).await.ok();
        gateway.restart().await?;
        if let Some(balancer) = balancer {
            balancer.until(which, Target::Up, STOP_PATIENCE).await?;
        }
        Ok(code)
    }

    /// Tells every gateway to end, and waits for it: their exit codes, none where one was killed.
    pub async fn end_gateways(&mut self) -> Vec<Option<i32>> {
        let mut codes = Vec::new();
        for gateway in &mut self.gateways {
            codes.push(gateway.terminate(STOP_PATIENCE).await.ok());
        }
        codes
    }

    /// What is stored, of all that this run has sent since `start_ms`; none if nobody can say.
    ///
    /// # Errors
    /// If who could say does not.
    pub async fn stored(&self, run: &str, start_ms: i64) -> anyhow::Result<Option<Stored>> {
        let now_ms = prometheus::now_ms()?;
        Ok(match &self.store {
            Store::Counting(receiver) => Some(receiver.stored()),
            Store::Prometheus(server) => Some(server.stored().await?),
            Store::Api(base) => {
                // As the gateway names the dimension by default.
                let selector =
                    format!("{{__name__=~\".+_sum\",dimension_{RUN_DIMENSION}=\"{run}\"}}");
                let around_ms = 600_000;
                let (from_ms, to_ms) = (start_ms - around_ms, now_ms + around_ms);
                Some(prometheus::read_back(&self.client, base, &selector, from_ms, to_ms).await?)
            }
            Store::Unknown => None,
        })
    }

    /// Whether who stores can tell what was written twice.
    #[must_use]
    pub const fn tells_twice(&self) -> bool {
        matches!(self.store, Store::Counting(_))
    }

    /// How often the contract of remote write was broken, and what was; none if nobody looked.
    #[must_use]
    pub fn breaches(&self) -> Option<(u64, Vec<String>)> {
        let Store::Counting(receiver) = &self.store else { return None };
        let breaches = receiver.figures().breaches;
        let words = breaches.iter().map(|(what, count)| format!("{count} x {what}")).collect();
        Some((breaches.values().sum(), words))
    }

    /// The end of the gateways' logs, for a run that went wrong.
    #[must_use]
    pub fn logs(&self) -> String {
        let log =
            |gateway: &Gateway| std::fs::read_to_string(gateway.log_path()).unwrap_or_default();
        let end = |text: String| {
            let lines: Vec<&str> = text.lines().collect();
            lines.get(lines.len().saturating_sub(10)..).unwrap_or_default().join("\n")
        };
        self.gateways.iter().map(log).map(end).collect::<Vec<_>>().join("\n")
    }
}

impl Store {
    /// Where remote-write requests go.
    #[must_use]
    pub fn write_url(&self) -> Option<String> {
        match self {
            Self::Counting(receiver) => Some(receiver.url()),
            Self::Prometheus(server) => Some(server.url()),
            Self::Api(_) | Self::Unknown => None,
        }
    }

    /// In words, for the report.
    #[must_use]
    pub fn describe(&self) -> String {
        match self {
            Self::Counting(_) => "the kit's counting receiver".to_owned(),
            Self::Prometheus(_) => "a Prometheus started by the kit".to_owned(),
            Self::Api(base) => {
                format!("counted through {}", sluicegate::secret::hidden_in_url(base))
            }
            Self::Unknown => "not asked".to_owned(),
        }
    }
}

/// All gateways' sightings as one: what each did is added up.
#[must_use]
pub fn joined(all: &[Sightings]) -> Vec<crate::watch::Moment> {
    let mut moments: Vec<Vec<crate::watch::Moment>> = all.iter().map(Sightings::moments).collect();
    let Some(mut sum) = moments.pop() else { return Vec::new() };
    let add = |to: &mut Option<f64>, more: Option<f64>| {
        *to = to.zip(more).map(|(a, b)| a + b).or(*to).or(more);
    };
    for others in moments {
        for (moment, other) in sum.iter_mut().zip(others) {
            add(&mut moment.cpus, other.cpus);
            add(&mut moment.points_per_second, other.points_per_second);
            add(&mut moment.samples_per_second, other.samples_per_second);
            add(&mut moment.budget_used_bytes, other.budget_used_bytes);
            add(&mut moment.samples_in_flight, other.samples_in_flight);
            moment.rss_bytes = moment.rss_bytes.max(other.rss_bytes);
            let older =
                |a: Option<f64>, b: Option<f64>| a.zip(b).map(|(a, b)| a.max(b)).or(a).or(b);
            moment.age_seconds_mean = older(moment.age_seconds_mean, other.age_seconds_mean);
            moment.age_seconds_p50 = older(moment.age_seconds_p50, other.age_seconds_p50);
            moment.age_seconds_p99 = older(moment.age_seconds_p99, other.age_seconds_p99);
        }
    }
    sum
}

/// The configuration of a plan's gateway.
fn config(plan: &Plan, key: &str, url: impl AsRef<str>) -> String {
    let of = &plan.gateway;
    let seconds = |duration: Duration| format!("{}ms", duration.as_millis());
    // Behind a balancer a gateway goes on until the balancer has noticed.
    let delay = if of.count > 1 {
        balancer::Options::default().notice() + Duration::from_secs(1)
    } else {
        Duration::ZERO
    };
    let mut server = format!(
        "request_deadline: {}\nshutdown_delay: {}\ndrain_deadline: {}\n",
        seconds(of.request_deadline),
        seconds(delay),
        seconds(DRAIN_DEADLINE),
    );
    if let Some(budget) = of.budget {
        server.push_str(&format!("budget: {}\n", sluicegate::units::format_bytes(budget)));
    }
    let destination = format!(
        "remote_timeout: {}\nqueue_config: {{ max_shards: {}, max_backoff: 1s }}\n",
        seconds(of.remote_timeout),
        of.lanes
    );
    gateway::config(
        key,
        url.as_ref(),
        &server,
        &destination,
        "log: { format: text, level: warn }\n",
    )
}

/// A key that nobody else has.
fn fresh_key() -> String {
    std::iter::repeat_with(fastrand::alphanumeric).take(40).collect()
}

#[cfg(test)]
mod tests {
    use sluicegate::config::{Source, load_within};

    use super::*;
    use crate::scenario::{ALL, Wishes};

    #[test]
    fn the_gateway_takes_every_scenarios_configuration() {
        for scenario in ALL {
            let plan = (scenario.plan)(&Wishes::default());
            let text = config(&plan, "open sesame", "http://127.0.0.1:9/api/v1/write")
                .replace(gateway::INGEST, "127.0.0.1:0")
                .replace(gateway::TELEMETRY, "127.0.0.1:0");
            let loaded = load_within(Source::Content(&text), &|_| None, None);
            assert!(loaded.is_ok(), "{}: {:?}\n{text}", scenario.name, loaded.err());
        }
    }
}
