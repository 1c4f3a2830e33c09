//! The report of one run: everything that was seen and judged, as it goes into `report.json`, onto
//! the page and onto the screen.

use std::fmt::Write as _;

use serde::Serialize;

use crate::books::Books;
use crate::condition::{Judged, Verdict};
use crate::evidence::{StageFigures, in_words};
use crate::latency::Latency;
use crate::machine::Machine;
use crate::watch::Moment;

/// The report of one run.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// Name of the scenario.
    pub scenario: String,
    /// What it is.
    pub about: String,
    /// Whether everything held that had to.
    pub passed: bool,
    /// What had to hold, and what became of it.
    pub conditions: Vec<Judged>,
    /// When the load began, in milliseconds since 1970.
    pub began_ms: u64,
    /// How long the whole run took, in seconds.
    pub took_s: f64,
    /// The command that makes this run again.
    pub command: String,
    /// Where the load went.
    pub target: String,
    /// Where it was stored.
    pub destination: String,
    /// What the bodies were made of.
    pub load: LoadFigures,
    /// Requests, data points, and what became of them.
    pub books: Books,
    /// Latencies of accepted requests, in seconds.
    pub accepted: Option<Latency>,
    /// Latencies of refused requests, in seconds.
    pub refused: Option<Latency>,
    /// The stages.
    pub stages: Vec<StageFigures>,
    /// The gateway's own figures, where they could be seen.
    pub gateway: Option<GatewayFigures>,
    /// Requests beside the load whose key is wrong.
    pub strangers: Option<Books>,
    /// What happened meanwhile: seconds since the load began, and what.
    pub events: Vec<(f64, String)>,
    /// What was not counted or not done, and why.
    pub remarks: Vec<String>,
    /// The machine that drove the load; the kit's own gateway ran on it, too.
    pub machine: Machine,
    /// Programs and their versions.
    pub versions: Vec<(String, String)>,
    /// The gateway over time.
    pub moments: Vec<Moment>,
    /// Answers over time, second by second.
    pub seconds: Vec<Second>,
}

/// What bodies were made of.
#[derive(Clone, Debug, Default, Serialize)]
pub struct LoadFigures {
    /// The stream's format.
    pub format: String,
    /// Data points of one body.
    pub points_per_body: u32,
    /// Data points of one record.
    pub points_per_record: u32,
    /// Distinct metrics.
    pub metrics: u32,
    /// Level of compression; 0: none.
    pub gzip: u8,
    /// Bytes of all bodies on the wire.
    pub bytes_sent: u64,
}

/// The gateway's own figures.
#[derive(Clone, Debug, Default, Serialize)]
pub struct GatewayFigures {
    /// Processor seconds, user and system, from the load's start until everything was stored. None of
    /// a gateway that is elsewhere, as with the memory.
    pub cpu_seconds: Option<f64>,
    /// The same per million acknowledged data points; none without any.
    pub cpu_seconds_per_million_points: Option<f64>,
    /// Resident memory before the load.
    pub idle_rss_bytes: Option<u64>,
    /// The most resident memory that it ever had.
    pub peak_rss_bytes: Option<u64>,
    /// Its budget.
    pub budget_bytes: Option<u64>,
    /// The most of its budget that was seen in use.
    pub budget_used_peak_bytes: u64,
    /// Requests to the destination that were sent again.
    pub retries: u64,
    /// The share of data points whose series were known; none without any.
    pub series_known: Option<f64>,
    /// What bounded it, in words; none: the machine.
    pub bounds: Option<String>,
}

/// Answers to requests that were sent within one second.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Second {
    /// Seconds since the load began.
    pub at_s: u64,
    /// Data points sent.
    pub sent: u64,
    /// Data points acknowledged.
    pub acknowledged: u64,
    /// Requests not answered 200.
    pub refused: u64,
    /// Median latency of accepted requests in milliseconds; none without any.
    pub p50_ms: Option<f64>,
    /// 99 of 100 accepted requests took no longer, in milliseconds; none without any.
    pub p99_ms: Option<f64>,
}

