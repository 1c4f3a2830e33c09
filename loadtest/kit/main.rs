//! The load-test kit: a metric stream's load, sent by vegeta, and the books of what became of it.

#![allow(clippy::print_stdout, clippy::print_stderr)]
#![allow(dead_code)]

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
pub mod scenario;
pub mod scenarios;
pub mod options;
pub mod condition;
pub mod evidence;
// How it is told.
pub mod report;
pub mod table;
pub mod page;
pub mod plot;
pub mod machine;

/// Load tests for a gateway between Firehose and remote write.
#[derive(Debug, Parser)]
#[command(name = "loadtest")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Writes vegeta's JSON targets to standard output.
    Targets(targets::Options),
}

fn main() -> anyhow::Result<()> {
    match Cli::parse().command {
        Command::Targets(options) => targets::run(&options),
    }
}
