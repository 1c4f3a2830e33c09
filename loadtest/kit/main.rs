//! The load-test kit: a metric stream's load, sent by vegeta, and the books of what became of it.

#![allow(clippy::print_stdout, clippy::print_stderr)]

use clap::Parser;

// What is sent.
pub mod load;
pub mod targets;
// How it is sent.
pub mod vegeta;
pub mod attack;
// What became of it.
pub mod points;
pub mod books;
pub mod latency;
// What stands around it.
pub mod found;
pub mod child;
pub mod gateway;
pub mod quota;
pub mod balancer;
pub mod half_open;
pub mod behaviour;
pub mod wire;
pub mod ledger;
pub mod receiver;
pub mod prometheus;
pub mod exposition;
pub mod watch;
// What is done with all of these, and how it is judged.
pub mod command;
pub mod scenario;
pub mod scenarios;
pub mod stand;
pub mod course;
pub mod options;
pub mod condition;
pub mod evidence;
pub mod figures;
pub mod conclusion;
// How it is told.
pub mod report;
pub mod table;
pub mod sizing_table;
pub mod page;
pub mod plot;
pub mod machine;

use std::process::ExitCode;

use clap::{CommandFactory as _, FromArgMatches as _, parser::ValueSource};

use command::Call;
use options::{Options, command_again};

/// Load tests for a gateway between Firehose and remote write.
#[derive(Debug, Parser)]
#[command(name = "loadtest")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Lists the scenarios.
    List,
    /// Runs one scenario.
    Run {
        /// Its name.
        scenario: String,
        #[command(flatten)]
        options: Box<Options>,
    },
    /// Runs every scenario in its short form; prints a table of the results.
    All {
        #[command(flatten)]
        options: Box<Options>,
    },
    /// Writes vegeta's JSON targets to standard output.
    Targets(targets::Options),
}

fn main() -> ExitCode {
    match work() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("loadtest: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn arguments() -> Vec<String> {
    std::env::args().skip(1).collect()
}

fn work() -> anyhow::Result<ExitCode> {
    let matches = Cli::command().get_matches();
    let cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    let told = |name: &str| {
        let of = matches.subcommand().map(|(_, matches)| matches);
        of.and_then(|of| of.value_source(name)) == Some(ValueSource::CommandLine)
    };
    let command = command_again(arguments());
    let runtime =
        || tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    match cli.command {
        Command::List => command::list(),
        Command::Targets(options) => targets::run(&options)?,
        Command::Run { scenario, options } => {
            let Some(scenario) = scenario::named(&scenario) else {
                anyhow::bail!("no scenario {scenario:?}: `loadtest/run list` lists them");
            };
            let call = Call { options: &options, told: &told, command: &command };
            return runtime()?.block_on(command::run(scenario, call));
        }
        Command::All { options } => {
            let call = Call { options: &options, told: &told, command: &command };
            return runtime()?.block_on(command::all(call));
        }
    }
    Ok(ExitCode::SUCCESS)
}
