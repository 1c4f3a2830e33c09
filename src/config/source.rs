//! Where a configuration comes from: a file, one environment variable, or two of them.

use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::fault::{Fault, Faults};
use super::yaml::TEXT_BYTES_MAX;
use super::{Config, load_within, memory};

const PATH_VARIABLE: &str = "SLUICEGATE_CONFIG";
const CONTENT_VARIABLE: &str = "SLUICEGATE_CONFIG_CONTENT";

/// A configuration's text and what to call it in messages. `Debug` shows the latter only: secrets
/// may stand in the text.
#[derive(Clone, Copy)]
pub enum Source<'a> {
    /// The text of a file.
    File {
        /// Its path: for messages, and relative paths in it start at its directory.
        path: &'a Path,
        /// Its text.
        text: &'a str,
    },
    /// The text of `SLUICEGATE_CONFIG_CONTENT`.
    Content(&'a str),
    /// No text: `SLUICEGATE_REMOTE_WRITE_URL` and `SLUICEGATE_ACCESS_KEY`.
    Environment,
}

impl fmt::Debug for Source<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Source").field(&self.name()).finish()
    }
}

impl Source<'_> {
    pub(super) fn name(&self) -> String {
        match self {
            Self::File { path, .. } => path.display().to_string(),
            Self::Content(_) => CONTENT_VARIABLE.to_owned(),
            Self::Environment => "environment".to_owned(),
        }
    }

    pub(super) fn text(&self) -> &str {
        match self {
            Self::File { text, .. } | Self::Content(text) => text,
            Self::Environment => "",
        }
    }

    pub(super) fn base(&self) -> Option<PathBuf> {
        match self {
            Self::File { path, .. } => path.parent().map(Path::to_owned),
            Self::Content(_) | Self::Environment => None,
        }
    }
}

/// A configuration, where it came from, and what is to be said about it although it holds.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// A file's path, a variable's name, or `environment`.
    pub origin: String,
    /// Notes (`file:line:column: setting: message`), in the order of the text: warnings for the log.
    pub notes: Vec<String>,
}

/// Finds and reads the configuration: the file of `--config`, else that of `SLUICEGATE_CONFIG`, else
/// the text in `SLUICEGATE_CONFIG_CONTENT`, else the environment alone. Empty variables are as good
/// as unset ones.
///
/// # Errors
/// Every fault of the configuration, or that its file cannot be read.
pub fn from_environment(
    flag: Option<PathBuf>,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<Loaded, Faults> {
    from_environment_within(flag, env, memory::limit_bytes())
}

/// [`from_environment`] for a given memory limit in bytes.
///
/// # Errors
/// As [`from_environment`].
pub fn from_environment_within(
    flag: Option<PathBuf>,
    env: &dyn Fn(&str) -> Option<String>,
    memory_limit: Option<u64>,
) -> Result<Loaded, Faults> {
    let set = |name: &str| env(name).filter(|value| !value.trim().is_empty());
    let by_flag = flag.is_some();
    let path = flag.or_else(|| set(PATH_VARIABLE).map(PathBuf::from));
    let content = set(CONTENT_VARIABLE);
    let Some(path) = path else {
        let source = content.as_deref().map_or(Source::Environment, Source::Content);
        return load_within(source, env, memory_limit);
    };
    let text = read_file(&path)?;
    let mut loaded = load_within(Source::File { path: &path, text: &text }, env, memory_limit)?;
    if content.is_some() {
        let other = if by_flag { "--config" } else { PATH_VARIABLE };
        let message = format!("has no effect: {other} names a file");
        loaded.notes.insert(0, Fault::nowhere("", message).line(CONTENT_VARIABLE));
    }
    Ok(loaded)
}

fn read_file(path: &Path) -> Result<String, Faults> {
    let fault = |message: String| Faults::whole(path.display().to_string(), message);
    let mut bytes = Vec::new();
    // One byte more than is allowed, so that what is too large is seen to be so.
    std::fs::File::open(path)
        .and_then(|file| file.take(TEXT_BYTES_MAX as u64 + 1).read_to_end(&mut bytes))
        .map_err(|error| fault(format!("cannot be read: {error}")))?;
    if bytes.len() > TEXT_BYTES_MAX {
        return Err(fault("the text is larger than 1MiB".to_owned()));
    }
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let line = error.as_bytes().iter().take(at).filter(|byte| **byte == b'\n').count() + 1;
        fault(format!("is not UTF-8 (line {line})"))
    })
}
