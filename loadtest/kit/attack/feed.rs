//! Targets on their way to the vegetas: made ahead by one thread, and written by one per vegeta.

use std::io::Write;
use std::ops::Range;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use anyhow::Context as _;

use crate::load::{Bodies, Body};
use crate::targets::Targets;

/// Targets made ahead at most.
const AHEAD_MAX: usize = 64;

/// What they may take together, bytes; one more may be in work.
const AHEAD_BYTES: usize = 32 << 20;

/// Targets, made ahead. They are made as long as anybody has this or feeds.
#[derive(Clone)]
pub(super) struct Feed {
    lines: Arc<Mutex<Receiver<Vec<u8>>>>,
    made: Arc<Mutex<Vec<Range<u64>>>>,
}

impl Feed {
    /// Begins to make targets; `ahead` of them wait for vegeta at most. The older they are when they
    /// are sent, the older are their data points.
    ///
    /// # Errors
    /// If there is no body, or no thread.
    pub(super) fn start(
        mut bodies: Bodies,
        targets: Targets,
        ahead: usize,
    ) -> anyhow::Result<Self> {
        let made = Arc::new(Mutex::new(Vec::new()));
        let body = bodies.next().context("there is no body")?;
        let first = line(&targets, body, &made);
        let ahead = ahead.clamp(1, (AHEAD_BYTES / first.len().max(1)).clamp(1, AHEAD_MAX));
        let (sender, lines) = sync_channel(ahead);
        let feed = Self { lines: Arc::new(Mutex::new(lines)), made: made.clone() };
        thread::Builder::new().name("maker".to_owned()).spawn(move || {
            make(first, bodies, &targets, &made, &sender);
        })?;
        Ok(feed)
    }

    /// Writes targets until nobody reads them any more.
    ///
    /// # Errors
    /// If there is no thread.
    pub(super) fn pour(&self, mut into: impl Write + Send + 'static) -> anyhow::Result<()> {
        let lines = self.lines.clone();
        thread::Builder::new().name("feeder".to_owned()).spawn(move || {
            loop {
                let line = lines.lock().unwrap_or_else(PoisonError::into_inner).recv();
                // A vegeta that ends closes its end; what was not sent by then is lost, and is in no
                // result.
                if line.map_or(true, |line| into.write_all(&line).is_err()) {
                    return;
                }
            }
        })?;
        Ok(())
    }

    /// Data points of all that was made so far, by request.
    pub(super) fn made(&self) -> Vec<Range<u64>> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn make(
    first: Vec<u8>,
    bodies: Bodies,
    targets: &Targets,
    made: &Mutex<Vec<Range<u64>>>,
    sender: &SyncSender<Vec<u8>>,
) {
    if sender.send(first).is_err() {
        return;
    }
    for body in bodies {
        if sender.send(line(targets, body, made)).is_err() {
            return;
        }
    }
}

fn line(targets: &Targets, body: Body, made: &Mutex<Vec<Range<u64>>>) -> Vec<u8> {
    let mut line = Vec::with_capacity(body.bytes.len() / 3 * 4 + 1024);
    targets.write(&body, &mut line);
    made.lock().unwrap_or_else(PoisonError::into_inner).push(body.points);
    line
}
