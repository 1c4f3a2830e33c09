//! The gateway as a process: started from a configuration, asked, drained, killed, started again on
//! the same addresses, weighed.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use tokio::time::{Instant, sleep};

use crate::child::{Child, Port};
use crate::quota::Quota;

/// Stands in a configuration for the address that Firehose connects to.
pub const INGEST: &str = "{ingest}";

/// Stands in a configuration for the address of `/metrics`.
pub const TELEMETRY: &str = "{telemetry}";

/// Path of the Firehose endpoint, unless the configuration says another.
pub const PATH: &str = "/firehose";

/// For a gateway to be ready, on a busy machine and a quarter of a core.
const START_TIMEOUT: Duration = Duration::from_secs(60);

/// Variables that would have a say in the configuration.
const FOREIGN: [&str; 5] = [
    "SLUICEGATE_CONFIG",
    "SLUICEGATE_CONFIG_CONTENT",
    "SLUICEGATE_REMOTE_WRITE_URL",
    "SLUICEGATE_ACCESS_KEY",
    "RUST_LOG",
];

/// A configuration with one access key and one destination; `server` and `destination` are more
/// lines of either section, `rest` is more sections.
#[must_use]
pub fn config(key: &str, url: &str, server: &str, destination: &str, rest: &str) -> String {
    let lines = |text: &str, indent: &str| -> String {
        text.lines().map(|line| format!("{indent}{line}\n")).collect()
    };
    format!(
        "server:\n  listen_address: \"{INGEST}\"\n  access_keys: [{{ name: load, key: \"{key}\" }}]\n{}\
         telemetry: {{ listen_address: \"{TELEMETRY}\" }}\n\
         remote_write:\n  - name: store\n    url: {url}\n{}{rest}",
        lines(server, "  "),
        lines(destination, "    "),
    )
}

/// How a gateway is started.
#[derive(Clone, Debug)]
pub struct Setup {
    /// What it is called in file names and messages.
    pub name: String,
    /// The program.
    pub binary: PathBuf,
    /// Text of its configuration, with [`INGEST`] and [`TELEMETRY`] in place of the addresses.
    pub config: String,
    /// Where its configuration and its log go.
    pub directory: PathBuf,
    /// What it may use of the machine.
    pub quota: Option<Arc<Quota>>,
}

/// A running gateway, or one that was stopped and can be started again; killed on drop.
#[derive(Debug)]
pub struct Gateway {
    setup: Setup,
    ingest: Port,
    telemetry: Port,
    child: Option<Child>,
    pid: Arc<AtomicU32>,
    client: reqwest::Client,
}

