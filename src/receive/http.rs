//! The route of a request, from its headers to its answer. `Door::take` is that route; everything
//! else here serves it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::Method;
use axum::response::Response;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::account::Account;
use super::activity::OfUse;
use super::admission::{self, Unread};
use super::auth::Pass;
use super::books::Books;
use super::config::OnUndecodable;
use super::head::{Head, request_id, waits_for_continue};
use super::health::Health;
use super::panics::{self, Panicked};
use super::reply::Answer;
use super::rules::{Admitted, Rules, TurnedAway};
use super::skips::{SkipLog, Skips};
use super::unread::{Bounds, Discards};
use super::worker::{Decoded, Job, Terms, Undecoded, Workers};
use crate::map::Mapper;
use crate::meters::Meters;
use crate::queue::{self, Acked, Claim, Ledger, Settled};
use crate::seldom::Seldom;
use crate::tasks::Tasks;
use crate::units::format_duration;

pub(super) const SHUTTING_DOWN: &str = "shutting down";

/// The door: one endpoint for Firehose, and the health paths.
#[derive(Debug)]
pub struct Door {
    /// What new requests are treated by. One that has begun keeps its own to its end.
    rules: RwLock<Arc<Rules>>,
    pub(super) ledger: Arc<Ledger>,
    discards: Arc<Discards>,
    workers: Arc<Workers>,
    pub(super) books: Books,
    skip_log: SkipLog,
    refusal_log: [Seldom; 3],
    health: Arc<Health>,
    in_flight: AtomicUsize,
    /// Those of them whose bodies are being read, wait to be decoded, or are being decoded.
    undecoded: AtomicUsize,
    pub(super) given_up: CancellationToken,
    tasks: Tasks,
}

impl Door {
    /// A door that treats requests by these rules, until it is told others.
    #[must_use]
    pub fn new(rules: Rules, meters: &Meters, tasks: Tasks) -> Arc<Self> {
        Arc::new(Self {
            rules: RwLock::new(Arc::new(rules)),
            ledger: Ledger::new(meters),
            discards: Discards::new(),
            workers: Workers::new(),
            books: Books::new(meters),
            skip_log: SkipLog::default(),
            refusal_log: <[Seldom; 3]>::default(),
            health: Arc::new(Health::new(meters)),
            in_flight: AtomicUsize::new(0),
            undecoded: AtomicUsize::new(0),
            given_up: CancellationToken::new(),
            tasks,
        })
    }

    /// Requests that begin from now on follow these rules.
    pub fn follow(&self, rules: Rules) {
        let mut current = self.rules.write().unwrap_or_else(PoisonError::into_inner);
        *current = Arc::new(rules);
    }

    /// The mapper of the rules in force.
    #[must_use]
    pub fn mapper(&self) -> Arc<Mapper> {
        Arc::clone(&self.rules().mapper)
    }

