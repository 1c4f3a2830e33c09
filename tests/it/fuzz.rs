//! The fuzz targets over their corpus, and over mutations of it for a few seconds each.
//!
//! `fuzz/run` fuzzes for longer, guided by coverage. A finding of either is a file: put into
//! `fuzz/corpus/<target>/` it is replayed for ever.

#![allow(clippy::unwrap_used, clippy::panic)]

#[path = "fuzz/mutator.rs"]
mod mutator;
#[path = "fuzz/seeds.rs"]
mod seeds;
#[path = "../../fuzz/src/targets/mod.rs"]
pub(crate) mod targets;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use targets::Target;
use tokio::time::Instant;

use mutator::Mutator;

/// How long each target's corpus is mutated.
const MUTATED_FOR: Duration = Duration::from_secs(3);
/// How many mutations there are at least and at most, however slow or fast the machine.
const MUTATIONS_MIN: u64 = 50;
const MUTATIONS_MAX: u64 = 200_000;
/// What the corpus may weigh: it is read by whoever clones the repository.
const CORPUS_BYTES_MAX: u64 = 2 << 20;
const INPUT_BYTES_MAX: usize = 64 << 10;

fn fuzz_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz")
}

fn corpus(target: &Target) -> Vec<Vec<u8>> {
    let folder = fuzz_folder().join("corpus").join(target.name);
    let mut paths: Vec<_> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.iter().map(|path| std::fs::read(path).unwrap()).collect()
}

fn file_name(input: &[u8]) -> String {
    Sha256::digest(input).iter().take(10).map(|byte| format!("{byte:02x}")).collect()
}

/// Runs an input; a broken promise leaves it as a file.
fn run(target: &Target, input: &[u8], origin: &str) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| (target.run)(input))) {
        let name = format!("{}-{}", target.name, file_name(input));
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::write(&path, input).unwrap();
        eprintln!("{} broke on {origin}; the input: {}", target.name, path.display());
        std::panic::resume_unwind(panic);
    }
}

/// A number of one's own choice, for running a failure again.
#[expect(clippy::disallowed_methods, reason = "only the environment can name a seed")]
fn chosen_seed() -> Option<u64> {
    std::env::var("FUZZ_SEED").ok()?.parse().ok()
}

fn fuzz(name: &str) {
    let target = targets::ALL.iter().find(|target| target.name == name).unwrap();
    let mut inputs = corpus(target);
    assert!(inputs.len() > 5, "{name} has a corpus of {}", inputs.len());
    inputs.extend(seeds::of(name));
    for (index, input) in inputs.iter().enumerate() {
        run(target, input, &format!("input {index} of the corpus"));
    }
    let seed = chosen_seed().unwrap_or_else(|| fastrand::u64(..));
    let tokens = dictionary(name);
    let mut mutator = Mutator::new(seed, &inputs, &tokens);
    let began = Instant::now();
    let mut count = 0;
    while count < MUTATIONS_MIN || count < MUTATIONS_MAX && began.elapsed() < MUTATED_FOR {
        run(target, &mutator.next(), &format!("mutation {count} of FUZZ_SEED={seed}"));
        count += 1;
    }
    eprintln!("{name}: {} inputs, {count} mutations, FUZZ_SEED={seed}", inputs.len());
}

/// The tokens of `fuzz/dictionaries/`, in libFuzzer's format.
fn dictionary(name: &str) -> Vec<Vec<u8>> {
    let path = fuzz_folder().join(format!("dictionaries/{name}.dict"));
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let tokens = text.lines().filter_map(|line| line.strip_prefix('"')?.strip_suffix('"'));
    tokens.map(token).collect()
}

fn token(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        (out, rest) = match (first, after) {
            (b'\\', [b'x', high, low, after @ ..]) => {
                let hex = [*high, *low];
                let byte = u8::from_str_radix(std::str::from_utf8(&hex).unwrap(), 16).unwrap();
                ([&out[..], &[byte]].concat(), after)
            }
            (b'\\', [escaped, after @ ..]) => ([&out[..], &[*escaped]].concat(), after),
            (plain, after) => ([&out[..], &[*plain]].concat(), after),
        };
    }
    out
}

macro_rules! each_target {
    ($($name:ident)*) => {
        $(#[test]
        fn $name() {
            fuzz(stringify!($name));
        })*

        #[test]
        fn every_target_is_run_here_and_by_libfuzzer() {
            let names: Vec<_> = targets::ALL.iter().map(|target| target.name).collect();
            assert_eq!(names, [$(stringify!($name)),*]);
            let manifest = std::fs::read_to_string(fuzz_folder().join("Cargo.toml")).unwrap();
            for name in names {
                let line = format!("path = \"fuzz_targets/{name}.rs\"");
                assert!(manifest.contains(&line), "{name}");
                let program = fuzz_folder().join(format!("fuzz_targets/{name}.rs"));
                let program = std::fs::read_to_string(program).unwrap();
                assert!(program.contains(&format!("targets::{name}::run(data)")), "{name}");
            }
        }
    };
}

each_target!(answers base64 config door envelope glimpse gzip json otlp relabel write);

#[test]
fn the_corpus_is_small() {
    let mut bytes = 0;
    for target in &targets::ALL {
        let inputs = corpus(target);
        assert!(inputs.len() < 600, "{}: {} files", target.name, inputs.len());
        for input in inputs {
            assert!(input.len() <= INPUT_BYTES_MAX, "{}: {} bytes", target.name, input.len());
            bytes += input.len() as u64;
        }
    }
    assert!(bytes <= CORPUS_BYTES_MAX, "{bytes} bytes");
}

#[test]
fn dictionaries_are_read_as_libfuzzer_reads_them() {
    assert_eq!(token(r#"a\x0a\"b\\"#), b"a\n\"b\\");
    assert!(targets::ALL.iter().filter(|target| !dictionary(target.name).is_empty()).count() >= 5);
}

/// Writes the seeds into the corpus, for `fuzz/run` to begin with: `fuzz/run` explains when.
#[test]
#[ignore = "writes files"]
fn write_seeds() {
    for target in &targets::ALL {
        let folder = fuzz_folder().join("corpus").join(target.name);
        std::fs::create_dir_all(&folder).unwrap();
        for seed in seeds::of(target.name) {
            assert!(seed.len() <= INPUT_BYTES_MAX);
            std::fs::write(folder.join(file_name(&seed)), seed).unwrap();
        }
    }
}
