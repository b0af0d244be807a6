//! Checks the access to Amazon ECR, step by step. Each step needs the steps before it.

use serde::Serialize;

use super::access::Registry;
use super::event::{Failure, Phase};
use super::failure::{chain, failure, of_registry};
use crate::ecr::{EcrError, EcrRegistry};
use crate::oci::{Mutability, RegistryHost, Repository, TagPattern};
use crate::text::Text;

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
    /// Whether the login may push layers to the repository.
    Push,
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
pub async fn examine(registry: &Registry, repositories: &[Repository]) -> Vec<Finding> {
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

async fn of_repository(registry: &Registry, ecr: &EcrRegistry, repository: &Repository) -> Vec<Finding> {
    let path = repository.path();
    let finding =
        |step, what| Finding { registry: ecr.host().clone(), repository: Some(repository.clone()), step, what };
    let mut findings = Vec::new();
    match ecr.repository(path).await {
        Ok(Some(facts)) => {
            findings.push(finding(Step::Repository, What::Works("exists".into())));
            findings.push(finding(Step::Mutability, What::Works(words(&facts.mutability).into())));
        }
        Ok(None) => {
            findings.push(finding(Step::Repository, missing(ecr, repository).await));
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
    let push = match registry.client().may_push(path).await {
        Ok(()) => What::Works("layers may be pushed".into()),
        Err(error) => What::Fails(of_registry(Phase::Preflight, "begin an upload", &error)),
    };
    findings.push(finding(Step::Push, push));
    findings
}

async fn missing(ecr: &EcrRegistry, repository: &Repository) -> What {
    if let Ok(Some(prefix)) = ecr.template(repository.path()).await {
        return What::Works(
            format!("does not exist; ECR creates it with the first push, from the template for {prefix}").into(),
        );
    }
    let create = ecr.place().creating(Some(repository.path()));
    let hint = format!("{create}; or set `ecr: {{ create: true }}` in the plan");
    What::Fails(failure(Phase::Preflight, "does not exist", Some(hint)))
}

fn of_ecr(found: Result<String, EcrError>) -> What {
    match found {
        Ok(found) => What::Works(found.into()),
        Err(error) => What::Fails(failure(Phase::Preflight, &chain(&error.kind), error.hint())),
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
