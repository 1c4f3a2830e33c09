//! What a connection is busy with, so that neither a slow sender nor an idle one holds its place.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use http_body::{Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;
use tokio::time::Instant;

/// What a connection may be given.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Patience {
    /// Look again then.
    Until(Instant),
    /// It has been idle for too long.
    Idle,
    /// Its headers take too long.
    Slow,
}

/// How well a connection can be spared. The least is the first to go: those that never were of use
/// before those that were, those that rest before those that do not, and those that were there first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rest {
    pub(super) was_of_use: bool,
    is_busy: bool,
    /// Since when it rests; since when it is open if it never was of use, so that nobody keeps a
    /// place by asking often for what anyone may ask for.
    pub(super) since: Instant,
}

/// How a connection that is asked to leave does so.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Leave {
    /// A request has come meanwhile.
    NotNow,
    /// A client may be about to use it again: it is told.
    Politely,
    /// It has never been of use: it is told after the request in progress, and is not waited for long.
    Soon,
    /// It has never sent a request.
    AtOnce,
}

/// What happens on a connection.
#[derive(Debug)]
pub(super) struct Activity {
    opened: Instant,
    state: Mutex<State>,
    leave: Notify,
}

#[derive(Debug)]
struct State {
    /// Requests whose headers have come.
    begun: u64,
    /// An access key has been accepted on it, or a request for the endpoint where none is asked for.
    was_of_use: bool,
    /// It is asked to leave.
    unwanted: bool,
    /// Requests of which the answer or the body is not done.
    requests: usize,
    idle_since: Instant,
    /// When the first byte of what is not a request yet came.
    heard: Option<Instant>,
    /// On HTTP/2 bytes between requests may be anything.
    multiplexed: bool,
}

impl Activity {
    /// A new connection; it owes a request from the start.
    pub(super) fn new() -> Arc<Self> {
        let now = Instant::now();
        let state = State {
            begun: 0,
            was_of_use: false,
            unwanted: false,
            requests: 0,
            idle_since: now,
            heard: Some(now),
            multiplexed: false,
        };
        Arc::new(Self { opened: now, state: Mutex::new(state), leave: Notify::new() })
    }

    /// When the connection began.
    pub(super) fn opened(&self) -> Instant {
        self.opened
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn heard(&self) {
        let mut state = self.state();
        if state.requests == 0 && state.heard.is_none() {
            state.heard = Some(Instant::now());
        }
    }

    /// A request's headers have come. Also tells how many have by now.
    pub(super) fn begin(self: &Arc<Self>, multiplexed: bool) -> (Arc<Busy>, u64) {
        let mut state = self.state();
        state.begun = state.begun.saturating_add(1);
        state.requests += 1;
        state.heard = None;
        state.multiplexed |= multiplexed;
        (Arc::new(Busy(Arc::clone(self))), state.begun)
    }

    /// How well it can be spared, unless it is in the middle of what it is for or is leaving already.
    pub(super) fn rest(&self) -> Option<Rest> {
        let state = self.state();
        let (was_of_use, is_busy) = (state.was_of_use, state.requests > 0);
        if state.unwanted || (was_of_use && is_busy) {
            return None;
        }
        let heard = state.heard.filter(|_| !state.multiplexed);
        let since = if was_of_use { heard.unwrap_or(state.idle_since) } else { self.opened };
        Some(Rest { was_of_use, is_busy, since })
    }

    /// Whether it has shown what it is for.
    pub(super) fn was_of_use(&self) -> bool {
        self.state().was_of_use
    }

    /// Asks the connection to leave.
    pub(super) fn ask_to_leave(&self) {
        self.state().unwanted = true;
        self.leave.notify_one();
    }

    /// Waits until the connection is asked to leave.
    pub(super) async fn asked_to_leave(&self) -> Leave {
        self.leave.notified().await;
        let mut state = self.state();
        match (state.was_of_use, state.requests, state.begun) {
            (false, 0, 0) => Leave::AtOnce,
            (false, _, _) => Leave::Soon,
            (true, 0, _) => Leave::Politely,
            (true, _, _) => {
                state.unwanted = false;
                Leave::NotNow
            }
        }
    }

    /// How long to wait for this connection.
    pub(super) fn patience(&self, header_time: Duration, idle_time: Duration) -> Patience {
        let state = self.state();
        let now = Instant::now();
        let look_again = now + header_time.min(idle_time).max(Duration::from_millis(10));
        if state.requests > 0 {
            return Patience::Until(look_again);
        }
        if let (Some(heard), false) = (state.heard, state.multiplexed) {
            let until = heard + header_time;
            return if until <= now { Patience::Slow } else { Patience::Until(until) };
        }
        let until = state.idle_since + idle_time;
        if until <= now { Patience::Idle } else { Patience::Until(until.min(look_again)) }
    }
}

/// A request in progress; held by its answer and by its body.
#[derive(Debug)]
pub(super) struct Busy(Arc<Activity>);

impl Drop for Busy {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.requests = state.requests.saturating_sub(1);
        state.idle_since = Instant::now();
        state.heard = None;
    }
}

