//! The results of several runs as a Markdown table, as it stands in the kit's README.

use std::fmt::Write as _;

use crate::condition::Verdict;
use crate::report::{Report, grouped, mib};

/// The table, with machine, versions and command above it.
#[must_use]
pub fn markdown(reports: &[Report], command: &str) -> String {
    let mut out = String::new();
    if let Some(first) = reports.first() {
        let versions: Vec<String> =
            first.versions.iter().map(|(name, version)| format!("{name} {version}")).collect();
        let _ = writeln!(out, "Machine: {}.", first.machine.line());
        let _ = writeln!(out, "Versions: {}.", versions.join(", "));
        let _ = writeln!(out, "Command: `{command}`.\n");
    }
    out.push_str(
        "| Scenario | Result | Sent | Acknowledged | Missing | Twice | Not 200 | p50 ms | p99 ms \
         | CPU-s per million | Peak MiB |\n\
         |---|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|\n",
    );
    for report in reports {
        out.push_str(&row(report));
    }
    let failures = reports.iter().flat_map(|report| {
        let failed = report.conditions.iter().filter(|judged| judged.verdict == Verdict::Failed);
        failed.map(|judged| (&report.scenario, judged))
    });
    for (number, (scenario, judged)) in failures.enumerate() {
        if number == 0 {
            out.push('\n');
        }
        let _ = writeln!(out, "- {scenario} failed: {} ({})", judged.condition, judged.seen);
    }
    out
}

fn row(report: &Report) -> String {
    let books = &report.books;
    let none = || "-".to_owned();
    let stored = books.stored.as_ref();
    let accepted = report.accepted.as_ref();
    let ms = |seconds: Option<f64>| seconds.map_or_else(none, |s| format!("{:.1}", s * 1e3));
    let gateway = report.gateway.as_ref();
    let accepted_requests = books.answers.get(&200).copied().unwrap_or_default();
    let cells = [
        report.scenario.clone(),
        report.result().to_owned(),
        grouped(books.points_sent),
        grouped(books.points_acknowledged),
        stored.and_then(|stored| stored.missing).map_or_else(none, grouped),
        stored.map_or_else(none, |stored| grouped(stored.duplicated)),
        grouped(books.requests.saturating_sub(accepted_requests)),
        ms(accepted.map(|latency| latency.p50)),
        ms(accepted.map(|latency| latency.p99)),
        gateway
            .and_then(|gateway| gateway.cpu_seconds_per_million_points)
            .map_or_else(none, |seconds| format!("{seconds:.2}")),
        gateway
            .and_then(|gateway| gateway.peak_rss_bytes)
            .map_or_else(none, |bytes| format!("{:.0}", mib(bytes))),
    ];
    format!("| {} |\n", cells.map(|cell| cell.replace('|', "\\|")).join(" | "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::condition::Judged;
    use crate::report::tests::full;

    #[test]
    fn a_row_has_the_books_and_the_cost() {
        let text = markdown(&[full()], "loadtest/run all");
        let row = "| smoke | passed | 50,000 | 50,000 | 0 | 0 | 0 | 2.1 | 12.3 | 2.00 | 42 |\n";
        assert!(text.ends_with(row), "{text}");
        assert!(text.contains("Command: `loadtest/run all`."));
    }

    #[test]
    fn every_row_has_as_many_cells_as_the_head() {
        let bare = Report { scenario: "a|b".to_owned(), ..Report::default() };
        let text = markdown(&[full(), bare], "x");
        let cells = |line: &str| line.replace("\\|", "").matches('|').count();
        let table: Vec<usize> =
            text.lines().filter(|line| line.starts_with('|')).map(cells).collect();
        assert_eq!(table, [12, 12, 12, 12]);
    }

    #[test]
    fn what_failed_is_named_below() {
        let mut report = full();
        report.passed = false;
        report.conditions.push(Judged {
            condition: "nothing acknowledged is missing".to_owned(),
            verdict: Verdict::Failed,
            seen: "3 missing".to_owned(),
        });
        let text = markdown(&[report], "x");
        assert!(text.contains("| FAILED |"));
        assert!(
            text.ends_with("- smoke failed: nothing acknowledged is missing (3 missing)\n"),
            "{text}"
        );
    }
}
