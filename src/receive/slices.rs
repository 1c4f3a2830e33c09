//! A legal body whose samples its sender's part of the budget cannot hold at once: its metrics are taken in slices, each
//! delivered before the next is decoded. It costs decoding the body as often as there are slices,
//! and lets a small gateway take the largest batch that Firehose may send.

use std::sync::Arc;

use super::account::Account;
use super::head::Head;
use super::http::Door;
use super::reply::Answer;
use super::rules::Rules;
use super::skips::Skips;
use super::worker::{Opened, Terms};
use crate::map::Slice;
use crate::queue::REQUEST_CHARGE_MIN;

/// Slices of a body. Its samples take at most about four times the body's own bytes, and the body is
/// at most two thirds of what its sender may hold (the default, and what is noted otherwise), so an eighth of them always finds room beside it.
const SLICES: u32 = 8;

impl Door {
    /// Decodes and delivers a body slice by slice. Returns what was skipped.
    pub(super) async fn take_in_slices(
        &self,
        rules: &Arc<Rules>,
        account: &Account,
        opened: Opened,
        terms: &Arc<Terms>,
        head: &Head,
    ) -> Result<Skips, Answer> {
        let opened = Arc::new(opened);
        let mut all_skips = Skips::default();
        for index in 0..SLICES {
            let permit = account.take(REQUEST_CHARGE_MIN)?;
            let (body, own) = (Arc::clone(&opened), Arc::clone(terms));
            let slice = Slice { index, of: SLICES };
            let work = self.on_worker(rules, terms.deadline, move |workers, mapper| {
                workers.run_slice(&body, slice, &own, permit, mapper)
            });
            let mut decoded =
                work.await?.map_err(|undecoded| Self::undecoded(rules, account, undecoded))?;
            if index > 0 {
                // Records and what is wrong with them are counted once.
                decoded.skips = Skips::default();
                (decoded.numbers.records, decoded.numbers.body_bytes) = (0, None);
            }
            let skips = self.deliver(rules, decoded, head, terms.deadline, SLICES).await?;
            if index == 0 {
                all_skips = skips;
            }
        }
        Ok(all_skips)
    }
}
