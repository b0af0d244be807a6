//! The findings of `polyarch doctor`.

use std::time::{Duration, Instant};

use serde::Serialize;

use crate::run::event::Failure;
use crate::run::inspect::doctor::What;
use crate::text::Text;

/// The part of a build that a finding concerns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Section {
    /// The plan.
    Plan,
    /// An engine.
    Engine,
    /// A registry.
    Registry,
    /// The build as a whole.
    Build,
}

/// A step of `polyarch doctor`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Check {
    /// Whether the plan is valid, and whether its files exist.
    Plan,
    /// Whether polyarch reaches the engine.
    Connection,
    /// The version and the image store of the engine.
    Version,
    /// The platforms that the engine runs.
    Platforms,
    /// Whether the engine emulates the platforms of the plan that it has to emulate.
    Emulation,
    /// The free space on the engine's disk.
    Disk,
    /// The difference between the clocks of the engine and of this machine.
    Clock,
    /// Whether polyarch reaches the registry, which accepts the login.
    Reach,
    /// Whether an engine reaches the registry.
    Route,
    /// Whether the login may push.
    Push,
    /// Whether `polyarch build` can start.
    Start,
}

/// The result of one step.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Observation {
    /// The part of a build.
    pub section: Section,
    /// The plan, the engine or the registry.
    pub subject: Text,
    /// The step.
    pub check: Check,
    /// The time that the step took, in seconds. Left out for a fact that another step brought.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seconds: Option<f64>,
    /// The outcome.
    #[serde(flatten)]
    pub what: What,
    /// The next step for the user, if the step did not fail and something is to do. A failure has its own hint.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<Text>,
}

impl Observation {
    /// A finding of a step that takes no time of its own.
    #[must_use]
    pub fn new(section: Section, subject: &str, check: Check, what: What) -> Self {
        Self { section, subject: subject.into(), check, seconds: None, what, remedy: None }
    }

    /// The same finding, of a step that took this time.
    #[must_use]
    pub fn after(self, took: Duration) -> Self {
        Self { seconds: Some(took.as_secs_f64()), ..self }
    }

    /// The failure, if the step failed.
    #[must_use]
    pub fn failure(&self) -> Option<&Failure> {
        match &self.what {
            What::Fails(failure) => Some(failure),
            What::Works(_) | What::Unknown(_) => None,
        }
    }

    /// The failure of a step that a build may do without. The rehearsal of the build decides.
    pub(super) fn left_out(self) -> Self {
        let What::Fails(failure) = self.what else { return self };
        let what = What::Unknown(format!("{}; a build may run without it", failure.message).into());
        Self { what, remedy: failure.hint, ..self }
    }

    pub(super) fn remedy(self, remedy: impl Into<Text>) -> Self {
        Self { remedy: Some(remedy.into()), ..self }
    }
}

/// The result of `step` and the time that it took.
pub(super) async fn timed<T>(step: impl Future<Output = T>) -> (T, Duration) {
    let began = Instant::now();
    let result = step.await;
    (result, began.elapsed())
}
