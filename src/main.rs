//! The program: arguments → settings → runtime → run → exit code.

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    // What panicked has said so on stderr. A fault of ours has a code of its own; Rust's 101 means nothing to scripts.
    std::panic::catch_unwind(cli::start).unwrap_or(ExitCode::from(cli::INTERNAL))
}
