//! From a body's bytes to a batch: unpack, open the envelope, decode each record, map each reading.
//! Memory is charged as it grows, and comes back with the permit.

use std::num::NonZero;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::admission::cover;
use super::books::Yield;
use super::head::Encoding;
use super::reply::{echoed, now_ms};
use super::skips::Skips;
use super::unpack::{self, Packed};
use crate::decode::envelope::{self, Data};
use crate::decode::{self, Glimpse, Reading, Reason, Visit};
use crate::map::{Mapper, Mapping, Slice};
use crate::queue::{Key, Ledger, Permit, REQUEST_CHARGE_MIN};
use crate::sample::Batch;

/// Plain bodies up to this length are always decoded at once: that is over before another thread would begin.
const TINY_BYTES_MAX: usize = 32 << 10;
/// Bodies that unpack to this much may be decoded on the I/O thread that has read them.
const AT_ONCE_BYTES_MAX: u64 = 1 << 20;
/// With more bodies than this per processor that are not decoded yet, none is decoded on an I/O thread: health
/// checks would have to wait for all of them.
const AT_ONCE_BODIES_MAX: usize = 4;
/// So long after one was decoded at once none is: I/O threads that do nothing else leave what comes in the
/// sockets, where the budget does not see it, and nobody is answered 503.
const AT_ONCE_PAUSE: Duration = Duration::from_millis(5);
/// Memory that all idle benches may keep.
const IDLE_BYTES_MAX: usize = 8 << 20;
/// Readings and skipped pieces between two looks at the budget and the clock within one record.
const PIECES_PER_LOOK: u32 = 256;

/// A read body.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) wire: Vec<u8>,
    pub(super) encoding: Encoding,
    /// Samples that take more than this are taken in slices if there is no room for all at once.
    pub(super) easy_bytes_max: u64,
    /// Samples that take more than this are taken in slices.
    pub(super) batch_bytes_max: u64,
    pub(super) permit: Permit,
}

/// What decoding a body needs to know of its request.
pub(super) struct Terms {
    pub(super) request_id: String,
    pub(super) labels: Vec<(String, String)>,
    pub(super) deadline: Instant,
    /// Makes the key that the request is known by.
    pub(super) ledger: Arc<Ledger>,
    /// For the labels.
    pub(super) _labels_permit: Permit,
}

/// An unpacked body, and the bytes that it is charged.
#[derive(Debug)]
pub(super) struct Opened {
    body: Vec<u8>,
    _permit: Permit,
}

/// What a job came to.
#[derive(Debug)]
pub(super) struct Decoded {
    pub(super) batch: Batch,
    pub(super) permit: Permit,
    pub(super) skips: Skips,
    pub(super) numbers: Yield,
    /// Of the whole request, also where this is a slice of it.
    pub(super) key: Key,
}

/// Why a job came to nothing.
#[derive(Debug)]
pub(super) enum Undecoded {
    /// The body is at fault.
    Unreadable(String),
    /// The budget is used up.
    NoRoom,
    /// The samples are too many for one batch: more than a destination has room for, or the budget is
    /// used up and they take a large part of it.
    TooMuch(Opened),
    /// The request's time was up.
    Late,
    /// Unpacked, the body is longer than it may be.
    TooLong(Box<Job>),
}

/// Buffers that are used again and again.
#[derive(Default)]
struct Bench {
    body: Vec<u8>,
    record: Vec<u8>,
}

/// Those who decode: beside the I/O threads as many at once as there are processors.
pub(super) struct Workers {
    pub(super) free: Arc<Semaphore>,
    benches: Mutex<Vec<Bench>>,
    processors: usize,
    /// When a body was last decoded at once: its beginning, and then its end.
    at_once: Mutex<Option<Instant>>,
}

impl std::fmt::Debug for Workers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Workers")
    }
}

