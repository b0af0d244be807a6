//! Reads each repository, deletes old images with `--apply`, and prints the list.

use std::process::ExitCode;
use std::time::SystemTime;

use polyarch::aws::TagPattern;
use polyarch::oci::Repository;
use polyarch::run::clean::{CleanError, Cleaning, Judged, Keep, Outcome, PlanImage, Scope};
use polyarch::run::{Failure, ListedBy, Phase, Registry, Shutdown, while_served};

use super::{document, text};
use crate::cli::args::clean::CleanArgs;
use crate::cli::args::refusal::Refusal;
use crate::cli::command::clean::outcome::{CleanOutcome, Cleaned};
use crate::cli::command::images;
use crate::cli::input::plan_file::{self};
use crate::cli::input::repositories::{self, Group, Named};
use crate::cli::input::settings::Settings;
use crate::cli::output::ending;
use crate::cli::terminal::signals::Signals;
use crate::cli::terminal::style::count;
use crate::cli::terminal::{diagnostic, exit, stderr, stdout};

pub(crate) async fn run(args: &CleanArgs, settings: &Settings) -> Result<ExitCode, Refusal> {
    let groups = repositories::named(&args.what, &args.repositories, settings).await?;
    if !args.apply {
        // A command that only reads may end at any time.
        let (_nobody, shutdown) = Shutdown::new();
        return clean(args, groups, settings, &shutdown).await;
    }
    let (signals, shutdown) = Signals::listen(None, settings.docker_socket()).map_err(plan_file::no_signals)?;
    let ended = clean(args, groups, settings, &shutdown).await;
    match signals.code() {
        Some(code) => {
            if let Err(refusal) = ended {
                ending::refuse(&refusal, settings);
            }
            Ok(exit::code(code))
        }
        None => ended,
    }
}

async fn clean(
    args: &CleanArgs,
    groups: Vec<Group>,
    settings: &Settings,
    shutdown: &Shutdown,
) -> Result<ExitCode, Refusal> {
    let mut asked = Vec::new();
    for Group { server, named } in groups {
        let cleaning = async {
            for named in named {
                asked.push(one(args, named, shutdown).await);
            }
        };
        while_served(server, Box::pin(cleaning)).await;
    }
    if args.json {
        stdout::json(&document::as_json(&asked))?;
    } else {
        let lines = text::lines(&asked, SystemTime::now(), stdout::width());
        if !lines.is_empty() {
            stdout::lines(lines)?;
        }
    }
    for cleaned in asked.iter().filter_map(|one| one.cleaned.as_ref().ok()) {
        tell(cleaned, settings);
    }
    let mut failures: Vec<_> =
        asked.into_iter().filter_map(|one| one.cleaned.map_or_else(Some, |one| failed(&one))).collect();
    if failures.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    repositories::hint_at_plan("clean", &mut failures, &args.what, &args.repositories, settings).await;
    Err(failures.into())
}

async fn one(args: &CleanArgs, Named { registry, repository, image }: Named, shutdown: &Shutdown) -> CleanOutcome {
    let patterns = |texts: &[String]| texts.iter().cloned().map(TagPattern::new).collect();
    let keep = Keep {
        newest: args.keep,
        order: args.order.into(),
        tags: patterns(&args.keep_tag),
        dropped: patterns(&args.drop_tag),
        scope: if args.all { Scope::All } else { Scope::Built },
        image: image.as_ref().map(PlanImage::of),
    };
    let name = repository.to_string();
    let cleaning = async {
        let cleaning = Cleaning::read(&registry, &repository, &keep).await?;
        let judged = cleaning.judged();
        let outcomes = if args.apply { Some(cleaning.apply(shutdown).await?) } else { None };
        Ok((judged, outcomes))
    };
    let cleaned = cleaning.await.map_err(|error| refused(&registry, &repository, &error));
    let cleaned =
        cleaned.map(|(judged, outcomes)| Cleaned { repository: name.clone(), keep: keep.clone(), judged, outcomes });
    CleanOutcome { repository: name, cleaned }
}

fn refused(registry: &Registry, repository: &Repository, error: &CleanError) -> Failure {
    let phase = match error {
        CleanError::Images(error) => return images::refused(registry, repository, error),
        CleanError::Unread { .. } | CleanError::Unordered { .. } => Phase::Verify,
        CleanError::Embedded | CleanError::Registry(_) | CleanError::Ecr(_) => Phase::Preflight,
    };
    Failure::new(phase, format!("{repository}: {}", diagnostic::chain(error)).into(), error.hint().map(Into::into))
}

/// The failure, if an image could not be deleted.
fn failed(Cleaned { repository, outcomes, .. }: &Cleaned) -> Option<Failure> {
    let failed: Vec<_> = outcomes
        .iter()
        .flatten()
        .filter_map(|(digest, outcome)| match outcome {
            Outcome::Failed(why) => Some((digest, why)),
            Outcome::Deleted | Outcome::Kept(_) => None,
        })
        .collect();
    let (digest, why) = failed.first()?;
    let more = if failed.len() > 1 { format!(" (and {} more)", failed.len() - 1) } else { String::new() };
    let message = format!("{repository}@{digest}{more} could not be deleted: {why}");
    Some(Failure::new(
        Phase::Publish,
        message.into(),
        Some("run this again: polyarch skips the images that it has already deleted".into()),
    ))
}

/// Prints the number of images, and warnings about them.
fn tell(cleaned: &Cleaned, settings: &Settings) {
    let Cleaned { repository, keep, judged, outcomes } = cleaned;
    let warn = |message: String, hint: Option<String>| {
        stderr::lines(diagnostic::warning(&message, hint.as_deref()), settings.terminal.color);
    };
    let refusal = match judged {
        Judged { is_embedded: true, .. } => Some(CleanError::Embedded),
        Judged { is_unordered: true, listed_by, .. } => {
            Some(CleanError::Unordered { order: keep.order, listed_by: listed_by.clone() })
        }
        _ => None,
    };
    let going = judged.images.iter().filter(|(_, verdict)| verdict.goes()).count();
    if let Some(refusal) = &refusal {
        warn(format!("{repository}: --apply would be refused: {refusal}"), refusal.hint());
    } else if going > 0 && judged.listed_by != ListedBy::Ecr {
        warn(
            format!(
                "{repository}: the registry does not list untagged indexes, so polyarch does not keep their images"
            ),
            None,
        );
    }
    for referrer in &judged.referrers {
        let name = referrer.tag.as_ref().map_or_else(|| referrer.digest.to_string(), ToString::to_string);
        warn(format!("{repository}: {name} is kept, and refers to {}, which is deleted", referrer.image), None);
    }
    let all = judged.images.len();
    let says = match outcomes {
        None if going == 0 => format!("nothing to delete among {}", count(all, "image")),
        None if refusal.is_some() => format!("{going} of {} would be deleted", count(all, "image")),
        None => format!("{going} of {} would be deleted; --apply deletes them", count(all, "image")),
        Some(outcomes) => {
            let deleted = outcomes.values().filter(|outcome| **outcome == Outcome::Deleted).count();
            format!("{deleted} of {} deleted", count(all, "image"))
        }
    };
    stderr::line(format!("{repository}: {says}"));
}
