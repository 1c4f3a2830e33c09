//! Where vegeta is.

use std::path::PathBuf;

/// The version that the kit is made for.
pub const VERSION: &str = "v12.12.0";

/// A vegeta that can be run.
#[derive(Clone, Debug)]
pub struct Vegeta {
    /// Its binary.
    pub program: PathBuf,
    /// What it says about its version.
    pub version: String,
}

impl Vegeta {
    /// Finds vegeta by `VEGETA` or on the path, or builds it.
    ///
    /// # Errors
    /// If there is neither vegeta nor a way to build it; says what is missing.
    pub async fn find() -> anyhow::Result<Self> {
        anyhow::bail!("not yet")
    }
}
