//! On which machine, and with which programs, a run was made.

use std::path::Path;
use std::process::{Command, Stdio};

use serde::Serialize;

/// A machine, as far as its figures depend on it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Machine {
    /// Processors that this process may use.
    pub cores: usize,
    /// Their model.
    pub model: String,
    /// Memory of the machine in bytes.
    pub memory_bytes: u64,
    /// Kernel and its release.
    pub kernel: String,
    /// The distribution.
    pub system: String,
}

impl Machine {
    /// This one; what cannot be told is empty.
    #[must_use]
    pub fn this() -> Self {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        Self {
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            model: value_of(&read("/proc/cpuinfo"), "model name", ':'),
            memory_bytes: kibibytes(&value_of(&read("/proc/meminfo"), "MemTotal", ':')),
            kernel: format!("Linux {}", read("/proc/sys/kernel/osrelease").trim()),
            system: value_of(&read("/etc/os-release"), "PRETTY_NAME", '=')
                .trim_matches('"')
                .to_owned(),
        }
    }

    /// In one line.
    #[must_use]
    pub fn line(&self) -> String {
        format!(
            "{} cores of {}, {:.0} GiB, {}, {}",
            self.cores,
            if self.model.is_empty() { "unknown model" } else { &self.model },
            self.memory_bytes as f64 / 1_073_741_824.0,
            self.kernel,
            if self.system.is_empty() { "unknown system" } else { &self.system },
        )
    }
}

/// The value behind `name` in lines of `name SEPARATOR value`; empty if there is none.
fn value_of(text: &str, name: &str, separator: char) -> String {
    let mut lines = text.lines().filter_map(|line| line.split_once(separator));
    lines
        .find(|(key, _)| key.trim() == name)
        .map(|(_, value)| value.trim().to_owned())
        .unwrap_or_default()
}

fn kibibytes(text: &str) -> u64 {
    let number = text.strip_suffix("kB").unwrap_or(text).trim();
    number.parse::<u64>().unwrap_or_default().saturating_mul(1024)
}

/// The first line that a program says when it is asked for its version; none if it cannot be asked.
#[must_use]
pub fn version_of(program: &Path, flag: &str) -> Option<String> {
    let said = Command::new(program).arg(flag).stdin(Stdio::null()).output().ok()?;
    let text = if said.stdout.is_empty() { said.stderr } else { said.stdout };
    let text = String::from_utf8_lossy(&text);
    text.lines().map(str::trim).find(|line| !line.is_empty()).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_system_says_is_read() {
        assert_eq!(
            value_of("processor\t: 0\nmodel name\t: AMD EPYC\n", "model name", ':'),
            "AMD EPYC"
        );
        assert_eq!(
            value_of("NAME=\"x\"\nPRETTY_NAME=\"Debian 12\"", "PRETTY_NAME", '='),
            "\"Debian 12\""
        );
        assert_eq!(value_of("", "model name", ':'), "");
        assert_eq!(kibibytes("  2048 kB"), 2_097_152);
        assert_eq!(kibibytes("many"), 0);
    }

    #[test]
    fn this_machine_has_cores_and_memory() {
        let machine = Machine::this();
        assert!(machine.cores > 0 && machine.memory_bytes > 0, "{machine:?}");
        assert!(machine.line().contains("cores"), "{}", machine.line());
    }

    #[test]
    fn a_program_that_is_not_there_has_no_version() {
        assert_eq!(version_of(Path::new("/nowhere/at-all"), "--version"), None);
    }
}
