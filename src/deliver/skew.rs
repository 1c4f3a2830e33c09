//! How far the receiver's clock is from ours: a signature is refused where its date is minutes off.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime};

/// AWS takes dates that are up to five minutes off
/// (<https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-troubleshooting.html>). What is
/// nearer than this was refused for another reason.
const TOLERATED_S: u64 = 240;

/// The receiver's clock minus ours, in seconds; 0 until a refusal shows another.
#[derive(Debug, Default)]
pub(super) struct Skew(AtomicI64);

impl Skew {
    /// What the receiver's clock shows when ours shows `ours`.
    pub(super) fn correct(&self, ours: SystemTime) -> SystemTime {
        let ahead_s = self.0.load(Ordering::Relaxed);
        let distance = Duration::from_secs(ahead_s.unsigned_abs());
        let theirs =
            if ahead_s < 0 { ours.checked_sub(distance) } else { ours.checked_add(distance) };
        theirs.unwrap_or(ours)
    }

    /// Takes note of the `Date` of an answer that refused a signature and came at `ours`. If the
    /// signature was dated wrongly by that: by how many seconds the receiver's clock is ahead.
    pub(super) fn learn(&self, date: SystemTime, ours: SystemTime) -> Option<i64> {
        let seconds = |span: Duration| i64::try_from(span.as_secs()).ok();
        let ahead_s = match date.duration_since(ours) {
            Ok(ahead) => seconds(ahead)?,
            Err(behind) => -seconds(behind.duration())?,
        };
        let known_s = self.0.load(Ordering::Relaxed);
        (ahead_s.abs_diff(known_s) > TOLERATED_S).then(|| {
            self.0.store(ahead_s, Ordering::Relaxed);
            ahead_s
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn follows_what_is_far_off_and_nothing_else() {
        let skew = Skew::default();
        let ours = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        let off = |seconds: i64| {
            let distance = Duration::from_secs(seconds.unsigned_abs());
            if seconds < 0 { ours - distance } else { ours + distance }
        };
        for (date, learnt, corrected) in [
            (200, None, 0),
            (-240, None, 0),
            (600, Some(600), 600),
            (610, None, 600),
            (-86_400, Some(-86_400), -86_400),
            // Our clock was set right.
            (0, Some(0), 0),
        ] {
            assert_eq!(skew.learn(off(date), ours), learnt, "{date}");
            assert_eq!(skew.correct(ours), off(corrected), "{date}");
        }
        // A date that no clock shows does no harm.
        assert!(skew.learn(SystemTime::UNIX_EPOCH, ours).is_some());
        assert_eq!(skew.correct(SystemTime::UNIX_EPOCH), off(-3_600_000_000));
    }
}
