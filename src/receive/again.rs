//! A request that comes again: it joins the one that is at work on the same, is answered from
//! memory, or takes up what an earlier one has left.

use std::future::Future;
use std::sync::Arc;

use tokio::time::Instant;

use super::head::Head;
use super::http::{Door, SHUTTING_DOWN};
use super::reply::Answer;
use super::rules::Rules;
use super::skips::Skips;
use super::worker::{Decoded, Opened, Terms};
use crate::queue::{Claim, Entry, Key, Permit, REQUEST_CHARGE_MIN, Settled};

/// Whose turn it is.
pub(super) enum Turn<T> {
    /// This request's: what it has kept, and the claim to send it.
    Mine(Claim, T),
    /// Nobody's: all of it is delivered.
    Over,
}

/// What a request holds while it is not known whose turn it is.
pub(super) trait Kept {
    /// Gives up all but the permit.
    fn permit(self) -> Permit;
}

impl Kept for Decoded {
    fn permit(self) -> Permit {
        self.permit
    }
}

impl Kept for (Arc<Opened>, Decoded) {
    fn permit(self) -> Permit {
        self.1.permit
    }
}

impl Door {
    /// Delivers what was decoded as a whole, if that has not been done yet. Returns what was skipped.
    pub(super) async fn take_whole(
        &self,
        rules: &Rules,
        mut decoded: Decoded,
        terms: &Terms,
        head: &Head,
    ) -> Result<Skips, Answer> {
        let skips = self.count(&mut decoded, head);
        match self.turn(rules, decoded.key, terms, decoded).await? {
            Turn::Mine(claim, decoded) => {
                if claim.resumes() {
                    self.resumed(terms);
                }
                self.deliver(rules, decoded, claim, terms, 1).await?;
            }
            Turn::Over => {}
        }
        Ok(skips)
    }

    /// [`Door::turn_of`] for a whole request: counted.
    pub(super) async fn turn<T: Kept>(
        &self,
        rules: &Rules,
        key: Key,
        terms: &Terms,
        kept: T,
    ) -> Result<Turn<T>, Answer> {
        let counted = |comes: Again| {
            let (counter, message) = match comes {
                Again::Joined => (&self.books.joined, "joined a request at work on the same"),
                Again::Remembered => (&self.books.remembered, "delivered before"),
            };
            counter.increment(1);
            tracing::debug!(request_id = terms.request_id, "{message}");
        };
        self.turn_of(rules, key, terms.deadline, kept, counted).await
    }

    /// Waits until it is known whether something is to be sent by this request, or has been by
    /// another one.
    pub(super) async fn turn_of<T: Kept>(
        &self,
        rules: &Rules,
        key: Key,
        deadline: Instant,
        kept: T,
        on_repeat: impl Fn(Again),
    ) -> Result<Turn<T>, Answer> {
        loop {
            match self.ledger.enter(key, deadline, &rules.required) {
                Entry::New(claim) => return Ok(Turn::Mine(claim, kept)),
                Entry::Remembered => {
                    on_repeat(Again::Remembered);
                    return Ok(Turn::Over);
                }
                // The other one's answer is 503, or says nothing of a destination that this one has
                // to reach: this one may do better.
                Entry::Ending(ending) => {
                    self.within(rules, deadline, ending.ended()).await?;
                }
                Entry::Joined(joined) => {
                    on_repeat(Again::Joined);
                    // Whoever waits is charged, but for no more than the waiting.
                    let mut permit = kept.permit();
                    let _ = permit.try_resize(REQUEST_CHARGE_MIN);
                    return match self.within(rules, deadline, joined.outcome()).await? {
                        Settled::Delivered => Ok(Turn::Over),
                        Settled::Lost { reason } => Err(self.lost(reason)),
                    };
                }
            }
        }
    }

    /// A request takes up what an earlier one has left.
    pub(super) fn resumed(&self, terms: &Terms) {
        self.books.resumed.increment(1);
        tracing::debug!(request_id = terms.request_id, "resumed: some of it is settled");
    }

    /// Waits for another request as long as this one can wait.
    async fn within<T>(
        &self,
        rules: &Rules,
        deadline: Instant,
        other: impl Future<Output = T>,
    ) -> Result<T, Answer> {
        tokio::select! {
            biased;
            done = other => Ok(done),
            () = self.given_up.cancelled() => Err(Answer::Later(SHUTTING_DOWN.to_owned())),
            () = tokio::time::sleep_until(deadline) => {
                Err(rules.late("another request is at work on the same", None))
            }
        }
    }
}

/// How a request comes again for which nothing is sent.
#[derive(Clone, Copy, Debug)]
pub(super) enum Again {
    /// While another one is at work on the same.
    Joined,
    /// After it was delivered.
    Remembered,
}
