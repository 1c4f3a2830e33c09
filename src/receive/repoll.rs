//! A task that wakes itself while it is polled is polled again where it is.
//!
//! hyper's connections do so with every body. Left to the runtime such a task goes back to the queue, and another
//! thread is woken to see whether there is work for it: at part load it finds that task, and goes on with it in
//! the wrong processor's caches.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use tokio::time::Instant;

/// After so many polls, or so long, the runtime has its turn.
const POLLS_MAX: usize = 4;
const POLLS_TIME_MAX: Duration = Duration::from_millis(10);

/// A future that is polled again at once if it asks for that.
pub(super) struct Repoll<F> {
    inner: Pin<Box<F>>,
    wakes: Arc<Wakes>,
    waker: Waker,
}

impl<F> Repoll<F> {
    pub(super) fn new(inner: F) -> Self {
        let wakes = Arc::new(Wakes { state: AtomicU8::new(WOKEN), outer: Mutex::default() });
        let waker = Waker::from(Arc::clone(&wakes));
        Self { inner: Box::pin(inner), wakes, waker }
    }
}

/// Nothing has happened since it was polled.
const AT_REST: u8 = 0;
/// It is being polled, and nothing has happened since that began.
const POLLED: u8 = 1;
/// It is to be polled again.
const WOKEN: u8 = 2;

struct Wakes {
    state: AtomicU8,
    outer: Mutex<Option<Waker>>,
}

impl Wakes {
    fn wake_outer(&self) {
        let outer = self.outer.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(outer) = outer {
            outer.wake();
        }
    }
}

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.state.swap(WOKEN, Ordering::AcqRel) == AT_REST {
            self.wake_outer();
        }
    }
}

impl<F: Future> Future for Repoll<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let Self { inner, wakes, waker } = &mut *self;
        {
            let mut outer = wakes.outer.lock().unwrap_or_else(PoisonError::into_inner);
            match outer.as_mut() {
                Some(outer) => outer.clone_from(context.waker()),
                None => *outer = Some(context.waker().clone()),
            }
        }
        let begin = Instant::now();
        for _ in 0..POLLS_MAX {
            // Acquires what was written before a wake-up that this one answers.
            wakes.state.swap(POLLED, Ordering::AcqRel);
            if let Poll::Ready(output) = inner.as_mut().poll(&mut Context::from_waker(waker)) {
                return Poll::Ready(output);
            }
            let rest =
                wakes.state.compare_exchange(POLLED, AT_REST, Ordering::AcqRel, Ordering::Acquire);
            if rest.is_ok() {
                return Poll::Pending;
            }
            if begin.elapsed() > POLLS_TIME_MAX {
                break;
            }
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::sync::atomic::AtomicUsize;

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::AcqRel);
        }
    }

    /// Polls once. Whether it is ready, and how often the runtime was woken until then.
    fn poll<F: Future>(future: &mut Repoll<F>, count: &Arc<Count>) -> (bool, usize) {
        let waker = Waker::from(Arc::clone(count));
        let is_ready = Pin::new(future).poll(&mut Context::from_waker(&waker)).is_ready();
        (is_ready, count.0.swap(0, Ordering::AcqRel))
    }

    /// Wakes itself each time that it is polled, and is ready after so many times.
    fn restless(times: usize) -> impl Future<Output = ()> {
        let mut polls = 0;
        poll_fn(move |context| {
            context.waker().wake_by_ref();
            polls += 1;
            if polls > times { Poll::Ready(()) } else { Poll::Pending }
        })
    }

    #[test]
    fn who_wakes_itself_is_polled_at_once_but_not_for_ever() {
        let count = Arc::default();
        assert_eq!(poll(&mut Repoll::new(restless(POLLS_MAX - 1)), &count), (true, 0));
        let mut long = Repoll::new(restless(POLLS_MAX));
        assert_eq!(poll(&mut long, &count), (false, 1));
        assert_eq!(poll(&mut long, &count), (true, 0));
    }

    #[test]
    fn who_is_woken_later_is_polled_by_the_runtime() {
        let (count, shared) = (Arc::default(), Arc::new(Mutex::new(None::<Waker>)));
        let told = Arc::clone(&shared);
        let mut future = Repoll::new(poll_fn(move |context| {
            *told.lock().unwrap_or_else(PoisonError::into_inner) = Some(context.waker().clone());
            Poll::<()>::Pending
        }));
        for _ in 0..3 {
            assert_eq!(poll(&mut future, &count), (false, 0));
            let waker = shared.lock().unwrap_or_else(PoisonError::into_inner).take();
            let Some(waker) = waker else { panic!("it was polled without a waker") };
            waker.wake_by_ref();
            waker.wake();
            assert_eq!(count.0.swap(0, Ordering::AcqRel), 1, "once is enough");
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    #[allow(clippy::disallowed_methods)]
    async fn no_wake_is_lost_between_threads() {
        for _ in 0..2_000 {
            let (ask, mut asked) = tokio::sync::mpsc::channel::<u32>(1);
            let (answer, mut answered) = tokio::sync::mpsc::channel::<u32>(1);
            let echo = tokio::spawn(Repoll::new(async move {
                while let Some(number) = asked.recv().await {
                    let _ = answer.send(number).await;
                }
            }));
            let all = async {
                for number in 0..10 {
                    assert!(ask.send(number).await.is_ok());
                    assert_eq!(answered.recv().await, Some(number));
                }
                drop(ask);
                assert!(echo.await.is_ok());
            };
            assert!(tokio::time::timeout(Duration::from_secs(60), all).await.is_ok(), "it hangs");
        }
    }
}
