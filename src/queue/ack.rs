//! The acknowledgement: a batch on its way, and who waits for it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::queue::{Claim, Permit};
use crate::sample::Batch;

/// One request's batch on its way. Every part of it holds the load; the permit returns when the
/// last part has let go.
#[derive(Debug)]
pub struct Load {
    /// The samples.
    pub batch: Batch,
    /// When the request is answered, settled or not: nothing of it is sent after that.
    pub deadline: Instant,
    /// The Firehose request id, for logs.
    pub request_id: String,
    state: Mutex<State>,
    _permit: Permit,
}

#[derive(Debug)]
struct State {
    /// Required parts not settled yet.
    unsettled: usize,
    /// Why a required part was lost; the first one's reason.
    lost: Option<String>,
    /// The last thing that went wrong on the way, settled or not. The waiting end sees it, too.
    trouble: Trouble,
    /// By destination: extra requests left to tell refused samples from good ones.
    isolation_left: Vec<u32>,
    waiting: Option<oneshot::Sender<Settled>>,
    /// By destination: parts that it has not settled without loss.
    unsettled_at: Vec<usize>,
    /// Kept until every required part has ended.
    claim: Option<Claim>,
}

/// How a request ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Settled {
    /// Every required destination has settled every sample.
    Delivered,
    /// Something was given up; Firehose has to send the request again.
    Lost {
        /// Which destination and why, for `errorMessage`.
        reason: String,
    },
}

/// The waiting end of a [`Load`].
#[derive(Debug)]
#[must_use]
pub struct Acked {
    settled: oneshot::Receiver<Settled>,
    trouble: Trouble,
}

type Trouble = Arc<Mutex<Option<String>>>;

impl Acked {
    /// Waits until every required part is settled. A load that vanishes unsettled is lost.
    pub async fn settled(&mut self) -> Settled {
        (&mut self.settled).await.unwrap_or_else(|_| Settled::Lost {
            reason: "the request was dropped unsettled".to_owned(),
        })
    }

    /// What went wrong last on the way, if anything did: for the answer when time is up.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Load {
    /// A load whose required parts have to settle before the request is answered.
    pub(super) fn new(
        batch: Batch,
        permit: Permit,
        request: Request,
        isolation_left: Vec<u32>,
        parts: Parts,
    ) -> (Self, Acked) {
        let (sender, receiver) = oneshot::channel();
        let trouble = Trouble::default();
        let mut state = State {
            unsettled: parts.required,
            lost: None,
            trouble: Arc::clone(&trouble),
            isolation_left,
            waiting: Some(sender),
            unsettled_at: parts.by_destination,
            claim: request.claim,
        };
        if state.unsettled == 0 {
            state.answer();
        }
        let load = Self {
            batch,
            deadline: request.deadline,
            request_id: request.id,
            state: Mutex::new(state),
            _permit: permit,
        };
        (load, Acked { settled: receiver, trouble })
    }

    /// Notes what went wrong last, for the answer in case the deadline passes.
    pub(super) fn note_trouble(&self, trouble: String) {
        let state = self.state();
        *state.trouble.lock().unwrap_or_else(PoisonError::into_inner) = Some(trouble);
    }

    /// Takes one of the extra requests that isolation at this destination may cost this load.
    #[must_use]
    pub fn take_isolation_request(&self, destination: usize) -> bool {
        let mut state = self.state();
        let Some(left) = state.isolation_left.get_mut(destination) else { return false };
        let taken = left.checked_sub(1);
        *left = taken.unwrap_or(0);
        taken.is_some()
    }

    /// A destination has settled all samples of a part.
    pub(super) fn part_delivered(&self, destination: usize, serial: u64) {
        let mut state = self.state();
        let Some(unsettled) = state.unsettled_at.get_mut(destination) else { return };
        *unsettled = unsettled.saturating_sub(1);
        if *unsettled == 0
            && let Some(claim) = &mut state.claim
        {
            claim.settled_at(serial);
        }
    }

    /// A required part has ended; `lost` says why it was given up, if it was.
    pub(super) fn part_settled(&self, lost: Option<String>) {
        let mut state = self.state();
        state.unsettled = state.unsettled.saturating_sub(1);
        if state.lost.is_none() {
            state.lost = lost;
        }
        // A lost part decides the answer: no need to wait for the others.
        if state.unsettled == 0 || state.lost.is_some() {
            state.answer();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn answer(&mut self) {
        if let Some(waiting) = self.waiting.take() {
            let settled = match self.lost.clone() {
                None => Settled::Delivered,
                Some(reason) => Settled::Lost { reason },
            };
            if let Some(claim) = &mut self.claim {
                claim.answered(settled.clone());
            }
            // The handler may be gone; the data does not mind.
            let _ = waiting.send(settled);
        }
        // A retry need not wait for those who are best effort.
        if self.unsettled == 0 {
            self.claim = None;
        }
    }
}

/// How many parts a load has.
#[derive(Debug)]
pub(super) struct Parts {
    /// At required destinations.
    pub(super) required: usize,
    /// At each destination.
    pub(super) by_destination: Vec<usize>,
}

/// What a batch inherits from its request.
#[derive(Debug)]
pub struct Request {
    /// The Firehose request id.
    pub id: String,
    /// When the request has to be answered.
    pub deadline: Instant,
    /// Among how many batches the request's extra requests for isolation are divided; at least 1.
    pub batches: u32,
    /// The right to send it. Destinations that it says have settled it are handed nothing.
    pub claim: Option<Claim>,
}
