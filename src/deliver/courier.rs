//! A courier: takes what waits in a destination's lanes and sends it, one request in flight, retried until it is
//! decided or its time is up.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use metrics::Counter;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::backoff::Backoff;
use super::config::Destination;
use super::encode::Encoder;
use super::haul::{Fate, Haul, Span};
use super::judge::{Reason, Refusal, Verdict};
use super::metadata::Families;
use super::remote::Remote;
use super::report::Report;
use super::window::Window;
use crate::meters::{self, Meters};
use crate::queue::{Inbox, Taken};

/// AMP's request cap (<https://docs.aws.amazon.com/prometheus/latest/userguide/AMP_quotas.html>);
/// whether it means bytes before or after compression is not documented, so both are kept below.
const BLOCK_BYTES_MAX: usize = 1_000_000;

/// How long a receiver may ask to be left alone.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(600);

/// A request of one sample below this is too large for nobody: who says so is set up wrongly.
const SMALL_BLOCK_BYTES: usize = 16 << 10;

/// An attempt with less time than this cannot end well, and would hide what went wrong before.
const ATTEMPT_MIN: Duration = Duration::from_millis(20);

/// After so many answers that new credentials did not mend, a person must act.
const RESIGNS_MAX: u32 = 3;

/// A haul of more bytes than a request may have becomes several requests, one after the other. As long as a request
/// takes less than this, that is as well: to have another courier take part costs CPU time and saves little.
const QUICK_ANSWER: Duration = Duration::from_millis(10);

/// The other side of a courier: [`Remote`], or a script in tests.
pub trait Transport: Send + Sync + 'static {
    /// Sends a snappy block and says what the answer, or its absence, means.
    fn send(&self, block: Bytes, timeout: Duration) -> impl Future<Output = Verdict> + Send;
}

impl Transport for Remote {
    async fn send(&self, block: Bytes, timeout: Duration) -> Verdict {
        Remote::send(self, block, timeout).await
    }
}

/// What a courier's work is made known to.
#[derive(Clone, Debug)]
pub struct Witnesses {
    /// Refusals and failures.
    pub report: Arc<Report>,
    /// Metric families, for the metadata.
    pub families: Arc<Families>,
}

/// What a courier works by. A reload of the configuration sends the destination's couriers new orders:
/// they hold from the next attempt on, for what a courier has taken on already, too. So what waits for
/// a destination that was set up wrongly goes out as soon as that is mended, and in order.
#[derive(Debug)]
pub struct Orders<R> {
    /// The destination's settings.
    pub destination: Destination,
    /// Where requests go.
    pub remote: Arc<R>,
}

/// What a courier reads of its orders again and again.
#[derive(Debug)]
struct Settings {
    samples_max: usize,
    bytes_max: usize,
    age_limit: Option<Duration>,
    future_limit: Option<Duration>,
    backoff_max: Duration,
    timeout: Duration,
}

impl Settings {
    fn of(destination: &Destination) -> Self {
        let queue = &destination.queue_config;
        Self {
            samples_max: queue.max_samples_per_send.max(1),
            bytes_max: usize::try_from(queue.max_bytes_per_send).unwrap_or(usize::MAX),
            age_limit: queue.sample_age_limit,
            future_limit: queue.sample_future_limit,
            backoff_max: queue.max_backoff,
            timeout: destination.remote_timeout,
        }
    }
}

fn backoff(destination: &Destination) -> Backoff {
    let queue = &destination.queue_config;
    Backoff::new(queue.min_backoff, queue.max_backoff)
}

/// One of a destination's couriers: there are as many as lanes.
#[derive(Debug)]
pub struct Courier<R> {
    inbox: Inbox,
    orders: watch::Receiver<Arc<Orders<R>>>,
    /// Those that it works by.
    obeyed: Arc<Orders<R>>,
    remote: Arc<R>,
    witnesses: Witnesses,
    encoder: Encoder,
    /// Size of the request sent last.
    sent_bytes: usize,
    backoff: Backoff,
    settings: Settings,
    /// The receiver's own wish: nothing is sent before.
    not_before: Instant,
    retries: Counter,
    isolation: Counter,
    give_up: CancellationToken,
}

