//! Scripts in Python, for what has to be an implementation that is not ours: botocore's signatures
//! and moto's STS.
//!
//! The interpreter is `$PYTHON` or the `python3` of the PATH; `tests/all` provides one that knows
//! both packages.

#![allow(clippy::unwrap_used, clippy::panic)] // A test may end so.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

const MISSING: &str = "the tests need a Python with botocore and moto: run tests/all, or install \
    them (pip install botocore 'moto[server]') and set PYTHON to that interpreter";

/// A cold start of moto on a busy machine.
const PATIENCE: Duration = Duration::from_secs(90);

/// A running script that answers in lines of JSON; killed on drop.
#[derive(Debug)]
pub(crate) struct Script {
    child: Child,
    input: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Script {
    /// Starts a script of `tests/python`.
    #[expect(clippy::disallowed_methods, reason = "the tests are told of Python by environment")]
    pub(crate) fn start(name: &str, arguments: &[&str]) -> Self {
        let python = std::env::var("PYTHON").unwrap_or_else(|_| "python3".to_owned());
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python").join(name);
        let mut command = Command::new(&python);
        command.arg(path).args(arguments).kill_on_drop(true);
        for proxy in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"] {
            command.env_remove(proxy).env_remove(proxy.to_ascii_lowercase());
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child =
            command.spawn().unwrap_or_else(|error| panic!("{python}: {error}: {MISSING}"));
        let input = child.stdin.take().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, input, lines }
    }

    /// Says a line.
    pub(crate) async fn say(&mut self, line: &Value) {
        // Where nobody reads any more, the missing answer tells why.
        let _ = self.input.write_all(format!("{line}\n").as_bytes()).await;
    }

    /// Waits for a line.
    pub(crate) async fn hear(&mut self) -> Value {
        let line = timeout(PATIENCE, self.lines.next_line()).await.expect("an answer of a script");
        let Some(line) = line.unwrap() else {
            let mut said = String::new();
            self.child.stderr.take().unwrap().read_to_string(&mut said).await.unwrap();
            let hint = if said.contains("ModuleNotFoundError") { MISSING } else { "" };
            panic!("the script ended: {hint}\n{said}");
        };
        serde_json::from_str(&line).unwrap()
    }
}