impl Workers {
    pub(super) fn new() -> Arc<Self> {
        let processors = std::thread::available_parallelism().map_or(1, NonZero::get);
        Arc::new(Self {
            free: Arc::new(Semaphore::new(processors)),
            benches: Mutex::default(),
            processors,
            at_once: Mutex::default(),
        })
    }

    /// Does a job with buffers of an earlier one. Its body may unpack to `bytes_max`.
    pub(super) fn run(
        &self,
        job: Job,
        bytes_max: u64,
        terms: &Terms,
        mapper: &Mapper,
    ) -> Result<Decoded, Undecoded> {
        self.with_bench(|bench| job.run(bench, bytes_max, terms, mapper))
    }

    /// Does a job, unless that would hold the I/O threads for too long: it gives back what is large, what comes
    /// soon after another, and all if many bodies are `undecoded`.
    pub(super) fn run_at_once(
        &self,
        job: Job,
        bytes_max: u64,
        undecoded: usize,
        terms: &Terms,
        mapper: &Mapper,
    ) -> Result<Result<Decoded, Undecoded>, Box<Job>> {
        if job.encoding == Encoding::Identity && job.wire.len() <= TINY_BYTES_MAX {
            return Ok(self.run(job, bytes_max, terms, mapper));
        }
        let bytes_max = bytes_max.min(AT_ONCE_BYTES_MAX);
        if undecoded > AT_ONCE_BODIES_MAX * self.processors || job.claimed() > bytes_max {
            return Err(Box::new(job));
        }
        let last = || self.at_once.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        match &mut *last() {
            Some(last) if now.saturating_duration_since(*last) < AT_ONCE_PAUSE => {
                return Err(Box::new(job));
            }
            last => *last = Some(now),
        }
        let outcome = self.run(job, bytes_max, terms, mapper);
        *last() = Some(Instant::now());
        match outcome {
            // It may be as long on another thread.
            Err(Undecoded::TooLong(job)) => Err(job),
            done => Ok(done),
        }
    }

    /// Decodes the slice of a body whose samples did not fit as a whole. `permit` is for the samples.
    pub(super) fn run_slice(
        &self,
        opened: &Opened,
        slice: Slice,
        terms: &Terms,
        permit: Permit,
        mapper: &Mapper,
    ) -> Result<Decoded, Undecoded> {
        let mapping = mapper.begin(&terms.labels, now_ms()).only(slice);
        let held = Held { bytes: 0, permit };
        self.with_bench(|bench| decode(&opened.body, &mut bench.record, terms, held, mapping))
            .map_err(|failed| failed.why)
    }

    fn with_bench<T>(&self, work: impl FnOnce(&mut Bench) -> T) -> T {
        let mut bench = self.benches().pop().unwrap_or_default();
        let outcome = work(&mut bench);
        let bytes = bench.body.capacity().saturating_add(bench.record.capacity());
        let mut benches = self.benches();
        if bytes <= IDLE_BYTES_MAX / self.processors && benches.len() < self.processors {
            benches.push(bench);
        }
        outcome
    }