impl Gateway {
    /// Starts one and waits until it is ready.
    ///
    /// # Errors
    /// If it does not become so, with the end of its log.
    pub async fn start(setup: Setup) -> anyhow::Result<Self> {
        let client =
            reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(2)).build()?;
        let mut gateway = Self {
            setup,
            ingest: Port::take().context("no free port")?,
            telemetry: Port::take().context("no free port")?,
            child: None,
            pid: Arc::default(),
            client,
        };
        gateway.launch().await?;
        Ok(gateway)
    }

    /// The program that cargo built beside the kit.
    ///
    /// # Errors
    /// If it has not.
    pub fn built() -> anyhow::Result<PathBuf> {
        let own = std::env::current_exe()?;
        let path = own.ancestors().nth(2).unwrap_or(Path::new("")).join("sluicegate");
        anyhow::ensure!(
            path.is_file(),
            "no gateway at {}: run `cargo build --bin sluicegate` in the same profile first",
            path.display()
        );
        Ok(path)
    }

    /// Where Firehose sends to.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}{PATH}", self.ingest.address)
    }

    /// What it listens on for Firehose; `/readyz` is there too.
    #[must_use]
    pub const fn ingest(&self) -> SocketAddr {
        self.ingest.address
    }

    /// Where its metrics are.
    #[must_use]
    pub fn metrics_url(&self) -> String {
        format!("http://{}/metrics", self.telemetry.address)
    }

    /// Its process id; 0 while it is stopped.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid.load(Ordering::Relaxed)
    }

    /// The same as it changes, for whoever watches.
    #[must_use]
    pub fn pid_cell(&self) -> Arc<AtomicU32> {
        Arc::clone(&self.pid)
    }

    /// Where its log is.
    #[must_use]
    pub fn log_path(&self) -> PathBuf {
        self.setup.directory.join(format!("{}.log", self.setup.name))
    }

    /// Fails if it is not running, with the end of its log.
    ///
    /// # Errors
    /// If so.
    pub fn lives(&mut self) -> anyhow::Result<()> {
        self.child.as_mut().context("the gateway was stopped")?.lives()
    }

    /// What it has used by now.
    ///
    /// # Errors
    /// If it is not running.
    pub fn usage(&self) -> anyhow::Result<Usage> {
        Usage::of(self.pid())
    }

    /// Sends SIGTERM and waits for the drain; its exit code. [`Gateway::restart`] starts it again.
    ///
    /// # Errors
    /// If it does not end in time (then it is killed), or by a signal.
    pub async fn terminate(&mut self, patience: Duration) -> anyhow::Result<i32> {
        let child = self.child.take().context("the gateway was stopped")?;
        let status = child.terminate(patience).await;
        self.pid.store(0, Ordering::Relaxed);
        status?.code().context("the gateway ended by a signal")
    }

    /// Kills it (SIGKILL) and waits until it is gone.
    ///
    /// # Errors
    /// If it is not running.
    pub async fn kill(&mut self) -> anyhow::Result<()> {
        let child = self.child.take().context("the gateway was stopped")?;
        self.pid.store(0, Ordering::Relaxed);
        child.kill().await
    }

    /// Starts one that was stopped, on its addresses, and waits until it is ready.
    ///
    /// # Errors
    /// If it runs, or does not become ready.
    pub async fn restart(&mut self) -> anyhow::Result<()> {
        anyhow::ensure!(self.child.is_none(), "the gateway runs");
        self.launch().await
    }

    async fn launch(&mut self) -> anyhow::Result<()> {
        let Setup { name, binary, config, directory, quota } = &self.setup;
        let text = config
            .replace(INGEST, &self.ingest.address.to_string())
            .replace(TELEMETRY, &self.telemetry.address.to_string());
        let file = directory.join(format!("{name}.yml"));
        std::fs::create_dir_all(directory)?;
        std::fs::write(&file, text).with_context(|| file.display().to_string())?;
        let mut command = match quota {
            None => std::process::Command::new(binary),
            Some(quota) => quota.command(binary),
        };
        for name in FOREIGN {
            command.env_remove(name);
        }
        command.args(["serve", "--config"]).arg(&file);
        let child = Child::start(name, command, &self.log_path()).await?;
        self.pid.store(child.pid(), Ordering::Relaxed);
        self.child = Some(child);
        self.ready().await
    }

    async fn ready(&mut self) -> anyhow::Result<()> {
        let url = format!("http://{}/readyz", self.ingest.address);
        let over = Instant::now() + START_TIMEOUT;
        loop {
            let answer = self.client.get(&url).send().await;
            if answer.is_ok_and(|answer| answer.status().is_success()) {
                return Ok(());
            }
            self.lives()?;
            anyhow::ensure!(Instant::now() < over, "the gateway is not ready on {url}");
            sleep(Duration::from_millis(20)).await;
        }
    }
}

/// What a process has used of the machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize)]
pub struct Usage {
    /// CPU time in all, to 10 ms.
    pub cpu_seconds: f64,
    /// Memory now.
    pub rss_bytes: u64,
    /// The most memory ever.
    pub peak_rss_bytes: u64,
}

impl Usage {
    /// Of a process, from `/proc`.
    ///
    /// # Errors
    /// If there is no such process.
    pub fn of(pid: u32) -> anyhow::Result<Self> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
        let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
        let cpu_seconds = cpu_seconds(&stat).context("no CPU time")?;
        let kib = |name| status_kib(&status, name).context("no memory");
        Ok(Self {
            cpu_seconds,
            rss_bytes: kib("VmRSS:")? * 1024,
            peak_rss_bytes: kib("VmHWM:")? * 1024,
        })
    }
}

/// `utime` and `stime` of a stat file; its ticks are hundredths of a second on every Linux that is
/// in use.
fn cpu_seconds(stat: &str) -> Option<f64> {
    // The name in brackets may hold anything.
    let (_, rest) = stat.rsplit_once(") ")?;
    let mut fields = rest.split(' ').skip(11);
    let mut ticks = || fields.next()?.parse::<u32>().ok().map(f64::from);
    Some((ticks()? + ticks()?) / 100.0)
}

fn status_kib(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}

#[cfg(test)]
#[path = "gateway_tests.rs"]
mod tests;
