//! Checks the access to Amazon ECR, step by step. Each step needs the steps before it.

use serde::Serialize;

use crate::aws::{Mutability, TagPattern};
use crate::ecr::{EcrError, EcrRegistry};
use crate::oci::{RegistryHost, Repository, Tag};
use crate::plan::EcrCreation;
use crate::run::event::failure::{chain, failure, of_registry};
use crate::run::event::{Failure, Phase};
use crate::run::preflight::repositories::{cannot_move, change_mutability, differs};
use crate::run::storage::registry::Registry;
use crate::text::Text;

/// ECR has no request that checks these actions and changes nothing.
const MAY_BEGIN: &str = "may begin an upload; UploadLayerPart, CompleteLayerUpload and PutImage are not checked";
const WILL_CREATE: &str =
    "does not exist; `polyarch build` creates it, if the role may call CreateRepository (not checked)";

/// The steps, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// The region and the account of the registry.
    Place,
    /// The AWS identity of the caller.
    Identity,
    /// Whether AWS issues a login for the registry.
    Token,
    /// Whether the registry accepts the login.
    Registry,
    /// Whether the repository exists.
    Repository,
    /// Which tags of the repository may move.
    Mutability,
    /// Whether the login may read manifests and layers of the repository.
    Read,
    /// Whether the login may begin to push a layer to the repository.
    Push,
}

/// A repository to check, and how the plan describes it.
#[derive(Debug, Clone)]
pub struct Examined {
    /// The repository.
    pub repository: Repository,
    /// How the plan allows to create the repository.
    pub creation: Option<EcrCreation>,
    /// The final tags that the plan publishes there.
    pub tags: Vec<Tag>,
}

/// The result of one step.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Finding {
    /// The registry.
    pub registry: RegistryHost,
    /// The repository, for a step that concerns one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repository: Option<Repository>,
    /// The step.
    pub step: Step,
    /// The outcome of the step.
    #[serde(flatten)]
    pub what: What,
}

/// The outcome of a step.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// The step succeeded.
    Works(Text),
    /// polyarch could not check the step. A build can still succeed.
    Unknown(Text),
    /// The step failed.
    Fails(Failure),
}

/// Checks the registry on ECR, and each of `repositories` in it. Steps after a failed step are left out.
pub async fn examine(registry: &Registry, repositories: &[Examined]) -> Vec<Finding> {
    let Some(ecr) = registry.ecr() else { return Vec::new() };
    let finding = |step, what| Finding { registry: ecr.host().clone(), repository: None, step, what };
    let mut findings = vec![finding(Step::Place, What::Works(ecr.place().to_string().into()))];
    let identity = ecr.identity().await;
    let is_nobody = identity.as_ref().is_err_and(EcrError::is_of_credentials);
    let identity = identity.map(|who| format!("{} (account {})", who.arn, who.account));
    findings.push(finding(Step::Identity, of_ecr(identity)));
    if is_nobody {
        return findings;
    }
    let token = ecr.login().await.map(|_| "AWS issues a login".to_owned());
    let has_token = token.is_ok();
    findings.push(finding(Step::Token, of_ecr(token)));
    if !has_token {
        return findings;
    }
    let answer = registry.client().ping().await;
    let lets_us_in = answer.is_ok();
    let answer = match answer {
        Ok(()) => What::Works("accepts the login".into()),
        Err(error) => What::Fails(of_registry(Phase::Preflight, "log in", &error)),
    };
    findings.push(finding(Step::Registry, answer));
    if lets_us_in {
        for repository in repositories {
            findings.extend(of_repository(registry, ecr, repository).await);
        }
    }
    findings
}

async fn of_repository(registry: &Registry, ecr: &EcrRegistry, examined: &Examined) -> Vec<Finding> {
    let (repository, path) = (&examined.repository, examined.repository.path());
    let finding =
        |step, what| Finding { registry: ecr.host().clone(), repository: Some(repository.clone()), step, what };
    let mut findings = Vec::new();
    match ecr.repository(path).await {
        Ok(Some(facts)) => {
            findings.push(finding(Step::Repository, What::Works("exists".into())));
            findings.push(finding(Step::Mutability, examined.mutability(&facts.mutability)));
        }
        Ok(None) => {
            findings.push(finding(Step::Repository, examined.missing(ecr).await));
            return findings;
        }
        // A role that may only push cannot list repositories. The push step then finds out.
        Err(error) if error.is_denied() => {
            findings.push(finding(Step::Repository, What::Unknown(chain(&error).into())));
        }
        Err(error) => {
            findings.push(finding(Step::Repository, of_ecr(Err(error))));
            return findings;
        }
    }
    match registry.client().may_read(path).await {
        Ok(()) => findings.push(finding(Step::Read, What::Works("may read manifests and layers".into()))),
        Err(errors) => {
            let refused = |error| What::Fails(of_registry(Phase::Preflight, "read", error));
            findings.extend(errors.iter().map(|error| finding(Step::Read, refused(error))));
        }
    }
    let push = match registry.client().may_push(path).await {
        Ok(()) => What::Works(MAY_BEGIN.into()),
        Err(error) => What::Fails(of_registry(Phase::Preflight, "begin an upload", &error)),
    };
    findings.push(finding(Step::Push, push));
    findings
}

impl Examined {
    fn mutability(&self, found: &Mutability) -> What {
        let stuck = self.creation.as_ref().map(|creation| cannot_move(creation, found, &self.tags)).unwrap_or_default();
        if stuck.is_empty() {
            return What::Works(words(found).into());
        }
        let message = format!("{}; {}", words(found), differs("the settings of the repository", &stuck));
        What::Fails(failure(Phase::Preflight, &message, Some(change_mutability())))
    }

    async fn missing(&self, ecr: &EcrRegistry) -> What {
        if let Ok(Some(prefix)) = ecr.template(self.repository.path()).await {
            return What::Works(
                format!("does not exist; ECR creates it with the first push, from the template for {prefix}").into(),
            );
        }
        if self.creation.is_some() {
            return What::Works(WILL_CREATE.into());
        }
        let create = ecr.place().creating(Some(self.repository.path()));
        let hint = format!("{create}; or set `ecr: {{ create: true }}` in the plan");
        What::Fails(failure(Phase::Preflight, "does not exist", Some(hint)))
    }
}

fn of_ecr(found: Result<String, EcrError>) -> What {
    match found {
        Ok(found) => What::Works(found.into()),
        Err(error) => What::Fails(failure(Phase::Preflight, &chain(&error.kind), error.hint()).because(&error)),
    }
}

fn words(mutability: &Mutability) -> String {
    let list = |but: &[TagPattern]| but.iter().map(TagPattern::as_str).collect::<Vec<_>>().join(", ");
    match mutability {
        Mutability::Mutable(but) if but.is_empty() => "tags may move".into(),
        Mutability::Mutable(but) => format!("tags may move, except {}", list(but)),
        Mutability::Immutable(but) if but.is_empty() => "no tag may move".into(),
        Mutability::Immutable(but) => format!("no tag may move, except {}", list(but)),
    }
}