impl Report {
    /// Passed or failed, in a word.
    #[must_use]
    pub const fn result(&self) -> &'static str {
        if self.passed { "passed" } else { "FAILED" }
    }

    /// Requests by answer, in words.
    #[must_use]
    pub fn answers(&self) -> String {
        let mut codes = self.books.answers.clone();
        codes.remove(&0);
        if self.books.unanswered > 0 {
            codes.insert(0, self.books.unanswered);
        }
        in_words(&codes)
    }

    /// The report as it stands on the screen.
    #[must_use]
    pub fn text(&self) -> String {
        let mut out = String::new();
        // Writing to a string cannot fail.
        let _ = self.write_text(&mut out);
        out
    }

    fn write_text(&self, out: &mut String) -> std::fmt::Result {
        writeln!(out, "\n{}: {}\n", self.scenario, self.result())?;
        for judged in &self.conditions {
            let mark = match judged.verdict {
                Verdict::Passed => "ok    ",
                Verdict::Failed => "FAILED",
                Verdict::NotSeen => "unseen",
            };
            writeln!(out, "  {mark} {} ({})", judged.condition, judged.seen)?;
        }
        let books = &self.books;
        writeln!(out, "\nbooks")?;
        writeln!(out, "  requests          {:>14}  {}", grouped(books.requests), self.answers())?;
        writeln!(out, "  points sent       {:>14}", grouped(books.points_sent))?;
        writeln!(out, "  acknowledged      {:>14}", grouped(books.points_acknowledged))?;
        match &books.stored {
            None => writeln!(out, "  stored, missing, duplicated: NOT COUNTED")?,
            Some(stored) => {
                writeln!(out, "  stored            {:>14}", grouped(stored.points))?;
                let missing = stored.missing.map_or("not known".to_owned(), grouped);
                writeln!(out, "  missing           {missing:>14}")?;
                writeln!(out, "  duplicated        {:>14}", grouped(stored.duplicated))?;
                writeln!(out, "  stored without ack{:>14}", grouped(stored.unacknowledged))?;
                writeln!(out, "  samples           {:>14}", grouped(stored.samples))?;
            }
        }
        writeln!(
            out,
            "\nlatency (ms)         p50       p90       p95       p99     p99.9       max"
        )?;
        for (name, latency) in [("accepted", &self.accepted), ("refused", &self.refused)] {
            let Some(latency) = latency else { continue };
            write!(out, "  {name:<13}")?;
            let all =
                [latency.p50, latency.p90, latency.p95, latency.p99, latency.p999, latency.max];
            for seconds in all {
                write!(out, " {:>9.1}", seconds * 1e3)?;
            }
            writeln!(out)?;
        }
        if self.stages.len() > 1 {
            writeln!(out, "\nstages (points/s)  wanted      sent     acked   p99 (ms)  answers")?;
            for stage in &self.stages {
                writeln!(
                    out,
                    "  {:>22.0} {:>9.0} {:>9.0} {:>10}  {}",
                    stage.wanted_points_per_s,
                    stage.sent_points_per_s,
                    stage.acknowledged_points_per_s,
                    stage.p99_ms.map_or("-".to_owned(), |ms| format!("{ms:.1}")),
                    in_words(&stage.codes)
                )?;
            }
        }
        if let Some(gateway) = &self.gateway {
            writeln!(out, "\ngateway")?;
            if let Some(seconds) = gateway.cpu_seconds {
                writeln!(out, "  CPU seconds       {seconds:>14.2}")?;
            }
            if let Some(seconds) = gateway.cpu_seconds_per_million_points {
                writeln!(out, "  per million points{seconds:>14.2}")?;
            }
            if let Some(bytes) = gateway.idle_rss_bytes {
                writeln!(out, "  memory idle       {:>10.1} MiB", mib(bytes))?;
            }
            if let Some(bytes) = gateway.peak_rss_bytes {
                writeln!(out, "  memory peak       {:>10.1} MiB", mib(bytes))?;
            }
            if let Some(budget) = gateway.budget_bytes {
                let used = mib(gateway.budget_used_peak_bytes);
                writeln!(
                    out,
                    "  budget            {:>10.1} MiB, {used:.1} MiB in use at most",
                    mib(budget)
                )?;
            }
            if let Some(seconds) = self.freshness_s() {
                writeln!(out, "  freshness         {seconds:>10.2} s (mean age when delivered)")?;
            }
            if let Some(share) = gateway.series_known {
                writeln!(out, "  series known      {:>10.1} % of data points", share * 100.0)?;
            }
            if let Some(bounds) = &gateway.bounds {
                writeln!(out, "  bounded to        {bounds}")?;
            }
        }
        if !self.remarks.is_empty() {
            writeln!(out)?;
        }
        for remark in &self.remarks {
            writeln!(out, "NOTE: {remark}")?;
        }
        writeln!(out, "\nmachine: {}", self.machine.line())?;
        let versions: Vec<String> =
            self.versions.iter().map(|(name, version)| format!("{name} {version}")).collect();
        writeln!(out, "versions: {}", versions.join(", "))?;
        writeln!(out, "command: {}", self.command)?;
        writeln!(out, "took {:.1} s", self.took_s)
    }

    /// Mean age of data points when they were delivered, mean of all seconds of the run.
    #[must_use]
    pub fn freshness_s(&self) -> Option<f64> {
        let ages: Vec<f64> =
            self.moments.iter().filter_map(|moment| moment.age_seconds_mean).collect();
        (!ages.is_empty()).then(|| ages.iter().sum::<f64>() / ages.len() as f64)
    }
}

