//! Turns at the processors for handshakes, which anyone can ask for and which cost their peers
//! next to nothing: they never take all processors at once, and whoever waits comes in order.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::thread::available_parallelism;

use tokio::sync::Semaphore;
use tokio_util::sync::PollSemaphore;

/// So many handshakes compute at once. A turn is given back while the peer is waited for, so that
/// nobody holds one by going silent.
#[derive(Clone, Debug)]
pub(super) struct Turns(Arc<Semaphore>);

impl Turns {
    /// Half of the processors, so that requests always have the others.
    pub(super) fn new() -> Self {
        let processors = available_parallelism().map_or(1, usize::from);
        Self(Arc::new(Semaphore::new((processors / 2).max(1))))
    }

    /// Does work that computes each time it goes on and waits in between.
    pub(super) async fn take<F: Future>(&self, work: F) -> F::Output {
        let mut work = pin!(work);
        let mut turns = PollSemaphore::new(Arc::clone(&self.0));
        poll_fn(|context| match turns.poll_acquire(context) {
            Poll::Ready(turn) => {
                let poll = work.as_mut().poll(context);
                drop(turn);
                poll
            }
            Poll::Pending => Poll::Pending,
        })
        .await
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::future::pending;
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_computes_has_a_turn_and_who_waits_has_none() {
        let turns = Turns(Arc::new(Semaphore::new(1)));
        let free = || turns.0.available_permits();
        let work = async {
            assert_eq!(free(), 0, "computes");
            tokio::task::yield_now().await;
            assert_eq!(free(), 0, "goes on");
            pending::<()>().await;
        };
        let waits = timeout(Duration::from_secs(1), turns.take(work));
        let sees = async {
            tokio::time::sleep(Duration::from_millis(500)).await;
            assert_eq!(free(), 1, "waits for its peer");
        };
        assert!(tokio::join!(waits, sees).0.is_err());

        let taken = Arc::clone(&turns.0).acquire_owned().await.unwrap();
        let waits = timeout(Duration::from_secs(1), turns.take(async {}));
        assert!(waits.await.is_err(), "no turn was free");
        drop(taken);
        turns.take(async {}).await;
        assert_eq!(free(), 1);
    }
}
