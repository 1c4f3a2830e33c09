//! Pieces that could not be decoded: counted by reason, each reason with the first bytes of the
//! first piece, and logged once per reason and minute.

use std::fmt::Write as _;

use super::head::Head;
use crate::decode::Reason;
use crate::seldom::Seldom;

/// Bytes of a piece that a log line shows.
const PREFIX_BYTES_MAX: usize = 64;

/// What of one request was skipped.
#[derive(Debug, Default)]
pub(super) struct Skips(Vec<Skip>);

#[derive(Debug)]
struct Skip {
    reason: Reason,
    pieces: u64,
    prefix: Vec<u8>,
}

impl Skips {
    /// Notes one piece.
    pub(super) fn note(&mut self, reason: Reason, piece: &[u8]) {
        if let Some(skip) = self.0.iter_mut().find(|skip| skip.reason == reason) {
            skip.pieces += 1;
            return;
        }
        let prefix = piece.iter().take(PREFIX_BYTES_MAX).copied().collect();
        self.0.push(Skip { reason, pieces: 1, prefix });
    }

    /// Whether nothing was skipped.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Reasons with their numbers.
    pub(super) fn counts(&self) -> impl Iterator<Item = (Reason, u64)> {
        self.0.iter().map(|skip| (skip.reason, skip.pieces))
    }

    /// For `errorMessage`: how many of which reason.
    pub(super) fn text(&self) -> String {
        let mut text = "delivered but for what could not be decoded:".to_owned();
        for (index, (reason, pieces)) in self.counts().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            let _ = write!(text, "{comma} {pieces} {}", reason.name());
        }
        text
    }
}

/// Writes the log lines of skipped pieces, at most one per reason and minute.
#[derive(Debug, Default)]
pub(super) struct SkipLog([Seldom; Reason::ALL.len()]);

impl SkipLog {
    /// Logs what is due.
    pub(super) fn write(&self, skips: &Skips, head: &Head) {
        for skip in &skips.0 {
            let place = Reason::ALL.iter().position(|reason| *reason == skip.reason);
            let Some(left_out) = place.and_then(|place| self.0.get(place)?.due()) else { continue };
            tracing::warn!(
                request_id = %head.request_id,
                stream = %head.stream,
                reason = skip.reason.name(),
                pieces = skip.pieces,
                prefix = %skip.prefix.escape_ascii(),
                requests_left_out = left_out,
                "skipped what could not be decoded"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_counted_by_reason() {
        let mut skips = Skips::default();
        skips.note(Reason::Json, b"{oops");
        skips.note(Reason::Frame, &[0xff; 1000]);
        skips.note(Reason::Json, b"{again");
        assert_eq!(skips.text(), "delivered but for what could not be decoded: 2 json, 1 frame");
        assert_eq!(skips.0.iter().map(|s| s.prefix.len()).collect::<Vec<_>>(), [5, 64]);
    }
}
