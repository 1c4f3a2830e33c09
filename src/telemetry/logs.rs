//! Log lines, on standard error.

use std::panic::PanicHookInfo;

use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::reload::{self, Handle};
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Registry};

use crate::config::{Log, LogFormat};

/// Whatever the filter says: at its most talkative the signer writes down whole requests, with what
/// stands in the query of their URL.
const UNTOLD: [&str; 1] = ["aws_sigv4::http_request::sign=warn"];

/// What decides which lines are written; can be changed while running.
#[derive(Clone, Debug)]
pub struct Level {
    filter: Handle<EnvFilter, Registry>,
    /// Of `RUST_LOG`.
    fixed: Option<String>,
}

impl Level {
    /// Takes up the configured level, unless `RUST_LOG` has the say.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn follow(&self, log: &Log) -> anyhow::Result<()> {
        self.filter.reload(filter(self.fixed.as_deref().unwrap_or(&log.level))?)?;
        Ok(())
    }
}

/// Starts logging for the whole process. `from_environment` (`RUST_LOG`) wins over the configured
/// level.
///
/// # Errors
/// If the filter cannot be read, or logging has been started before.
pub fn start(log: &Log, from_environment: Option<&str>) -> anyhow::Result<Level> {
    let fixed = from_environment.filter(|text| !text.is_empty()).map(str::to_owned);
    let (layer, handle) = reload::Layer::new(filter(fixed.as_deref().unwrap_or(&log.level))?);
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let registry = tracing_subscriber::registry().with(layer);
    let started = match log.format {
        LogFormat::Json => {
            registry.with(lines.json().flatten_event(true).with_current_span(false)).try_init()
        }
        LogFormat::Text => registry.with(lines.with_target(false)).try_init(),
    };
    started.map_err(|error| anyhow::anyhow!("start logging: {error}"))?;
    std::panic::set_hook(Box::new(panicked));
    Ok(Level { filter: handle, fixed })
}

fn filter(directives: &str) -> anyhow::Result<EnvFilter> {
    let mut filter = EnvFilter::try_new(directives)
        .map_err(|error| anyhow::anyhow!("read the log filter {directives:?}: {error}"))?;
    for directive in UNTOLD {
        filter = filter.add_directive(directive.parse()?);
    }
    Ok(filter)
}

/// A panic as a log line like any other; the standard library's own lines would stand between JSON.
fn panicked(panic: &PanicHookInfo<'_>) {
    let message = panic.payload_as_str().unwrap_or_default();
    let location = panic.location().map(ToString::to_string).unwrap_or_default();
    let thread = std::thread::current();
    tracing::error!(
        panic = message,
        location,
        thread = thread.name(),
        "panic: a fault of the gateway"
    );
}
