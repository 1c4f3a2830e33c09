//! The command line: one file per command.

pub mod check;
mod explain;
mod healthcheck;
mod leash;
mod serve;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::config::Faults;
use crate::demo;

/// Exit status of a configuration with faults: `EX_CONFIG` of `sysexits.h`.
pub const FAULTY: u8 = 78;

/// A gateway from CloudWatch Metric Streams (Amazon Data Firehose) to Prometheus remote write.
#[derive(Debug, Parser)]
#[command(version, about, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the gateway.
    Serve {
        #[command(flatten)]
        config: ConfigFile,
        /// End at once when standard input, a pipe, ends; the demo starts its gateway so.
        #[arg(long, hide = true)]
        until_input_ends: bool,
    },
    /// Read the configuration, report every fault, print what is in effect (secrets hidden).
    Check(ConfigFile),
    /// Print the series that a captured Firehose body or raw record would become.
    Explain {
        #[command(flatten)]
        config: ConfigFile,
        /// File with the body or record, plain or gzip; `-` for standard input.
        body: PathBuf,
    },
    /// Ask a running gateway whether it lives; for a container's health check.
    Healthcheck {
        #[command(flatten)]
        config: ConfigFile,
        /// Ask whether it accepts requests instead (503 while draining).
        #[arg(long)]
        ready: bool,
    },
    /// Show the gateway at work, with a built-in sender and receiver on loopback.
    Demo(demo::Options),
}

/// Where the configuration is.
#[derive(Debug, clap::Args)]
struct ConfigFile {
    /// Configuration file (YAML); otherwise `SLUICEGATE_CONFIG` (a path),
    /// `SLUICEGATE_CONFIG_CONTENT` (the text itself), or `SLUICEGATE_REMOTE_WRITE_URL` with
    /// `SLUICEGATE_ACCESS_KEY`.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// Runs the command that the process was started with.
///
/// # Errors
/// What ended the command, for the last line on standard error.
pub fn run() -> anyhow::Result<ExitCode> {
    match Arguments::parse().command {
        Command::Serve { config, until_input_ends } => {
            serve::serve(config.config.as_deref(), until_input_ends)
        }
        Command::Check(file) => {
            Ok(check::check(file.config, &environment, &mut std::io::stdout().lock())?)
        }
        Command::Explain { config, body } => {
            explain::explain(config.config, &body, &mut std::io::stdout().lock())
        }
        Command::Healthcheck { config, ready } => healthcheck::healthcheck(config.config, ready),
        Command::Demo(options) => serve::demo(options),
    }
}

/// The process's environment, which only the command line and the configuration read.
#[allow(clippy::disallowed_methods)]
fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Tells every fault of the configuration on standard error, and gives the exit status for it.
fn faulty(faults: &Faults) -> ExitCode {
    use std::io::Write as _;
    let mut out = std::io::stderr().lock();
    for line in faults.lines() {
        let _ = writeln!(out, "error: {line}");
    }
    ExitCode::from(FAULTY)
}
