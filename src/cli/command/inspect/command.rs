//! Reads one reference or two, and prints the index or the differences.

use std::process::ExitCode;

use polyarch::registry::Visibility;
use polyarch::run::{self, Failure, Source, VerifyError, while_served};

use super::{difference, document, text};
use crate::cli::args::command_line::InspectArgs;
use crate::cli::args::refusal::Refusal;
use crate::cli::input::notices;
use crate::cli::input::reach::{self, Registries};
use crate::cli::input::settings::Settings;
use crate::cli::terminal::stdout;

pub(crate) async fn run(args: &InspectArgs, settings: &Settings) -> Result<ExitCode, Refusal> {
    let mut registries = Registries::new(&args.registries, settings, notices::log)?;
    let source = registries.named(&args.reference).await?;
    let other = match &args.other {
        Some(other) => Some(registries.named(other).await?),
        None => None,
    };
    let shown = while_served(registries.server()?, Box::pin(show(args, &source, other.as_ref()))).await;
    let texts: Vec<_> = std::iter::once(&args.reference).chain(&args.other).map(String::as_str).collect();
    match shown {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(failure) => Err(reach::or_of_plan(failure, "inspect", &texts, settings).await.into()),
    }
}

async fn show(args: &InspectArgs, source: &Source, other: Option<&Source>) -> Result<(), Failure> {
    if args.raw {
        return raw(source).await;
    }
    if let Some(other) = other {
        let compared = run::compare(source, other).await;
        let compared = compared.map_err(|(source, error)| reach::refused(&source.to_string(), &error))?;
        return if args.json {
            stdout::json(&difference::as_json(&compared))
        } else {
            stdout::lines(difference::lines(&compared))
        };
    }
    let name = source.to_string();
    let inspected = run::inspect(&source.storage, &source.selector).await;
    let inspected = inspected.map_err(|error| {
        let mut failure = reach::refused(&name, &error);
        if matches!(error, VerifyError::Untrue { .. }) {
            failure.hint = Some("pass --raw to see the bytes of the manifest".into());
        }
        failure
    })?;
    if args.json {
        stdout::json(&document::as_json(&name, &inspected))
    } else {
        stdout::lines(text::lines(&name, &inspected))
    }
}

/// Prints the bytes of a manifest unchanged, even if polyarch cannot read the manifest.
async fn raw(source: &Source) -> Result<(), Failure> {
    let manifest = source.storage.manifest(&source.selector, Visibility::Settled).await;
    let manifest = manifest.map_err(|error| reach::refused(&source.to_string(), &VerifyError::Storage(error)))?;
    stdout::exact(manifest.bytes())
}
