//! Where vegeta is: named, on the path, or built from the pinned sources.

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use tokio::process::Command;

use crate::found::{on_path, target_directory};

/// The version that the kit is made for.
pub const VERSION: &str = "v12.12.0";

/// What go calls it.
const PACKAGE: &str = "github.com/tsenart/vegeta/v12";

/// Its major version: the options and formats that the kit uses are those of 12.
const MAJOR: &str = "12.";

/// The variable that names a vegeta.
const VARIABLE: &str = "VEGETA";

/// How long a build may take, downloads included.
const BUILD_TIMEOUT: Duration = Duration::from_secs(600);

/// How long it may take to say its version.
const VERSION_TIMEOUT: Duration = Duration::from_secs(20);

/// A vegeta that can be run.
#[derive(Clone, Debug)]
pub struct Vegeta {
    /// Its binary.
    pub program: PathBuf,
    /// Its version.
    pub version: String,
}

impl Vegeta {
    /// Finds vegeta by `VEGETA` or on the path, or builds it.
    ///
    /// # Errors
    /// If there is neither vegeta nor a way to build it; says what is missing.
    #[expect(clippy::disallowed_methods, reason = "which vegeta it is, is said where it is run")]
    pub async fn find() -> anyhow::Result<Self> {
        if let Some(program) = std::env::var_os(VARIABLE).filter(|named| !named.is_empty()) {
            return Self::at(program.into()).await.with_context(|| format!("named by {VARIABLE}"));
        }
        if let Some(program) = on_path(Path::new("vegeta")) {
            return Self::at(program).await.context("found on PATH");
        }
        let built = target_directory().join("vegeta").join(format!("vegeta-{VERSION}"));
        if !built.is_file() {
            build(&sources()?, &built).await?;
        }
        Self::at(built).await
    }

    /// A binary, after it has said that it is vegeta 12.
    async fn at(program: PathBuf) -> anyhow::Result<Self> {
        let mut command = Command::new(&program);
        command.arg("-version");
        let output = output(&mut command, VERSION_TIMEOUT).await;
        let output = output.with_context(|| format!("cannot run {}", program.display()))?;
        let text = String::from_utf8_lossy(&output.stdout);
        let version = text.lines().find_map(|line| line.strip_prefix("Version:"));
        let Some(version) = version.filter(|_| output.status.success()) else {
            bail!("{} does not say a version as vegeta does", program.display());
        };
        // A build without a version stamp says none.
        let version = version.trim().trim_start_matches('v');
        ensure!(
            version.is_empty() || version.starts_with(MAJOR),
            "{} is vegeta {version}, and the load tests need 12 ({VERSION})",
            program.display()
        );
        let version = if version.is_empty() { "unknown".to_owned() } else { format!("v{version}") };
        Ok(Self { program, version })
    }

    /// A command of it, which ends when nobody waits for it any more.
    #[must_use]
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.stdin(Stdio::null()).kill_on_drop(true);
        command
    }
}

/// Runs a command to its end, without input.
///
/// # Errors
/// If it cannot be run or does not end in time.
pub async fn output(command: &mut Command, timeout: Duration) -> anyhow::Result<Output> {
    let running = command.stdin(Stdio::null()).kill_on_drop(true).output();
    let output = tokio::time::timeout(timeout, running).await;
    Ok(output.with_context(|| format!("still running after {timeout:?}"))??)
}

/// The directory with the module that pins vegeta.
fn sources() -> anyhow::Result<PathBuf> {
    let candidates = [Path::new(env!("CARGO_MANIFEST_DIR")).join("loadtest"), "loadtest".into()];
    let found = candidates.into_iter().find(|directory| directory.join("go.mod").is_file());
    found.with_context(|| {
        format!(
            "there is no vegeta: neither in {VARIABLE} nor on PATH, and no loadtest/go.mod to build \
             it from. Get {PACKAGE} {VERSION}, or run from the repository"
        )
    })
}

#[expect(clippy::disallowed_methods, reason = "nothing panics in there, and nothing outlives it")]
async fn build(sources: &Path, built: &Path) -> anyhow::Result<()> {
    let directory = built.parent().context("no directory")?;
    std::fs::create_dir_all(directory)?;
    // One builds, the others wait for it.
    let lock = std::fs::File::create(directory.join("lock"))?;
    let lock = tokio::task::spawn_blocking(move || lock.lock().map(|()| lock)).await??;
    if built.is_file() {
        return Ok(());
    }
    eprintln!("building vegeta {VERSION} into {} ...", built.display());
    // Moved into place when it is whole.
    let unfinished = directory.join("unfinished");
    let mut command = Command::new("go");
    command.arg("build").arg("-C").arg(sources).arg("-trimpath");
    command.arg("-ldflags").arg(format!("-s -w -X main.Version={VERSION}"));
    command.arg("-o").arg(&unfinished).arg(PACKAGE);
    let output = output(&mut command, BUILD_TIMEOUT).await.with_context(|| {
        format!(
            "there is no vegeta: neither in {VARIABLE} nor on PATH, and it cannot be built with go. \
             Install go 1.24 or newer, or get {PACKAGE} {VERSION}"
        )
    })?;
    ensure!(
        output.status.success(),
        "vegeta {VERSION} cannot be built (go build -C {} {PACKAGE}); set {VARIABLE} to one, or put \
         it on PATH. go says:\n{}",
        sources.display(),
        String::from_utf8_lossy(&output.stderr).trim()
    );
    std::fs::rename(&unfinished, built)?;
    drop(lock);
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[tokio::test]
    async fn only_vegeta_12_is_taken() {
        let directory = tempfile::tempdir().unwrap();
        for (script, told) in [
            ("echo 'Version: 12.8.4'; echo 'Commit: x'", Ok("v12.8.4")),
            ("echo 'Version: v12.12.0'", Ok("v12.12.0")),
            ("echo 'Version: '", Ok("unknown")),
            ("echo 'Version: 11.0.0'", Err("is vegeta 11.0.0")),
            ("echo hello", Err("does not say a version")),
            ("echo 'Version: 12.1'; exit 1", Err("does not say a version")),
        ] {
            let program = directory.path().join("vegeta");
            // A fresh file each time: a running program cannot be written to.
            let fresh = directory.path().join("fresh");
            std::fs::write(&fresh, format!("#!/bin/sh\n{script}\n")).unwrap();
            std::fs::set_permissions(&fresh, std::fs::Permissions::from_mode(0o755)).unwrap();
            std::fs::rename(&fresh, &program).unwrap();
            let found = Vegeta::at(program).await.map(|vegeta| vegeta.version);
            match told {
                Ok(version) => assert_eq!(found.unwrap(), version, "{script}"),
                Err(what) => assert!(found.unwrap_err().to_string().contains(what), "{script}"),
            }
        }
        let error = Vegeta::at(directory.path().join("none")).await.unwrap_err();
        assert!(error.to_string().contains("cannot run"), "{error}");
    }
}
