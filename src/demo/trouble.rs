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
    /// In turn: 503, 429, resets, no answers, answers lost after storing.
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

/// What is mixed, and for how many milliseconds each; it begins anew at the end. In between the
/// receiver is well for longer than the faults last, so that a run with kills gets on: Firehose
/// doubles its wait with every attempt that comes to nothing.
const MIXTURE: [(Fault, u64); 10] = [
    (Fault::None, 1500),
    (Fault::Outage, 700),
    (Fault::None, 1500),
    (Fault::Throttle { one_in: 3, retry_after: RETRY_AFTER }, 1000),
    (Fault::None, 1500),
    (Fault::HangUp, 700),
    (Fault::None, 1500),
    (Fault::Hang, 400),
    (Fault::None, 1500),
    (Fault::LoseAnswers, 700),
];

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
            Trouble::Mixed if on => mixed(progress.elapsed),
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

fn mixed(elapsed: Duration) -> Fault {
    let round: u128 = MIXTURE.iter().map(|(_, ms)| u128::from(*ms)).sum();
    let mut left = elapsed.as_millis().checked_rem(round).unwrap_or_default();
    for (fault, ms) in MIXTURE {
        match left.checked_sub(u128::from(ms)) {
            Some(beyond) => left = beyond,
            None => return fault,
        }
    }
    Fault::None
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

    #[test]
    fn every_fault_of_the_mixture_has_its_turn_until_all_is_sent() {
        let mut script = Script::new(Trouble::Mixed, None);
        let mut seen: Vec<Fault> = Vec::new();
        for ms in (0..13_000).step_by(100) {
            let progress = Progress { elapsed: Duration::from_millis(ms), ..at(0) };
            let fault = script.fault(progress);
            if seen.last() != Some(&fault) {
                seen.push(fault);
            }
            assert_eq!(script.fault(Progress { sent: 3, ..progress }), Fault::None);
        }
        let once: Vec<_> = MIXTURE.iter().map(|(fault, _)| *fault).collect();
        assert_eq!(seen.get(..once.len()), Some(once.as_slice()));
        assert_eq!(seen.get(once.len()), once.first(), "and again");
    }
}
