//! Makes completions and the manual from clap's own commands, so they are always up to date.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;
use polyarch::run::{Failure, Phase};

use super::args::Cli;
use super::load::Refusal;
use super::stdout;

const PROGRAM: &str = "polyarch";

#[derive(Debug, Args)]
pub(crate) struct CompletionsArgs {
    /// Shell that reads the completions
    #[arg(value_enum, value_name = "SHELL")]
    shell: Shell,
}

#[derive(Debug, Args)]
pub(crate) struct ManArgs {
    /// Directory for the pages; polyarch creates it
    #[arg(value_name = "DIR")]
    directory: PathBuf,
}

pub(crate) fn completions(args: &CompletionsArgs) -> Result<ExitCode, Refusal> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), PROGRAM, &mut script);
    stdout::lines(String::from_utf8_lossy(&script).lines())?;
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
    Failure {
        phase: Phase::Internal,
        message: format!("cannot write the manual into {}: {error}", directory.display()).into(),
        hint: Some("name a directory that you may write".into()),
        source: None,
    }
}
