//! A process that gets so much of the machine and no more, as a container does: a cgroup with a CPU
//! quota and a memory limit. Version 1 and 2 are known. Where none can be made (not root, or
//! `/sys/fs/cgroup` is read-only), [`Quota::make`] says so, and the figure can only be derived from
//! CPU time per data point.
//!
//! A CPU quota is what Fargate's fractions of a vCPU are: so much time in each 100 ms, and rest for
//! what is left of them.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::Context as _;

/// What CPU time is measured out over.
const PERIOD_US: u64 = 100_000;

/// What a process may use.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// CPUs, e.g. 0.25.
    pub cpus: f64,
    /// Bytes of memory; whoever takes more is killed.
    pub memory_bytes: u64,
}

/// A cgroup with limits; removed on drop, when its processes are gone.
#[derive(Debug)]
pub struct Quota {
    limits: Limits,
    version: u8,
    /// One in version 2; of version 1 one per controller.
    folders: Vec<PathBuf>,
}

/// How often a group had to rest.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize)]
pub struct Throttled {
    /// Periods in which it ran.
    pub periods: u64,
    /// Of these, periods in which its time ran out.
    pub throttled: u64,
    /// For how long it had to rest, in seconds; of several threads at once, each counts.
    pub seconds: f64,
}

impl Quota {
    /// Makes a group.
    ///
    /// # Errors
    /// If this cannot be done here, with why.
    pub fn make(limits: Limits) -> anyhow::Result<Self> {
        let mount = Path::new("/sys/fs/cgroup");
        let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let one = Self::version_1(limits, mount, &own);
        one.or_else(|one| {
            Self::version_2(limits, mount, &own).with_context(|| {
                format!("no cgroup can be made here: version 1: {one:#}; version 2")
            })
        })
    }

    fn version_1(limits: Limits, mount: &Path, own: &str) -> anyhow::Result<Self> {
        let mut quota = Self { limits, version: 1, folders: Vec::new() };
        let cpu = quota.add(&mount.join("cpu"), &own_group(own, "cpu"), "cpu.cfs_quota_us")?;
        write(&cpu, "cpu.cfs_period_us", &PERIOD_US)?;
        write(&cpu, "cpu.cfs_quota_us", &quota.time_us())?;
        let own = own_group(own, "memory");
        let memory = quota.add(&mount.join("memory"), &own, "memory.limit_in_bytes")?;
        write(&memory, "memory.limit_in_bytes", &limits.memory_bytes)?;
        Ok(quota)
    }

    fn version_2(limits: Limits, mount: &Path, own: &str) -> anyhow::Result<Self> {
        let mount = if mount.join("cgroup.controllers").exists() {
            mount.to_owned()
        } else {
            mount.join("unified")
        };
        let mut quota = Self { limits, version: 2, folders: Vec::new() };
        let group = quota.add(&mount, &own_group(own, ""), "cpu.max")?;
        write(&group, "cpu.max", &format!("{} {PERIOD_US}", quota.time_us()))?;
        write(&group, "memory.max", &limits.memory_bytes)?;
        Ok(quota)
    }

    /// Makes a group with that file within our own one, or the nearest one above where it can be.
    fn add(&mut self, mount: &Path, own: &str, file: &str) -> anyhow::Result<PathBuf> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("sluicegate-load-{}-{number}", std::process::id());
        let nearest = mount.join(own.trim_start_matches('/'));
        let mut fault = anyhow::anyhow!("{} is not there", mount.display());
        for parent in nearest.ancestors().take_while(|parent| parent.starts_with(mount)) {
            if !parent.is_dir() {
                continue;
            }
            // Version 2 has to be told what its children may limit; elsewhere there is no such file.
            let subtree = parent.join("cgroup.subtree_control");
            if subtree.exists() {
                let _ = fs::write(&subtree, "+cpu +memory");
            }
            let folder = parent.join(&name);
            match fs::create_dir(&folder) {
                Ok(()) if folder.join(file).exists() => {
                    self.folders.push(folder.clone());
                    return Ok(folder);
                }
                Ok(()) => {
                    let _ = fs::remove_dir(&folder);
                    fault = anyhow::anyhow!("no {file} in a child of {}", parent.display());
                }
                Err(error) => fault = anyhow::anyhow!("{}: {error}", folder.display()),
            }
        }
        Err(fault)
    }

    fn time_us(&self) -> u64 {
        (self.limits.cpus * PERIOD_US as f64) as u64
    }

    /// What it is, for reports.
    #[must_use]
    pub fn describe(&self) -> String {
        let mib = self.limits.memory_bytes >> 20;
        format!("cgroup version {}: {} CPU, {mib} MiB", self.version, self.limits.cpus)
    }

    /// A command that runs a program within it, under the same process id from its start on.
    #[must_use]
    pub fn command(&self, program: &Path) -> std::process::Command {
        // The shell joins and becomes the program: no moment of it is outside.
        const JOIN: &str =
            r#"while [ "$1" != -- ]; do echo $$ >"$1" || exit 126; shift; done; shift; exec "$@""#;
        let mut command = std::process::Command::new("sh");
        command.args(["-c", JOIN, "join"]);
        command.args(self.folders.iter().map(|folder| folder.join("cgroup.procs")));
        command.arg("--").arg(program);
        command
    }

    /// How often the processes had to rest.
    ///
    /// # Errors
    /// If the system does not tell.
    pub fn throttled(&self) -> anyhow::Result<Throttled> {
        let folder = self.folders.first().context("no group")?;
        let stat = fs::read_to_string(folder.join("cpu.stat"))?;
        let value = |name: &str| {
            let line = stat.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
            line.and_then(|value| value.trim().parse::<u64>().ok())
        };
        let micros = value("throttled_usec").map(|us| us as f64 / 1e6);
        let nanos = value("throttled_time").map(|ns| ns as f64 / 1e9);
        Ok(Throttled {
            periods: value("nr_periods").context("no nr_periods")?,
            throttled: value("nr_throttled").context("no nr_throttled")?,
            seconds: micros.or(nanos).context("no throttled time")?,
        })
    }

    /// The most memory that its processes had, caches of files included.
    ///
    /// # Errors
    /// If the system does not tell.
    pub fn peak_bytes(&self) -> anyhow::Result<u64> {
        let folder = self.folders.last().context("no group")?;
        let file = if self.version == 1 { "memory.max_usage_in_bytes" } else { "memory.peak" };
        Ok(fs::read_to_string(folder.join(file))?.trim().parse()?)
    }
}

