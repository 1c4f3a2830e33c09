//! What is seen of a gateway while it works, second by second: its process and its own metrics.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use sluicegate::tasks::Tasks;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::exposition::{self, Page, buckets, quantile, sum};
use crate::gateway::Usage;

/// The own metrics that are kept, by the beginnings of their names.
const NAMES: [&str; 15] = [
    "sluicegate_datapoints_total",
    "sluicegate_records_total",
    "sluicegate_samples_total",
    "sluicegate_samples_received_total",
    "sluicegate_samples_refused_total",
    "sluicegate_samples_superseded_total",
    "sluicegate_samples_in_flight",
    "sluicegate_datapoint_age_seconds",
    "sluicegate_budget_",
    "sluicegate_connections",
    "sluicegate_firehose_requests_",
    "sluicegate_firehose_request_wire_bytes_sum",
    "sluicegate_remote_write_",
    "sluicegate_series_",
    "sluicegate_panics_total",
];

/// For one look at the metrics.
const LOOK_TIMEOUT: Duration = Duration::from_secs(5);

/// What is looked at.
#[derive(Clone, Debug)]
pub struct Subject {
    /// The process; 0 while there is none.
    pub pid: Option<Arc<AtomicU32>>,
    /// Where its metrics are.
    pub metrics_url: Option<String>,
    /// How often.
    pub interval: Duration,
    /// Who asks for them.
    pub client: reqwest::Client,
}

/// What is seen at one time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Watched {
    /// Since the watch began.
    pub at: Duration,
    /// The process, if there was one.
    pub usage: Option<(u32, Usage)>,
    /// Its own metrics, if they could be had.
    pub metrics: Option<Page>,
}

/// What happened from one look to the next, or is so at the later one.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize)]
pub struct Moment {
    /// Seconds since the watch began, at its end.
    pub at_seconds: f64,
    /// CPUs in use: 1 is a whole one.
    pub cpus: Option<f64>,
    /// Memory at its end.
    pub rss_bytes: Option<u64>,
    /// Data points read, per second.
    pub points_per_second: Option<f64>,
    /// Samples delivered, per second.
    pub samples_per_second: Option<f64>,
    /// Mean age at delivery: exact, where percentiles are no finer than the histogram's buckets.
    pub age_seconds_mean: Option<f64>,
    /// Age at delivery of half of the data points.
    pub age_seconds_p50: Option<f64>,
    /// Age at delivery of all but one in a hundred.
    pub age_seconds_p99: Option<f64>,
    /// Bytes of the budget in use at its end.
    pub budget_used_bytes: Option<f64>,
    /// Samples handed to destinations and not settled, at its end.
    pub samples_in_flight: Option<f64>,
    /// Open connections at its end.
    pub connections: Option<f64>,
    /// Answers to Firehose per second, by status.
    pub answers_per_second: BTreeMap<String, f64>,
    /// Answers of destinations per second, by status.
    pub writes_per_second: BTreeMap<String, f64>,
}

/// All that was seen.
#[derive(Clone, Debug, Default)]
pub struct Sightings {
    /// In the order of time.
    pub all: Vec<Watched>,
}

/// A watch that goes on until it is stopped or dropped.
#[derive(Debug)]
pub struct Watch {
    stop: CancellationToken,
    task: Option<JoinHandle<Vec<Watched>>>,
}

impl Watch {
    /// Begins, with a first look at once.
    #[must_use]
    pub fn start(subject: Subject) -> Self {
        let stop = CancellationToken::new();
        let task = Tasks::new().spawn(watch(subject, stop.clone()));
        Self { stop, task: Some(task) }
    }

