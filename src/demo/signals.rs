//! The signals by which a demo is told to end.

use std::future::poll_fn;
use std::task::Poll;

use anyhow::Context as _;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Those signals, listened for from here on: each of them would otherwise end the process at once,
/// without books.
#[derive(Debug)]
pub struct Signals([(&'static str, Signal); 4]);

impl Signals {
    /// Listens for SIGHUP (the terminal is closed), SIGINT, SIGQUIT and SIGTERM.
    ///
    /// # Errors
    /// If the system does not allow it.
    pub fn listen() -> anyhow::Result<Self> {
        let listen = |kind| signal(kind).context("listen for signals");
        Ok(Self([
            ("SIGHUP", listen(SignalKind::hangup())?),
            ("SIGINT", listen(SignalKind::interrupt())?),
            ("SIGQUIT", listen(SignalKind::quit())?),
            ("SIGTERM", listen(SignalKind::terminate())?),
        ]))
    }

    /// Waits for the next one: its name. Cancel safe.
    pub async fn next(&mut self) -> &'static str {
        poll_fn(|context| {
            let came = self
                .0
                .iter_mut()
                .find_map(|(name, signal)| signal.poll_recv(context).is_ready().then_some(*name));
            came.map_or(Poll::Pending, Poll::Ready)
        })
        .await
    }
}