impl Drop for Quota {
    fn drop(&mut self) {
        // Processes that are being killed are still in it for a moment.
        for folder in &self.folders {
            for _ in 0..100 {
                match fs::remove_dir(folder) {
                    Err(error) if error.kind() == std::io::ErrorKind::ResourceBusy => {
                        std::thread::yield_now();
                        #[expect(
                            clippy::disallowed_methods,
                            reason = "nothing can be awaited here"
                        )]
                        std::thread::sleep(std::time::Duration::from_millis(10));
                    }
                    _ => break,
                }
            }
        }
    }
}

/// The group of this process, of a controller, from `/proc/self/cgroup`; `""` is version 2's.
fn own_group(own: &str, controller: &str) -> String {
    let group = own.lines().find_map(|line| {
        let mut parts = line.splitn(3, ':').skip(1);
        let controllers = parts.next()?;
        let path = parts.next()?;
        controllers.split(',').any(|one| one == controller).then_some(path)
    });
    group.unwrap_or("/").to_owned()
}

fn write(folder: &Path, file: &str, value: &dyn std::fmt::Display) -> anyhow::Result<()> {
    let path = folder.join(file);
    fs::write(&path, value.to_string()).with_context(|| path.display().to_string())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::child::Child;
    use crate::gateway::Usage;

    #[test]
    fn the_own_group_is_found_in_both_versions() {
        let text = "5:memory:/a/b\n3:cpu,cpuacct:/c\n1:name=systemd:/\n0::/d\n";
        for (controller, group) in
            [("memory", "/a/b"), ("cpu", "/c"), ("cpuacct", "/c"), ("", "/d"), ("pids", "/")]
        {
            assert_eq!(own_group(text, controller), group);
        }
    }

    #[test]
    fn where_there_are_no_groups_this_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let limits = Limits { cpus: 0.25, memory_bytes: 512 << 20 };
        assert!(Quota::version_1(limits, folder.path(), "").is_err());
        assert!(Quota::version_2(limits, folder.path(), "0::/\n").is_err());
    }

    /// Where groups can be made, they hold; where not, this has nothing to prove.
    #[tokio::test]
    async fn a_process_gets_what_it_may_use_and_no_more() {
        let limits = Limits { cpus: 0.1, memory_bytes: 64 << 20 };
        let quota = match Quota::make(limits) {
            Ok(quota) => quota,
            Err(error) => return eprintln!("NOT CHECKED: {error:#}"),
        };
        let folder = tempfile::tempdir().unwrap();
        let mut command = quota.command(Path::new("sh"));
        command.args(["-c", "while :; do :; done"]);
        let child = Child::start("busy", command, &folder.path().join("log")).await.unwrap();
        // However long it takes: it has rested in most periods by then.
        while quota.throttled().unwrap().throttled < 10 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        // Asked for first: what it uses from here on only widens what it may.
        let used = Usage::of(child.pid()).unwrap().cpu_seconds;
        let throttled = quota.throttled().unwrap();
        assert!(
            throttled.periods >= throttled.throttled && throttled.seconds > 0.1,
            "{throttled:?}"
        );
        // A period may be begun, and charged late, by a slice of 5 ms on each CPU.
        let may = (throttled.periods + 2) as f64 * 0.02 + 0.1;
        assert!(used <= may, "{used} s of {may} s");
        child.kill().await.unwrap();
        assert!(quota.peak_bytes().unwrap() <= 64 << 20);
        let folders = quota.folders.clone();
        drop(quota);
        assert!(folders.iter().all(|folder| !folder.exists()), "{folders:?}");
    }
}
