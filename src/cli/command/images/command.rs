//! Lists the images of each repository, and prints the list.

use std::collections::BTreeSet;
use std::process::ExitCode;
use std::time::SystemTime;

use polyarch::oci::Repository;
use polyarch::run::{self, Failure, ImageKind, ImagesError, ListedBy, Phase, Registry, RepositoryImages, while_served};

use super::{document, text};
use crate::cli::args::images::{Form, ImagesArgs};
use crate::cli::args::refusal::Refusal;
use crate::cli::command::images::outcome::ListOutcome;
use crate::cli::input::repositories::{self, Group, Named};
use crate::cli::input::settings::Settings;
use crate::cli::terminal::{diagnostic, stderr, stdout};

pub(crate) async fn run(args: &ImagesArgs, settings: &Settings) -> Result<ExitCode, Refusal> {
    let mut asked = Vec::new();
    for group in repositories::named(&args.what, &args.repositories, settings).await? {
        asked.extend(list(group).await);
    }
    for images in asked.iter().filter_map(|one| one.images.as_ref().ok()) {
        warn(images, settings);
    }
    match if args.json { Form::Json } else { args.format } {
        Form::Json => stdout::json(&document::as_json(&asked))?,
        Form::Table => {
            let lines = text::lines(&asked, SystemTime::now(), stdout::width());
            if !lines.is_empty() {
                stdout::lines(lines)?;
            }
        }
    }
    let mut failures: Vec<_> = asked.into_iter().filter_map(|one| one.images.err()).collect();
    if failures.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    repositories::hint_at_plan("images", &mut failures, &args.what, &args.repositories, settings).await;
    Err(failures.into())
}

/// Lists one repository after the other, each once.
async fn list(Group { server, named }: Group) -> Vec<ListOutcome> {
    let listing = async {
        let (mut asked, mut seen) = (Vec::new(), BTreeSet::new());
        for Named { registry, repository, .. } in named {
            if seen.insert(repository.clone()) {
                let name = repository.to_string();
                let images = run::images(&registry, &repository).await;
                let images = images.map_err(|error| refused(&registry, &repository, &error));
                asked.push(ListOutcome { images, repository: name });
            }
        }
        asked
    };
    while_served(server, Box::pin(listing)).await
}

/// The failure to list the images of a repository.
pub(crate) fn refused(registry: &Registry, repository: &Repository, error: &ImagesError) -> Failure {
    let phase = if error.is_unusable() { Phase::Preflight } else { Phase::Verify };
    let missing = if error.is_not_found() { " does not exist" } else { "" };
    let create = || {
        let create = registry.ecr()?.place().creating(Some(repository.path()));
        Some(format!("check the name of the repository, or create it: {create}"))
    };
    let hint = if error.is_not_found() { create().or_else(|| error.hint()) } else { error.hint() };
    Failure::new(phase, format!("{repository}{missing}: {}", diagnostic::chain(error)).into(), hint.map(Into::into))
}

fn warn(RepositoryImages { repository, listed_by, images, unread }: &RepositoryImages, settings: &Settings) {
    let say = |message: String, hint: Option<&str>| {
        stderr::lines(diagnostic::warning(&message, hint), settings.terminal.color);
    };
    if let ListedBy::Instead(why) = listed_by {
        let hint = "allow ecr:DescribeImages in the role's policy";
        say(
            format!("{repository}: polyarch lists only tagged images, without the times of their pushes: {why}"),
            Some(hint),
        );
    }
    for image in images {
        if let ImageKind::Unread(why) = &image.kind {
            say(format!("{repository}@{} cannot be read: {why}", image.digest), None);
        }
    }
    for (tag, why) in unread {
        say(format!("{repository}:{tag} cannot be read, and is not listed: {why}"), None);
    }
}
