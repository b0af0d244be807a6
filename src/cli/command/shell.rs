//! Makes completions and the manual from clap's own commands, so they are always up to date.

use std::fs;
use std::io;
use std::path::Path;
use std::process::ExitCode;

use clap::CommandFactory as _;
use polyarch::run::{Failure, Phase};

use crate::cli::args::command_line::Cli;
use crate::cli::args::refusal::Refusal;
use crate::cli::args::tools::{CompletionsArgs, ManArgs};
use crate::cli::caller::shells;
use crate::cli::terminal::stdout;

pub(crate) fn completions(args: &CompletionsArgs) -> Result<ExitCode, Refusal> {
    let script = shells::script(&args.shell.to_string()).map_err(|error| stdout::cannot_write("stdout", &error))?;
    stdout::lines(script.lines())?;
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn man(args: &ManArgs) -> Result<ExitCode, Refusal> {
    let directory = &args.directory;
    let unwritten = |error: io::Error| unwritten(directory, &error);
    fs::create_dir_all(directory).map_err(unwritten)?;
    clap_mangen::generate_to(Cli::command(), directory).map_err(unwritten)?;
    Ok(ExitCode::SUCCESS)
}

fn unwritten(directory: &Path, error: &io::Error) -> Failure {
    Failure::new(
        Phase::Internal,
        format!("cannot write the manual into {}: {error}", directory.display()).into(),
        Some("name a directory that you may write".into()),
    )
}
