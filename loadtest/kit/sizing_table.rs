//! How large a task has to be, as a Markdown table: reckoned from what `steady` cost and from what
//! `sizing` carried.

use std::fmt::Write as _;

use crate::report::{Report, grouped, mib};
use crate::scenarios::sizing::P99;

/// CloudWatch metrics that have a data point every minute.
const METRICS_PER_MINUTE: [u64; 7] =
    [10_000, 100_000, 1_000_000, 3_000_000, 10_000_000, 30_000_000, 100_000_000];

/// Tasks that Fargate has: vCPU, and the least memory for it in MB.
const TASKS: [(f64, u64); 7] = [
    (0.25, 512),
    (0.5, 1024),
    (1.0, 2048),
    (2.0, 4096),
    (4.0, 8192),
    (8.0, 16_384),
    (16.0, 32_768),
];

/// A task uses no more of its processors at its rate: the rest is for what comes at once.
const USED_MOST: f64 = 0.5;

/// The table, with its basis above it; empty if the cost is not known.
#[must_use]
pub fn markdown(reports: &[Report]) -> String {
    let named = |name: &str| reports.iter().find(|report| report.scenario == name);
    let mut out = String::new();
    let steady = named("steady").and_then(|report| Some((report, report.gateway.as_ref()?)));
    let cost = steady.and_then(|(_, gateway)| gateway.cpu_seconds_per_million_points);
    let (Some((report, gateway)), Some(cost)) = (steady, cost) else { return out };
    let rate = report.stages.first().map_or(0.0, |stage| stage.acknowledged_points_per_s);
    // Writing to a string cannot fail.
    let _ = writeln!(
        out,
        "Basis: `steady` took {cost:.2} CPU seconds per million data points at {} points/s, and {:.0} MiB \
         at most, on {}.\n",
        grouped(rate as u64),
        mib(gateway.peak_rss_bytes.unwrap_or_default()),
        report.machine.line()
    );
    out.push_str(
        "| Metrics per minute | Points/s | CPUs in use | Tasks of | Tasks |\n|---:|---:|---:|---|---:|\n",
    );
    for metrics in METRICS_PER_MINUTE {
        let points_per_s = metrics as f64 / 60.0;
        let cpus = points_per_s * cost / 1e6;
        let (vcpu, memory, tasks) = task(cpus);
        let _ = writeln!(
            out,
            "| {} | {} | {cpus:.3} | {vcpu} vCPU, {memory} MB | {tasks} |",
            grouped(metrics),
            grouped(points_per_s as u64)
        );
    }
    if let Some(carried) = named("sizing").and_then(carried) {
        let _ = writeln!(out, "\n{carried}");
    }
    out
}

/// The smallest task that has twice as much, and how many: two of them at least where one would do,
/// so that one can be replaced.
fn task(cpus: f64) -> (f64, u64, u64) {
    for (vcpu, memory) in TASKS {
        // Either of two tasks carries all for a while.
        if cpus <= vcpu * USED_MOST {
            return (vcpu, memory, 2);
        }
    }
    let (vcpu, memory) = TASKS.last().copied().unwrap_or((1.0, 2048));
    let tasks = (cpus / (vcpu * USED_MOST)).ceil();
    (vcpu, memory, tasks as u64 + 1)
}

/// What the smallest task carried, in a sentence.
fn carried(report: &Report) -> Option<String> {
    let p99_ms = P99.as_secs_f64() * 1e3;
    let carried = report.stages.iter().filter(|stage| {
        stage.accepted() >= 1.0 && stage.p99_ms.is_some_and(|seen_ms| seen_ms <= p99_ms)
    });
    let best = carried.max_by(|one, other| {
        one.acknowledged_points_per_s.total_cmp(&other.acknowledged_points_per_s)
    })?;
    let gateway = report.gateway.as_ref()?;
    let bounds = gateway.bounds.as_deref().unwrap_or("NOT BOUNDED");
    Some(format!(
        "A task of 0.25 vCPU and 512 MB ({bounds}) carried {} data points/s, {} metrics a minute, with \
         every request answered 200, p99 {:.0} ms and {:.0} MiB at most over the whole run.",
        grouped(best.acknowledged_points_per_s as u64),
        grouped((best.acknowledged_points_per_s * 60.0) as u64),
        best.p99_ms?,
        mib(gateway.peak_rss_bytes?)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::StageFigures;
    use crate::report::GatewayFigures;

    fn report(scenario: &str, stages: Vec<StageFigures>) -> Report {
        let gateway = GatewayFigures {
            cpu_seconds_per_million_points: Some(2.0),
            peak_rss_bytes: Some(80 << 20),
            bounds: Some("cgroup version 2: 0.25 CPU, 512 MiB".to_owned()),
            ..GatewayFigures::default()
        };
        let scenario = scenario.to_owned();
        Report { scenario, stages, gateway: Some(gateway), ..Report::default() }
    }

    fn stage(points_per_s: f64, code: u16) -> StageFigures {
        StageFigures {
            acknowledged_points_per_s: points_per_s,
            codes: [(code, 10)].into(),
            p99_ms: Some(40.0),
            ..StageFigures::default()
        }
    }

    #[test]
    fn a_task_has_twice_what_is_used_and_is_not_alone() {
        for (cpus, expected) in [
            (0.01, (0.25, 512, 2)),
            (0.125, (0.25, 512, 2)),
            (0.13, (0.5, 1024, 2)),
            (7.9, (16.0, 32_768, 2)),
            (20.0, (16.0, 32_768, 4)),
        ] {
            assert_eq!(task(cpus), expected, "{cpus}");
        }
    }

    #[test]
    fn the_table_is_reckoned_from_what_was_measured() {
        let late = StageFigures { p99_ms: Some(2001.0), ..stage(60_000.0, 200) };
        let sizing = report("sizing", vec![stage(50_000.0, 200), stage(70_000.0, 503), late]);
        let text = markdown(&[report("steady", vec![stage(25_000.0, 200)]), sizing]);
        for part in [
            "2.00 CPU seconds per million data points at 25,000 points/s, and 80 MiB",
            "| 1,000,000 | 16,666 | 0.033 | 0.25 vCPU, 512 MB | 2 |",
            "| 10,000,000 | 166,666 | 0.333 | 1 vCPU, 2048 MB | 2 |",
            "carried 50,000 data points/s, 3,000,000 metrics a minute",
        ] {
            assert!(text.contains(part), "{part:?} is not in:\n{text}");
        }
    }

    #[test]
    fn without_a_cost_nothing_is_reckoned() {
        assert_eq!(markdown(&[report("sizing", vec![stage(1.0, 200)])]), "");
    }
}