    fn benches(&self) -> std::sync::MutexGuard<'_, Vec<Bench>> {
        self.benches.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Job {
    /// What the body claims to unpack to.
    fn claimed(&self) -> u64 {
        match self.encoding {
            Encoding::Identity => self.wire.len() as u64,
            Encoding::Gzip => unpack::claimed(&self.wire, u64::MAX) as u64,
        }
    }

    /// Unpacks the body into memory that is charged before it is taken.
    fn unpack(
        mut self,
        body: &mut Vec<u8>,
        bytes_max: u64,
        deadline: Instant,
    ) -> Result<Self, Undecoded> {
        let mut late = false;
        let held = self.wire.capacity() as u64;
        let unpacked = unpack::gunzip(&self.wire, body, bytes_max, |bytes| {
            late = deadline <= Instant::now();
            !late && cover(&mut self.permit, held.saturating_add(bytes))
        });
        match unpacked {
            Ok(()) => Ok(self),
            Err(Packed::Broken(why)) => {
                Err(Undecoded::Unreadable(format!("the body is not gzip: {why}")))
            }
            Err(Packed::TooLong) => {
                // What was unpacked is gone.
                let _ = self.permit.try_resize(held.max(REQUEST_CHARGE_MIN));
                Err(Undecoded::TooLong(Box::new(self)))
            }
            Err(Packed::NoRoom) if late => Err(Undecoded::Late),
            Err(Packed::NoRoom) => Err(Undecoded::NoRoom),
        }
    }

    fn run(
        mut self,
        bench: &mut Bench,
        bytes_max: u64,
        terms: &Terms,
        mapper: &Mapper,
    ) -> Result<Decoded, Undecoded> {
        let is_packed = self.encoding == Encoding::Gzip;
        let mut body = std::mem::take(if is_packed { &mut bench.body } else { &mut self.wire });
        if is_packed {
            self = self.unpack(&mut body, bytes_max, terms.deadline)?;
            self.wire = Vec::new();
            // Room for what the trailer claimed and the body did not fill.
            if body.capacity() / 2 > body.len().max(IDLE_BYTES_MAX) {
                body.shrink_to_fit();
            }
        }
        let Self { easy_bytes_max, batch_bytes_max, permit, .. } = self;
        let held = Held { bytes: body.capacity() as u64, permit };
        let mapping = mapper.begin(&terms.labels, now_ms());
        let outcome = decode(&body, &mut bench.record, terms, held, mapping);
        // What would have to wait until a destination has nothing else must not.
        let outcome = match outcome {
            Ok(Decoded { permit, .. }) if permit.bytes() > batch_bytes_max => {
                let batch_bytes = permit.bytes();
                Err(Failed { why: Undecoded::NoRoom, batch_bytes, permit })
            }
            outcome => outcome,
        };
        match outcome {
            Err(Failed { why: Undecoded::NoRoom, batch_bytes, mut permit })
                if batch_bytes > easy_bytes_max.min(batch_bytes_max) =>
            {
                // Mostly this gives back what the samples took.
                match permit.try_resize(body.capacity() as u64) {
                    true => Err(Undecoded::TooMuch(Opened { body, _permit: permit })),
                    false => Err(Undecoded::NoRoom),
                }
            }
            outcome => {
                if is_packed {
                    bench.body = body;
                }
                outcome.map_err(|failed| failed.why)
            }
        }
    }
}

/// A permit, and how many of its bytes are not for the samples.
struct Held {
    bytes: u64,
    permit: Permit,
}

/// A body that was not decoded to its end.
struct Failed {
    why: Undecoded,
    /// What its samples took until then.
    batch_bytes: u64,
    permit: Permit,
}

/// Decodes a body record by record. The permit grows with what it holds, and is left with the
/// samples' bytes.
fn decode(
    body: &[u8],
    record: &mut Vec<u8>,
    terms: &Terms,
    held: Held,
    mapping: Mapping<'_>,
) -> Result<Decoded, Failed> {
    let Held { bytes: mut held_bytes, permit } = held;
    let fail = |why, permit| Failed { why, batch_bytes: 0, permit };
    let envelope = match envelope::open(body) {
        Ok(envelope) => envelope,
        Err(fault) => {
            let why = format!("the body cannot be read: {fault}");
            return Err(fail(Undecoded::Unreadable(why), permit));
        }
    };
    if echoed(envelope.request_id.as_bytes()) != terms.request_id {
        let why = "the request id of the headers is not that of the body".to_owned();
        return Err(fail(Undecoded::Unreadable(why), permit));
    }
    held_bytes += (envelope.records.capacity() * size_of::<Data<'_>>()) as u64;
    let skips = Skips::default();
    let mut visitor = Visitor {
        mapping,
        permit,
        held_bytes,
        skips,
        deadline: terms.deadline,
        unlooked: 0,
        no_room: false,
        late: false,
    };
    let mut content = terms.ledger.content();
    for data in &envelope.records {
        let text = match data {
            Data::Plain(text) | Data::Escaped(text) => text,
            Data::Missing => &b""[..],
        };
        visitor.held_bytes = held_bytes + record.capacity().max(text.len()) as u64;
        visitor.charge();
        if !visitor.no_room {
            match data.decode(record) {
                Ok(bytes) => {
                    content.record(bytes);
                    decode::record(bytes, &mut visitor);
                }
                Err(reason) => {
                    content.unreadable(text);
                    visitor.skipped(reason, &[]);
                }
            }
        }
        if visitor.no_room || visitor.late || terms.deadline <= Instant::now() {
            let why = if visitor.no_room { Undecoded::NoRoom } else { Undecoded::Late };
            let batch_bytes = visitor.mapping.bytes();
            return Err(Failed { why, batch_bytes, permit: visitor.permit });
        }
    }
    visitor.held_bytes = held_bytes;
    visitor.charge();
    let Visitor { mapping, mut permit, skips, no_room, .. } = visitor;
    let batch_bytes = mapping.bytes();
    if no_room {
        return Err(Failed { why: Undecoded::NoRoom, batch_bytes, permit });
    }
    let mapped = mapping.finish();
    if !permit.try_resize(mapped.bytes.min(batch_bytes).max(REQUEST_CHARGE_MIN)) {
        return Err(Failed { why: Undecoded::NoRoom, batch_bytes, permit });
    }
    let numbers = Yield {
        records: envelope.records.len() as u64,
        body_bytes: Some(body.len() as u64),
        points_by_format: mapped.points_by_format,
        hits: mapped.cache_hits,
        misses: mapped.cache_misses,
        evictions: mapped.cache_evictions,
        conflicts: mapped.conflicts.iter().map(|(kind, times)| (kind.name(), *times)).collect(),
        superseded: mapped.superseded,
        limited: mapped.limited,
    };
    let key = terms.ledger.key(&terms.request_id, &terms.labels, &content);
    Ok(Decoded { batch: mapped.batch, permit, skips, numbers, key })
}

/// Takes what the records hold, and looks after the budget.
struct Visitor<'a> {
    mapping: Mapping<'a>,
    permit: Permit,
    /// Everything but the mapping.
    held_bytes: u64,
    skips: Skips,
    deadline: Instant,
    /// Pieces since the budget and the clock were last looked at.
    unlooked: u32,
    no_room: bool,
    late: bool,
}

impl Visitor<'_> {
    fn charge(&mut self) {
        let bytes = self.held_bytes.saturating_add(self.mapping.bytes());
        self.no_room = self.no_room || !cover(&mut self.permit, bytes);
    }

