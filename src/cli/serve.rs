//! `sluicegate serve` and the runtime of `sluicegate demo`.

use std::io::IsTerminal as _;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::{error, info, warn};

use super::leash::until_input_ends;
use super::{environment, faulty};
use crate::config::{self, Config, Faults, Loaded};
use crate::demo;
use crate::pipeline::{House, Listeners, Rejected};
use crate::secret::Secret;
use crate::telemetry::{self, Level};

/// Runs the gateway until SIGTERM or SIGINT; a second signal ends it at once. SIGHUP reloads the
/// configuration from where it came. On a leash, the end of standard input ends it at once.
pub(super) fn serve(file: Option<&Path>, leashed: bool) -> anyhow::Result<ExitCode> {
    let memory_limit = config::memory_limit_bytes();
    let load =
        || config::from_environment_within(file.map(Path::to_owned), &environment, memory_limit);
    let loaded = match load() {
        Ok(loaded) => loaded,
        Err(faults) => return Ok(faulty(&faults)),
    };
    let level = telemetry::start_logs(&loaded.config.log, environment("RUST_LOG").as_deref())?;
    for note in &loaded.notes {
        warn!("{note}");
    }
    // From here on standard error holds log lines only, also of what ends the gateway.
    let life = live(loaded.config, &load, &level);
    let outcome = if leashed { in_runtime(until_input_ends(life)) } else { in_runtime(life) };
    Ok(outcome.unwrap_or_else(|error| {
        error!(error = format!("{error:#}"), "cannot serve");
        ExitCode::FAILURE
    }))
}

/// The life of the gateway.
async fn live(
    config: Config,
    load: &dyn Fn() -> Result<Loaded, Faults>,
    level: &Level,
) -> anyhow::Result<ExitCode> {
    let mut signals = Signals::listen()?;
    let mut hangup = listen(SignalKind::hangup())?;
    let listeners = Listeners::bind(&config).await?;
    let house = House::start(config, listeners).await?;
    let reload = async || {
        let loaded = load();
        let log = loaded.as_ref().ok().map(|loaded| loaded.config.log.clone());
        house.reload(loaded).await?;
        if let Some(Err(error)) = log.map(|log| level.follow(&log)) {
            warn!(%error, "the log level stays as it was");
        }
        Ok::<_, Rejected>(())
    };
    let code = loop {
        tokio::select! {
            name = signals.next() => {
                info!(signal = name, "stopping");
                break ExitCode::SUCCESS;
            }
            () = house.broken() => break ExitCode::FAILURE,
            // The outcome is logged where it comes about.
            _ = hangup.recv() => drop(reload().await),
            asked = house.reload_asked() => {
                let _ = asked.send(reload().await.map_err(|rejected| rejected.to_string()));
            }
        }
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
pub(super) fn demo(mut options: demo::Options) -> anyhow::Result<ExitCode> {
    options.access_key = environment("SLUICEGATE_ACCESS_KEY").map(Secret::new);
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

fn listen(kind: SignalKind) -> anyhow::Result<Signal> {
    signal(kind).context("listen for signals")
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn listen() -> anyhow::Result<Self> {
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
