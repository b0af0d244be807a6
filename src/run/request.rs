//! What a build is asked to do.

use std::sync::Arc;

use super::access::Registry;
use super::event::{PlannedImage, PlannedJob};
use super::gates::Gates;
use super::job::Goal;
use super::place::Registries;
use super::preflight::Engines;
use super::together::Moving;
use crate::auth::{BuildProxies, CredentialSource};
use crate::plan::{Environment, Plan};

/// What `polyarch build` is to do.
pub struct BuildRun {
    /// What to build.
    pub plan: Plan,
    /// Where.
    pub engines: Engines,
    /// Where to push.
    pub registries: Registries,
    /// The registries of what is adopted, each once: those of [`Plan::sources`].
    pub sources: Vec<Registry>,
    /// The registries that builds read images of, each once: those of [`super::base_hosts`]. One that is missing is not
    /// asked.
    pub bases: Vec<Registry>,
    /// Who we are.
    pub credentials: Arc<dyn CredentialSource>,
    /// The proxies that steps of builds get.
    pub proxies: BuildProxies,
    /// Where secrets of the plan that are variables are found.
    pub environment: Environment,
    /// How far to go.
    pub goal: Goal,
    /// What an index must pass.
    pub gates: Gates,
    /// When final tags move.
    pub moving: Moving,
    /// What one failure ends.
    pub on_failure: OnFailure,
}

/// What the first failure of an image ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnFailure {
    /// Its other platforms; other images go on.
    EndImage,
    /// Everything (`--fail-fast`).
    EndRun,
}

/// What a build would do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outline {
    /// The images, in the plan's order.
    pub images: Vec<PlannedImage>,
    /// The jobs, in the plan's order.
    pub jobs: Vec<PlannedJob>,
}
