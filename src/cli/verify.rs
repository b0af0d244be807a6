//! `polyarch verify`

use std::collections::BTreeSet;
use std::process::ExitCode;

use polyarch::oci::{Reference, Repository, Selector};
use polyarch::plan::{Image, Plan};
use polyarch::run::{self, Expected, Failure, Phase, Registry, Server, VerifiedIndex, VerifyError, while_served};

use super::args::{PlanArgs, VerifyArgs};
use super::load::{self, Loaded, Refusal};
use super::output::Format;
use super::reach::{self, Insecure};
use super::settings::Settings;
use super::{diagnostic, notices, stdout};

/// Something to verify.
struct Subject {
    /// As the user names it.
    name: String,
    repository: Repository,
    selector: Selector,
    expected: Expected,
}

pub(crate) async fn run(args: &VerifyArgs, settings: &Settings) -> Result<ExitCode, Refusal> {
    let (references, images): (Vec<_>, Vec<_>) = args.what.iter().cloned().partition(|word| reach::is_reference(word));
    let mut failures = Vec::new();
    let mut verified = Vec::new();
    let mut take = |result: Vec<Result<VerifiedIndex, Failure>>| {
        for one in result {
            one.map_or_else(|failure| failures.push(failure), |index| verified.push(index));
        }
    };
    for text in &references {
        let reference = reach::parse(text)?;
        let (registry, server) =
            reach::registry(&reference, Insecure::from_flag(args.insecure), settings, notices::log).await?;
        let subject = subject_of(text, reference);
        take(while_served(server, verify_all(&registry, &[subject])).await);
    }
    if !images.is_empty() || references.is_empty() {
        let (subjects, server) = of_plan(args, images, settings).await?;
        let verify = async {
            let mut results = Vec::new();
            for (registry, subjects) in &subjects {
                results.extend(verify_all(registry, subjects).await);
            }
            results
        };
        take(while_served(server, verify).await);
    }
    print(&verified, args.format)?;
    if failures.is_empty() { Ok(ExitCode::SUCCESS) } else { Err(failures.into()) }
}

async fn verify_all(registry: &Registry, subjects: &[Subject]) -> Vec<Result<VerifiedIndex, Failure>> {
    let mut results = Vec::new();
    for subject in subjects {
        let Subject { name, repository, selector, expected } = subject;
        let verified = run::verify(registry.client(), repository, selector, expected).await;
        results.push(verified.map_err(|error| failure(name, &error)));
    }
    results
}

fn failure(name: &str, error: &VerifyError) -> Failure {
    match error {
        VerifyError::Registry(error) => reach::unread(name, error),
        VerifyError::Untrue(_) => {
            Failure { phase: Phase::Verify, message: format!("{name}: {}", diagnostic::chain(error)), hint: None }
        }
    }
}

fn subject_of(text: &str, reference: Reference) -> Subject {
    let Reference { repository, selector } = reference;
    Subject { name: text.to_owned(), repository, selector, expected: Expected::default() }
}

/// Every final tag of the plan's images, in every registry that has them.
async fn of_plan(
    args: &VerifyArgs,
    images: Vec<String>,
    settings: &Settings,
) -> Result<(Vec<(Registry, Vec<Subject>)>, Option<Server>), Refusal> {
    let plan = PlanArgs { images, file: args.file.clone(), registry: args.registry.clone(), ..PlanArgs::default() };
    let plan = Loaded::read(&plan)?.resolve(settings).await?;
    let (registries, server) = load::registries(&plan, settings, super::notices::log).await?;
    let subjects = |registry: &Registry| Ok((registry.clone(), subjects_in(registry, &plan)?));
    Ok((registries.all().map(subjects).collect::<Result<_, Failure>>()?, server))
}

fn subjects_in(registry: &Registry, plan: &Plan) -> Result<Vec<Subject>, Failure> {
    let mut subjects = Vec::new();
    for image in &plan.images {
        let repository = registry.repository(&image.repository);
        let repository =
            repository.map_err(|error| load::usage(format!("{}: {error}", image.name), "shorten `repository:`"))?;
        subjects.extend(image.tags.iter().map(|tag| Subject {
            name: repository.tag(tag.clone()).to_string(),
            repository: repository.clone(),
            selector: Selector::Tag(tag.clone()),
            expected: expected(image),
        }));
    }
    Ok(subjects)
}

fn expected(image: &Image) -> Expected {
    let platform = |job: &polyarch::plan::Job| {
        (job.entry.platform.clone().unwrap_or_else(|| job.platform.clone()), job.entry.clone())
    };
    Expected { platforms: Some(image.jobs.iter().map(platform).collect()) }
}

fn print(verified: &[VerifiedIndex], format: Format) -> Result<(), Failure> {
    match format {
        Format::Text => {
            // Tags of one image name one index: it is said once.
            let mut lines: Vec<_> = verified.iter().map(|index| index.index.to_string()).collect();
            let mut seen = BTreeSet::new();
            lines.retain(|line| seen.insert(line.clone()));
            lines.iter().try_for_each(|line| stdout::bytes(line.as_bytes()))
        }
        Format::Json => stdout::json(&serde_json::json!({ "version": 1, "verified": verified })),
    }
}