/// Goes with a request, so that whoever knows what it is worth can say so.
#[derive(Clone, Debug)]
pub(super) struct OfUse(pub(super) Arc<Activity>);

impl OfUse {
    /// The request was let in: from now on its connection is one of those to keep.
    pub(super) fn tell(&self) {
        self.0.state().was_of_use = true;
    }
}

/// A body that keeps its connection busy until it is let go.
#[derive(Debug)]
pub(super) struct BusyBody<B> {
    body: B,
    _busy: Arc<Busy>,
}

impl<B> BusyBody<B> {
    pub(super) fn new(body: B, busy: Arc<Busy>) -> Self {
        Self { body, _busy: busy }
    }
}

impl<B> HttpBody for BusyBody<B>
where
    B: HttpBody<Data = Bytes> + Unpin,
{
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl<B> From<BusyBody<B>> for Body
where
    B: HttpBody<Data = Bytes> + Unpin + Send + 'static,
    B::Error: Into<axum::BoxError>,
{
    fn from(body: BusyBody<B>) -> Self {
        Self::new(body)
    }
}

/// A stream that tells when something comes in.
#[derive(Debug)]
pub(super) struct Heard<S> {
    pub(super) stream: S,
    pub(super) activity: Arc<Activity>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Heard<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let poll = Pin::new(&mut self.stream).poll_read(context, buffer);
        if buffer.filled().len() > before {
            self.activity.heard();
        }
        poll
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Heard<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const HEADERS: Duration = Duration::from_secs(10);
    const IDLE: Duration = Duration::from_secs(300);

    #[tokio::test(start_paused = true)]
    async fn patience_ends_for_slow_headers_and_for_idling() {
        let activity = Activity::new();
        assert_eq!(activity.patience(HEADERS, IDLE), Patience::Until(Instant::now() + HEADERS));
        tokio::time::advance(HEADERS).await;
        assert_eq!(activity.patience(HEADERS, IDLE), Patience::Slow);

        let (busy, _) = activity.begin(false);
        tokio::time::advance(IDLE * 2).await;
        activity.heard();
        assert_eq!(activity.patience(HEADERS, IDLE), Patience::Until(Instant::now() + HEADERS));
        drop(busy);
        tokio::time::advance(IDLE - HEADERS).await;
        assert_eq!(activity.patience(HEADERS, IDLE), Patience::Until(Instant::now() + HEADERS));
        tokio::time::advance(HEADERS).await;
        assert_eq!(activity.patience(HEADERS, IDLE), Patience::Idle);
        activity.heard();
        assert_eq!(activity.patience(HEADERS, IDLE), Patience::Until(Instant::now() + HEADERS));
        tokio::time::advance(HEADERS).await;
        assert_eq!(activity.patience(HEADERS, IDLE), Patience::Slow);
    }

    #[tokio::test(start_paused = true)]
    async fn those_that_were_never_of_use_leave_first_and_none_in_the_middle_of_a_request() {
        let (old, young, used) = (Activity::new(), Activity::new(), Activity::new());
        let (busy, _) = used.begin(false);
        OfUse(Arc::clone(&used)).tell();
        tokio::time::advance(HEADERS).await;
        let last = Activity::new();
        drop(young.begin(false));
        OfUse(Arc::clone(&young)).tell();
        assert_eq!(used.rest(), None);
        assert!(old.rest() < last.rest() && last.rest() < young.rest());

        used.ask_to_leave();
        assert_eq!(used.asked_to_leave().await, Leave::NotNow);
        drop(busy);
        assert!(used.rest() >= young.rest(), "it may be asked again");
        used.ask_to_leave();
        assert_eq!((used.rest(), used.asked_to_leave().await), (None, Leave::Politely));
        old.ask_to_leave();
        assert_eq!(old.asked_to_leave().await, Leave::AtOnce);
    }

    #[tokio::test(start_paused = true)]
    async fn a_stranger_that_asks_often_is_as_old_as_its_connection() {
        let (stranger, silent) = (Activity::new(), Activity::new());
        let opened = Instant::now();
        for _ in 0..10 {
            tokio::time::advance(Duration::from_millis(900)).await;
            let (_busy, _) = stranger.begin(false);
            assert!(stranger.rest().unwrap() > silent.rest().unwrap(), "who is busy goes later");
        }
        assert_eq!(stranger.rest().unwrap().since, opened);
        let busy = stranger.begin(false);
        stranger.ask_to_leave();
        assert_eq!((stranger.rest(), stranger.asked_to_leave().await), (None, Leave::Soon));
        drop(busy);
    }
}
