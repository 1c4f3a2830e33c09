//! The configuration: any text ends in faults that say where, or in a configuration that prints as
//! itself.

use std::path::Path;

use sluicegate::config::{Faults, Loaded, Source, load_within};
use sluicegate::secret::HIDDEN;

/// A value of the environment; no message may show it.
const SECRET: &str = "correct-horse-battery";

fn read(text: &str) -> Result<Loaded, Faults> {
    let env = |name: &str| match name {
        "SECRET" => Some(SECRET.to_owned()),
        "TEXT" => Some("some text".to_owned()),
        "NUMBER" => Some("7".to_owned()),
        "EMPTY" => Some(String::new()),
        _ => None,
    };
    // No file of that folder exists.
    let path = Path::new("/nonexistent/sluicegate.yaml");
    load_within(Source::File { path, text }, &env, Some(1 << 30))
}

/// Reads the bytes as a configuration.
pub fn run(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    match read(&text) {
        Err(faults) => wrong(&text, &faults),
        Ok(loaded) => right(&loaded),
    }
}

fn wrong(text: &str, faults: &Faults) {
    assert!(!faults.list().is_empty());
    // YAML takes a carriage return for the end of a line, too.
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let lines: Vec<&str> = text.split('\n').collect();
    for fault in faults.list() {
        assert!(!fault.message.is_empty());
        if let Some(mark) = fault.mark {
            // The end of the text may be a line of its own.
            assert!((1..=lines.len() + 1).contains(&mark.line), "{fault:?}");
            let columns = lines.get(mark.line - 1).map_or(0, |line| line.chars().count());
            assert!((1..=columns + 2).contains(&mark.column), "{fault:?}");
        }
    }
    for line in faults.lines() {
        assert!(!line.contains('\n'), "{line}");
        assert!(!line.contains(SECRET) || text.contains(SECRET), "{line}");
    }
}

fn right(loaded: &Loaded) {
    let printed = loaded.config.to_yaml();
    assert!(loaded.notes.iter().all(|note| !note.contains('\n')));
    let _ = (loaded.config.plan(), loaded.config.files().count());
    if printed.contains(HIDDEN) {
        return;
    }
    match read(&printed) {
        Ok(again) => assert_eq!(again.config.to_yaml(), printed),
        Err(faults) => panic!("{faults}\n{printed}"),
    }
}
