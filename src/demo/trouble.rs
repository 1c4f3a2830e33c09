//! What happens to the receiver during the demo, and when.

use std::time::Duration;

use super::receiver::Fault;

/// What happens to the receiver during the demo.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Trouble {
    /// Nothing.
    #[default]
    None,
    /// It answers 503 in the middle third; without a duration, for 10 s once a third is sent.
    Outage,
    /// It answers some requests 429 with `Retry-After`.
    Throttle,
    /// In turn: 503, 429, resets, answers lost after storing, no answers; each once within the
    /// duration, or else round and round until all is sent.
    Mixed,
}

impl Trouble {
    /// Every trouble.
    pub const ALL: [Self; 4] = [Self::None, Self::Outage, Self::Throttle, Self::Mixed];

    /// Its name on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Outage => "outage",
            Self::Throttle => "throttle",
            Self::Mixed => "mixed",
        }
    }
}

/// An outage that no duration sets the length of.
const OUTAGE: Duration = Duration::from_secs(10);

const RETRY_AFTER: Option<Duration> = Some(Duration::from_secs(1));

/// What is mixed, in this order. The fault that keeps requests for longest stands last, so that it
/// does not keep them from meeting the others.
const MIXTURE: [Fault; 5] = [
    Fault::Outage,
    Fault::Throttle { one_in: 2, retry_after: RETRY_AFTER },
    Fault::HangUp,
    Fault::LoseAnswers,
    Fault::Hang,
];

/// Milliseconds for which the receiver is well, and then for which it has its fault. It is well for
/// longer, so that a run with kills gets on: Firehose doubles its wait with every attempt that comes
/// to nothing. A fault lasts for longer than it takes from one minute of the stream to the next, so
/// that it meets requests.
const WELL_MS: u128 = 1300;
const FAULT_MS: u128 = 700;

/// Once through the mixture.
const ROUND_MS: u128 = (WELL_MS + FAULT_MS) * MIXTURE.len() as u128;

/// How far a run is.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// Time since its beginning.
    pub elapsed: Duration,
    /// Data points handed to Firehose.
    pub sent: u64,
    /// Data points that will be.
    pub planned: u64,
}

/// The trouble of one run.
#[derive(Clone, Copy, Debug)]
pub struct Script {
    trouble: Trouble,
    duration: Option<Duration>,
    third_sent_at: Option<Duration>,
}

impl Script {
    /// A script for a run that lasts so long, or until all is sent.
    #[must_use]
    pub fn new(trouble: Trouble, duration: Option<Duration>) -> Self {
        Self { trouble, duration, third_sent_at: None }
    }

    /// Whether trouble of any kind may happen: the end of a run is undisturbed, or it had none.
    #[must_use]
    pub fn is_on(&self, progress: Progress) -> bool {
        match self.duration {
            Some(duration) => progress.elapsed < duration,
            None => progress.sent < progress.planned,
        }
    }

    /// What the receiver does now.
    pub fn fault(&mut self, progress: Progress) -> Fault {
        let (on, down) = (self.is_on(progress), self.is_down(progress));
        match self.trouble {
            Trouble::Outage if down => Fault::Outage,
            Trouble::Throttle if on => Fault::Throttle { one_in: 10, retry_after: RETRY_AFTER },
            Trouble::Mixed if on => mixed(progress.elapsed, self.duration),
            Trouble::None | Trouble::Outage | Trouble::Throttle | Trouble::Mixed => Fault::None,
        }
    }

    fn is_down(&mut self, progress: Progress) -> bool {
        let elapsed = progress.elapsed;
        if let Some(duration) = self.duration {
            return elapsed >= duration / 3 && elapsed < duration / 3 * 2;
        }
        if self.third_sent_at.is_none() && progress.sent >= progress.planned / 3 {
            self.third_sent_at = Some(elapsed);
        }
        self.third_sent_at.is_some_and(|begin| elapsed < begin + OUTAGE)
    }
}

/// The mixture's fault: one round fills the duration; without any, rounds follow each other.
fn mixed(elapsed: Duration, duration: Option<Duration>) -> Fault {
    let into_round = match duration {
        Some(duration) => elapsed.as_millis() * ROUND_MS / duration.as_millis().max(1),
        None => elapsed.as_millis() % ROUND_MS,
    };
    if into_round % (WELL_MS + FAULT_MS) < WELL_MS {
        return Fault::None;
    }
    let turn = usize::try_from(into_round / (WELL_MS + FAULT_MS)).unwrap_or(usize::MAX);
    MIXTURE.get(turn).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: u64) -> Progress {
        Progress { elapsed: Duration::from_secs(second), sent: 1, planned: 3 }
    }

    #[test]
    fn an_outage_is_the_middle_third() {
        let duration = Some(Duration::from_secs(30));
        let mut outage = Script::new(Trouble::Outage, duration);
        assert_eq!(
            [9, 10, 19, 20].map(|second| outage.fault(at(second))),
            [Fault::None, Fault::Outage, Fault::Outage, Fault::None]
        );
        for trouble in Trouble::ALL {
            let fault = Script::new(trouble, duration).fault(at(30));
            assert_eq!(fault, Fault::None, "the end is undisturbed");
        }
    }

    #[test]
    fn without_a_duration_an_outage_begins_once_a_third_is_sent_and_ends_although_no_more_is() {
        let mut outage = Script::new(Trouble::Outage, None);
        assert_eq!(outage.fault(Progress { sent: 0, ..at(7) }), Fault::None);
        assert_eq!(
            [8, 17, 18].map(|second| outage.fault(at(second))),
            [Fault::Outage, Fault::Outage, Fault::None]
        );
    }

    /// The faults in turn, of a run that has not sent everything for so long.
    fn turns(duration_s: Option<u64>, until_s: u64) -> Vec<Fault> {
        let mut script = Script::new(Trouble::Mixed, duration_s.map(Duration::from_secs));
        let mut seen: Vec<Fault> = Vec::new();
        for ms in (0..until_s * 1000).step_by(10) {
            let fault = script.fault(Progress { elapsed: Duration::from_millis(ms), ..at(0) });
            if seen.last() != Some(&fault) {
                seen.push(fault);
            }
        }
        seen
    }

    fn round() -> Vec<Fault> {
        MIXTURE.into_iter().flat_map(|fault| [Fault::None, fault]).collect()
    }

    #[test]
    fn a_duration_holds_the_mixture_once() {
        for duration_s in [1, 3, 10, 600] {
            assert_eq!(turns(Some(duration_s), duration_s), round(), "{duration_s} s");
        }
        let over = turns(Some(3), 4);
        assert_eq!(over.last(), Some(&Fault::None), "the end is undisturbed");
    }

    #[test]
    fn without_a_duration_the_mixture_begins_anew_until_all_is_sent() {
        assert_eq!(turns(None, 20), round().repeat(2));
        let sent = Progress { elapsed: Duration::from_millis(1500), sent: 3, planned: 3 };
        let mut script = Script::new(Trouble::Mixed, None);
        assert_eq!(script.fault(Progress { sent: 2, ..sent }), Fault::Outage);
        assert_eq!(script.fault(sent), Fault::None);
    }
}