impl<R: Transport> Courier<R> {
    /// A courier that takes parts from `inbox` until no more can come. `give_up` ends its
    /// waiting at once: what it holds is lost.
    #[must_use]
    pub fn new(
        inbox: Inbox,
        mut orders: watch::Receiver<Arc<Orders<R>>>,
        witnesses: Witnesses,
        meters: &Meters,
        give_up: CancellationToken,
    ) -> Self {
        let first = Arc::clone(&orders.borrow_and_update());
        let Orders { destination, remote } = &*first;
        let name = destination.name.as_str();
        Self {
            inbox,
            remote: Arc::clone(remote),
            settings: Settings::of(destination),
            backoff: backoff(destination),
            obeyed: Arc::clone(&first),
            retries: meters.counter(&meters::REMOTE_WRITE_RETRIES, &[name]),
            isolation: meters.counter(&meters::REMOTE_WRITE_ISOLATION, &[name]),
            orders,
            witnesses,
            encoder: Encoder::new(),
            sent_bytes: 0,
            not_before: Instant::now(),
            give_up,
        }
    }

    /// Works until no more parts can come.
    pub async fn run(mut self) {
        let give_up = self.give_up.clone();
        while self.inbox.ready().await {
            // What needs no sending does not wait for anything else.
            tokio::task::consume_budget().await;
            self.obey();
            // Another may have been faster.
            let Some(Taken { parts, held }) = self.inbox.take(self.settings.samples_max) else {
                continue;
            };
            for part in &parts {
                self.witnesses.families.note(part.destination(), &part.load().batch.families);
            }
            // Cancelled, the haul is dropped where it is, and its parts settle as lost.
            let _ = give_up.run_until_cancelled(self.deliver(Haul::new(parts))).await;
            drop(held);
        }
    }

    /// Takes up new orders, if there are any.
    fn obey(&mut self) {
        let orders = Arc::clone(&self.orders.borrow_and_update());
        if Arc::ptr_eq(&orders, &self.obeyed) {
            return;
        }
        let Orders { destination, remote } = &*orders;
        if !Arc::ptr_eq(remote, &self.remote) {
            // What the wait was for may be what has changed.
            self.not_before = Instant::now();
        }
        self.remote = Arc::clone(remote);
        self.settings = Settings::of(destination);
        self.backoff = backoff(destination);
        self.obeyed = orders;
    }

    /// Sends a haul span by span, in order, until every part is settled or given up.
    async fn deliver(&mut self, mut haul: Haul) {
        let mut spans = vec![haul.whole()];
        while let Some(span) = spans.pop() {
            let next = self.deliver_span(&mut haul, span).await;
            if haul.is_empty() {
                return;
            }
            spans.extend(next.into_iter().rev());
        }
    }

    /// Sends a span, or as much of its beginning as a request can hold, until that is decided.
    /// Returns the spans to send next, in order.
    async fn deliver_span(&mut self, haul: &mut Haul, mut span: Span) -> Vec<Span> {
        if span.isolating {
            if !haul.take_isolation_request(span) {
                self.stop_isolating(haul, span);
                return Vec::new();
            }
            self.isolation.increment(1);
        }
        let mut next = Vec::new();
        let mut over_rate_before = false;
        let mut resigns = 0;
        self.backoff.reset();
        loop {
            if !self.wait_until_allowed(haul).await {
                return Vec::new();
            }
            let window = self.window();
            let Settings { samples_max, bytes_max, .. } = self.settings;
            let filled = haul.fill(&mut self.encoder, span, window, samples_max, bytes_max);
            if filled.end < span.to {
                next.insert(0, Span { from: filled.end, ..span });
                span.to = filled.end;
            }
            let window = filled.window;
            if filled.samples == 0 {
                // All of it is outside the window, or nobody waits for it any more.
                self.settle(haul, span, window, Fate::Delivered);
                return next;
            }
            let one = filled.samples == 1;
            let began = Instant::now();
            match self.send(haul, filled.samples).await {
                Verdict::Accepted => {
                    let is_quick = began.elapsed() < QUICK_ANSWER;
                    let fitting = bytes_max / filled.bytes.div_ceil(filled.samples);
                    self.inbox.prefer(if is_quick { usize::MAX } else { fitting });
                    self.settle(haul, span, window, Fate::Delivered);
                    return next;
                }
                Verdict::Partial(refusal) => {
                    self.witnesses.report.partial(&refusal, filled.samples, haul.request_id(span));
                    self.settle(haul, span, window, Fate::Partial);
                    return next;
                }
                Verdict::Refused(refusal) => {
                    self.witnesses.report.refused(&refusal, filled.samples, haul.request_id(span));
                    self.settle(haul, span, window, Fate::Refused);
                    return next;
                }
                Verdict::Isolate(refusal) if one => {
                    self.witnesses.report.isolated(&refusal, haul.request_id(span));
                    self.settle(haul, span, window, Fate::Refused);
                    return next;
                }
                Verdict::Isolate(_) => return halves(haul, span, true, next),
                Verdict::Split { trouble } if one && self.sent_bytes < SMALL_BLOCK_BYTES => {
                    self.pause(haul, None, true, &trouble);
                }
                Verdict::Split { trouble } if one => {
                    let refusal = Refusal { reason: Reason::Limit, message: trouble };
                    self.witnesses.report.isolated(&refusal, haul.request_id(span));
                    self.settle(haul, span, window, Fate::Refused);
                    return next;
                }
                Verdict::Split { .. } => return halves(haul, span, false, next),
                Verdict::TryAgain { after, over_rate, misconfigured, trouble } => {
                    self.pause(haul, after, misconfigured, &trouble);
                    if over_rate && over_rate_before && !one {
                        return halves(haul, span, false, next);
                    }
                    over_rate_before |= over_rate;
                }
                Verdict::Resign { trouble } => {
                    resigns += 1;
                    self.pause(haul, None, resigns >= RESIGNS_MAX, &trouble);
                }
            }
            self.retries.increment(1);
        }
    }

