//! The program: arguments → settings → runtime → run → exit code.

mod cli;

fn main() -> std::process::ExitCode {
    cli::start()
}
