//! The load-test kit's own smoke scenario, with a real vegeta against the program as it was built.

#![allow(clippy::unwrap_used, clippy::panic)] // A test may end so.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::LazyLock;

use serde_json::Value;

/// The kit, beside the program and built the same way. Cargo does not build an example that has tests of
/// its own for those of others.
static KIT: LazyLock<PathBuf> = LazyLock::new(|| {
    let folder = Path::new(env!("CARGO_BIN_EXE_sluicegate")).parent().unwrap();
    let mut cargo = Command::new(env!("CARGO"));
    cargo.current_dir(env!("CARGO_MANIFEST_DIR"));
    cargo.args(["build", "--quiet", "--locked", "--example", "loadtest", "--target-dir"]);
    cargo.arg(folder.parent().unwrap());
    if folder.ends_with("release") {
        cargo.arg("--release");
    }
    let built = cargo.stdin(Stdio::null()).output().unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    folder.join("examples/loadtest")
});

/// Runs the kit; its exit code, and what it said.
fn loadtest(arguments: &[&str]) -> (i32, String) {
    let output = Command::new(&*KIT).args(arguments).stdin(Stdio::null()).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.code().unwrap(), String::from_utf8(said).unwrap())
}

fn count(report: &Value, pointer: &str) -> u64 {
    let value = report.pointer(pointer).unwrap_or_else(|| panic!("no {pointer} in {report:#}"));
    value.as_u64().unwrap_or_else(|| panic!("{pointer}: {value}"))
}

#[test]
fn what_vegeta_sends_is_acknowledged_and_stored_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap();
    let arguments =
        ["run", "smoke", "--rate", "2000", "--duration", "3", "--points-per-body", "100"];
    let (code, said) = loadtest(&[&arguments[..], &["--report", path]].concat());
    assert_eq!(code, 0, "{said}");

    let text = std::fs::read_to_string(folder.path().join("report.json")).unwrap();
    let report: Value = serde_json::from_str(&text).unwrap();
    let sent = count(&report, "/books/points_sent");
    // 60 requests; a machine that is busy may begin the last of them too late.
    assert!((3000..=6000).contains(&sent), "{sent}");
    assert_eq!(count(&report, "/books/points_acknowledged"), sent);
    assert_eq!(count(&report, "/books/stored/points"), sent);
    assert_eq!(count(&report, "/books/stored/missing"), 0);
    assert_eq!(count(&report, "/books/stored/duplicated"), 0);
    assert_eq!(count(&report, "/books/answers/200"), count(&report, "/books/requests"));
    assert_eq!(report.pointer("/passed"), Some(&Value::Bool(true)));

    let page = std::fs::read_to_string(folder.path().join("index.html")).unwrap();
    assert!(page.contains("smoke") && page.contains("vegeta.html"));
    assert!(folder.path().join("vegeta.html").is_file());
}

#[test]
fn a_gateway_that_nobody_answers_for_fails_the_run() {
    let nowhere = "http://127.0.0.1:9/firehose";
    let (code, said) = loadtest(&[
        "run",
        "smoke",
        "--url",
        nowhere,
        "--key",
        "open sesame",
        "--rate",
        "100",
        "--duration",
        "1",
        "--points-per-body",
        "10",
    ]);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("NOT COUNTED") && said.contains("without an answer"), "{said}");
    assert!(!said.contains("open sesame"), "the key is shown: {said}");
}