    /// Sends what the encoder holds.
    async fn send(&mut self, haul: &Haul, samples: usize) -> Verdict {
        let block = match self.encoder.block() {
            Ok(block) if block.len() > BLOCK_BYTES_MAX && samples > 1 => {
                return Verdict::Split { trouble: "larger than 1 MB compressed".to_owned() };
            }
            Ok(block) => block,
            Err(error) => return Verdict::Split { trouble: error.to_string() },
        };
        self.sent_bytes = block.len();
        let now = Instant::now();
        let left = haul.deadlines().map_or(Duration::ZERO, |(_, last)| last - now);
        self.remote.send(block, self.settings.timeout.min(left)).await
    }

    /// Plans the next attempt.
    fn pause(
        &mut self,
        haul: &mut Haul,
        after: Option<Duration>,
        misconfigured: bool,
        trouble: &str,
    ) {
        haul.note_trouble(trouble);
        self.witnesses.report.trouble(trouble, misconfigured);
        let own = self.backoff.next();
        let wait = match after {
            Some(after) => after.min(RETRY_AFTER_MAX).max(own),
            None if misconfigured => own.max(self.settings.backoff_max),
            None => own,
        };
        self.not_before = Instant::now() + wait;
    }

    /// Waits for the planned attempt. False if nobody waits for the haul any more, or will by then.
    async fn wait_until_allowed(&mut self, haul: &mut Haul) -> bool {
        loop {
            self.obey();
            let now = Instant::now();
            haul.expire(now);
            let Some((first, last)) = haul.deadlines() else { return false };
            if self.not_before <= now && now + ATTEMPT_MIN < last {
                return true;
            }
            if self.not_before + ATTEMPT_MIN >= last || now + ATTEMPT_MIN >= last {
                // The next attempt would come too late: an answer now lets Firehose plan its own.
                haul.give_up("no attempt left before the deadline");
                return false;
            }
            tokio::select! {
                () = sleep_until(self.not_before.min(first)) => {}
                Ok(()) = self.orders.changed() => {}
            }
        }
    }

    /// The timestamps that may be sent now.
    fn window(&self) -> Window {
        Window::now(self.settings.age_limit, self.settings.future_limit)
    }

    /// Settles a span, and tells of what was too old or too new. Returns how many samples got the fate.
    fn settle(&self, haul: &mut Haul, span: Span, window: Window, fate: Fate) -> u64 {
        let settled = haul.settle(span, window, fate);
        if settled.aged_out > 0 {
            self.witnesses.report.aged_out(settled.aged_out);
        }
        if settled.too_new > 0 {
            self.witnesses.report.too_new(settled.too_new);
        }
        settled.fated
    }

    fn stop_isolating(&self, haul: &mut Haul, span: Span) {
        let window = self.window();
        let request_id = haul.request_id(span).to_owned();
        let samples = self.settle(haul, span, window, Fate::Refused);
        self.witnesses.report.unisolated(samples, &request_id);
    }
}

/// A span's halves, and what was to come after it.
fn halves(haul: &Haul, span: Span, isolating: bool, next: Vec<Span>) -> Vec<Span> {
    let (left, right) = haul.halve(span, isolating);
    [left, right].into_iter().chain(next).collect()
}
