//! From a body's bytes to a batch: unpack, open the envelope, decode each record, map each reading.
//! Memory is charged as it grows, and comes back with the permit.

use std::num::NonZero;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::admission::{cover, too_long};
use super::books::Yield;
use super::head::Encoding;
use super::reply::echoed;
use super::skips::Skips;
use super::unpack::{self, Packed};
use crate::decode::envelope::{self, Data};
use crate::decode::{self, Reading, Reason, Visit};
use crate::map::{Mapper, Mapping};
use crate::queue::{Permit, REQUEST_CHARGE_MIN};
use crate::sample::Batch;

/// Bodies up to this length, and what they say that they unpack to, are decoded where they were
/// read: handing them over would cost more.
const INLINE_WIRE_BYTES_MAX: usize = 32 << 10;
const INLINE_BODY_BYTES_MAX: usize = 256 << 10;
/// Memory that all idle benches may keep.
const IDLE_BYTES_MAX: usize = 32 << 20;
/// Readings between two looks at the budget within one record.
const READINGS_PER_CHARGE: u32 = 256;

/// A read body and what decoding it needs to know.
pub(super) struct Job {
    pub(super) wire: Vec<u8>,
    pub(super) encoding: Encoding,
    pub(super) request_id: String,
    pub(super) labels: Vec<(String, String)>,
    pub(super) body_bytes_max: u64,
    pub(super) deadline: Instant,
    pub(super) permit: Permit,
}

/// What a job came to.
#[derive(Debug)]
pub(super) struct Decoded {
    pub(super) batch: Batch,
    pub(super) permit: Permit,
    pub(super) skips: Skips,
    pub(super) numbers: Yield,
}

/// Why a job came to nothing.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Undecoded {
    /// The body is at fault.
    Unreadable(String),
    /// The budget is used up.
    NoRoom,
    /// The request's time was up.
    Late,
}

/// Buffers that are used again and again.
#[derive(Default)]
struct Bench {
    body: Vec<u8>,
    record: Vec<u8>,
}

