//! What becomes of a body that nobody wants. A connection that is closed while its client still
//! sends is reset, and the reset may overtake the answer. So a body that is short is read and thrown
//! away while the answer goes out, and its connection can be used again. One that is long is not
//! worth its reading: it is left where it is until the answer has had time to arrive, and then its
//! connection ends. Reading is paid from one allowance for all connections, so that no number of
//! them makes the gateway read more than that.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::{Body, HttpBody as _};
use http_body_util::BodyExt as _;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::tasks::Tasks;

/// How long a body is left unread. Enough for an answer to arrive within a region or two.
const LINGER: Duration = Duration::from_millis(250);
/// Bodies that are left unread at once. Beyond them a connection ends without delay.
const LINGERERS_MAX: usize = 64;

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

    /// For those who did. Firehose sends up to 5 MiB of records unless its buffer is set larger.
    pub(super) const KNOWN: Self =
        Self { bytes_max: 8 << 20, time_max: Duration::from_secs(5), is_stranger: false };
}

/// The allowances of all connections, and the places of those that wait.
#[derive(Debug)]
pub(super) struct Discards {
    strangers: Allowance,
    known: Allowance,
    lingerers: Arc<Semaphore>,
}

impl Discards {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            strangers: Allowance::new(16 << 20),
            known: Allowance::new(64 << 20),
            lingerers: Arc::new(Semaphore::new(LINGERERS_MAX)),
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
                if whole != Ok(true)
                    && let Ok(_place) = discards.lingerers.try_acquire()
                {
                    sleep(LINGER).await;
                }
            };
            let _ = stop.run_until_cancelled(ends).await;
        });
    }

    /// Whether the body was read to its end. What claims to be too long is not begun with.
    async fn read(&self, body: &mut Body, bounds: Bounds) -> bool {
        let allowance = if bounds.is_stranger { &self.strangers } else { &self.known };
        let claimed = body.size_hint().upper();
        let mut granted = claimed.unwrap_or(bounds.bytes_max);
        if granted > bounds.bytes_max || !allowance.try_take(granted) {
            return false;
        }
        while let Some(frame) = body.frame().await {
            let Ok(frame) = frame else { return true };
            let length = frame.data_ref().map_or(0, |data| data.len() as u64);
            match granted.checked_sub(length) {
                Some(left) => granted = left,
                None => return false,
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

    #[tokio::test]
    async fn what_claims_to_be_too_long_is_not_begun_with_and_all_together_have_one_allowance() {
        let discards = Discards::new();
        let body = |bytes: u64| Body::from(vec![0; bytes as usize]);
        let (stranger, known) = (Bounds::STRANGER, Bounds::KNOWN);
        let mut long = body(stranger.bytes_max + 1);
        assert!(!discards.read(&mut long, stranger).await);
        assert_eq!(long.size_hint().exact(), Some(stranger.bytes_max + 1));
        assert!(discards.read(&mut long, known).await);
        let mut read = 0;
        while discards.read(&mut body(stranger.bytes_max), stranger).await {
            read += 1;
        }
        assert!((16..40).contains(&read), "{read}");
        assert!(discards.read(&mut body(stranger.bytes_max), known).await, "an allowance apart");
    }
}
