//! Log lines that anyone could cause by the thousand: once per minute, with how many were left out.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// How often a line is written at most.
const EVERY: Duration = Duration::from_secs(60);

/// The limiter of one kind of line.
#[derive(Debug, Default)]
pub struct Seldom(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    written: Option<Instant>,
    left_out: u64,
}

impl Seldom {
    /// Whether the line is to be written now: with the number of lines left out since the last one.
    #[must_use]
    pub fn due(&self) -> Option<u64> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if state.written.is_some_and(|written| now.duration_since(written) < EVERY) {
            state.left_out = state.left_out.saturating_add(1);
            return None;
        }
        state.written = Some(now);
        Some(std::mem::take(&mut state.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_line_a_minute_says_how_many_were_left_out() {
        let seldom = Seldom::default();
        assert_eq!(seldom.due(), Some(0));
        assert_eq!(seldom.due(), None);
        assert_eq!(seldom.due(), None);
        tokio::time::advance(EVERY).await;
        assert_eq!(seldom.due(), Some(2));
        assert_eq!(seldom.due(), None);
    }
}
