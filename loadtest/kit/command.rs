//! The commands `run`, `all` and `list`: scenarios are announced, run, judged and told of.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use sluicegate::demo::signals::Signals;
use tokio::time::Instant;

use crate::conclusion::{Circumstances, announced, conclude};
use crate::condition::Condition;
use crate::course::{Driver, run_in_time, unfit, unfit_among_all};
use crate::found;
use crate::gateway::Gateway;
use crate::machine::version_of;
use crate::options::Options;
use crate::page;
use crate::prometheus::now_ms;
use crate::report::Report;
use crate::scenario::{ALL, Scenario};
use crate::sizing_table;
use crate::stand::Stand;
use crate::table;
use crate::vegeta::Vegeta;

/// What all runs of one command share.
#[derive(Clone, Copy)]
pub struct Call<'a> {
    /// The command line.
    pub options: &'a Options,
    /// Whether an option was named there, by its field.
    pub told: &'a dyn Fn(&str) -> bool,
    /// The command in words, without keys.
    pub command: &'a str,
}

/// Told to end by a signal.
const BROKEN_OFF: u8 = 130;

/// Lists the scenarios.
pub fn list() {
    for scenario in ALL {
        println!("{:<17} {}", scenario.name, scenario.about);
    }
}

/// Runs one scenario; a signal breaks it off, and nothing that it started is left.
///
/// # Errors
/// If something that it needs is missing or breaks down.
pub async fn run(scenario: &Scenario, call: Call<'_>) -> anyhow::Result<ExitCode> {
    until_told(async {
        let vegeta = Vegeta::find().await?;
        let report = one(scenario, call, &vegeta, false, call.options.report.as_deref()).await?;
        Ok(if report.passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    })
    .await
}

/// Runs every scenario in its short form, and prints their results as a table.
///
/// # Errors
/// If something that they need is missing. A scenario that breaks down counts as failed.
pub async fn all(call: Call<'_>) -> anyhow::Result<ExitCode> {
    until_told(async {
        let vegeta = Vegeta::find().await?;
        let wishes = call.options.wishes(true);
        let plans = ALL.iter().map(|scenario| (scenario.plan)(&wishes));
        let plans = plans.filter(|plan| unfit_among_all(plan, call.options).is_none());
        let each: Vec<u64> = plans.map(|plan| plan.expected().as_secs()).collect();
        let minutes = each.iter().sum::<u64>().div_ceil(60);
        eprintln!("{} scenarios, about {minutes} min in all", each.len());
        let (mut reports, mut skipped) = (Vec::new(), String::new());
        for scenario in ALL {
            if let Some(why) = unfit_among_all(&(scenario.plan)(&wishes), call.options) {
                eprintln!("\n== {}: NOT RUN: {why}", scenario.name);
                skipped.push_str(&format!("- {} was not run: {why}\n", scenario.name));
                continue;
            }
            let folder = call.options.report.as_ref().map(|folder| folder.join(scenario.name));
            let report = one(scenario, call, &vegeta, true, folder.as_deref()).await;
            reports.push(report.unwrap_or_else(|error| {
                eprintln!("{}: {error:#}", scenario.name);
                Report {
                    scenario: scenario.name.to_owned(),
                    remarks: vec![format!("{error:#}")],
                    ..Report::default()
                }
            }));
        }
        let mut text = table::markdown(&reports, call.command);
        if !skipped.is_empty() {
            text.push_str(&format!("\n{skipped}"));
        }
        let sizes = sizing_table::markdown(&reports);
        println!("\n{text}\n{sizes}");
        if let Some(folder) = &call.options.report {
            write(folder, "RESULTS.md", &text)?;
            write(folder, "SIZING.md", &sizes)?;
        }
        let passed = reports.iter().all(|report| report.passed);
        Ok(if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    })
    .await
}

/// Runs until it is over or a signal comes. What has been started ends with the future that holds it.
async fn until_told(
    work: impl Future<Output = anyhow::Result<ExitCode>>,
) -> anyhow::Result<ExitCode> {
    let mut signals = Signals::listen()?;
    tokio::select! {
        done = work => done,
        signal = signals.next() => {
            eprintln!("\n{signal}: broken off, no books");
            Ok(ExitCode::from(BROKEN_OFF))
        }
    }
}

async fn one(
    scenario: &Scenario,
    call: Call<'_>,
    vegeta: &Vegeta,
    short: bool,
    folder: Option<&Path>,
) -> anyhow::Result<Report> {
    let options = call.options;
    let began = Instant::now();
    let mut plan = (scenario.plan)(&options.wishes(short));
    if options.prometheus {
        // It refuses what is out of contract, and does not say what that was; what is written twice
        // it takes as one sample.
        let untold = [Condition::ContractKept, Condition::NothingTwice];
        plan.conditions.retain(|condition| !untold.contains(condition));
    }
    let plan = plan;
    if let Some(why) = unfit(&plan, options) {
        anyhow::bail!("{} cannot be run: {why}", scenario.name);
    }
    let load = options.load_of(&plan.bodies, call.told)?;
    eprintln!("\n== {}: {}", scenario.name, scenario.about);
    eprintln!(
        "   expected {} s, at most {} s",
        plan.expected().as_secs(),
        plan.at_most().as_secs()
    );
    eprintln!("   passes if:");
    for condition in announced(&plan) {
        eprintln!("   - {condition}");
    }
    // Beside the report, where there is one: its results are large and worth keeping.
    let passing = tempfile::tempdir().context("no temporary folder")?;
    let directory = folder.map_or_else(|| passing.path().to_owned(), |folder| folder.join("run"));
    std::fs::create_dir_all(&directory).with_context(|| directory.display().to_string())?;
    let mut stand = if options.url.is_some() {
        Stand::of_others(options)?
    } else {
        Stand::own(&plan, options, &directory).await?
    };
    for remark in &stand.remarks {
        eprintln!("   NOTE: {remark}");
    }
    if options.url.is_some() && plan.troubles() {
        eprintln!("   NOTE: what happens to gateways and destination is up to you");
    }
    let run = format!("r{}", fresh_name());
    // Known before the load, rather than after hours of it.
    stand.stored(&run, now_ms()?).await.context("what is stored cannot be asked for")?;
    let driver = Driver { vegeta, load: &load, options, run: &run, directory: &directory };
    let course = match run_in_time(&plan, &mut stand, driver).await {
        Ok(course) => course,
        Err(error) => {
            let logs = stand.logs();
            let logs = if logs.is_empty() { logs } else { format!("{logs}\n") };
            return Err(error.context(format!("{logs}{}", scenario.name)));
        }
    };
    let around = Circumstances {
        command: call.command.to_owned(),
        versions: versions(vegeta, options),
        took: began.elapsed(),
    };
    let report = conclude(scenario, &plan, &stand, &load, &course, around);
    println!("{}", report.text());
    if let Some(folder) = folder {
        let plots: Vec<PathBuf> =
            course.attacks.iter().map(|(_, _, attacked)| attacked.plot.clone()).collect();
        keep(folder, &report, &plots)?;
        println!("report: {}", folder.join("index.html").display());
    }
    Ok(report)
}

/// Writes the report into its folder; vegeta's plots become pages beside it.
fn keep(folder: &Path, report: &Report, plots: &[PathBuf]) -> anyhow::Result<()> {
    let mut links = Vec::new();
    for (number, plot) in (1..).zip(plots.iter().filter(|plot| plot.is_file())) {
        let name = if plots.len() == 1 {
            "vegeta.html".to_owned()
        } else {
            format!("vegeta-{number}.html")
        };
        std::fs::copy(plot, folder.join(&name)).with_context(|| plot.display().to_string())?;
        links.push(name);
    }
    write(folder, "report.json", &serde_json::to_string_pretty(report)?)?;
    write(folder, "report.txt", &report.text())?;
    write(folder, "index.html", &page::html(report, &links))
}

fn write(folder: &Path, name: &str, text: &str) -> anyhow::Result<()> {
    let path = folder.join(name);
    std::fs::write(&path, text).with_context(|| path.display().to_string())
}

/// Programs that have a say in the figures.
fn versions(vegeta: &Vegeta, options: &Options) -> Vec<(String, String)> {
    let mut versions = vec![("vegeta".to_owned(), vegeta.version.clone())];
    let mut add = |name: &str, path: anyhow::Result<PathBuf>, flag: &str| {
        if let Some(version) = path.ok().and_then(|path| version_of(&path, flag)) {
            let bare = version.strip_prefix(name).unwrap_or(&version);
            let bare = bare.trim_start_matches([',', ' ']).trim_start_matches("version ");
            versions.push((name.to_owned(), bare.to_owned()));
        }
    };
    if options.url.is_none() {
        add("sluicegate", options.gateway.clone().map_or_else(Gateway::built, Ok), "--version");
    }
    if options.prometheus {
        add("prometheus", found::PROMETHEUS.find(), "--version");
    }
    if cfg!(debug_assertions) {
        versions.push(("built".to_owned(), "without optimisation: no figures to go by".to_owned()));
    }
    versions
}

/// A name that no other run has.
fn fresh_name() -> String {
    std::iter::repeat_with(|| fastrand::alphanumeric().to_ascii_lowercase()).take(11).collect()
}
