//! Where programs are found that the kit needs and does not bring: by a variable, on the PATH, or in
//! the folder `tools` of cargo's target folder, where the scripts unpack Debian's.

use std::path::{Path, PathBuf};

/// A program that others wrote.
#[derive(Clone, Copy, Debug)]
pub struct Tool {
    /// As it is called on the PATH.
    pub name: &'static str,
    /// The variable that may hold its path.
    pub variable: &'static str,
    /// Where it is in the folder `tools`.
    unpacked: &'static str,
    /// How to get it.
    advice: &'static str,
}

/// The store that the read-back is done with.
pub const PROMETHEUS: Tool = Tool {
    name: "prometheus",
    variable: "PROMETHEUS",
    unpacked: "prometheus/usr/bin/prometheus",
    advice: "Install Prometheus 2.39 or later (Debian: apt-get install prometheus)",
};

/// The load balancer.
pub const HAPROXY: Tool = Tool {
    name: "haproxy",
    variable: "HAPROXY",
    unpacked: "haproxy/run",
    advice: "Install HAProxy 2.4 or later (Debian: apt-get install haproxy)",
};

impl Tool {
    /// The program's path.
    ///
    /// # Errors
    /// If it is nowhere, with how to get it.
    #[expect(clippy::disallowed_methods, reason = "the kit is told of programs by the environment")]
    pub fn find(self) -> anyhow::Result<PathBuf> {
        let told = std::env::var_os(self.variable).filter(|path| !path.is_empty());
        if let Some(path) = told.map(PathBuf::from) {
            let found = is_program(&path).then(|| path.clone()).or_else(|| on_path(&path));
            return found.ok_or_else(|| {
                anyhow::anyhow!("{}: no program at {}", self.variable, path.display())
            });
        }
        on_path(Path::new(self.name)).or_else(|| self.in_tools()).ok_or_else(|| {
            anyhow::anyhow!(
                "no {}. {}, or set {} to its path.",
                self.name,
                self.advice,
                self.variable
            )
        })
    }

    fn in_tools(self) -> Option<PathBuf> {
        let path = target_directory().join("tools").join(self.unpacked);
        is_program(&path).then_some(path)
    }
}

/// Where cargo puts what it builds: this program is in `<it>/<profile>/examples`.
pub fn target_directory() -> PathBuf {
    let program = std::env::current_exe().unwrap_or_default();
    let examples = program.parent().filter(|parent| parent.ends_with("examples"));
    let target = examples.and_then(Path::parent).and_then(Path::parent).map(Path::to_owned);
    target.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("target"))
}

/// The program of this name that a shell would run.
#[expect(clippy::disallowed_methods, reason = "what a shell would do")]
pub fn on_path(name: &Path) -> Option<PathBuf> {
    if name.components().count() != 1 {
        return None;
    }
    let folders = std::env::var_os("PATH")?;
    // Debian has some of these in sbin, which is on root's PATH only.
    std::env::split_paths(&folders)
        .chain(["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from))
        .map(|folder| folder.join(name))
        .find(|path| is_program(path))
}

fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    path.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_nowhere_is_named_with_how_to_get_it() {
        let tool = Tool {
            name: "no-such-program-anywhere",
            variable: "NO_SUCH_PROGRAM_ANYWHERE",
            unpacked: "nowhere",
            advice: "Write one",
        };
        let error = tool.find().unwrap_err().to_string();
        for part in ["no-such-program-anywhere", "Write one", "NO_SUCH_PROGRAM_ANYWHERE"] {
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn what_is_on_the_path_is_found() {
        assert!(on_path(Path::new("sh")).is_some_and(|path| path.is_absolute()));
    }
}
