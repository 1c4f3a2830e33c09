//! Log lines, on standard error.

use tracing_subscriber::EnvFilter;

use crate::config::{Log, LogFormat};

/// Starts logging for the whole process. `filter` (from `RUST_LOG`) wins over the configured level.
///
/// # Errors
/// If the filter cannot be read, or logging has been started before.
pub fn start(log: &Log, filter: Option<&str>) -> anyhow::Result<()> {
    let directives = filter.filter(|text| !text.is_empty()).unwrap_or(&log.level);
    let filter = EnvFilter::try_new(directives)
        .map_err(|error| anyhow::anyhow!("read the log filter {directives:?}: {error}"))?;
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let started = match log.format {
        LogFormat::Json => lines.json().flatten_event(true).with_current_span(false).try_init(),
        LogFormat::Text => lines.with_target(false).try_init(),
    };
    started.map_err(|error| anyhow::anyhow!("start logging: {error}"))
}
