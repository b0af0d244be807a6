//! The reason why a command cannot begin.

use polyarch::plan::PlanErrors;
use polyarch::run::{CheckedFile, Failure, Phase};

/// The reason why a command cannot begin.
pub(crate) enum Refusal {
    /// The plan has errors.
    Plan(Box<PlanErrors>),
    /// Dockerfiles have findings.
    Findings(Vec<CheckedFile>),
    /// Anything else.
    Failures(Vec<Failure>),
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        Self::Failures(vec![failure])
    }
}

impl From<Vec<Failure>> for Refusal {
    fn from(failures: Vec<Failure>) -> Self {
        Self::Failures(failures)
    }
}

impl From<PlanErrors> for Refusal {
    fn from(errors: PlanErrors) -> Self {
        Self::Plan(Box::new(errors))
    }
}

/// Bad usage: exit code 2.
pub(crate) fn usage(message: impl Into<String>, hint: &str) -> Failure {
    Failure::new(Phase::Plan, message.into().into(), Some(hint.into()))
}
