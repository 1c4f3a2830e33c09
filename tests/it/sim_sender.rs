//! Firehose in a simulated world: delivers batches by the documented rules, hangs up now and then,
//! and knows of the gateway only what it is answered.

use std::collections::VecDeque;
use std::io::Write as _;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use bytes::Bytes;
use http_body::Frame;
use tokio::sync::Semaphore;
use tokio::time::{Instant, Sleep, sleep_until, timeout};

use super::receive_door::{Answer, envelope, request, with};
use super::sim_batches::{Batch, Envelope};
use super::sim_gateway::Gateway;
use super::sim_laws::{ANSWERED, Ledger};
use super::sim_receiver::Link;
use super::sim_world::{Clock, End, World};

/// How long Firehose waits for an answer, and how it spaces its attempts.
const TIMEOUT: Duration = Duration::from_secs(180);
const BACKOFF_START: Duration = Duration::from_secs(1);
const BACKOFF_MAX: Duration = Duration::from_secs(120);
/// What can never be read is given up early, to spare the time.
const UNREADABLE_ATTEMPTS: u32 = 3;

/// Where the gateway of the moment is, if there is one.
pub(crate) type Address = Arc<Mutex<Option<(Arc<Gateway<Link>>, Arc<Ledger>)>>>;

/// A body that takes its time, and may break off.
struct Paced {
    chunks: VecDeque<Bytes>,
    pause: Duration,
    breaks_off: bool,
    next: Option<Pin<Box<Sleep>>>,
}

impl http_body::Body for Paced {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        let at = Instant::now() + self.pause;
        let next = self.next.get_or_insert_with(|| Box::pin(sleep_until(at)));
        std::task::ready!(next.as_mut().poll(context));
        self.next = None;
        let chunk = self.chunks.pop_front();
        Poll::Ready(match chunk {
            Some(chunk) => Some(Ok(Frame::data(chunk))),
            None if self.breaks_off => Some(Err(std::io::ErrorKind::ConnectionReset.into())),
            None => None,
        })
    }
}

/// What a sender does in one attempt.
struct Manner {
    /// Hangs up so long after the beginning.
    gone_after_ms: Option<u64>,
    /// Pause between pieces of the body.
    pause_ms: Option<u64>,
    breaks_off: bool,
    says_length: bool,
    /// A 200 is lost on its way back.
    is_deaf: bool,
}

/// Delivers a batch from where it stands to its end, or to the end of the gateway's life.
pub(crate) async fn deliver(
    world: Arc<World>,
    clock: Arc<Clock>,
    address: Address,
    turns: Arc<Semaphore>,
    number: usize,
) {
    let batch = &world.cargo.batches[number];
    let sender = &world.plan.senders[batch.sender];
    let mut turn = None;
    loop {
        let next_ms = world.deliveries()[number].next_ms;
        clock.sleep_until(next_ms).await;
        if turn.is_none() {
            turn = Some(turns.acquire().await.expect("never closed"));
            // Whoever waited for a turn comes at a moment of its own.
            clock.sleep(0).await;
        }
        {
            let delivery = &mut world.deliveries()[number];
            delivery.is_out = true;
            delivery.attempts += 1;
        }
        let gateway = address.lock().unwrap().clone();
        let is_done = match gateway {
            Some((gateway, ledger)) => attempt(&world, gateway, &ledger, number).await,
            None => false,
        };
        let backoff = {
            let deliveries = &mut world.deliveries()[number];
            deliveries.is_out = false;
            if is_done {
                deliveries.end = Some(End::Acknowledged);
                return;
            }
            backoff(&world, deliveries.attempts)
        };
        if put_off(&world, number, backoff, clock.now_ms()) {
            return;
        }
        if !sender.patient {
            turn = None;
        }
    }
}

/// Plans the next attempt. True if there is none.
pub(crate) fn put_off(world: &World, number: usize, backoff: Duration, now_ms: u64) -> bool {
    let batch = &world.cargo.batches[number];
    let retry = world.plan.senders[batch.sender].retry;
    let delivery = &mut world.deliveries()[number];
    let is_hopeless = batch.envelope != Envelope::Good && delivery.attempts >= UNREADABLE_ATTEMPTS;
    if delivery.waited + backoff > retry || is_hopeless {
        delivery.end = Some(End::Backup);
        return true;
    }
    delivery.waited += backoff;
    delivery.next_ms = now_ms + backoff.as_millis() as u64;
    delivery.is_out = false;
    false
}

