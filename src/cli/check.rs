//! `sluicegate check`: reads the configuration, reports every fault at once, and prints what is in
//! effect with secrets hidden.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use crate::config;

/// Exit status of a configuration with faults: `EX_CONFIG` of `sysexits.h`.
pub const FAULTY: u8 = 78;

/// Checks the configuration that `serve` would read. Writes `error: ...` for each fault and returns
/// status 78, or `# warning: ...` for each note and the effective configuration, and returns 0: its
/// output is YAML then, and can be kept as a file.
///
/// # Errors
/// If `out` cannot be written to.
pub fn check(
    flag: Option<PathBuf>,
    env: &dyn Fn(&str) -> Option<String>,
    out: &mut dyn Write,
) -> io::Result<ExitCode> {
    match config::from_environment(flag, env) {
        Ok((config, origin)) => {
            writeln!(out, "# effective configuration, from {}", origin.name)?;
            for note in &origin.notes {
                writeln!(out, "# warning: {}", note.line(&origin.name))?;
            }
            out.write_all(config.to_yaml().as_bytes())?;
            Ok(ExitCode::SUCCESS)
        }
        Err(faults) => {
            for line in faults.lines() {
                writeln!(out, "error: {line}")?;
            }
            Ok(ExitCode::from(FAULTY))
        }
    }
}
