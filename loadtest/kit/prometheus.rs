//! A real Prometheus as the destination, and what it has to say of what it stored. The read-back
//! works with whatever has Prometheus's query API.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use sluicegate::secret::hidden_in_url;
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use crate::books::Stored;
use crate::child::{Child, Port};
use crate::found;
use crate::ledger::{POINTS_LIMIT, number_of};
use crate::points::Points;

/// For a server to be ready.
const START_TIMEOUT: Duration = Duration::from_secs(60);

/// For one answer to a query.
const QUERY_TIMEOUT: Duration = Duration::from_secs(120);

/// Samples that are asked for at once: some 40 bytes of answer each, and the labels of a series.
const PIECE_SAMPLES: f64 = 200_000.0;

/// What is read back if nothing narrower is asked for.
pub const EVERY_SUM: &str = r#"{__name__=~".+_sum"}"#;

/// A running server with a data folder of its own; killed and cleaned up on drop.
#[derive(Debug)]
pub struct Prometheus {
    child: Child,
    port: Port,
    _folder: TempDir,
}

impl Prometheus {
    /// Starts one that takes remote writes, up to ten minutes late. Its log goes to `directory`.
    ///
    /// # Errors
    /// If Prometheus is not there (with how to get it), or does not become ready.
    pub async fn start(directory: &Path) -> anyhow::Result<Self> {
        let program = found::PROMETHEUS.find()?;
        let folder = tempfile::tempdir().context("no temporary folder")?;
        let text = "global:\n  scrape_interval: 1h\n\
                    storage:\n  tsdb:\n    out_of_order_time_window: 10m\n";
        std::fs::write(folder.path().join("prometheus.yml"), text)?;
        std::fs::create_dir_all(directory)?;
        let log = directory.join("prometheus.log");
        let port = Port::take().context("no free port")?;
        let child = launch(&program, folder.path(), &port, &log).await?;
        let mut server = Self { child, port, _folder: folder };
        server.ready().await?;
        Ok(server)
    }

    /// Where samples are written to.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}/api/v1/write", self.port.address)
    }

    /// Where questions are asked.
    #[must_use]
    pub fn query_url(&self) -> String {
        format!("http://{}", self.port.address)
    }

    /// Its process id.
    #[must_use]
    pub const fn pid(&self) -> u32 {
        self.child.pid()
    }

    /// Every data point that it stored, of all time.
    ///
    /// # Errors
    /// If it cannot be asked.
    pub async fn stored(&self) -> anyhow::Result<Stored> {
        let now_ms = now_ms()?;
        // Nothing is older than its window when it starts, nor from far in the future.
        read_back(&client()?, &self.query_url(), EVERY_SUM, now_ms - 86_400_000, now_ms + 3_600_000)
            .await
    }

    async fn ready(&mut self) -> anyhow::Result<()> {
        let client = client()?;
        let url = format!("{}/-/ready", self.query_url());
        let over = Instant::now() + START_TIMEOUT;
        loop {
            let answer = client.get(&url).timeout(Duration::from_secs(2)).send().await;
            if answer.is_ok_and(|answer| answer.status().is_success()) {
                return Ok(());
            }
            self.child.lives()?;
            anyhow::ensure!(
                Instant::now() < over,
                "prometheus is not ready:\n{}",
                self.child.log_end()
            );
            sleep(Duration::from_millis(50)).await;
        }
    }
}

async fn launch(
    program: &PathBuf,
    folder: &Path,
    port: &Port,
    log: &Path,
) -> anyhow::Result<Child> {
    let mut command = std::process::Command::new(program);
    command
        .current_dir(folder)
        .arg("--config.file=prometheus.yml")
        .arg("--storage.tsdb.path=data")
        .arg("--storage.tsdb.retention.time=10y")
        .arg(format!("--web.listen-address={}", port.address))
        .arg("--web.enable-remote-write-receiver")
        .arg("--log.level=warn");
    Child::start("prometheus", command, log).await
}

fn client() -> anyhow::Result<reqwest::Client> {
    Ok(reqwest::Client::builder().no_proxy().build()?)
}