    /// A record may be as large as the body: what it grows to and how long it takes is bounded
    /// within it, too.
    #[inline]
    fn look(&mut self) {
        self.unlooked += 1;
        if self.unlooked >= PIECES_PER_LOOK {
            self.unlooked = 0;
            self.charge();
            self.late = self.late || self.deadline <= Instant::now();
        }
    }
}

impl Visit for Visitor<'_> {
    fn reading(&mut self, reading: &Reading<'_>) {
        if self.is_over() {
            return;
        }
        self.mapping.reading(reading);
        self.look();
    }

    fn glimpse(&mut self, glimpse: &Glimpse<'_>) -> bool {
        // What is of no interest any more is done with.
        if self.is_over() {
            return true;
        }
        let is_known = self.mapping.glimpse(glimpse);
        if is_known {
            self.look();
        }
        is_known
    }

    fn glimpsed(&mut self, reading: &Reading<'_>) {
        if self.is_over() {
            return;
        }
        self.mapping.glimpsed(reading);
        self.look();
    }

    fn skipped(&mut self, reason: Reason, piece: &[u8]) {
        if self.is_over() {
            return;
        }
        self.skips.note(reason, piece);
        self.look();
    }

    #[inline]
    fn is_over(&self) -> bool {
        self.no_room || self.late
    }
}

#[cfg(test)]
#[path = "worker_tests.rs"]
mod tests;
