//! A process of the kit: it dies with the kit, however that ends. Its standard output and error go
//! to a file.
//!
//! Dropping it kills it. Where the kit is killed itself and drops nothing, a guard does: a shell
//! that reads from a pipe which only the kit holds, and which ends with it.

use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::Context as _;
use tokio::io::AsyncWriteExt as _;
use tokio::process::{Child as Process, Command};
use tokio::time::timeout;

/// Waits for a line; if there is none, the process that it guards is killed.
const GUARD: &str = r#"read -r done || kill -KILL "$1" 2>/dev/null"#;

/// A running process; killed when this is dropped.
#[derive(Debug)]
pub struct Child {
    name: String,
    process: Process,
    pid: u32,
    guard: Process,
    log: PathBuf,
}

impl Child {
    /// Starts `command` with its output appended to `log`.
    ///
    /// # Errors
    /// If it cannot be started.
    pub async fn start(
        name: &str,
        command: std::process::Command,
        log: &Path,
    ) -> anyhow::Result<Self> {
        let mut command = Command::from(command);
        let file = std::fs::OpenOptions::new().create(true).append(true).open(log);
        let file = file.with_context(|| format!("log file {}", log.display()))?;
        command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
        // What the terminal tells the kit (Ctrl-C) is not for the process: the kit ends it.
        command.process_group(0).kill_on_drop(true);
        let process = command.spawn().with_context(|| format!("{name} cannot be started"))?;
        let pid = process.id().with_context(|| format!("{name} ended at once"))?;
        let mut guard = Command::new("sh");
        guard.args(["-c", GUARD, "guard", &pid.to_string()]);
        guard.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let guard = guard.process_group(0).spawn().context("no shell to guard it")?;
        Ok(Self { name: name.to_owned(), process, pid, guard, log: log.to_owned() })
    }

    /// Its process id.
    #[must_use]
    pub const fn pid(&self) -> u32 {
        self.pid
    }

    /// Fails if it has ended, with the end of its log.
    ///
    /// # Errors
    /// If it has ended.
    pub fn lives(&mut self) -> anyhow::Result<()> {
        match self.process.try_wait()? {
            None => Ok(()),
            Some(status) => {
                anyhow::bail!("{} ended by itself ({status}):\n{}", self.name, self.log_end())
            }
        }
    }

    /// Sends a signal, such as `TERM`, `STOP` or `CONT`.
    ///
    /// # Errors
    /// If it cannot be sent.
    pub async fn signal(&self, name: &str) -> anyhow::Result<()> {
        let pid = self.pid.to_string();
        let sent = Command::new("kill").args(["-s", name, &pid]).status().await;
        let sent = sent.context("no program `kill`")?;
        anyhow::ensure!(sent.success(), "{} cannot be sent SIG{name}", self.name);
        Ok(())
    }

    /// Sends SIGTERM and waits so long for the end; then it is killed, and that is an error.
    ///
    /// # Errors
    /// If it does not end in time.
    pub async fn terminate(mut self, patience: Duration) -> anyhow::Result<ExitStatus> {
        // It may have ended by itself, which its status tells.
        let _ = self.signal("TERM").await;
        let ended = timeout(patience, self.process.wait()).await;
        let Ok(status) = ended else {
            let (name, end) = (self.name.clone(), self.log_end());
            self.kill().await?;
            anyhow::bail!("{name} did not end {patience:?} after SIGTERM:\n{end}");
        };
        self.release().await;
        Ok(status?)
    }

    /// Kills it (SIGKILL) and waits until it is gone.
    ///
    /// # Errors
    /// If the system does not do so.
    pub async fn kill(mut self) -> anyhow::Result<()> {
        self.process.kill().await.with_context(|| format!("{} cannot be killed", self.name))?;
        self.release().await;
        Ok(())
    }

    /// The last lines of its log.
    #[must_use]
    pub fn log_end(&self) -> String {
        const LINES: usize = 20;
        let text = std::fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<_> = text.lines().collect();
        lines[lines.len().saturating_sub(LINES)..].join("\n")
    }

    /// Nothing is left to be guarded.
    async fn release(&mut self) {
        if let Some(mut line) = self.guard.stdin.take() {
            let _ = line.write_all(b"\n").await;
        }
        let _ = self.guard.wait().await;
    }
}

/// A loopback port that stays the same over several lives of its server.
#[derive(Debug)]
pub struct Port {
    /// The address.
    pub address: std::net::SocketAddr,
    _hold: tokio::net::TcpSocket,
}

impl Port {
    /// Takes a free port.
    ///
    /// # Errors
    /// If there is none.
    pub fn take() -> std::io::Result<Self> {
        let socket = tokio::net::TcpSocket::new_v4()?;
        socket.set_reuseaddr(true)?;
        socket.bind((std::net::Ipv4Addr::LOCALHOST, 0).into())?;
        // Linux lets a server listen on a port that others have bound without listening, and gives
        // a bound port to nobody who asks for any.
        Ok(Self { address: socket.local_addr()?, _hold: socket })
    }
}

#[cfg(test)]
#[allow(missing_docs)]
pub mod tests {
    use super::*;

    /// Waits until no such process is left; a zombie is none.
    pub async fn gone(pid: u32) -> bool {
        for _ in 0..500 {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            if stat.is_empty() || stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('Z'))
            {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        false
    }

    fn sleeper() -> std::process::Command {
        let mut command = std::process::Command::new("sleep");
        command.arg("1000");
        command
    }

    #[tokio::test]
    async fn it_ends_when_it_is_told_dropped_or_left_behind() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        let child = Child::start("sleep", sleeper(), &log).await.unwrap();
        let pid = child.pid();
        let status = child.terminate(Duration::from_secs(30)).await.unwrap();
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(15));
        assert!(gone(pid).await);

        let child = Child::start("sleep", sleeper(), &log).await.unwrap();
        let pid = child.pid();
        drop(child);
        assert!(gone(pid).await, "dropped");

        // As if this process were killed: nothing is dropped, but the pipe ends.
        let mut child = Child::start("sleep", sleeper(), &log).await.unwrap();
        child.lives().unwrap();
        drop(child.guard.stdin.take());
        assert!(gone(child.pid()).await, "left behind");
    }

    #[tokio::test]
    async fn a_panic_leaves_no_process_behind() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        let (tell, told) = tokio::sync::oneshot::channel();
        let task = sluicegate::tasks::Tasks::new().spawn(async move {
            let child = Child::start("sleep", sleeper(), &log).await.unwrap();
            tell.send(child.pid()).unwrap();
            panic!("as meant");
        });
        let pid = told.await.unwrap();
        assert!(task.await.is_err());
        assert!(gone(pid).await);
    }

    #[tokio::test]
    async fn who_ends_early_is_told_of_with_the_end_of_the_log() {
        let folder = tempfile::tempdir().unwrap();
        let mut command = std::process::Command::new("sh");
        command.args(["-c", "echo no such luck; exit 3"]);
        let mut child = Child::start("sh", command, &folder.path().join("log")).await.unwrap();
        child.process.wait().await.unwrap();
        let error = child.lives().unwrap_err().to_string();
        assert!(error.contains("no such luck") && error.contains('3'), "{error}");
    }

    #[tokio::test]
    async fn a_port_that_was_taken_can_be_listened_on_again_and_again() {
        let port = Port::take().unwrap();
        for _ in 0..3 {
            drop(tokio::net::TcpListener::bind(port.address).await.unwrap());
        }
    }
}
