//! `polyarch doctor ecr`

use std::process::ExitCode;

use polyarch::oci::Location;
use polyarch::run::{self, Examined, Failure, Finding, Phase, Registry, Step, What};
use serde_json::json;

use crate::cli::args::refusal::{Refusal, usage};
use crate::cli::args::tools::DoctorEcrArgs;
use crate::cli::args::values::Format;
use crate::cli::input::notices;
use crate::cli::input::plan_file::{self, PlanFile};
use crate::cli::input::reach::{self, Registries};
use crate::cli::input::repositories;
use crate::cli::input::settings::Settings;
use crate::cli::terminal::typed::as_typed;
use crate::cli::terminal::{exit, stdout};

/// A registry of ECR, and those of its repositories that are checked.
type Subject = (Registry, Vec<Examined>);

pub(super) async fn ecr(args: &DoctorEcrArgs, settings: &Settings) -> Result<ExitCode, Refusal> {
    let subjects = subjects(args, settings).await?;
    if subjects.is_empty() {
        let hint = match repositories::planned("doctor ecr", &args.what, &args.repositories, settings).await {
            Some(hint) => hint,
            None => "name a host of Amazon ECR, or set `type: ecr` for the registry in your plan".to_owned(),
        };
        return Err(usage("none of these registries is Amazon ECR", &hint).into());
    }
    let mut findings = Vec::new();
    for (registry, repositories) in &subjects {
        findings.extend(run::examine(registry, repositories).await);
    }
    match if args.json { Format::Json } else { args.format } {
        Format::Json => stdout::json(&json!({ "version": 1, "findings": findings }))?,
        Format::Text => stdout::lines(lines(&findings))?,
    }
    let fails = findings.iter().any(|finding| matches!(finding.what, What::Fails(_)));
    Ok(if fails { exit::code(Phase::Preflight.exit_code()) } else { ExitCode::SUCCESS })
}

/// The registries of the references, or else the registries of the plan's images.
async fn subjects(args: &DoctorEcrArgs, settings: &Settings) -> Result<Vec<Subject>, Refusal> {
    let mut subjects: Vec<Subject> = Vec::new();
    let (references, images): (Vec<_>, Vec<_>) = args.what.iter().cloned().partition(|word| reach::is_reference(word));
    let mut registries = Registries::new(&args.repositories.registries, settings, notices::log)?;
    for text in &references {
        let storage = registries.storage(location(text)?).await?;
        if let run::Storage::Repository { registry, repository } = storage {
            add(&mut subjects, &registry, Some(Examined { repository, creation: None, tags: Vec::new() }));
        }
    }
    if !references.is_empty() && images.is_empty() {
        return Ok(subjects);
    }
    let plan = PlanFile::read(&args.repositories.plan(images))?.resolve(settings).await?;
    for registry in plan_file::named_registries(&plan, settings, notices::log).await? {
        add(&mut subjects, &registry, None);
        for image in &plan.images {
            let repository = plan_file::repository(image, &registry)?;
            let (creation, tags) = (image.ecr.clone(), image.tags.clone());
            add(&mut subjects, &registry, Some(Examined { repository, creation, tags }));
        }
    }
    Ok(subjects)
}

fn location(text: &str) -> Result<Location, Failure> {
    reach::parse(text).map(|reference| reference.location)
}

fn add(subjects: &mut Vec<Subject>, registry: &Registry, examined: Option<Examined>) {
    if registry.ecr().is_none() {
        return;
    }
    let known = subjects.iter().position(|(known, _)| known.host() == registry.host());
    let storage = known.unwrap_or_else(|| {
        subjects.push((registry.clone(), Vec::new()));
        subjects.len() - 1
    });
    let (Some(examined), all) = (examined, &mut subjects[storage].1) else { return };
    match all.iter_mut().find(|known| known.repository == examined.repository) {
        // Two images may share a repository.
        Some(known) => {
            known.creation = known.creation.take().or(examined.creation);
            known.tags.extend(examined.tags);
        }
        None => all.push(examined),
    }
}

fn lines(findings: &[Finding]) -> Vec<String> {
    let (mut lines, mut about) = (Vec::new(), String::new());
    for Finding { registry, repository, step, what } in findings {
        let name = repository.as_ref().map_or_else(|| registry.to_string(), ToString::to_string);
        if name != about {
            lines.push(name.clone());
            about = name;
        }
        let (word, text, hint) = match what {
            What::Works(text) => ("ok", text, None),
            What::Unknown(text) => ("?", text, None),
            What::Fails(Failure { message, hint, .. }) => ("fails", message, hint.as_deref()),
        };
        lines.push(format!("  {word:<5}  {:<10}  {text}", name_of(*step)));
        lines.extend(hint.map(|hint| format!("         hint: {}", as_typed(hint))));
    }
    lines
}

fn name_of(step: Step) -> &'static str {
    match step {
        Step::Place => "place",
        Step::Identity => "identity",
        Step::Token => "token",
        Step::Registry => "registry",
        Step::Repository => "repository",
        Step::Mutability => "mutability",
        Step::Read => "read",
        Step::Push => "push",
    }
}
