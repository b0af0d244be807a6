//! `polyarch prune`

use std::path::Path;
use std::process::ExitCode;

use polyarch::embedded::{EmbeddedError, Pruning};
use polyarch::run::{Failure, Phase};

use crate::cli::args::refusal::Refusal;
use crate::cli::args::tools::PruneArgs;
use crate::cli::input::settings::Settings;
use crate::cli::terminal::style::{count, size};
use crate::cli::terminal::{diagnostic, stderr, stdout};

pub(crate) async fn run(args: &PruneArgs, settings: &Settings) -> Result<ExitCode, Refusal> {
    let directory = settings.home()?.join("registry");
    if !directory.is_dir() {
        stdout::lines([format!("there is no embedded registry in {}", directory.display())])?;
        return Ok(ExitCode::SUCCESS);
    }
    let how = if args.apply { How::Deleting } else { How::Looking };
    let pruned = tokio::task::spawn_blocking(move || prune(&directory, how)).await;
    let Pruned { line, unread } = pruned.map_err(|error| failed(diagnostic::chain(&error), None))??;
    for repository in unread {
        let message =
            format!("polyarch keeps all content of {repository}, because a manifest under its tags cannot be read");
        let hint = Some("push its images again, then run this again");
        stderr::lines(diagnostic::warning(&message, hint), settings.terminal.color);
    }
    stdout::lines([line])?;
    Ok(ExitCode::SUCCESS)
}

#[derive(Clone, Copy)]
enum How {
    Looking,
    Deleting,
}

/// The line to print, and the repositories with a manifest that polyarch cannot read.
struct Pruned {
    line: String,
    unread: Vec<String>,
}

fn prune(directory: &Path, how: How) -> Result<Pruned, Failure> {
    let refused = |error: EmbeddedError| failed(diagnostic::chain(&error), error.hint());
    let pruning = Pruning::open(directory).map_err(refused)?;
    let found = pruning.found().clone();
    let stored_blobs = count(found.stored, "blob");
    let (place, stored) = (directory.display(), format!("{stored_blobs}, {}", size(found.stored_bytes)));
    let line = match how {
        _ if found.count() == 0 => format!("{place}: tags use all of {stored}; nothing to delete"),
        How::Looking => {
            let goes =
                format!("{} of {stored_blobs}, {} of {}", found.count(), size(found.bytes), size(found.stored_bytes));
            format!("{place}: no tag leads to {goes}; --apply deletes them")
        }
        How::Deleting => {
            let pruned = pruning.delete().map_err(refused)?;
            format!("{place}: deleted {} ({}) of {stored}", count(pruned.count, "blob"), size(pruned.bytes))
        }
    };
    Ok(Pruned { line, unread: found.unread })
}

fn failed(message: String, hint: Option<&str>) -> Failure {
    Failure::new(Phase::Preflight, message.into(), hint.map(Into::into))
}
