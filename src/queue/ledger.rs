//! What requests have come to, so that one that comes again is not sent again. It lives in memory,
//! bounded: what it forgets is sent once more, which receivers take.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher as _, Hasher as _};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use foldhash::quality::{FoldHasher, RandomState};
use metrics::Gauge;
use tokio::sync::watch;
use tokio::time::Instant;

use super::ack::Settled;
use crate::meters::{self, Meters};

/// Requests remembered after their end. With the table's spare room one takes about 150 bytes, 5 MiB
/// in all. The list of those who settled it costs more only where it is not that of the destinations
/// which requests wait for now: after a failure, and for ten minutes after a new configuration.
const ENTRIES_MAX: usize = 32 << 10;
/// How long a request is remembered after its end. Firehose tries again within two minutes.
const REMEMBERED_FOR: Duration = Duration::from_secs(600);

/// What a request is known by: its id with the labels that its common attributes give, and its
/// records' bytes, each a keyed hash.
///
/// 64 bits of each are enough. Within one id there are a handful of contents, so that two of them
/// agree by accident once in 10^18 times; and on purpose only for one who knows this process's
/// random key, and who would deprive his own stream of samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    request: u64,
    content: u64,
}

/// The content of a request: its records in their order, however they came.
#[derive(Clone)]
pub struct Content(FoldHasher<'static>);

impl std::fmt::Debug for Content {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Content")
    }
}

impl Content {
    /// Adds a record.
    pub fn record(&mut self, bytes: &[u8]) {
        self.piece(0, bytes);
    }

    /// Adds a record whose data could not be read, as it stands in the envelope.
    pub fn unreadable(&mut self, text: &[u8]) {
        self.piece(1, text);
    }

    fn piece(&mut self, kind: u8, bytes: &[u8]) {
        self.0.write_u8(kind);
        self.0.write_usize(bytes.len());
        self.0.write(bytes);
    }
}

/// Destinations by their serials. A destination keeps its serial for as long as what is sent to it
/// goes to the same place; what has the same name after that has another one.
pub type Serials = Arc<[u64]>;

/// What requests have come to. One for the whole life of a gateway, whatever its configuration
/// becomes.
pub struct Ledger {
    hashes: RandomState,
    book: Mutex<Book>,
    entries: Gauge,
}

/// How a request stands when it comes.
#[derive(Debug)]
#[must_use]
pub enum Entry {
    /// It is the first, or the first that is not over: it is to be sent, but for what its claim
    /// says is settled.
    New(Claim),
    /// Another one is at work on the same, for every destination that this one has to wait for.
    Joined(Joined),
    /// Another one is at work on the same, but its 200 would not do: it will not come any more, or
    /// leaves out a destination. Once it has let go, this one may enter again.
    Ending(Ending),
    /// Every destination that it has to wait for has settled it before.
    Remembered,
}

/// The right to send a request, kept with its data. When it is dropped the next may try, at the
/// destinations that have not settled it yet.
#[derive(Debug)]
pub struct Claim {
    ledger: Arc<Ledger>,
    key: Key,
    /// The destinations that will have settled all of it once it is delivered.
    serves: Serials,
    /// Those that have settled all of it.
    settled_at: Vec<u64>,
    resumes: bool,
    delivered: bool,
    outcome: watch::Sender<Option<Settled>>,
}

/// The outcome of another request's work.
#[derive(Debug)]
pub struct Joined(watch::Receiver<Option<Settled>>);

/// The end of another request's work.
#[derive(Debug)]
pub struct Ending(watch::Receiver<Option<Settled>>);

#[derive(Debug)]
struct Book {
    records: HashMap<Key, Record, RandomState>,
    /// Those that have ended, oldest first. One that was resumed since has another number.
    ended: VecDeque<End>,
    last_number: u64,
    entries_max: usize,
    remembered_for: Duration,
}

#[derive(Debug)]
enum Record {
    /// The data holds a permit, so the budget bounds how many there are.
    AtWork(Box<Work>),
    /// Delivered or not, these destinations have settled all of it.
    Ended { number: u64, settled_at: Serials },
}

#[derive(Debug)]
struct Work {
    deadline: Instant,
    serves: Serials,
    outcome: watch::Receiver<Option<Settled>>,
}

#[derive(Debug)]
struct End {
    at: Instant,
    key: Key,
    number: u64,
}

impl std::fmt::Debug for Ledger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Ledger")
    }
}

impl Ledger {
    /// An empty ledger.
    #[must_use]
    pub fn new(meters: &Meters) -> Arc<Self> {
        Self::bounded(ENTRIES_MAX, REMEMBERED_FOR, meters)
    }

    /// An empty ledger that remembers at most so many ended requests for so long.
    #[must_use]
    pub fn bounded(entries_max: usize, remembered_for: Duration, meters: &Meters) -> Arc<Self> {
        Arc::new(Self {
            hashes: RandomState::default(),
            book: Mutex::new(Book {
                records: HashMap::default(),
                ended: VecDeque::new(),
                last_number: 0,
                entries_max: entries_max.max(1),
                remembered_for,
            }),
            entries: meters.gauge(&meters::REQUEST_MEMORY_ENTRIES, &[]),
        })
    }

    /// The content of a request without records yet.
    #[must_use]
    pub fn content(&self) -> Content {
        Content(self.hashes.build_hasher())
    }

    /// The key of a request with this id, these labels of its own, and this content.
    #[must_use]
    pub fn key(&self, id: &str, labels: &[(String, String)], content: &Content) -> Key {
        Key { request: self.hashes.hash_one((id, labels)), content: content.0.finish() }
    }