    fn rules(&self) -> Arc<Rules> {
        Arc::clone(&self.rules.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The routes of the ingest listener. Whatever is not the endpoint or a health path is answered
    /// 404 or 405 in the same shape.
    pub fn router(self: &Arc<Self>) -> Router {
        Router::new().fallback(enter).with_state(Arc::clone(self))
    }

    /// What the health paths show, for the telemetry listener.
    #[must_use]
    pub fn health(&self) -> Arc<Health> {
        Arc::clone(&self.health)
    }

    /// What `/readyz` says, until draining begins.
    pub fn set_ready(&self, ready: bool) {
        self.health.set_ready(ready);
    }

    /// From now on `/readyz` says 503. Requests are served as before.
    pub fn drain(&self) {
        self.health.drain();
    }

    /// From now on every request, those that wait included, is answered 503.
    pub fn give_up(&self) {
        self.given_up.cancel();
    }

    /// Firehose requests that are not answered yet.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Acquire)
    }

    /// From a request's headers to its answer.
    async fn answer(&self, request: Request) -> Response {
        let started = Instant::now();
        let (parts, body) = request.into_parts();
        let rules = self.rules();
        if parts.uri.path() != rules.path {
            let (method, path) = (&parts.method, parts.uri.path());
            let answer = self.health.answer(method, path).unwrap_or(Answer::NoSuchPath);
            tracing::debug!(%method, path, status = answer.status().as_u16(), "not for the endpoint");
            if !waits_for_continue(&parts.headers) {
                self.discard(body, Bounds::STRANGER);
            }
            return answer.respond(&request_id(&parts.headers));
        }
        let _in_flight = InFlight::new(&self.in_flight);
        let is_post = parts.method == Method::POST;
        let of_use = parts.extensions.get::<OfUse>().cloned();
        let mut head = Head::read(parts);
        let mut pass = Pass { key: None };
        let answer = if is_post {
            let taken = self.take(&rules, &mut head, body, started, &mut pass, of_use.as_ref());
            match panics::caught(taken).await {
                Ok(answer) => answer,
                Err(panicked) => self.panicked(&panicked),
            }
        } else {
            if !head.waits_for_continue() {
                self.discard(body, Bounds::STRANGER);
            }
            Answer::NoSuchMethod { allow: "POST" }
        };
        self.books.answered(answer.status().as_u16(), started.elapsed());
        self.log(&answer, &head, pass);
        answer.respond(&head.request_id)
    }

    /// The route of a request.
    async fn take<'a>(
        &self,
        rules: &'a Arc<Rules>,
        head: &mut Head,
        mut body: Body,
        started: Instant,
        pass: &mut Pass<'a>,
        of_use: Option<&OfUse>,
    ) -> Answer {
        let deadline = started + rules.request_deadline;
        let admitted = rules.admit(head, pass, self.given_up.is_cancelled());
        if let (Some(of_use), true) = (of_use, pass.key.is_some()) {
            of_use.tell();
        }
        let Admitted { encoding, claimed, labels, mut permit, labels_permit, account } =
            match admitted {
                Ok(admitted) => admitted,
                Err(TurnedAway(answer, bounds)) => {
                    // A client that waits for `100 Continue` sends nothing that could be in the way.
                    if !head.waits_for_continue() {
                        self.discard(body, bounds);
                    }
                    return answer;
                }
            };
        // Nobody charges for them, and the body may be long in coming.
        head.forget_headers();
        let head = &*head;

        let undecoded = InFlight::new(&self.undecoded);
        let read_until = deadline.min(started + rules.read_timeout);
        let reading = admission::read(&mut body, claimed, rules.body_bytes_max, &mut permit);
        let wire = tokio::select! {
            read = tokio::time::timeout_at(read_until, reading) => read,
            () = self.given_up.cancelled() => return Answer::Later(SHUTTING_DOWN.to_owned()),
        };
        let wire = match wire {
            Ok(Ok(wire)) => wire,
            Ok(Err(unread)) => {
                let answer = match unread {
                    Unread::TooLong => {
                        Answer::Unreadable(admission::too_long(rules.body_bytes_max))
                    }
                    Unread::NoRoom => account.no_room(),
                    Unread::Broken(why) => {
                        return Answer::Unreadable(format!("the body broke off: {why}"));
                    }
                };
                self.discard(body, Bounds::known(rules.body_bytes_max));
                return answer;
            }
            Err(_) => {
                let within = format_duration(rules.read_timeout.min(rules.request_deadline));
                return Answer::Later(format!("the body did not arrive within {within}"));
            }
        };
        drop(body);
        self.books.read(wire.len());

        let (request_id, ledger) = (head.request_id.clone(), Arc::clone(&self.ledger));
        let terms = Terms { request_id, labels, deadline, ledger, _labels_permit: labels_permit };
        let terms = Arc::new(terms);
        let easy_bytes_max = account.part_bytes_max() / 4;
        let batch_bytes_max = rules.lanes.batch_bytes_max(&account.name);
        let job = Job { wire, encoding, easy_bytes_max, batch_bytes_max, permit };
        let decoded = self.decode(rules, job, &terms).await;
        drop(undecoded);
        let answer = match decoded {
            Ok(Ok(decoded)) => self.take_whole(rules, decoded, &terms, head).await,
            Ok(Err(Undecoded::TooMuch(opened))) => {
                self.take_in_slices(rules, account, opened, &terms, head).await
            }
            Ok(Err(undecoded)) => Err(Self::undecoded(rules, account, undecoded)),
            Err(answer) => Err(answer),
        };
        let skips = match answer {
            Ok(skips) => skips,
            Err(answer) => return answer,
        };
        if rules.on_undecodable == OnUndecodable::Reject && !skips.is_empty() {
            return Answer::Unreadable(skips.text());
        }
        self.books.succeeded(&head.stream);
        Answer::Done
    }