/// Those who decode: as many at once as there are processors, so that the buffers of all of them
/// are bounded, too.
pub(super) struct Workers {
    pub(super) free: Arc<Semaphore>,
    benches: Mutex<Vec<Bench>>,
    benches_max: usize,
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
            benches_max: processors,
        })
    }

    /// Does a job with buffers of an earlier one.
    pub(super) fn run(&self, job: Job, mapper: &Mapper) -> Result<Decoded, Undecoded> {
        let mut bench = self.benches().pop().unwrap_or_default();
        let outcome = job.run(&mut bench, mapper);
        let bytes = bench.body.capacity().saturating_add(bench.record.capacity());
        let mut benches = self.benches();
        if bytes <= IDLE_BYTES_MAX / self.benches_max && benches.len() < self.benches_max {
            benches.push(bench);
        }
        outcome
    }

    fn benches(&self) -> std::sync::MutexGuard<'_, Vec<Bench>> {
        self.benches.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Job {
    /// Whether the job is so small that it may hold an I/O thread.
    pub(super) fn is_small(&self) -> bool {
        let body = match self.encoding {
            Encoding::Identity => self.wire.len(),
            Encoding::Gzip => unpack::claimed(&self.wire, self.body_bytes_max),
        };
        self.wire.len() <= INLINE_WIRE_BYTES_MAX && body <= INLINE_BODY_BYTES_MAX
    }

    fn run(mut self, bench: &mut Bench, mapper: &Mapper) -> Result<Decoded, Undecoded> {
        let Bench { body, record } = bench;
        let body = match self.encoding {
            Encoding::Identity => &self.wire,
            Encoding::Gzip => {
                let (permit, deadline) = (&mut self.permit, self.deadline);
                let wire = std::mem::take(&mut self.wire);
                let held = wire.capacity() as u64;
                let mut late = false;
                unpack::gunzip(&wire, body, self.body_bytes_max, |bytes| {
                    late = deadline <= Instant::now();
                    !late && cover(permit, held.saturating_add(bytes))
                })
                .map_err(|fault| match fault {
                    Packed::Broken(why) => {
                        Undecoded::Unreadable(format!("the body is not gzip: {why}"))
                    }
                    Packed::TooLong => Undecoded::Unreadable(too_long(self.body_bytes_max)),
                    Packed::NoRoom if late => Undecoded::Late,
                    Packed::NoRoom => Undecoded::NoRoom,
                })?;
                &*body
            }
        };
        let envelope = envelope::open(body)
            .map_err(|fault| Undecoded::Unreadable(format!("the body cannot be read: {fault}")))?;
        if echoed(envelope.request_id.as_bytes()) != self.request_id {
            return Err(Undecoded::Unreadable(
                "the request id of the headers is not that of the body".to_owned(),
            ));
        }
        let body_bytes = body.len() as u64;
        let list_bytes = (envelope.records.capacity() * size_of::<Data<'_>>()) as u64;
        let mut visitor = Visitor {
            mapping: mapper.begin(&self.labels),
            permit: &mut self.permit,
            held_bytes: 0,
            skips: Skips::default(),
            uncharged: 0,
            no_room: false,
        };
        for data in &envelope.records {
            let text_bytes = match data {
                Data::Plain(text) | Data::Escaped(text) => text.len(),
                Data::Missing => 0,
            };
            let record_bytes = record.capacity().max(text_bytes) as u64;
            visitor.held_bytes = (body_bytes + list_bytes).saturating_add(record_bytes);
            visitor.charge();
            if visitor.no_room {
                return Err(Undecoded::NoRoom);
            }
            match data.decode(record) {
                Ok(bytes) => decode::record(bytes, &mut visitor),
                Err(reason) => visitor.skipped(reason, &[]),
            }
            if visitor.no_room {
                return Err(Undecoded::NoRoom);
            }
            if self.deadline <= Instant::now() {
                return Err(Undecoded::Late);
            }
        }
        visitor.charge();
        let Visitor { mapping, skips, no_room, .. } = visitor;
        if no_room {
            return Err(Undecoded::NoRoom);
        }
        let batch_bytes = mapping.bytes();
        let mapped = mapping.finish();
        let records = envelope.records.len() as u64;
        drop(envelope);
        drop(std::mem::take(&mut self.wire));
        if !self.permit.try_resize(batch_bytes.max(REQUEST_CHARGE_MIN)) {
            return Err(Undecoded::NoRoom);
        }
        let numbers = Yield {
            records,
            body_bytes,
            points_by_format: mapped.points_by_format,
            hits: mapped.cache_hits,
            misses: mapped.cache_misses,
            evictions: mapped.cache_evictions,
            conflicts: mapped.conflicts.iter().map(|(kind, times)| (kind.name(), *times)).collect(),
            superseded: mapped.superseded,
        };
        Ok(Decoded { batch: mapped.batch, permit: self.permit, skips, numbers })
    }
}

/// Takes what the records hold, and looks after the budget.
struct Visitor<'a> {
    mapping: Mapping<'a>,
    permit: &'a mut Permit,
    /// Everything but the mapping.
    held_bytes: u64,
    skips: Skips,
    uncharged: u32,
    no_room: bool,
}

impl Visitor<'_> {
    fn charge(&mut self) {
        self.uncharged = 0;
        let bytes = self.held_bytes.saturating_add(self.mapping.bytes());
        self.no_room = self.no_room || !cover(self.permit, bytes);
    }
}

impl Visit for Visitor<'_> {
    fn reading(&mut self, reading: &Reading<'_>) {
        // A record may be as large as the body: what it grows to is bounded within it, too.
        if self.no_room {
            return;
        }
        self.mapping.reading(reading);
        self.uncharged += 1;
        if self.uncharged == READINGS_PER_CHARGE {
            self.charge();
        }
    }

    fn skipped(&mut self, reason: Reason, piece: &[u8]) {
        self.skips.note(reason, piece);
    }
}
