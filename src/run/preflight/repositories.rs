//! Checks that repositories of Amazon ECR exist before anything starts, and creates them if the plan allows it. Without
//! a creation template, ECR refuses a push to a repository that does not exist.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::Path;

use futures::future::join_all;

use crate::aws::Mutability;
use crate::ecr::{Created, EcrError, EcrRegistry};
use crate::oci::{Repository, Selector, Tag};
use crate::plan::{EcrCreation, Plan};
use crate::registry::Visibility;
use crate::run::event::cause::{Cause, Reason};
use crate::run::event::failure::{chain, failure, of_registry};
use crate::run::event::{Event, Failure, ImageEvent, Phase, Warning};
use crate::run::publish::target::Target;
use crate::run::storage::Storage;
use crate::run::storage::registry::Registry;

/// The longest lifecycle policy that ECR accepts, in bytes (Amazon ECR API, `PutLifecyclePolicy`).
const LONGEST_POLICY: u64 = 30_720;

/// An ECR repository that polyarch is going to write to.
struct Wanted<'a> {
    registry: &'a Registry,
    ecr: &'a EcrRegistry,
    repository: Repository,
    /// The name of the image, and how the plan allows to create its repository. `None` without a plan.
    image: Option<(String, Option<&'a EcrCreation>)>,
    /// The tags that the repository gets.
    tags: &'a [Tag],
}

/// The state of a repository.
enum RepositoryState {
    Exists(Vec<Event>),
    Missing,
    /// ECR creates the repository with the first push, by the template with this prefix.
    ByTemplate(String),
}

/// Repositories that polyarch has to create.
#[derive(Default)]
pub(in crate::run) struct Missing<'a> {
    create: Vec<(Wanted<'a>, &'a EcrCreation, Option<String>)>,
    events: Vec<Event>,
}

/// Looks for the repository of every image in every ECR registry.
///
/// # Errors
/// Fails for each repository that is missing and that polyarch may not create. Also fails if AWS or a registry does not
/// answer.
pub(in crate::run) async fn check<'a>(
    plan: &'a Plan,
    targets: &'a [Target],
    first: &'a Registry,
) -> Result<Missing<'a>, Vec<Failure>> {
    let mut wanted: BTreeMap<Repository, Wanted<'a>> = BTreeMap::new();
    for (image, target) in plan.images.iter().zip(targets) {
        let own = std::iter::once((first, &target.storage));
        for (registry, repository) in own.chain(target.copies.iter().filter_map(repository_of)) {
            let Some(ecr) = registry.ecr() else { continue };
            let found = wanted.entry(repository.clone()).or_insert_with(|| Wanted {
                registry,
                ecr,
                repository: repository.clone(),
                image: Some((target.image.clone(), None)),
                tags: &target.tags,
            });
            // Two images may share a repository. One of them may specify how to create it.
            if let Some((_, creation)) = &mut found.image {
                *creation = creation.or(image.ecr.as_ref());
            }
        }
    }
    look(wanted.into_values().collect()).await
}

/// Looks for the repositories of `storages`. Without a plan, polyarch creates none of them.
///
/// # Errors
/// Fails with the first repository that is missing, or with the first question that failed.
pub(in crate::run) async fn are_there(storages: impl Iterator<Item = &Storage>) -> Result<(), Failure> {
    let wanted = storages.filter_map(repository_of).filter_map(|(registry, repository)| {
        let (ecr, repository) = (registry.ecr()?, repository.clone());
        Some(Wanted { registry, ecr, repository, image: None, tags: &[] })
    });
    let looked = look(wanted.collect()).await;
    looked.map(drop).map_err(|failures| failures.into_iter().next().unwrap_or_else(none))
}

/// This cannot happen: a check that fails has at least one failure.
fn none() -> Failure {
    failure(Phase::Internal, "a repository is missing, and its name is not known", None)
}

fn repository_of(storage: &Storage) -> Option<(&Registry, &Repository)> {
    match storage {
        Storage::Repository { registry, repository } => Some((registry, repository)),
        Storage::Layout(_) => None,
    }
}