    /// Counts what was decoded. Returns what was skipped.
    pub(super) fn count(&self, decoded: &mut Decoded, head: &Head) -> Skips {
        self.books.decoded(&head.stream, &decoded.numbers, &decoded.skips);
        self.skip_log.write(&decoded.skips, head);
        std::mem::take(&mut decoded.skips)
    }

    /// Hands samples to the lanes and waits until they are settled.
    pub(super) async fn deliver(
        &self,
        rules: &Rules,
        decoded: Decoded,
        claim: Claim,
        terms: &Terms,
        batches: u32,
    ) -> Result<(), Answer> {
        let Decoded { mut batch, permit, numbers, .. } = decoded;
        // What is left out of the samples, and not what a repetition of them would leave out.
        rules.count_superseded(&numbers.superseded);
        self.books.limited(&numbers.limited, || Arc::clone(&rules.mapper));
        let freshness = std::mem::take(&mut batch.freshness);
        let (id, deadline) = (terms.request_id.clone(), terms.deadline);
        let request = queue::Request { id, deadline, batches, claim: Some(claim) };
        let account = rules.account_of(&permit);
        let acked = rules.lanes.submit(batch, permit, request);
        let acked = acked.map_err(|full| account.no_room_at(&full))?;
        match self.settled(rules, acked, deadline).await {
            Answer::Done => {}
            other => return Err(other),
        }
        self.books.delivered(&freshness);
        Ok(())
    }

    /// Decodes at once what holds up nobody for long, and the rest where it holds up nobody.
    async fn decode(
        &self,
        rules: &Arc<Rules>,
        job: Job,
        terms: &Arc<Terms>,
    ) -> Result<Result<Decoded, Undecoded>, Answer> {
        let bytes_max = rules.body_bytes_max;
        let undecoded = self.undecoded.load(Ordering::Acquire);
        let job = match self.workers.run_at_once(job, bytes_max, undecoded, terms, &rules.mapper) {
            Ok(done) => return Ok(done),
            Err(job) => job,
        };
        let own = Arc::clone(terms);
        self.on_worker(rules, terms.deadline, move |workers, mapper| {
            workers.run(*job, bytes_max, &own, mapper)
        })
        .await
    }

