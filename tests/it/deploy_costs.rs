//! The README's costs: every figure of its table follows from the prices and formulas beside it.

#![allow(clippy::unwrap_used, clippy::panic)] // A test may end so.

use std::path::Path;

/// Minutes and hours of a month, statistics of a metric, as the README says.
const MINUTES: f64 = 43_800.0;
const HOURS: f64 = 730.0;
const STATISTICS: f64 = 3.0;
const GB: f64 = 1e9;

/// The table's rows: part, and its dollars for 1,000, 10,000 and 100,000 metrics.
fn rows(readme: &str) -> Vec<(String, Vec<f64>)> {
    let table = readme.split_once("| Part | Formula | 1,000 | 10,000 | 100,000 |").unwrap().1;
    let rows = table.lines().skip(2).take_while(|line| line.starts_with('|'));
    rows.map(|row| {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let number = |cell: &&str| cell.replace([',', '*'], "").parse().unwrap();
        (cells[0].replace('*', ""), cells[2..].iter().map(number).collect())
    })
    .collect()
}

/// Dollars of a part for so many metrics, from the prices.
fn dollars(part: &str, metrics: f64) -> f64 {
    let samples = metrics * STATISTICS * MINUTES;
    match part {
        "metric stream" => metrics * MINUTES * 0.003 / 1000.0,
        "Firehose" => metrics * MINUTES * 400.0 / GB * 0.029,
        "AMP ingestion" => samples.min(2e9) * 0.09e-6 + (samples - 2e9).max(0.0) * 0.035e-6,
        "AMP storage" => samples * 5.0 * 2.0 / GB * 0.03,
        "NAT, data" => samples * 60.0 / GB * 0.045,
        "two tasks" => 2.0 * HOURS * (0.25 * 0.03238 + 0.5 * 0.00356),
        "load balancer" => HOURS * 0.0225,
        "NAT gateway" => HOURS * 0.045,
        "three public addresses" => 3.0 * HOURS * 0.005,
        "18 metrics of alarms, dashboard, 25 metrics of Container Insights" => {
            18.0 * 0.1 + 3.0 + 25.0 * 0.3
        }
        "key and secret" => 1.0 + 0.4,
        other => panic!("no formula for {other}"),
    }
}

#[test]
fn every_figure_follows_from_its_formula() {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let rows = rows(&std::fs::read_to_string(readme).unwrap());
    assert_eq!(rows.len(), 12);
    for (column, metrics) in [1e3, 1e4, 1e5].into_iter().enumerate() {
        let parts = rows.iter().filter(|(part, _)| part != "sum");
        let sum: f64 = parts.clone().map(|(part, _)| dollars(part, metrics)).sum();
        for (part, said) in parts {
            let off = (said[column] - dollars(part, metrics)).abs();
            assert!(off <= 0.5, "{part}, {metrics} metrics: {}", dollars(part, metrics));
        }
        let (_, said) = rows.iter().find(|(part, _)| part == "sum").unwrap();
        assert!((said[column] - sum).abs() <= 0.5, "sum for {metrics} metrics: {sum}");
    }
}
