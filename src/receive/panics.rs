//! A panic ends one request, not the process, and is answered like every other failure.

use std::any::Any;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::Poll;

/// The panic's own text.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Panicked(pub(super) String);

impl Panicked {
    pub(super) fn new(payload: &(dyn Any + Send)) -> Self {
        let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
        Self(text.or_else(|| payload.downcast_ref().cloned()).unwrap_or_default())
    }
}

/// Runs a future to its end or its panic. The future is not touched again after a panic; what it
/// shares with others is behind locks that do not mind poison.
pub(super) async fn caught<F: Future>(future: F) -> Result<F::Output, Panicked> {
    let mut future = pin!(future);
    poll_fn(move |context| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context))) {
        Ok(poll) => poll.map(Ok),
        Err(payload) => Poll::Ready(Err(Panicked::new(payload.as_ref()))),
    })
    .await
}

#[cfg(test)]
#[allow(clippy::panic)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_caught_with_its_text() {
        let number = 7;
        let outcome = caught(async move {
            tokio::task::yield_now().await;
            if number == 7 {
                panic!("no {number}");
            }
        });
        assert_eq!(outcome.await, Err(Panicked("no 7".to_owned())));
        assert_eq!(caught(async { 1 }).await, Ok(1));
    }
}