    /// Does work that takes long where it holds up nobody, as much at once as there are processors.
    pub(super) async fn on_worker<T: Send + 'static>(
        &self,
        rules: &Rules,
        deadline: Instant,
        work: impl FnOnce(&Workers, &Mapper) -> T + Send + 'static,
    ) -> Result<T, Answer> {
        let shutting_down = || Answer::Later(SHUTTING_DOWN.to_owned());
        let free = Arc::clone(&self.workers.free).acquire_owned();
        let slot = tokio::select! {
            slot = tokio::time::timeout_at(deadline, free) => slot,
            () = self.given_up.cancelled() => return Err(shutting_down()),
        };
        let Ok(Ok(slot)) = slot else { return Err(rules.late("no processor was free", None)) };
        let (workers, mapper) = (Arc::clone(&self.workers), Arc::clone(&rules.mapper));
        let work = self.tasks.spawn_blocking(move || {
            let outcome = work(&workers, &mapper);
            drop(slot);
            outcome
        });
        let done = tokio::select! {
            done = work => done,
            () = self.given_up.cancelled() => return Err(shutting_down()),
        };
        done.map_err(|error| match error.try_into_panic() {
            Ok(panic) => self.panicked(&Panicked::new(panic.as_ref())),
            Err(_) => shutting_down(),
        })
    }

    /// The answer to a body that came to nothing.
    pub(super) fn undecoded(rules: &Rules, account: &Account, undecoded: Undecoded) -> Answer {
        match undecoded {
            Undecoded::Unreadable(why) => Answer::Unreadable(why),
            Undecoded::NoRoom | Undecoded::TooMuch(_) => account.no_room(),
            Undecoded::Late => rules.late("while it was decoded", None),
            Undecoded::TooLong(_) => Answer::Unreadable(admission::too_long(rules.body_bytes_max)),
        }
    }

    /// The answer to a request that was given up. Once the house closes, that is why.
    pub(super) fn lost(&self, reason: String) -> Answer {
        let is_closing = self.given_up.is_cancelled();
        Answer::Later(if is_closing { SHUTTING_DOWN.to_owned() } else { reason })
    }

    /// Waits until everything is settled, time is up, or the house closes.
    async fn settled(&self, rules: &Rules, mut acked: Acked, deadline: Instant) -> Answer {
        tokio::select! {
            biased;
            settled = acked.settled() => match settled {
                Settled::Delivered => Answer::Done,
                Settled::Lost { reason } => self.lost(reason),
            },
            () = self.given_up.cancelled() => Answer::Later(SHUTTING_DOWN.to_owned()),
            () = tokio::time::sleep_until(deadline) => rules.late("not delivered", acked.trouble()),
        }
    }

    fn discard(&self, body: Body, bounds: Bounds) {
        self.discards.discard(body, bounds, &self.tasks, self.given_up.clone());
    }

    fn panicked(&self, panicked: &Panicked) -> Answer {
        self.books.panics.increment(1);
        tracing::error!(panic = panicked.0, "a request panicked: a fault of the gateway");
        Answer::Panicked
    }

    /// One line per failure; a line a minute for strangers and for want of room.
    fn log(&self, answer: &Answer, head: &Head, pass: Pass<'_>) {
        let status = answer.status().as_u16();
        let message = answer.message();
        let (id, stream) = (head.request_id.as_str(), head.stream.as_str());
        let key = pass.key.unwrap_or_default();
        let seldom = match answer {
            Answer::Unknown => Some(&self.refusal_log[0]),
            Answer::Forbidden => Some(&self.refusal_log[1]),
            Answer::Full(_) => Some(&self.refusal_log[2]),
            Answer::Unreadable(_) | Answer::Later(_) | Answer::Panicked => None,
            Answer::Done | Answer::NoSuchPath | Answer::NoSuchMethod { .. } => {
                tracing::debug!(request_id = id, stream, key, status, "answered");
                return;
            }
        };
        match (message, seldom.map(Seldom::due)) {
            (Some(error), None) => {
                tracing::warn!(request_id = id, stream, key, status, %error, "request failed");
            }
            (Some(error), Some(Some(left_out))) => tracing::warn!(
                request_id = id, stream, status, %error, requests_left_out = left_out, "request refused"
            ),
            _ => {}
        }
    }
}

async fn enter(State(door): State<Arc<Door>>, request: Request) -> Response {
    door.answer(request).await
}

/// Counts a request while it is being answered, however that ends.
struct InFlight<'a>(&'a AtomicUsize);

impl<'a> InFlight<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::AcqRel);
        Self(count)
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}