    /// Takes a last look; all that was seen.
    ///
    /// # Errors
    /// If the watch has broken down.
    pub async fn stop(mut self) -> anyhow::Result<Sightings> {
        self.stop.cancel();
        match self.task.take() {
            Some(task) => Ok(Sightings { all: task.await? }),
            None => Ok(Sightings::default()),
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

async fn watch(subject: Subject, stop: CancellationToken) -> Vec<Watched> {
    let began = Instant::now();
    let mut ticks = interval(subject.interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut all = Vec::new();
    loop {
        let is_last = tokio::select! {
            biased;
            () = stop.cancelled() => true,
            _ = ticks.tick() => false,
        };
        all.push(look(&subject, began).await);
        if is_last {
            return all;
        }
    }
}

async fn look(subject: &Subject, began: Instant) -> Watched {
    let metrics = async {
        let request = subject.client.get(subject.metrics_url.as_deref()?).timeout(LOOK_TIMEOUT);
        let answer = request.send().await.ok()?;
        let text = answer.error_for_status().ok()?.text().await.ok()?;
        Some(exposition::read(&text, &NAMES))
    };
    let metrics = metrics.await;
    let pid = subject.pid.as_ref().map(|pid| pid.load(Ordering::Relaxed));
    let usage = pid.and_then(|pid| Some((pid, Usage::of(pid).ok()?)));
    Watched { at: began.elapsed(), usage, metrics }
}

impl Sightings {
    /// What happened from look to look.
    #[must_use]
    pub fn moments(&self) -> Vec<Moment> {
        let pairs = self.all.windows(2).filter_map(|pair| <&[Watched; 2]>::try_from(pair).ok());
        pairs.map(|[before, after]| moment(before, after)).collect()
    }

    /// CPU time used from the first look to the last, over all processes that were seen. What one used
    /// between its last look and its end is not in it.
    #[must_use]
    pub fn cpu_seconds(&self) -> f64 {
        let pairs = self.all.windows(2).filter_map(|pair| <&[Watched; 2]>::try_from(pair).ok());
        pairs.filter_map(|[before, after]| cpu_between(before, after)).sum()
    }

    /// The most memory of a process.
    #[must_use]
    pub fn peak_rss_bytes(&self) -> u64 {
        let peaks = self.all.iter().filter_map(|seen| Some(seen.usage?.1.peak_rss_bytes));
        peaks.max().unwrap_or_default()
    }

    /// The growth of a counter over all that was seen, restarts included.
    #[must_use]
    pub fn growth(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let pages: Vec<&Page> = self.all.iter().filter_map(|seen| seen.metrics.as_ref()).collect();
        let pairs = pages.windows(2).filter_map(|pair| <&[&Page; 2]>::try_from(pair).ok());
        pairs.map(|[before, after]| growth(before, after, name, labels)).sum()
    }

    /// The greatest value of a gauge.
    #[must_use]
    pub fn most(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let pages = self.all.iter().filter_map(|seen| seen.metrics.as_ref());
        pages.map(|page| sum(page, name, labels)).fold(0.0, f64::max)
    }

    /// The last page of metrics.
    #[must_use]
    pub fn last(&self) -> Option<&Page> {
        self.all.iter().rev().find_map(|seen| seen.metrics.as_ref())
    }
}

/// What is less than before began anew.
fn growth(before: &Page, after: &Page, name: &str, labels: &[(&str, &str)]) -> f64 {
    let (was, is) = (sum(before, name, labels), sum(after, name, labels));
    if is < was { is } else { is - was }
}

fn cpu_between(before: &Watched, after: &Watched) -> Option<f64> {
    let (pid, usage) = after.usage?;
    let was =
        before.usage.filter(|(old, _)| *old == pid).map_or(0.0, |(_, usage)| usage.cpu_seconds);
    Some((usage.cpu_seconds - was).max(0.0))
}

fn moment(before: &Watched, after: &Watched) -> Moment {
    let seconds = (after.at - before.at).as_secs_f64().max(1e-3);
    let mut moment = Moment {
        at_seconds: after.at.as_secs_f64(),
        cpus: cpu_between(before, after).map(|cpu| cpu / seconds),
        rss_bytes: after.usage.map(|(_, usage)| usage.rss_bytes),
        ..Moment::default()
    };
    if let Some(page) = &after.metrics {
        moment.budget_used_bytes = Some(sum(page, "sluicegate_budget_used_bytes", &[]));
        moment.samples_in_flight = Some(sum(page, "sluicegate_samples_in_flight", &[]));
        moment.connections = Some(sum(page, "sluicegate_connections", &[]));
    }
    let (Some(was), Some(is)) = (&before.metrics, &after.metrics) else { return moment };
    let rate = |name: &str, labels: &[(&str, &str)]| growth(was, is, name, labels) / seconds;
    moment.points_per_second = Some(rate("sluicegate_datapoints_total", &[]));
    moment.samples_per_second = Some(rate("sluicegate_samples_total", &[("outcome", "delivered")]));
    let delivered = growth(was, is, "sluicegate_datapoint_age_seconds_count", &[]);
    let seconds_sum = growth(was, is, "sluicegate_datapoint_age_seconds_sum", &[]);
    moment.age_seconds_mean = (delivered > 0.0).then(|| seconds_sum / delivered);
    let ages = buckets(was, is, "sluicegate_datapoint_age_seconds");
    moment.age_seconds_p50 = quantile(&ages, 0.5);
    moment.age_seconds_p99 = quantile(&ages, 0.99);
    let by_code = |name: &str| {
        let mut found = BTreeMap::new();
        for series in is.keys().filter(|series| exposition::name(series) == name) {
            let code = exposition::label(series, "code").unwrap_or("?").to_owned();
            found.entry(code).or_insert_with_key(|code| rate(name, &[("code", code)]));
        }
        found.retain(|_, rate| *rate > 0.0);
        found
    };
    moment.answers_per_second = by_code("sluicegate_firehose_requests_total");
    moment.writes_per_second = by_code("sluicegate_remote_write_requests_total");
    moment
}

#[cfg(test)]
#[path = "watch_tests.rs"]
mod tests;
