//! `sluicegate serve` and the runtime of `sluicegate demo`.

use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::{info, warn};

use super::check::FAULTY;
use super::environment;
use crate::config::{self, Config};
use crate::pipeline::{House, Listeners};
use crate::{demo, telemetry};

/// Runs the gateway until SIGTERM or SIGINT; a second signal ends it at once.
pub(super) fn serve(file: Option<PathBuf>) -> anyhow::Result<ExitCode> {
    let loaded = match config::from_environment(file, &environment) {
        Ok(loaded) => loaded,
        Err(faults) => {
            use std::io::Write as _;
            write!(std::io::stderr().lock(), "{faults}")?;
            return Ok(ExitCode::from(FAULTY));
        }
    };
    telemetry::start_logs(&loaded.config.log, environment("RUST_LOG").as_deref())?;
    for note in &loaded.notes {
        warn!("{note}");
    }
    let runtime = runtime()?;
    let outcome = runtime.block_on(live(loaded.config));
    // What still runs is cut off: the process ends now, whatever a blocked thread waits for.
    runtime.shutdown_background();
    outcome
}

/// The life of the gateway.
async fn live(config: Config) -> anyhow::Result<ExitCode> {
    let mut signals = Signals::listen()?;
    let listeners = Listeners::bind(&config).await?;
    let house = House::start(config, listeners).await?;
    let code = tokio::select! {
        name = signals.next() => {
            info!(signal = name, "stopping");
            ExitCode::SUCCESS
        }
        () = house.broken() => ExitCode::FAILURE,
    };
    tokio::select! {
        () = house.stop() => Ok(code),
        name = signals.next() => {
            warn!(signal = name, "stopping at once");
            Ok(ExitCode::FAILURE)
        }
    }
}

/// Runs the demo.
pub(super) fn demo(options: demo::Options) -> anyhow::Result<ExitCode> {
    let terminal = std::io::stdout().is_terminal();
    let good = runtime()?
        .block_on(async { demo::run(options, &mut std::io::stdout(), terminal).await })?;
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().context("start the runtime")
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn listen() -> anyhow::Result<Self> {
        let listen = |kind| signal(kind).context("listen for signals");
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}
