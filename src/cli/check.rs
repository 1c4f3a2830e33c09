//! `sluicegate check`: reads the configuration, reports every fault at once, and prints what is in
//! effect with secrets hidden.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use super::FAULTY;
use crate::config::{self, Loaded};
use crate::receive::Tls;

/// Checks the configuration that `serve` would read. Writes `error: ...` for each fault and returns
/// status 78, or `# warning: ...` for each note and the effective configuration, and returns 0: its
/// output is YAML then, and can be kept as a file. That a file with a secret cannot be read here is a
/// warning only: it need not be there where the check runs. Only the files of `server.tls_config` have
/// to, since whether they fit one another is what a check is wanted for.
///
/// # Errors
/// If `out` cannot be written to.
pub fn check(
    flag: Option<PathBuf>,
    env: &dyn Fn(&str) -> Option<String>,
    out: &mut dyn Write,
) -> io::Result<ExitCode> {
    match config::from_environment(flag, env) {
        Ok(Loaded { config, origin, notes }) => {
            let tls = config.server.tls_config.as_ref();
            if let Some(fault) = tls.and_then(|tls| Tls::open(tls).err()) {
                writeln!(out, "error: {origin}: server.tls_config: {fault}")?;
                return Ok(ExitCode::from(FAULTY));
            }
            writeln!(out, "# effective configuration, from {origin}")?;
            for note in &notes {
                writeln!(out, "# warning: {note}")?;
            }
            for path in config.files() {
                if let Err(error) = std::fs::File::open(path) {
                    writeln!(out, "# warning: {} cannot be read: {error}", path.display())?;
                }
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
