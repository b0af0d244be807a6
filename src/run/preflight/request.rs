//! The request for a build.

use std::sync::Arc;

use crate::auth::{BuildProxies, CredentialSource};
use crate::plan::{Environment, Plan};
use crate::run::event::{PlannedImage, PlannedJob};
use crate::run::publish::atomic::PublishMode;
use crate::run::publish::options::Gates;
use crate::run::schedule::engines::Engines;
use crate::run::schedule::goal::Goal;
use crate::run::storage::Registries;
use crate::run::storage::registry::Registry;

/// The request of `polyarch build`.
pub struct BuildRun {
    /// The plan with the images to build.
    pub plan: Plan,
    /// The engines that build.
    pub engines: Engines,
    /// The registries to push to.
    pub registries: Registries,
    /// The registries of the images to import, each once: the registries of [`Plan::sources`].
    pub sources: Vec<Registry>,
    /// The registries of base images, each once: the registries of [`crate::run::base_hosts`]. polyarch asks only these registries.
    pub bases: Vec<Registry>,
    /// The user's credentials.
    pub credentials: Arc<dyn CredentialSource>,
    /// The proxies for the steps of builds.
    pub proxies: BuildProxies,
    /// The environment variables that hold secrets of the plan.
    pub environment: Environment,
    /// The last step of the run.
    pub goal: Goal,
    /// The gates that an index must pass.
    pub gates: Gates,
    /// When final tags move.
    pub moving: PublishMode,
    /// How much of the run one failure ends.
    pub on_failure: OnFailure,
}

/// How much of a run the first failure of an image ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnFailure {
    /// The other platforms of the image end. Other images continue.
    EndImage,
    /// The whole run ends (`--fail-fast`).
    EndRun,
}

/// The images and the jobs of a build that has not begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outline {
    /// The images, in the plan's order.
    pub images: Vec<PlannedImage>,
    /// The jobs, in the plan's order.
    pub jobs: Vec<PlannedJob>,
}