async fn look(wanted: Vec<Wanted<'_>>) -> Result<Missing<'_>, Vec<Failure>> {
    let looked = join_all(wanted.iter().map(Wanted::look)).await;
    let (mut missing, mut failures) = (Missing::default(), Vec::new());
    for (wanted, looked) in wanted.into_iter().zip(looked) {
        match (looked, wanted.creation()) {
            (Err(failure), _) => failures.push(failure),
            (Ok(RepositoryState::Exists(events)), _) => missing.events.extend(events),
            (Ok(RepositoryState::ByTemplate(prefix)), _) => missing.events.extend(wanted.by_template(&prefix)),
            (Ok(RepositoryState::Missing), None) => failures.push(wanted.missing()),
            (Ok(RepositoryState::Missing), Some(creation)) => match policy(creation) {
                Ok(policy) => missing.create.push((wanted, creation, policy)),
                Err(failure) => failures.push(failure),
            },
        }
    }
    if failures.is_empty() { Ok(missing) } else { Err(failures) }
}

impl Missing<'_> {
    /// Creates the repositories, and returns the events to report.
    ///
    /// # Errors
    /// Fails for each repository that polyarch cannot create. polyarch creates the others all the same.
    pub(in crate::run) async fn create(self) -> Result<Vec<Event>, Vec<Failure>> {
        let Self { create, mut events } = self;
        let creating = create.iter().map(async |(wanted, creation, policy)| {
            let created = wanted.ecr.create(wanted.repository.path(), creation, policy.as_deref()).await;
            created.map_err(|error| of_ecr(&error))
        });
        let mut failures = Vec::new();
        for (created, (wanted, ..)) in join_all(creating).await.into_iter().zip(&create) {
            match (created, &wanted.image) {
                (Ok(by), Some((image, _))) => {
                    let what = ImageEvent::RepositoryCreated {
                        repository: wanted.repository.clone(),
                        by_us: by == Created::Now,
                    };
                    events.push(Event::Image { image: image.clone(), what });
                }
                (Ok(_), None) => {}
                (Err(failure), _) => failures.push(failure),
            }
        }
        if failures.is_empty() { Ok(events) } else { Err(failures) }
    }
}

impl<'a> Wanted<'a> {
    fn creation(&self) -> Option<&'a EcrCreation> {
        self.image.as_ref().and_then(|(_, creation)| *creation)
    }

    async fn look(&self) -> Result<RepositoryState, Failure> {
        let path = self.repository.path();
        match self.ecr.repository(path).await {
            Ok(Some(facts)) => {
                let differing = self.differing(&facts.mutability).into_iter();
                return Ok(RepositoryState::Exists(differing.chain(self.fixed().await).collect()));
            }
            Ok(None) => {}
            // A role that pushes may lack the permission to describe repositories, and a Docker login has no role. The
            // registry itself then answers whether it has the repository.
            Err(error) if error.is_denied() || error.is_anonymous() => {
                if self.is_in_registry().await? {
                    return Ok(RepositoryState::Exists(Vec::new()));
                }
            }
            Err(error) => return Err(of_ecr(&error)),
        }
        match self.ecr.template(path).await {
            Ok(Some(prefix)) => Ok(RepositoryState::ByTemplate(prefix)),
            Ok(None) => Ok(RepositoryState::Missing),
            // Without permission to read templates, polyarch gives the hint for a missing repository. A stand-in for
            // AWS may not know templates at all.
            Err(error) if error.is_denied() || error.is_anonymous() || error.is_unknown_call() => {
                Ok(RepositoryState::Missing)
            }
            Err(error) => Err(of_ecr(&error)),
        }
    }

    async fn is_in_registry(&self) -> Result<bool, Failure> {
        let tag = match self.tags.first() {
            Some(tag) => tag.clone(),
            None => "latest".parse().map_err(|error| failure(Phase::Internal, &chain(&error), None))?,
        };
        let (client, tag) = (self.registry.client(), Selector::Tag(tag));
        match client.get_manifest(self.repository.path(), &tag, Visibility::Settled).await {
            Err(error) if error.answer().is_some_and(|(_, answer)| answer.has("NAME_UNKNOWN")) => Ok(false),
            // The answer about the tag does not matter, because the question is about the repository.
            Err(error) if !error.is_not_found() && !error.is_refusal() => {
                Err(of_registry(Phase::Preflight, &format!("look for {}", self.repository), &error))
            }
            Ok(_) | Err(_) => Ok(true),
        }
    }

    /// Reports final tags that the plan wants to move and the repository does not.
    fn differing(&self, found: &Mutability) -> Option<Event> {
        let (image, creation) = self.image.as_ref()?;
        let stuck = cannot_move((*creation)?, found, self.tags);
        let warning = || Warning {
            image: Some(image.clone()),
            platform: None,
            message: differs(&format!("the settings of {}", self.repository), &stuck).into(),
            hint: Some(change_mutability().into()),
        };
        (!stuck.is_empty()).then(|| Event::Warning(warning()))
    }

    /// Reports final tags that are immutable and already name an image, so that you know this before a long build.
    async fn fixed(&self) -> Vec<Event> {
        let Some((image, _)) = &self.image else { return Vec::new() };
        let path = self.repository.path();
        let fixed = self.tags.iter().filter(|tag| self.ecr.fixes(path, tag));
        let reading = join_all(fixed.map(async |tag| {
            let head = self.registry.client().head_manifest(path, &Selector::Tag(tag.clone())).await;
            let digest = head.ok().flatten()?.digest?;
            let what = ImageEvent::Fixed { tag: self.repository.tag(tag.clone()), digest };
            Some(Event::Image { image: image.clone(), what })
        }));
        reading.await.into_iter().flatten().collect()
    }

    fn by_template(&self, prefix: &str) -> Option<Event> {
        let (image, creation) = self.image.as_ref()?;
        let message = format!("ECR creates {} with the first push, from the template for {prefix}", self.repository);
        let hint = creation
            .is_some()
            .then(|| "change the template: ECR uses the template and not `ecr:` of the plan".to_owned());
        Some(Event::Warning(Warning {
            image: Some(image.clone()),
            platform: None,
            message: message.into(),
            hint: hint.map(Into::into),
        }))
    }

    fn missing(&self) -> Failure {
        let path = self.repository.path();
        let message = format!("repository {path} does not exist in {} ({})", self.ecr.host(), self.ecr.place());
        let create = self.ecr.place().creating(Some(path));
        let hint = match self.image {
            Some(_) => format!("{create}; or set `ecr: {{ create: true }}` in the plan"),
            None => create,
        };
        failure(Phase::Preflight, &message, Some(hint)).because(Cause::Ecr(Reason::NotFound))
    }
}

