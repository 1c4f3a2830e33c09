//! A legal body whose samples its sender's part of the budget, or of a destination's share of it,
//! cannot hold at once: its metrics are taken in slices, each delivered before the next is decoded. It costs decoding the body as often as there are slices,
//! and lets a small gateway take the largest batch that Firehose may send.

use std::sync::Arc;

use super::account::Account;
use super::again::Turn;
use super::head::Head;
use super::http::Door;
use super::reply::Answer;
use super::rules::Rules;
use super::skips::Skips;
use super::worker::{Decoded, Opened, Terms};
use crate::map::Slice;
use crate::queue::{Claim, REQUEST_CHARGE_MIN, Settled};

/// Slices of a body. Its samples take at most about five times the body's own bytes, and the body is
/// at most two thirds of what its sender may hold (the default, and what is noted otherwise), so a
/// tenth of them finds room beside it once others have left: unless most of them are of one metric,
/// whose points stay together.
const SLICES: u32 = 10;

impl Door {
    /// Decodes and delivers a body slice by slice, if that has not been done yet. Returns what was
    /// skipped.
    pub(super) async fn take_in_slices(
        &self,
        rules: &Arc<Rules>,
        account: &Account,
        opened: Opened,
        terms: &Arc<Terms>,
        head: &Head,
    ) -> Result<Skips, Answer> {
        let opened = Arc::new(opened);
        let mut first = self.slice(rules, account, &opened, terms, 0).await?;
        let skips = self.count(&mut first, head);
        let turn = self.turn(rules, first.key, terms, (opened, first)).await?;
        let Turn::Mine(mut claim, (opened, first)) = turn else { return Ok(skips) };
        // This claim is the handler's: if the client hangs up, no further slice is taken, and the
        // retry goes on with the slice that is on its way.
        let delivered =
            self.deliver_slices(rules, account, (opened, first), &claim, terms, head).await;
        claim.answered(match &delivered {
            Ok(()) => Settled::Delivered,
            Err(answer) => {
                Settled::Lost { reason: answer.message().unwrap_or_default().into_owned() }
            }
        });
        delivered.map(|()| skips)
    }

    /// Delivers the slices that have not been delivered yet. They are known to the ledger one by
    /// one, so that a retry begins where the request before it ended.
    async fn deliver_slices(
        &self,
        rules: &Arc<Rules>,
        account: &Account,
        (opened, first): (Arc<Opened>, Decoded),
        whole: &Claim,
        terms: &Arc<Terms>,
        head: &Head,
    ) -> Result<(), Answer> {
        let mut first = Some(first);
        let mut resumes = whole.resumes();
        if resumes {
            self.resumed(terms);
        }
        for index in 0..SLICES {
            let decoded = match first.take() {
                Some(first) => first,
                None => {
                    let mut decoded = self.slice(rules, account, &opened, terms, index).await?;
                    // Records and what is wrong with them are counted once.
                    decoded.skips = Skips::default();
                    (decoded.numbers.records, decoded.numbers.body_bytes) = (0, None);
                    self.count(&mut decoded, head);
                    decoded
                }
            };
            let key = self.ledger.slice_key(decoded.key, index, rules.mapper.slicing());
            let turn = self.turn_of(rules, key, terms.deadline, decoded, |_| {}).await?;
            let again = match &turn {
                Turn::Mine(claim, _) => claim.resumes(),
                Turn::Over => true,
            };
            if again && !resumes {
                resumes = true;
                self.resumed(terms);
            }
            if let Turn::Mine(mut claim, decoded) = turn {
                claim.settled_with(whole);
                self.deliver(rules, decoded, claim, terms, SLICES).await?;
            }
        }
        Ok(())
    }

    async fn slice(
        &self,
        rules: &Arc<Rules>,
        account: &Account,
        opened: &Arc<Opened>,
        terms: &Arc<Terms>,
        index: u32,
    ) -> Result<Decoded, Answer> {
        let permit = account.take(REQUEST_CHARGE_MIN)?;
        let (body, own) = (Arc::clone(opened), Arc::clone(terms));
        let slice = Slice { index, of: SLICES };
        let work = self.on_worker(rules, terms.deadline, move |workers, mapper| {
            workers.run_slice(&body, slice, &own, permit, mapper)
        });
        work.await?.map_err(|undecoded| Self::undecoded(rules, account, undecoded))
    }
}
