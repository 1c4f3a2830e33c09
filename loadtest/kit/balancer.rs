//! HAProxy in front of several gateways, as an Application Load Balancer would be: requests in turn,
//! an idle timeout, health checks on `/readyz`, targets that drain; connections to targets are kept,
//! and a request that may have reached a target is not sent to another.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::{Instant, sleep};

use crate::child::{Child, Port};
use crate::found;

/// For it to listen, and to learn that its targets are healthy.
const START_TIMEOUT: Duration = Duration::from_secs(60);

/// How it behaves. The default is an ALB as a gateway's load balancer should be set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// The idle timeout, of both sides. ALB's default of 60 s is less than what a gateway may take
    /// (`request_deadline`, 150 s): it has to be more.
    pub idle_timeout: Duration,
    /// Time from one health check to the next; ALB's least is 5 s.
    pub check_interval: Duration,
    /// Checks that have to fail one after another for a target to be left out; as many bring it back.
    pub checks: u32,
}

impl Default for Options {
    fn default() -> Self {
        let (idle_timeout, check_interval) = (Duration::from_secs(180), Duration::from_secs(1));
        Self { idle_timeout, check_interval, checks: 2 }
    }
}

impl Options {
    /// How long a target has to go on serving after `/readyz` says no: until the balancer knows.
    /// A gateway's `shutdown_delay` should be as much.
    #[must_use]
    pub fn notice(self) -> Duration {
        self.check_interval * (self.checks + 1)
    }
}

/// What a target is taken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// It gets requests.
    Up,
    /// It gets none, those that it has go on.
    Draining,
    /// Its health checks fail: the same, for another reason.
    Down,
}

/// A running load balancer; killed on drop.
#[derive(Debug)]
pub struct Balancer {
    child: Child,
    port: Port,
    _folder: TempDir,
    control: PathBuf,
    targets: Vec<SocketAddr>,
}

impl Balancer {
    /// Starts one in front of these gateways and waits until it takes each for healthy.
    ///
    /// # Errors
    /// If HAProxy is not there (with how to get it), or a target is not healthy.
    pub async fn start(
        targets: &[SocketAddr],
        options: Options,
        directory: &Path,
    ) -> anyhow::Result<Self> {
        let program = found::HAPROXY.find()?;
        let port = Port::take().context("no free port")?;
        std::fs::create_dir_all(directory)?;
        // The path of a socket may have no more than 108 bytes: that of a report may have more.
        let folder = tempfile::tempdir().context("no temporary folder")?;
        let control = folder.path().join("control");
        let file = directory.join("haproxy.cfg");
        std::fs::write(&file, config(port.address, &control, targets, options))?;
        let mut command = std::process::Command::new(program);
        command.arg("-db").arg("-f").arg(&file);
        let child = Child::start("haproxy", command, &directory.join("haproxy.log")).await?;
        let mut balancer =
            Self { child, port, _folder: folder, control, targets: targets.to_vec() };
        balancer.ready().await?;
        Ok(balancer)
    }

    /// Where it listens: `http://host:port`, without a path.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.port.address)
    }

    /// Its process id.
    #[must_use]
    pub const fn pid(&self) -> u32 {
        self.child.pid()
    }

    /// Deregisters a target, by its place: it gets no more requests, and its health is of no matter.
    ///
    /// # Errors
    /// If the balancer does not do so.
    pub async fn deregister(&self, target: usize) -> anyhow::Result<()> {
        self.command(&format!("set server gateways/gateway{target} state drain")).await.map(drop)
    }

    /// Registers a target again.
    ///
    /// # Errors
    /// If the balancer does not do so.
    pub async fn register(&self, target: usize) -> anyhow::Result<()> {
        self.command(&format!("set server gateways/gateway{target} state ready")).await.map(drop)
    }

    /// What a target is taken for now.
    ///
    /// # Errors
    /// If the balancer does not tell.
    pub async fn target(&self, target: usize) -> anyhow::Result<Target> {
        let status = self.column(target, "status").await?;
        Ok(match status.split(' ').next().unwrap_or_default() {
            "UP" | "no" => Target::Up,
            "DRAIN" => Target::Draining,
            _ => Target::Down,
        })
    }

    /// Waits until a target is taken for that.
    ///
    /// # Errors
    /// If it is not within `patience`.
    pub async fn until(&self, target: usize, is: Target, patience: Duration) -> anyhow::Result<()> {
        let over = Instant::now() + patience;
        loop {
            let now = self.target(target).await?;
            if now == is {
                return Ok(());
            }
            anyhow::ensure!(Instant::now() < over, "target {target} is {now:?}, not {is:?}");
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// How many requests a target has got.
    ///
    /// # Errors
    /// If the balancer does not tell.
    pub async fn requests(&self, target: usize) -> anyhow::Result<u64> {
        Ok(self.column(target, "stot").await?.parse()?)
    }

    /// Ends it.
    ///
    /// # Errors
    /// If it does not end.
    pub async fn stop(self) -> anyhow::Result<()> {
        self.child.kill().await
    }

    async fn column(&self, target: usize, name: &str) -> anyhow::Result<String> {
        let text = self.command("show stat gateways 4 -1").await?;
        let mut lines = text.trim_start_matches("# ").lines();
        let head = lines.next().unwrap_or_default();
        let place = head.split(',').position(|column| column == name).context("no such column")?;
        let server = format!("gateway{target}");
        let line = lines.find(|line| line.split(',').nth(1) == Some(&server));
        let value = line.and_then(|line| line.split(',').nth(place));
        value.map(str::to_owned).with_context(|| format!("no target {target}"))
    }

    async fn command(&self, text: &str) -> anyhow::Result<String> {
        let mut stream = UnixStream::connect(&self.control).await.context("haproxy's socket")?;
        stream.write_all(format!("{text}\n").as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok(answer)
    }

    async fn ready(&mut self) -> anyhow::Result<()> {
        let over = Instant::now() + START_TIMEOUT;
        // The control socket is there before anybody listens on it.
        while TcpStream::connect(self.port.address).await.is_err()
            || UnixStream::connect(&self.control).await.is_err()
        {
            self.child.lives()?;
            anyhow::ensure!(Instant::now() < over, "haproxy does not listen");
            sleep(Duration::from_millis(20)).await;
        }
        for target in 0..self.targets.len() {
            self.until(target, Target::Up, over - Instant::now()).await?;
        }
        Ok(())
    }
}

fn config(address: SocketAddr, control: &Path, targets: &[SocketAddr], options: Options) -> String {
    let control = control.display();
    let (idle_ms, check_ms) =
        (options.idle_timeout.as_millis(), options.check_interval.as_millis());
    let checks = options.checks;
    let mut text = format!(
        "global
    maxconn 4000
    stats socket unix@{control} level admin
defaults
    mode http
    timeout connect 5s
    timeout client {idle_ms}ms
    timeout server {idle_ms}ms
    timeout http-keep-alive {idle_ms}ms
    # A connection that cannot be made is tried with another target: no target has seen the request.
    retries 3
    option redispatch 1
    retry-on conn-failure
frontend door
    bind {address}
    default_backend gateways
backend gateways
    balance roundrobin
    http-reuse safe
    option httpchk GET /readyz
    http-check expect status 200
    default-server check inter {check_ms}ms fall {checks} rise {checks}
"
    );
    for (number, target) in targets.iter().enumerate() {
        // Writing to a text does not fail.
        let _ = writeln!(text, "    server gateway{number} {target}");
    }
    text
}

#[cfg(test)]
#[path = "balancer_tests.rs"]
mod tests;