pub(crate) fn backoff(world: &World, attempts: u32) -> Duration {
    let doubled = BACKOFF_START.saturating_mul(2_u32.saturating_pow(attempts.saturating_sub(1)));
    doubled.min(BACKOFF_MAX).mul_f64(0.85 + world.below(3001) as f64 / 10_000.0)
}

/// One attempt. True if it is acknowledged.
async fn attempt(
    world: &World,
    gateway: Arc<Gateway<Link>>,
    ledger: &Ledger,
    number: usize,
) -> bool {
    let batch = &world.cargo.batches[number];
    let manner = manner(world, batch);
    let sender = &world.plan.senders[batch.sender];
    let is_instant = manner.pause_ms.is_none() && manner.says_length && !sender.gzip;
    let request = dressed(world, batch, &manner, ledger.clock.now_ms());
    let attempt = ledger.begin(number, is_instant);
    world.note(ledger.clock.now_ms(), 1, number as u64, || format!("batch {number} comes"));
    let mut call = gateway.call(request);
    drop(gateway);
    let hangs_up = async {
        match manner.gone_after_ms {
            Some(ms) => ledger.clock.sleep(ms).await,
            None => std::future::pending().await,
        }
    };
    let answer = tokio::select! {
        biased;
        answer = timeout(TIMEOUT, &mut call) => answer,
        () = hangs_up => {
            call.abort();
            ledger.gone(attempt);
            world.note(ledger.clock.now_ms(), 2, number as u64, || format!("batch {number} hangs up"));
            return false;
        }
    };
    let Ok(answer) = answer else {
        call.abort();
        ledger.breach(ANSWERED, format!("batch {number} was not answered in {TIMEOUT:?}"));
        return false;
    };
    let Ok(answer) = answer else {
        ledger.breach(ANSWERED, format!("the task of batch {number} panicked"));
        return false;
    };
    if manner.breaks_off {
        // Who breaks off hears no answer.
        ledger.gone(attempt);
        return false;
    }
    let answer = Answer::checked(answer).await;
    if answer.request_id != batch.id {
        ledger.breach(ANSWERED, format!("batch {number} was answered with another id"));
    }
    world.note(ledger.clock.now_ms(), 3, u64::from(answer.status), || {
        format!("batch {number} is answered {} {}", answer.status, answer.error)
    });
    ledger.answered(attempt, answer.status, &answer.error);
    answer.status == 200 && !manner.is_deaf
}

fn manner(world: &World, batch: &Batch) -> Manner {
    let sender = &world.plan.senders[batch.sender];
    let gone = world.percent(sender.gone);
    let slow = world.percent(sender.slow);
    let longest_ms = [3, 300, 20_000][world.below(3) as usize];
    Manner {
        gone_after_ms: (gone && world.below(4) > 0).then(|| world.below(longest_ms)),
        breaks_off: gone && slow,
        pause_ms: slow.then(|| 1 + world.below(800)),
        is_deaf: world.percent(sender.gone / 2),
        says_length: world.below(10) > 0 || world.plan.is_exact,
    }
}

/// The request of a batch as it goes out this time.
fn dressed(world: &World, batch: &Batch, manner: &Manner, now_ms: u64) -> Request<Body> {
    let sender = &world.plan.senders[batch.sender];
    let id = if batch.envelope == Envelope::OtherId { "another" } else { batch.id.as_str() };
    let records: Vec<&[u8]> = batch.records.iter().map(Vec::as_slice).collect();
    let mut body = envelope(id, &records);
    // Each attempt says when it was made.
    let stamp = format!("{}", 1_760_000_100_000 + now_ms);
    let said = b"1760000100000";
    if let Some(at) = body.windows(said.len()).position(|window| window == said) {
        body.splice(at..at + said.len(), stamp.bytes());
    }
    if batch.envelope == Envelope::NotJson {
        body.truncate(body.len() / 2);
    }
    if sender.gzip {
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packed.write_all(&body).expect("memory");
        body = packed.finish().expect("memory");
    }
    let length = body.len().to_string();
    let body = match manner.pause_ms {
        None => Body::from(body),
        Some(pause_ms) => Body::new(Paced {
            chunks: body.chunks(body.len() / 4 + 1).map(Bytes::copy_from_slice).collect(),
            pause: Duration::from_millis(pause_ms),
            breaks_off: manner.breaks_off,
            next: None,
        }),
    };
    let mut request = with(request(body), "x-amz-firehose-request-id", &batch.id);
    if manner.says_length {
        request = with(request, "content-length", &length);
    }
    if sender.gzip {
        request = with(request, "content-encoding", "gzip");
    }
    request
}