/// Milliseconds since 1970.
///
/// # Errors
/// If the clock is before that.
pub fn now_ms() -> anyhow::Result<i64> {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?;
    Ok(i64::try_from(since.as_millis())?)
}

/// Reads back the data points of the series that `selector` (such as [`EVERY_SUM`], or with a label
/// that only this run has) names, from `start_ms` up to and with `end_ms`, from whatever speaks
/// Prometheus's query API at `base` (`/api/v1/query` is added; a user and password in it are sent).
/// It is asked for in pieces. What was written twice with the same time is one sample there, so that
/// `duplicated` counts only what was stored at two times or in two series.
///
/// # Errors
/// If there is no answer, or none that can be read.
pub async fn read_back(
    client: &reqwest::Client,
    base: &str,
    selector: &str,
    start_ms: i64,
    end_ms: i64,
) -> anyhow::Result<Stored> {
    let points = Points::new(POINTS_LIMIT);
    let mut stored = Stored { points, duplicated: 0, samples: 0, exact: true };
    let mut left = vec![(start_ms, end_ms)];
    while let Some((start_ms, end_ms)) = left.pop() {
        let range = range(selector, start_ms, end_ms);
        let count = format!("sum(count_over_time({range}))");
        let answer: Vec<Counted> = ask(client, base, &count, end_ms).await?;
        let Some(count) = answer.first() else { continue };
        if count.value.1.parse::<f64>()? > PIECE_SAMPLES && start_ms < end_ms {
            let middle_ms = start_ms + (end_ms - start_ms) / 2;
            left.push((middle_ms + 1, end_ms));
            left.push((start_ms, middle_ms));
            continue;
        }
        let series: Vec<Series> = ask(client, base, &range, end_ms).await?;
        let samples = series.iter().flat_map(|series| &series.values);
        // Prometheus before 3 includes both ends of a range; the one before belongs to the piece before.
        let within = |at: f64| (start_ms..=end_ms).contains(&((at * 1000.0).round() as i64));
        for (_, value) in samples.filter(|(at, _)| within(*at)) {
            stored.samples += 1;
            if let Some(number) = number_of(value.parse()?) {
                stored.duplicated += u64::from(!stored.points.insert(number));
            }
        }
    }
    Ok(stored)
}

/// A selector of both ends, in versions that include the earlier end and in those that do not.
fn range(selector: &str, start_ms: i64, end_ms: i64) -> String {
    format!("{selector}[{}ms]", end_ms - start_ms + 1)
}

#[derive(serde::Deserialize)]
struct Answer<T> {
    data: Data<T>,
}

#[derive(serde::Deserialize)]
struct Data<T> {
    result: Vec<T>,
}

#[derive(serde::Deserialize)]
struct Counted {
    value: (f64, String),
}

#[derive(serde::Deserialize)]
struct Series {
    values: Vec<(f64, String)>,
}

async fn ask<T: serde::de::DeserializeOwned>(
    client: &reqwest::Client,
    base: &str,
    query: &str,
    at_ms: i64,
) -> anyhow::Result<Vec<T>> {
    let time = format!("{}.{:03}", at_ms.div_euclid(1000), at_ms.rem_euclid(1000));
    let mut url = reqwest::Url::parse(&format!("{}/api/v1/query", base.trim_end_matches('/')))?;
    url.query_pairs_mut().append_pair("query", query).append_pair("time", &time);
    let shown = || format!("{} does not answer", hidden_in_url(base));
    let answer = client.get(url).timeout(QUERY_TIMEOUT).send().await.with_context(shown)?;
    let status = answer.status();
    let body = answer.bytes().await?;
    let said = || String::from_utf8_lossy(body.get(..500).unwrap_or(&body)).into_owned();
    anyhow::ensure!(status.is_success(), "{query}: {status}: {}", said());
    let parsed: Answer<T> =
        serde_json::from_slice(&body).with_context(|| format!("{query}: {}", said()))?;
    Ok(parsed.data.result)
}

#[cfg(test)]
#[path = "prometheus_tests.rs"]
mod tests;
