//! From the command line to a command.

use std::process::ExitCode;

use clap::Parser;
use tracing_subscriber::EnvFilter;

use super::args::{Cli, Command};
use super::load::Refusal;
use super::settings::Settings;
use super::{build, ending, inspect, join, plan, serve, stderr, verify};

/// Runs what was typed, and says its exit code.
pub(crate) fn start() -> ExitCode {
    let cli = Cli::parse();
    let settings = Settings::read();
    log_to_stderr();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            stderr::line(&format!("error: cannot start: {error}"));
            return ExitCode::FAILURE;
        }
    };
    let ended = runtime.block_on(run(&cli.command, &settings));
    // A thread that reads a file for a build that was stopped must not hold the process.
    runtime.shutdown_background();
    ended.unwrap_or_else(|refusal| ending::refuse(&refusal, &settings))
}

async fn run(command: &Command, settings: &Settings) -> Result<ExitCode, Refusal> {
    match command {
        Command::Build(args) => Box::pin(build::run(args, settings)).await,
        Command::Join(args) => join::run(args, settings).await,
        Command::Inspect(args) => inspect::run(args, settings).await,
        Command::Verify(args) => verify::run(args, settings).await,
        Command::Plan(args) => plan::run(args, settings).await,
        Command::Serve => serve::run(settings).await,
    }
}

/// Our own warnings only. What bollard and hyper log holds whole URLs, build arguments among them, and no
/// `RUST_LOG` may bring it out.
fn log_to_stderr() {
    let ours = EnvFilter::new("polyarch=warn");
    let log = tracing_subscriber::fmt().with_env_filter(ours).with_writer(std::io::stderr);
    log.without_time().with_target(false).init();
}