/// Bytes as MiB.
#[must_use]
pub fn mib(bytes: u64) -> f64 {
    bytes as f64 / 1_048_576.0
}

/// A number with its thousands apart.
#[must_use]
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
#[allow(missing_docs)]
pub mod tests {
    use super::*;
    use crate::books::StoredBooks;

    /// A report with something everywhere, and with what HTML and Markdown stumble over.
    pub fn full() -> Report {
        Report {
            scenario: "smoke".to_owned(),
            about: "a <few> seconds & \"more\"".to_owned(),
            passed: true,
            conditions: vec![Judged {
                condition: "every request is answered 200 | or <so>".to_owned(),
                verdict: Verdict::Passed,
                seen: "50 x 200".to_owned(),
            }],
            command: "loadtest/run smoke --rate 1000".to_owned(),
            took_s: 9.87,
            books: Books {
                requests: 50,
                answers: [(200, 50)].into(),
                points_sent: 50_000,
                points_acknowledged: 50_000,
                stored: Some(StoredBooks {
                    samples: 250_000,
                    points: 50_000,
                    missing: Some(0),
                    exact: true,
                    ..StoredBooks::default()
                }),
                ..Books::default()
            },
            accepted: Some(Latency { answers: 50, p50: 0.0021, p99: 0.0123, ..Latency::default() }),
            stages: vec![StageFigures::default(); 2],
            gateway: Some(GatewayFigures {
                cpu_seconds: Some(0.1),
                cpu_seconds_per_million_points: Some(2.0),
                peak_rss_bytes: Some(42 << 20),
                budget_bytes: Some(64 << 20),
                ..GatewayFigures::default()
            }),
            events: vec![(1.0, "the destination is <away>".to_owned())],
            remarks: vec!["one & only".to_owned()],
            moments: (0..5)
                .map(|s| Moment {
                    at_seconds: f64::from(s),
                    points_per_second: Some(1e4),
                    rss_bytes: Some(40 << 20),
                    age_seconds_mean: (s > 1).then_some(0.5),
                    ..Moment::default()
                })
                .collect(),
            seconds: (0..5)
                .map(|at_s| Second { at_s, sent: 10_000, ..Second::default() })
                .collect(),
            ..Report::default()
        }
    }

    #[test]
    fn the_text_says_what_was_judged_counted_and_spent() {
        let text = full().text();
        for part in [
            "smoke: passed",
            "ok     every request is answered 200",
            "50 x 200",
            "acknowledged              50,000",
            "missing                        0",
            "2.1",
            "12.3",
            "per million points          2.00",
            "memory peak             42.0 MiB",
            "0.50 s (mean age",
            "NOTE: one & only",
            "command: loadtest/run smoke --rate 1000",
        ] {
            assert!(text.contains(part), "{part:?} is not in:\n{text}");
        }
    }

    #[test]
    fn what_was_not_counted_is_said() {
        let mut report = full();
        report.books.stored = None;
        report.passed = false;
        let text = report.text();
        assert!(text.contains("NOT COUNTED") && text.contains("smoke: FAILED"), "{text}");
    }

    #[test]
    fn thousands_stand_apart() {
        for (number, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (12_345_678, "12,345,678")]
        {
            assert_eq!(grouped(number), text);
        }
    }
}
