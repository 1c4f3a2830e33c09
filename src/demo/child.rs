//! The gateway as a process of its own that is killed and started again, as an orchestrator would
//! have it. It is owned by the run, not by a task, so that it dies with the run; where that is killed
//! itself, the gateway's standard input ends.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::net::{TcpSocket, TcpStream};
use tokio::process::{Child, ChildStderr, Command};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::dice::{Dice, fresh_seed};

/// For a gateway to listen, on a busy machine.
const START_TIMEOUT: Duration = Duration::from_secs(30);

/// Lines of standard error that are kept. The gateway is set up to tell of errors only.
const LINES_MAX: usize = 20;

/// The variable by which the gateway gets its configuration, key included: nobody else sees it.
const CONTENT_VARIABLE: &str = "SLUICEGATE_CONFIG_CONTENT";

/// Variables that would have a say in it.
const FOREIGN: [&str; 2] = ["SLUICEGATE_CONFIG", "RUST_LOG"];

/// A loopback port that stays the same over several lives of its server.
#[derive(Debug)]
pub struct Port {
    /// The address.
    pub address: SocketAddr,
    _hold: Option<TcpSocket>,
}

impl Port {
    /// Takes a free port.
    ///
    /// # Errors
    /// If there is none.
    pub fn take() -> std::io::Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.set_reuseaddr(true)?;
        socket.bind((Ipv4Addr::LOCALHOST, 0).into())?;
        let address = socket.local_addr()?;
        // Linux lets a server listen on a port that others have bound without listening, and gives
        // a bound port to nobody who asks for any. Elsewhere it has to be let go.
        Ok(Self { address, _hold: cfg!(target_os = "linux").then_some(socket) })
    }
}

/// A gateway that runs and may be killed.
#[derive(Debug)]
pub struct Mortal {
    text: String,
    address: SocketAddr,
    child: Child,
    lines: Lines<BufReader<ChildStderr>>,
    said: Vec<String>,
    kills: Arc<AtomicU64>,
}

impl Mortal {
    /// Starts `serve` with a configuration of this text, and waits until it listens.
    ///
    /// # Errors
    /// If it cannot be started or ends, with what it said.
    pub async fn start(text: String, address: SocketAddr) -> anyhow::Result<Self> {
        let (child, lines) = spawn(&text)?;
        let kills = Arc::default();
        let mut mortal = Self { text, address, child, lines, said: Vec::new(), kills };
        mortal.listens().await?;
        Ok(mortal)
    }

    /// How often it has been killed, as it goes on.
    #[must_use]
    pub fn kills(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.kills)
    }

    /// Lives on and is killed after about `interval` each time, until `calm`. Ends only with what
    /// went wrong: nobody else may end it. Cancel safe.
    pub async fn live(&mut self, interval: Duration, calm: &CancellationToken) -> anyhow::Error {
        let mut dice = Dice::new(fresh_seed());
        let mut next = || Instant::now() + interval.mul_f64(0.5 + dice.unit());
        let mut due = next();
        loop {
            tokio::select! {
                () = tokio::time::sleep_until(due), if !calm.is_cancelled() => {
                    if calm.is_cancelled() {
                        continue;
                    }
                    if let Err(error) = self.die_and_rise().await {
                        return error;
                    }
                    due = next();
                }
                line = self.lines.next_line() => match line {
                    Ok(Some(line)) => self.keep(line),
                    Ok(None) | Err(_) => return self.ended().await,
                },
            }
        }
    }

    /// Kills it for good; the errors that it told of.
    pub async fn stop(mut self) -> Vec<String> {
        // It has nothing left to do, and no state to leave in order.
        let _ = self.child.kill().await;
        while let Ok(Some(line)) = self.lines.next_line().await {
            self.keep(line);
        }
        self.said
    }

    async fn die_and_rise(&mut self) -> anyhow::Result<()> {
        // SIGKILL, and waits for the end.
        self.child.kill().await.context("the gateway cannot be killed")?;
        self.kills.fetch_add(1, Ordering::Relaxed);
        while let Ok(Some(line)) = self.lines.next_line().await {
            self.keep(line);
        }
        (self.child, self.lines) = spawn(&self.text)?;
        self.listens().await
    }

    /// Waits until somebody listens.
    async fn listens(&mut self) -> anyhow::Result<()> {
        let over = Instant::now() + START_TIMEOUT;
        while TcpStream::connect(self.address).await.is_err() {
            if self.child.try_wait().ok().flatten().is_some() {
                return Err(self.ended().await);
            }
            if Instant::now() > over {
                anyhow::bail!("the gateway does not listen on {}", self.address);
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(())
    }

    /// It has ended by itself, or is about to: why.
    async fn ended(&mut self) -> anyhow::Error {
        while let Ok(Some(line)) = self.lines.next_line().await {
            self.keep(line);
        }
        let status = match self.child.wait().await {
            Ok(status) => status.to_string(),
            Err(error) => error.to_string(),
        };
        anyhow::anyhow!("the gateway ended by itself ({status}): {}", self.said.join("; "))
    }

    fn keep(&mut self, line: String) {
        if self.said.len() < LINES_MAX {
            self.said.push(line);
        }
    }
}

fn spawn(text: &str) -> anyhow::Result<(Child, Lines<BufReader<ChildStderr>>)> {
    let program = std::env::current_exe().context("the program cannot be found")?;
    let mut command = Command::new(program);
    for name in FOREIGN {
        command.env_remove(name);
    }
    command.args(["serve", "--until-input-ends"]).env(CONTENT_VARIABLE, text);
    // What the terminal tells the demo (Ctrl-C, Ctrl-\, its own end) is not for the gateway.
    command.process_group(0);
    // Nothing is ever written there, and the child keeps it open.
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.kill_on_drop(true).spawn().context("the gateway cannot be started")?;
    let stderr = child.stderr.take().context("the gateway has no standard error")?;
    Ok((child, BufReader::new(stderr).lines()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_port_that_was_taken_can_be_listened_on_again_and_again() {
        let port = Port::take().expect("a port");
        for _ in 0..3 {
            assert!(TcpStream::connect(port.address).await.is_err(), "nobody listens");
            let listener = tokio::net::TcpListener::bind(port.address).await.expect("the port");
            assert!(TcpStream::connect(port.address).await.is_ok());
            drop(listener);
        }
    }
}
