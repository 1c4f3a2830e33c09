//! Log lines, on standard error.

use std::panic::PanicHookInfo;

use tracing_subscriber::EnvFilter;

use crate::config::{Log, LogFormat};

/// Whatever the filter says: at its most talkative the signer writes down whole requests, with what
/// stands in the query of their URL.
const UNTOLD: [&str; 1] = ["aws_sigv4::http_request::sign=warn"];

/// Starts logging for the whole process. `filter` (from `RUST_LOG`) wins over the configured level.
///
/// # Errors
/// If the filter cannot be read, or logging has been started before.
pub fn start(log: &Log, filter: Option<&str>) -> anyhow::Result<()> {
    let directives = filter.filter(|text| !text.is_empty()).unwrap_or(&log.level);
    let mut filter = EnvFilter::try_new(directives)
        .map_err(|error| anyhow::anyhow!("read the log filter {directives:?}: {error}"))?;
    for directive in UNTOLD {
        filter = filter.add_directive(directive.parse()?);
    }
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let started = match log.format {
        LogFormat::Json => lines.json().flatten_event(true).with_current_span(false).try_init(),
        LogFormat::Text => lines.with_target(false).try_init(),
    };
    started.map_err(|error| anyhow::anyhow!("start logging: {error}"))?;
    std::panic::set_hook(Box::new(panicked));
    Ok(())
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
