//! `sluicegate serve` and the runtime of `sluicegate demo`.

use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::{error, info, warn};

use super::{environment, faulty};
use crate::config::{self, Config};
use crate::pipeline::{House, Listeners};
use crate::{demo, telemetry};

/// Runs the gateway until SIGTERM or SIGINT; a second signal ends it at once.
pub(super) fn serve(file: Option<PathBuf>) -> anyhow::Result<ExitCode> {
    let loaded = match config::from_environment(file, &environment) {
        Ok(loaded) => loaded,
        Err(faults) => return Ok(faulty(&faults)),
    };
    telemetry::start_logs(&loaded.config.log, environment("RUST_LOG").as_deref())?;
    for note in &loaded.notes {
        warn!("{note}");
    }
    // From here on standard error holds log lines only, also of what ends the gateway.
    Ok(in_runtime(live(loaded.config)).unwrap_or_else(|error| {
        error!(error = format!("{error:#}"), "cannot serve");
        ExitCode::FAILURE
    }))
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
    let good = in_runtime(async { demo::run(options, &mut std::io::stdout(), terminal).await })?;
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Runs the work on a runtime of its own, and waits for nothing once it is done: a name lookup that
/// hangs in a thread must not keep a process that was told to end.
fn in_runtime<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    // Each thread keeps memory that others have freed: no more of them than can be at work, and two
    // for name lookups.
    let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .max_blocking_threads(processors + 2)
        .enable_all()
        .build();
    let runtime = runtime.context("start the runtime")?;
    let outcome = runtime.block_on(work);
    runtime.shutdown_background();
    outcome
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
