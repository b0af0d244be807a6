//! Finds the repositories that the command line names, by images of the plan or by name.

use polyarch::aws::is_ecr;
use polyarch::oci::{Location, Repository};
use polyarch::plan::{Image, RegistryChoice};
use polyarch::run::{Failure, Phase, Registry, Server, Storage};

use super::notices;
use super::plan_file::{self, PlanFile};
use super::reach::{self, Registries};
use super::settings::Settings;
use crate::cli::args::refusal::{Refusal, usage};
use crate::cli::args::shared::PlanArgs;
use crate::cli::args::shared::RepositoryArgs;

impl RepositoryArgs {
    /// The arguments of the plan, for these of its images.
    pub(crate) fn plan(&self, images: Vec<String>) -> PlanArgs {
        PlanArgs { images, file: self.file.clone(), registry: self.registry.clone(), ..PlanArgs::default() }
    }
}

/// A repository that the user names.
pub(crate) struct Named {
    pub(crate) registry: Registry,
    pub(crate) repository: Repository,
    /// The image of the plan, if the user named one.
    pub(crate) image: Option<Image>,
}

/// Repositories, and the server of the embedded registry for all of them.
pub(crate) struct Group {
    pub(crate) server: Option<Server>,
    pub(crate) named: Vec<Named>,
}

/// The repositories of `words`. Without words these are the repositories of all images of the plan.
pub(crate) async fn named(words: &[String], args: &RepositoryArgs, settings: &Settings) -> Result<Vec<Group>, Refusal> {
    let (references, images): (Vec<_>, Vec<_>) = words.iter().cloned().partition(|word| reach::is_reference(word));
    let mut groups = Vec::new();
    if !references.is_empty() {
        groups.push(by_name(&references, args, settings).await?);
    }
    if !images.is_empty() || references.is_empty() {
        groups.push(of_plan(images, args, settings).await?);
    }
    Ok(groups)
}

async fn by_name(references: &[String], args: &RepositoryArgs, settings: &Settings) -> Result<Group, Refusal> {
    let mut registries = Registries::new(&args.registries, settings, notices::log)?;
    let mut named = Vec::new();
    for name in references {
        let repository = parse(name)?;
        if let Storage::Repository { registry, repository } =
            registries.storage(Location::Repository(repository)).await?
        {
            named.push(Named { registry, repository, image: None });
        }
    }
    Ok(Group { server: registries.server()?, named })
}

fn parse(name: &str) -> Result<Repository, Failure> {
    name.parse().map_err(|error| {
        usage(format!("`{name}` is not a repository: {error}"), "leave out tag and digest: ghcr.io/org/web")
    })
}

/// The repositories of the plan's images in every registry of the plan.
async fn of_plan(images: Vec<String>, args: &RepositoryArgs, settings: &Settings) -> Result<Group, Refusal> {
    let plan = PlanFile::read(&args.plan(images))?.resolve(settings).await?;
    plan_file::name_left_out(&plan);
    let (registries, server) = plan_file::registries(&plan, settings, notices::log).await?;
    let mut named = Vec::new();
    for registry in registries.all() {
        for image in &plan.images {
            let repository = plan_file::repository(image, registry)?;
            named.push(Named { registry: registry.clone(), repository, image: Some(image.clone()) });
        }
    }
    Ok(Group { server, named })
}

/// The hint to name images of the plan in place of `words`. `None` if no word is a reference to a registry that the plan
/// marks as ECR and whose host does not show that. Only the plan has the settings of such a registry.
pub(crate) async fn planned(
    command: &str,
    words: &[String],
    args: &RepositoryArgs,
    settings: &Settings,
) -> Option<String> {
    let plan = PlanFile::read(&args.plan(Vec::new())).ok()?.resolve(settings).await.ok()?;
    let first = if let RegistryChoice::Named(named) = &plan.registry { Some(named) } else { None };
    let named = first.into_iter().chain(&plan.copies).filter(|named| named.ecr.is_some() && !is_ecr(&named.host));
    let hosts: Vec<_> = named.map(|named| named.host.to_string()).collect();
    let is_of_plan = |word: &String| hosts.iter().any(|host| word.split('/').next() == Some(host));
    let word = words.iter().find(|word| is_of_plan(word))?;
    let path = word.split_once('/').map_or("", |(_, path)| path);
    let is_named = |image: &&Image| path.ends_with(image.repository.as_str());
    let image = plan.images.iter().find(is_named).or(plan.images.first())?;
    Some(format!("name the image of your plan, which describes this registry: polyarch {command} {}", image.name))
}

/// Adds the hint of [`planned`] to failures before an answer of the registry.
pub(crate) async fn hint_at_plan(
    command: &str,
    failures: &mut [Failure],
    words: &[String],
    args: &RepositoryArgs,
    settings: &Settings,
) {
    for failure in failures.iter_mut().filter(|failure| failure.phase == Phase::Preflight) {
        let is_of = |word: &&String| reach::is_reference(word) && failure.message.starts_with(word.as_str());
        let Some(word) = words.iter().find(is_of) else { continue };
        if let Some(hint) = planned(command, std::slice::from_ref(word), args, settings).await {
            failure.hint = Some(hint.into());
        }
    }
}
