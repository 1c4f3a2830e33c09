//! The `sluicegate` program.

#![forbid(unsafe_code)]

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    sluicegate::cli::run().unwrap_or_else(|error| {
        use std::io::Write as _;
        // Whoever reads the output has had enough of it, as `head` has.
        let cause = error.root_cause().downcast_ref::<std::io::Error>();
        if cause.is_some_and(|cause| cause.kind() == std::io::ErrorKind::BrokenPipe) {
            return ExitCode::FAILURE;
        }
        let _ = writeln!(std::io::stderr().lock(), "error: {error:#}");
        ExitCode::FAILURE
    })
}