/// The tags that the repository does not move, although `immutable` of the plan lets them move.
pub(in crate::run) fn cannot_move<'t>(creation: &EcrCreation, found: &Mutability, tags: &'t [Tag]) -> Vec<&'t Tag> {
    // A plan without `immutable` says nothing about a repository that exists.
    let says_nothing = creation.mutability == Mutability::Mutable(Vec::new());
    let is_stuck = |tag: &&Tag| found.fixes(tag) && !creation.mutability.fixes(tag);
    tags.iter().filter(|tag| !says_nothing && is_stuck(tag)).collect()
}

/// The message about tags that [`cannot_move`]. `settings` names the settings of the repository.
pub(in crate::run) fn differs(settings: &str, stuck: &[&Tag]) -> String {
    let stuck: Vec<_> = stuck.iter().map(|tag| format!("`{tag}`")).collect();
    format!("{settings} differ from `ecr:` in your plan: {} cannot move", stuck.join(", "))
}

/// The hint for tags that [`cannot_move`].
pub(in crate::run) fn change_mutability() -> String {
    "change the repository with `aws ecr put-image-tag-mutability`: polyarch changes no repository that exists".into()
}

/// The lifecycle policy of a new repository.
fn policy(creation: &EcrCreation) -> Result<Option<String>, Failure> {
    creation.lifecycle.as_deref().map(read_policy).transpose()
}

fn read_policy(path: &Path) -> Result<String, Failure> {
    let cannot = |why: &str| {
        let message = format!("cannot read the lifecycle policy {}: {why}", path.display());
        failure(Phase::Plan, &message, Some("set `lifecycle:` to a JSON file, relative to the plan".into()))
    };
    let mut text = String::new();
    let read = std::fs::File::open(path).and_then(|file| file.take(LONGEST_POLICY + 1).read_to_string(&mut text));
    let size = read.map_err(|error| cannot(&error.to_string()))? as u64;
    if size > LONGEST_POLICY {
        return Err(cannot(&format!("it has more than {LONGEST_POLICY} bytes, the limit of ECR")));
    }
    match serde_json::from_str::<serde_json::Value>(&text) {
        Ok(_) => Ok(text),
        Err(error) => Err(cannot(&error.to_string())),
    }
}

/// A failure of AWS before the run begins.
fn of_ecr(error: &EcrError) -> Failure {
    failure(Phase::Preflight, &chain(error), error.hint()).because(error)
}
