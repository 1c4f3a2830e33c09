//! What becomes of a body that nobody wants. A connection that is closed while its client still
//! sends is reset, and the reset eats the answer of a client that reads only after it has written. So
//! the rest of what a known sender may send is read and thrown away while the answer goes out, at
//! a pace that all connections share: whatever is sent, reading it costs no more than that. What
//! a stranger sends is read if it is short. If it is long it is left where it is until the
//! answer has had time to arrive.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::{Body, HttpBody as _};
use http_body_util::BodyExt as _;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::tasks::Tasks;

/// 64 MiB of records (delivery specification 1.0), a third more in base64, and what is around them.
const FIREHOSE_BODY_BYTES_MAX: u64 = 96 << 20;
/// How long a body is left unread: enough for an answer to arrive, and far less than anyone may hold
/// a connection with headers that do not end.
const LINGER: Duration = Duration::from_secs(1);
/// Between two looks whether the pace allows to read on.
const PACE: Duration = Duration::from_millis(10);
/// Bytes per second. A second of the former takes about 70 ms of a processor.
const KNOWN_PACE: u64 = 512 << 20;
const STRANGERS_PACE: u64 = 32 << 20;

/// How much of an unwanted body is read, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bounds {
    bytes_max: u64,
    time_max: Duration,
    is_stranger: bool,
}

impl Bounds {
    /// For those who showed no key.
    pub(super) const STRANGER: Self =
        Self { bytes_max: 1 << 20, time_max: Duration::from_secs(2), is_stranger: true };

    /// For those who did: whatever Firehose may send, so that a limit below that is told in an answer
    /// and not by a reset.
    pub(super) const fn known(body_bytes_max: u64) -> Self {
        let most = if body_bytes_max > FIREHOSE_BODY_BYTES_MAX {
            body_bytes_max
        } else {
            FIREHOSE_BODY_BYTES_MAX
        };
        Self { bytes_max: most, time_max: Duration::from_secs(30), is_stranger: false }
    }
}

/// The allowances of all connections.
#[derive(Debug)]
pub(super) struct Discards {
    strangers: Allowance,
    known: Allowance,
}

impl Discards {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            strangers: Allowance::new(STRANGERS_PACE),
            known: Allowance::new(KNOWN_PACE),
        })
    }

    /// Takes a body off its request, in a task of its own.
    pub(super) fn discard(
        self: &Arc<Self>,
        mut body: Body,
        bounds: Bounds,
        tasks: &Tasks,
        stop: CancellationToken,
    ) {
        if body.is_end_stream() {
            return;
        }
        let discards = Arc::clone(self);
        tasks.spawn(async move {
            let ends = async {
                let reading = discards.read(&mut body, bounds);
                let whole = timeout(bounds.time_max, reading).await;
                if whole != Ok(true) {
                    sleep(LINGER).await;
                }
            };
            let _ = stop.run_until_cancelled(ends).await;
        });
    }

    /// Whether the body was read to its end. What claims to be too long is not begun with.
    async fn read(&self, body: &mut Body, bounds: Bounds) -> bool {
        let allowance = if bounds.is_stranger { &self.strangers } else { &self.known };
        let mut left = bounds.bytes_max;
        if body.size_hint().lower() > left {
            return false;
        }
        while let Some(frame) = body.frame().await {
            let Ok(frame) = frame else { return true };
            let length = frame.data_ref().map_or(0, |data| data.len() as u64);
            match left.checked_sub(length) {
                Some(less) => left = less,
                None => return false,
            }
            // A frame is there already: it is paid before the next one is read.
            while !allowance.try_take(length.min(allowance.bytes_max)) {
                sleep(PACE).await;
            }
        }
        true
    }
}

/// Bytes that come back with time: as many per second as there can be at most.
#[derive(Debug)]
struct Allowance {
    bytes_max: u64,
    left: Mutex<(u64, Instant)>,
}

impl Allowance {
    fn new(bytes_max: u64) -> Self {
        Self { bytes_max, left: Mutex::new((bytes_max, Instant::now())) }
    }

    fn try_take(&self, bytes: u64) -> bool {
        let mut state = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let seconds = now.duration_since(state.1).as_secs_f64().min(1.0);
        // A fraction of a byte gets lost at each look, which is none too many.
        let more = (self.bytes_max as f64 * seconds) as u64;
        let left = state.0.saturating_add(more).min(self.bytes_max);
        let (left, taken) = match left.checked_sub(bytes) {
            Some(less) => (less, true),
            None => (left, false),
        };
        *state = (left, now);
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_allowance_comes_back_within_a_second() {
        let allowance = Allowance::new(1000);
        assert!(!allowance.try_take(1001));
        assert!(allowance.try_take(600));
        assert!(!allowance.try_take(401));
        tokio::time::advance(Duration::from_millis(100)).await;
        assert!(allowance.try_take(500) && !allowance.try_take(1));
        tokio::time::advance(Duration::from_secs(60)).await;
        assert!(allowance.try_take(1000) && !allowance.try_take(1));
    }

    #[tokio::test(start_paused = true)]
    async fn what_claims_to_be_too_long_is_not_begun_with() {
        let discards = Discards::new();
        let bounds = Bounds { bytes_max: 1000, ..Bounds::STRANGER };
        let mut long = Body::from(vec![0; 1001]);
        assert!(!discards.read(&mut long, bounds).await);
        assert_eq!(long.size_hint().exact(), Some(1001));
        assert!(discards.read(&mut Body::from(vec![0; 1000]), bounds).await);
    }

    #[tokio::test(start_paused = true)]
    async fn all_bodies_together_are_read_at_one_pace() {
        let discards = Discards::new();
        let started = Instant::now();
        for _ in 0..96 {
            assert!(discards.read(&mut Body::from(vec![0; 1 << 20]), Bounds::STRANGER).await);
        }
        let took = started.elapsed();
        assert!((2000..2200).contains(&took.as_millis()), "{took:?}");
        let others = Bounds::known(4 << 20);
        assert!(discards.read(&mut Body::from(vec![0; 4 << 20]), others).await);
        assert_eq!(started.elapsed(), took, "a pace apart");
    }
}
