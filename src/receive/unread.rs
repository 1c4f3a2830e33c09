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
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use crate::tasks::Tasks;

/// 64 MiB of records (delivery specification 1.0), a third more in base64, and what is around them.
const FIREHOSE_BODY_BYTES_MAX: u64 = 96 << 20;
/// How long a body is left unread: enough for an answer to arrive, and far less than anyone may hold
/// a connection with headers that do not end.
const LINGER: Duration = Duration::from_secs(1);
/// After a pause that much of a pace may be read at once.
const BURST: Duration = Duration::from_secs(1);
/// Frames are small, and to look at the pace for each would cost more than to read it.
const PAYMENT_BYTES: u64 = 256 << 10;
/// Bodies of strangers that are read at once. Those beyond are left unread and their connections
/// are closed.
const STRANGERS_MAX: usize = 64;
/// Bytes per second.
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
    strangers_places: Arc<Semaphore>,
}

impl Discards {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            strangers: Allowance::new(STRANGERS_PACE),
            known: Allowance::new(KNOWN_PACE),
            strangers_places: Arc::new(Semaphore::new(STRANGERS_MAX)),
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
        let place = if bounds.is_stranger {
            let Ok(place) = Arc::clone(&self.strangers_places).try_acquire_owned() else { return };
            Some(place)
        } else {
            None
        };
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
            drop(place);
        });
    }

    /// Whether the body was read to its end. What claims to be too long is not begun with.
    async fn read(&self, body: &mut Body, bounds: Bounds) -> bool {
        let allowance = if bounds.is_stranger { &self.strangers } else { &self.known };
        let (mut left, mut unpaid) = (bounds.bytes_max, 0);
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
            // What is there already is paid before more is read.
            unpaid += length;
            if unpaid >= PAYMENT_BYTES {
                sleep_until(allowance.take(unpaid)).await;
                unpaid = 0;
            }
        }
        sleep_until(allowance.take(unpaid)).await;
        true
    }
}

/// A pace that many share. Each is told once when its turn has come, in the order of asking.
#[derive(Debug)]
struct Allowance {
    bytes_per_second: u64,
    /// When all that has been asked for is read.
    free_at: Mutex<Instant>,
}

impl Allowance {
    fn new(bytes_per_second: u64) -> Self {
        Self { bytes_per_second, free_at: Mutex::new(Instant::now()) }
    }

    /// Takes that many bytes; when to go on after them.
    fn take(&self, bytes: u64) -> Instant {
        let time = Duration::from_secs_f64(bytes as f64 / self.bytes_per_second as f64);
        let now = Instant::now();
        let mut free_at = self.free_at.lock().unwrap_or_else(PoisonError::into_inner);
        *free_at = (*free_at).max(now) + time;
        free_at.checked_sub(BURST).map_or(now, |go_on| go_on.max(now))
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use axum::body::{Bytes, HttpBody};
    use http_body::Frame;
    use tokio::sync::mpsc;

    use super::*;

    /// A body that never goes on. Its sender sees when it is let go.
    struct Endless(mpsc::Receiver<Bytes>);

    impl HttpBody for Endless {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            context: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            self.0.poll_recv(context).map(|data| data.map(|data| Ok(Frame::data(data))))
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_allowance_is_a_second_at_once_and_then_a_queue() {
        let allowance = Allowance::new(1000);
        let wait = |bytes| allowance.take(bytes).duration_since(Instant::now()).as_millis();
        assert_eq!([wait(600), wait(400), wait(100), wait(50)], [0, 0, 100, 150]);
        tokio::time::advance(Duration::from_millis(100)).await;
        assert_eq!([wait(1), wait(0)], [51, 51], "in the order of asking");
        tokio::time::advance(Duration::from_secs(60)).await;
        assert_eq!([wait(1000), wait(1)], [0, 1], "what is saved has a bound");
    }

    #[tokio::test(start_paused = true)]
    async fn strangers_bodies_are_read_so_many_at_once() {
        let (discards, tasks) = (Discards::new(), Tasks::new());
        let mut read = Vec::new();
        let sent = |bounds| {
            let (sender, receiver) = mpsc::channel(1);
            let body = Body::new(Endless(receiver));
            discards.discard(body, bounds, &tasks, CancellationToken::new());
            sender
        };
        read.extend((0..=STRANGERS_MAX).map(|_| sent(Bounds::STRANGER)));
        read.push(sent(Bounds::known(1)));
        tokio::task::yield_now().await;
        let open: Vec<_> = read.iter().map(|sender| !sender.is_closed()).collect();
        let mut expected = [true; STRANGERS_MAX + 2];
        expected[STRANGERS_MAX] = false;
        assert_eq!(open, expected);
        tokio::time::sleep(Bounds::STRANGER.time_max + LINGER * 2).await;
        assert!(read[0].is_closed() && !read[STRANGERS_MAX + 1].is_closed());
        let one = sent(Bounds::STRANGER);
        tokio::task::yield_now().await;
        assert!(!one.is_closed(), "there is room again");
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
