//! Vegeta's JSON targets: one line each, with the body in base64 and Firehose's headers.

use crate::load::Load;

/// What `loadtest targets` is told.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Where the gateway takes deliveries.
    #[arg(long)]
    pub url: String,
    /// Access key.
    #[arg(long)]
    pub key: String,
    /// Common attributes of the delivery stream.
    #[arg(long, value_name = "KEY=VALUE")]
    pub common_attributes: Vec<String>,
    /// So many targets; endless if left out.
    #[arg(long, value_name = "N")]
    pub requests: Option<u64>,
    /// What the bodies are made of.
    #[command(flatten)]
    pub load: Load,
}

/// Writes targets to standard output until there are enough or nobody reads on.
///
/// # Errors
/// If the options are wrong or standard output cannot be written to.
pub fn run(_options: &Options) -> anyhow::Result<()> {
    anyhow::bail!("not yet")
}