    /// The key of one slice of a request, as `mapper` cuts it.
    #[must_use]
    pub fn slice_key(&self, whole: Key, slice: u32, mapper: u64) -> Key {
        Key { content: self.hashes.hash_one((whole.content, slice, mapper)), ..whole }
    }

    /// Looks a request up that has come, and claims it if nobody else has. Its 200 takes that the
    /// destinations `required` have settled it; after `deadline` it will not be answered so.
    pub fn enter(self: &Arc<Self>, key: Key, deadline: Instant, required: &Serials) -> Entry {
        let now = Instant::now();
        let mut book = self.book();
        book.expire(now);
        let settled_at = match book.records.get(&key) {
            Some(Record::AtWork(work)) => {
                let outcome = work.outcome.clone();
                let is_lost = matches!(*outcome.borrow(), Some(Settled::Lost { .. }));
                return match is_lost || work.deadline <= now || !covers(&work.serves, required) {
                    true => Entry::Ending(Ending(outcome)),
                    false => Entry::Joined(Joined(outcome)),
                };
            }
            Some(Record::Ended { settled_at, .. }) if covers(settled_at, required) => {
                return Entry::Remembered;
            }
            Some(Record::Ended { settled_at, .. }) => settled_at.to_vec(),
            None => Vec::new(),
        };
        let (sender, outcome) = watch::channel(None);
        let serves = with(required, &settled_at);
        let work = Work { deadline, serves: Arc::clone(&serves), outcome };
        book.records.insert(key, Record::AtWork(Box::new(work)));
        self.entries.set(book.records.len() as f64);
        Entry::New(Claim {
            ledger: Arc::clone(self),
            key,
            serves,
            resumes: !settled_at.is_empty(),
            settled_at,
            delivered: false,
            outcome: sender,
        })
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Book {
    fn expire(&mut self, now: Instant) {
        let remembered_for = self.remembered_for;
        while let Some(oldest) = self.ended.pop_front_if(|e| now >= e.at + remembered_for) {
            self.forget(&oldest);
        }
    }

    fn remember(&mut self, key: Key, settled_at: Serials) {
        let at = Instant::now();
        self.expire(at);
        while self.ended.len() >= self.entries_max
            && let Some(oldest) = self.ended.pop_front()
        {
            self.forget(&oldest);
        }
        self.last_number += 1;
        let number = self.last_number;
        self.records.insert(key, Record::Ended { number, settled_at });
        self.ended.push_back(End { at, key, number });
    }

    fn forget(&mut self, end: &End) {
        if let Some(Record::Ended { number, .. }) = self.records.get(&end.key)
            && *number == end.number
        {
            self.records.remove(&end.key);
        }
    }
}

impl Claim {
    /// Whether an earlier request with the same key has left something settled.
    #[must_use]
    pub fn resumes(&self) -> bool {
        self.resumes
    }

    /// Whether a destination has settled all of it, now or before.
    #[must_use]
    pub fn has_settled(&self, serial: u64) -> bool {
        self.settled_at.contains(&serial)
    }

    /// A destination has settled all of it, without loss.
    pub fn settled_at(&mut self, serial: u64) {
        if !self.has_settled(serial) {
            self.settled_at.push(serial);
        }
    }

    /// Those that have settled a request have settled every slice of it.
    pub fn settled_with(&mut self, whole: &Self) {
        for serial in &whole.settled_at {
            self.settled_at(*serial);
        }
    }

    /// The request's outcome is known. Delivered it is remembered from now on; lost it is not over
    /// before the claim is dropped.
    pub fn answered(&mut self, outcome: Settled) {
        if outcome == Settled::Delivered {
            self.delivered = true;
            let mut book = self.ledger.book();
            book.remember(self.key, with(&self.serves, &self.settled_at));
            self.ledger.entries.set(book.records.len() as f64);
        }
        self.outcome.send_replace(Some(outcome));
    }
}

impl Drop for Claim {
    /// The record changes before `outcome` ends, so that whoever waited for that finds it so.
    fn drop(&mut self) {
        if self.delivered {
            return;
        }
        let mut book = self.ledger.book();
        if self.settled_at.is_empty() {
            book.records.remove(&self.key);
        } else {
            book.remember(self.key, Arc::from(self.settled_at.as_slice()));
        }
        self.ledger.entries.set(book.records.len() as f64);
    }
}

/// Whether all of `others` are among these.
fn covers(these: &[u64], others: &[u64]) -> bool {
    others.iter().all(|serial| these.contains(serial))
}

/// These and `others`. Where they are no more than these, nothing is taken for them.
fn with(these: &Serials, others: &[u64]) -> Serials {
    if covers(these, others) {
        return Arc::clone(these);
    }
    let more = others.iter().filter(|serial| !these.contains(serial));
    these.iter().chain(more).copied().collect()
}

impl Joined {
    /// Waits for the outcome. A claim that vanishes without one is lost.
    pub async fn outcome(mut self) -> Settled {
        let outcome = self.0.wait_for(Option::is_some).await.ok().and_then(|found| found.clone());
        outcome.unwrap_or_else(|| Settled::Lost {
            reason: "the request that was at work on the same was dropped unsettled".to_owned(),
        })
    }
}

impl Ending {
    /// Waits until the other request has let go.
    pub async fn ended(mut self) {
        while self.0.changed().await.is_ok() {}
    }
}
