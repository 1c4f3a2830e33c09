//! What the demo shows: one line that is written over on a terminal, plain lines otherwise.

use std::io::{self, Write};
use std::time::Duration;

use tokio::time::Instant;

use super::books::{Balance, Tally, Thousands};
use super::receiver::{Fault, Ledger, exposition};

/// Between two plain lines of progress.
const PLAIN_INTERVAL: Duration = Duration::from_secs(1);

/// Series shown at the end.
const SERIES_SHOWN: usize = 8;

/// How things stand.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// Time since the beginning.
    pub elapsed: Duration,
    /// Samples stored.
    pub stored: u64,
    /// What the receiver does.
    pub fault: Fault,
    /// How often the gateway was killed; none if that is not to happen.
    pub kills: Option<u64>,
}

/// Where the demo writes to.
pub struct Screen<'a> {
    out: &'a mut (dyn Write + Send),
    terminal: bool,
    shown_at: Option<Instant>,
}

impl<'a> Screen<'a> {
    /// Takes a writer, and whether it is a terminal.
    pub fn new(out: &'a mut (dyn Write + Send), terminal: bool) -> Self {
        Self { out, terminal, shown_at: None }
    }

    /// Writes a line.
    ///
    /// # Errors
    /// The writer's own.
    pub fn line(&mut self, text: &str) -> io::Result<()> {
        writeln!(self.out, "{text}")
    }

    /// Shows how far the demo is; not every call writes.
    ///
    /// # Errors
    /// The writer's own.
    pub fn progress(&mut self, tally: &Tally, moment: &Moment) -> io::Result<()> {
        let due = self.shown_at.is_none_or(|at| at.elapsed() >= PLAIN_INTERVAL);
        if !self.terminal && !due {
            return Ok(());
        }
        self.shown_at = Some(Instant::now());
        let mut line = format!(
            "{:5.1}s  sent {:>9}  acknowledged {:>9}  stored {:>11}  in flight {:>3}  retries {:>3}  receiver {}",
            moment.elapsed.as_secs_f64(),
            Thousands(tally.sent),
            Thousands(tally.acknowledged),
            Thousands(moment.stored),
            tally.in_flight(),
            tally.retries,
            moment.fault.name(),
        );
        if let Some(kills) = moment.kills {
            line.push_str(&format!("  killed {kills}"));
        }
        if self.terminal {
            write!(self.out, "\r\x1b[2K{line}")?;
            self.out.flush()
        } else {
            self.line(&line)
        }
    }

    /// Ends the progress and shows the books, how often the gateway was killed, and the errors that
    /// it told of.
    ///
    /// # Errors
    /// The writer's own.
    pub fn books(
        &mut self,
        tally: &Tally,
        balance: &Balance,
        ledger: &Ledger,
        kills: Option<u64>,
        errors: &[String],
    ) -> io::Result<()> {
        if self.terminal {
            writeln!(self.out)?;
        }
        self.line(if tally.broken_off { "\nThe books, broken off" } else { "\nThe books" })?;
        let unacknowledged = tally.sent.saturating_sub(tally.acknowledged);
        for (what, figure, note) in [
            ("data points sent", tally.sent, ""),
            ("acknowledged", tally.acknowledged, ""),
            ("not acknowledged", unacknowledged, ""),
            ("data points stored", balance.points_stored, "with every sample of theirs"),
            ("samples owed", balance.owed, "of the acknowledged data points"),
            ("samples stored", balance.stored, ""),
            ("missing", balance.missing, ""),
            ("wrong value", balance.wrong + ledger.conflicts, ""),
            ("unexpected", balance.unexpected, ""),
            (
                "duplicated",
                ledger.duplicates,
                "stored, then its answer was lost, as by a kill: harmless",
            ),
            ("out of order", ledger.late, "older than the newest of their series when they came"),
            ("ill labelled", ledger.mislabelled, ""),
            ("deliveries", tally.requests.len() as u64, ""),
            ("delivery attempts", tally.attempts, ""),
            ("delivery retries", tally.retries, "by Firehose's rules"),
            ("deliveries given up", tally.given_up, ""),
            ("contract breaches", tally.breaches.len() as u64, ""),
            ("gateway killed", kills.unwrap_or_default(), "SIGKILL, and started again"),
            ("gateway errors", errors.len() as u64, ""),
            ("remote writes stored", ledger.requests, ""),
            ("stored, not answered", ledger.unanswered, "by the fault"),
            (
                "remote writes refused",
                ledger.refused,
                "or hung up on, or left to hang, by the fault",
            ),
            ("remote writes malformed", ledger.malformed, ""),
        ] {
            let line = format!("  {what:<24}{:>12}  {note}", Thousands(figure));
            self.line(line.trim_end())?;
        }
        for (name, figure) in &ledger.befallen {
            let what = format!("while {name}");
            self.line(&format!("  {what:<24}{:>12}  by the fault", Thousands(*figure)))?;
        }
        for (what, share) in [("p50", 0.5), ("p99", 0.99)] {
            let ms = tally.latency(share).as_secs_f64() * 1e3;
            self.line(&format!("  {:<24}{ms:>12.1}  ms", format!("latency {what}")))?;
        }
        tally.breaches.iter().take(5).try_for_each(|b| self.line(&format!("  breach: {b}")))?;
        errors.iter().take(5).try_for_each(|e| self.line(&format!("  gateway: {e}")))?;
        balance.examples.iter().try_for_each(|example| self.line(&format!("  {example}")))?;
        self.series(ledger)
    }

    /// Shows some of the series with their newest samples.
    fn series(&mut self, ledger: &Ledger) -> io::Result<()> {
        if ledger.series.is_empty() {
            return Ok(());
        }
        self.line("\nSome of the series")?;
        let mut names: Vec<_> = ledger.series.iter().collect();
        names.sort_unstable_by_key(|(labels, _)| *labels);
        let step = names.len().div_ceil(SERIES_SHOWN);
        for (labels, series) in names.into_iter().step_by(step) {
            if let Some((at, bits)) = series.samples.last() {
                let value = f64::from_bits(*bits);
                self.line(&format!("  {} {value} {at}", exposition(labels)))?;
            }
        }
        Ok(())
    }
}
