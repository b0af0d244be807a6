//! The program: reads the arguments and the settings, starts the runtime, does the work, and returns an exit code.

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    // The panic is on stderr already. A bug in polyarch has its own exit code, because scripts cannot know Rust's 101.
    std::panic::catch_unwind(cli::start).unwrap_or(ExitCode::from(cli::INTERNAL))
}
