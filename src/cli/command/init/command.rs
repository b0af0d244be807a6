//! Writes a plan for the Dockerfiles of a directory, and prints the next steps.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use polyarch::facts::git_origin;
use polyarch::run::{Failure, Phase};

use super::dockerfiles::{Dockerfile, find};
use super::plan::{self, Registry};
use super::remote;
use crate::cli::args::refusal::{Refusal, usage};
use crate::cli::args::tools::InitArgs;
use crate::cli::input::plan_file;
use crate::cli::input::settings::Settings;
use crate::cli::terminal::style::count;
use crate::cli::terminal::typed::as_typed;
use crate::cli::terminal::{stderr, stdout};

pub(crate) async fn run(args: &InitArgs, settings: &Settings) -> Result<ExitCode, Refusal> {
    let is_stdout = args.file.as_deref() == Some(Path::new("-"));
    let file = match &args.file {
        Some(file) => file.clone(),
        None => free()?,
    };
    // The contexts of a plan are relative to the directory of the plan.
    let directory = match file.parent() {
        Some(parent) if !is_stdout && parent != Path::new("") => parent.to_owned(),
        _ => PathBuf::from("."),
    };
    let found = find(&directory).map_err(|error| unreadable(&directory, &error))?;
    if found.is_empty() {
        let hint = "write a Dockerfile first, or name a plan beside your Dockerfiles with -f DIR/build.yaml";
        let message = "there is no Dockerfile in this directory or up to two levels below";
        return Err(usage(message, hint).into());
    }
    let origin = git_origin(&directory, &settings.environment).await;
    let registry = origin.as_deref().and_then(remote::registry).map_or(Registry::Embedded, Registry::OfRemote);
    let text = plan::text(&registry, &found);
    if is_stdout {
        stdout::exact(text.as_bytes())?;
        return Ok(ExitCode::SUCCESS);
    }
    write(&file, &text)?;
    let name = file.display();
    stderr::line(format!("wrote {name} with {}: {}", count(found.len(), "image"), names(&found)));
    stderr::line(&*as_typed(&next(args.file.as_deref(), &registry)));
    Ok(ExitCode::SUCCESS)
}

/// The name of the new plan. polyarch would not find that plan if another one stood beside it.
fn free() -> Result<PathBuf, Failure> {
    match plan_file::here() {
        None => Ok(plan_file::FIRST_NAME.into()),
        Some(existing) => Err(exists(Path::new(existing))),
    }
}

fn exists(file: &Path) -> Failure {
    let hint = "check it with `polyarch plan`, or name another file with -f FILE; `-f -` prints the plan";
    usage(format!("{} exists, and polyarch does not overwrite it", file.display()), hint)
}

fn write(file: &Path, text: &str) -> Result<(), Failure> {
    let written = File::create_new(file).and_then(|mut plan| plan.write_all(text.as_bytes()));
    written.map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => exists(file),
        _ => Failure::new(
            Phase::Internal,
            format!("cannot write {}: {error}", file.display()).into(),
            Some("name a file that you may write with -f FILE".into()),
        ),
    })
}

fn unreadable(directory: &Path, error: &io::Error) -> Failure {
    usage(
        format!("cannot read the directory {}: {error}", directory.display()),
        "name a plan in another directory with -f FILE",
    )
}

fn names(found: &[Dockerfile]) -> String {
    found.iter().map(|dockerfile| dockerfile.image.as_str()).collect::<Vec<_>>().join(", ")
}

/// The next steps of the user.
fn next(file: Option<&Path>, registry: &Registry) -> String {
    let named = file.map(|file| format!(" -f {}", file.display())).unwrap_or_default();
    let login = match registry {
        Registry::Embedded => String::new(),
        Registry::OfRemote(found) => format!("`docker login {}`, ", found.host),
    };
    format!("next: {login}`polyarch doctor{named}`, then `polyarch build{named}`")
}
