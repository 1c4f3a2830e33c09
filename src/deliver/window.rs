//! Which timestamps a destination is sent: neither too old for it nor ahead of the clock.

use std::time::{Duration, SystemTime};

/// Timestamps that may be sent, milliseconds since 1970; both ends belong to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Earlier samples are aged out.
    pub from_ms: i64,
    /// Later samples are too new.
    pub to_ms: i64,
}

/// Where a timestamp stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Before the window.
    TooOld,
    /// Within it.
    Wanted,
    /// After it.
    TooNew,
}

impl Window {
    /// All time.
    pub const ALL: Self = Self { from_ms: i64::MIN, to_ms: i64::MAX };

    /// The window of this moment, with how far it reaches back and ahead; none is without end.
    #[must_use]
    pub fn now(back: Option<Duration>, ahead: Option<Duration>) -> Self {
        if back.is_none() && ahead.is_none() {
            return Self::ALL;
        }
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Self::at(milliseconds(now), back, ahead)
    }

    /// The window of a moment, milliseconds since 1970.
    #[must_use]
    pub fn at(now_ms: i64, back: Option<Duration>, ahead: Option<Duration>) -> Self {
        Self {
            from_ms: back.map_or(i64::MIN, |back| now_ms.saturating_sub(milliseconds(back))),
            to_ms: ahead.map_or(i64::MAX, |ahead| now_ms.saturating_add(milliseconds(ahead))),
        }
    }

    /// Where a timestamp stands.
    #[must_use]
    #[inline]
    pub fn place(self, timestamp_ms: i64) -> Place {
        if timestamp_ms < self.from_ms {
            Place::TooOld
        } else if timestamp_ms > self.to_ms {
            Place::TooNew
        } else {
            Place::Wanted
        }
    }
}

fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ends_belong_to_the_window_and_extremes_do_not_wrap() {
        let (back, ahead) = (Some(Duration::from_secs(60)), Some(Duration::from_secs(10)));
        for (window, timestamp_ms, place) in [
            (Window::at(100_000, back, ahead), 39_999, Place::TooOld),
            (Window::at(100_000, back, ahead), 40_000, Place::Wanted),
            (Window::at(100_000, back, ahead), 110_000, Place::Wanted),
            (Window::at(100_000, back, ahead), 110_001, Place::TooNew),
            (Window::at(100_000, None, ahead), i64::MIN, Place::Wanted),
            (Window::at(100_000, back, None), i64::MAX, Place::Wanted),
            (Window::at(100_000, None, None), i64::MAX, Place::Wanted),
            (Window::at(i64::MAX, back, Some(Duration::MAX)), i64::MAX, Place::Wanted),
            (Window::at(i64::MIN, Some(Duration::MAX), ahead), i64::MIN, Place::Wanted),
            (Window::ALL, i64::MIN, Place::Wanted),
        ] {
            assert_eq!(window.place(timestamp_ms), place, "{window:?} {timestamp_ms}");
        }
        assert_eq!(Window::now(None, None), Window::ALL);
    }
}
