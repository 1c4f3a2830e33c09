//! `sluicegate check`: reads the configuration, reports every fault at once, and prints what is in
//! effect with secrets hidden.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::config::{self, Config, Loaded};
use crate::deliver::config::{Auth, SecretSource};
use crate::receive::KeySource;

/// Exit status of a configuration with faults: `EX_CONFIG` of `sysexits.h`.
pub const FAULTY: u8 = 78;

/// Checks the configuration that `serve` would read. Writes `error: ...` for each fault and returns
/// status 78, or `# warning: ...` for each note and the effective configuration, and returns 0: its
/// output is YAML then, and can be kept as a file. That a file with a secret cannot be read here is a
/// warning only: it need not be there where the check runs.
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
            writeln!(out, "# effective configuration, from {origin}")?;
            for note in &notes {
                writeln!(out, "# warning: {note}")?;
            }
            for path in files(&config) {
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

/// Every file that a configuration names.
fn files(config: &Config) -> impl Iterator<Item = &Path> {
    let keys = config.server.access_keys.iter().filter_map(|key| match &key.source {
        KeySource::KeyFile(path) => Some(path),
        KeySource::Key(_) => None,
    });
    let of_destinations = config.remote_write.iter().flat_map(|destination| {
        let secret = match &destination.auth {
            Auth::BasicAuth { password: SecretSource::File(path), .. }
            | Auth::Authorization { credentials: SecretSource::File(path), .. } => Some(path),
            Auth::BasicAuth { .. } | Auth::Authorization { .. } => None,
            Auth::None | Auth::Sigv4(_) => None,
        };
        let tls = &destination.tls_config;
        [secret, tls.ca_file.as_ref(), tls.cert_file.as_ref(), tls.key_file.as_ref()]
    });
    keys.chain(of_destinations.flatten()).map(PathBuf::as_path)
}
