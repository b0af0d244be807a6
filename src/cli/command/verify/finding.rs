//! Collects the findings of `verify`, each with its image, platform, registry and tag.

use std::collections::BTreeSet;

use polyarch::oci::{Digest, Platform, Selector, Tag};
use polyarch::run::{self, Failure, FailureOf, Phase, Registry, Source, Storage, VerifyError};
use serde::Serialize;

use super::outcome::{Subject, Verified};
use crate::cli::input::reach;

/// A failure, in the form of a run's report, and its storage.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Finding {
    /// The reference in the user's spelling. A registry that polyarch cannot reach has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    reference: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    registry: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tag: Option<Tag>,
    /// The image of the plan, the platform, and the failure.
    #[serde(flatten)]
    pub(crate) of: FailureOf,
}

impl Finding {
    fn new(subject: &Subject, platform: Option<Platform>, failure: Failure) -> Self {
        let Source { storage, selector } = &subject.source;
        Self {
            reference: Some(subject.name.clone()),
            registry: match storage {
                Storage::Repository { registry, .. } => Some(registry.host().to_string()),
                Storage::Layout(_) => None,
            },
            tag: match selector {
                Selector::Tag(tag) => Some(tag.clone()),
                Selector::Digest(_) => None,
            },
            of: FailureOf { image: subject.image.clone(), platform, failure },
        }
    }

    /// Whether another finding is about another tag of the same repository, and reports the same.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        let without_reference = |finding: &Self| {
            let tag = finding.tag.as_ref()?;
            let reference = finding.reference.as_ref()?;
            let repository = reference.strip_suffix(tag.as_str())?;
            Some((repository.to_owned(), finding.of.failure.message.replace(reference.as_str(), "")))
        };
        let (own, others) = (without_reference(self), without_reference(other));
        own.is_some() && own == others && self.of.failure.hint == other.of.failure.hint
    }

    /// The finding for a registry that polyarch cannot ask.
    pub(crate) fn of_registry(registry: &Registry, failure: Failure) -> Self {
        let registry = Some(registry.host().to_string());
        Self { reference: None, registry, tag: None, of: FailureOf { image: None, platform: None, failure } }
    }
}

/// All findings: first those of each subject, then those of tags of one image that disagree.
pub(crate) fn all(verified: &[Verified]) -> Vec<Finding> {
    verified.iter().flat_map(of).chain(disagreeing(verified)).collect()
}

fn of(verified: &Verified) -> Vec<Finding> {
    let Verified { subject, result, not_pulled, .. } = verified;
    let name = &subject.name;
    let mut found = match result {
        Ok(_) => Vec::new(),
        Err(VerifyError::Storage(error)) => vec![Finding::new(subject, None, reach::unread(name, error))],
        Err(VerifyError::Untrue { faults, .. }) => {
            let each =
                |fault: &run::VerifyFault| Finding::new(subject, fault.platform.clone(), named(name, &fault.failure));
            faults.iter().map(each).collect()
        }
    };
    found.extend(not_pulled.iter().map(|failure| Finding::new(subject, None, failure.clone())));
    found
}

/// Tags of one image of the plan that do not show the same index.
fn disagreeing(verified: &[Verified]) -> Vec<Finding> {
    // The subjects are sorted by registry, and each registry has all images.
    let images: BTreeSet<&String> = verified.iter().filter_map(|one| one.subject.image.as_ref()).collect();
    let mut found = Vec::new();
    for image in images {
        let own = verified.iter().filter(|one| one.subject.image.as_ref() == Some(image));
        let (subjects, shown): (Vec<_>, Vec<_>) =
            own.filter_map(|one| Some((&one.subject, (&one.subject.source, shows(&one.result)?)))).unzip();
        for (storage, fault) in run::disagreements(&shown) {
            found.push(Finding::new(subjects[storage], None, named(&subjects[storage].name, &fault.failure)));
        }
    }
    found
}

/// The index that a tag shows, right or wrong.
fn shows(result: &Result<run::VerifiedIndex, VerifyError>) -> Option<&Digest> {
    match result {
        Ok(index) => Some(&index.index.digest),
        Err(VerifyError::Untrue { index, .. }) => index.as_ref(),
        Err(VerifyError::Storage(_)) => None,
    }
}

fn named(name: &str, failure: &Failure) -> Failure {
    let mut named = failure.clone();
    named.message = format!("{name}: {}", failure.message).into();
    named
}

/// The exit code of the findings. A finding of phase `verify` decides, even if polyarch could not reach a registry.
pub(crate) fn exit_code(findings: &[Finding]) -> u8 {
    let phases = || findings.iter().map(|finding| finding.of.failure.phase);
    let worst = phases().find(|phase| *phase == Phase::Verify).or_else(|| phases().min());
    worst.map_or(0, Phase::exit_code)
}
