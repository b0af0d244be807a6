//! The plan: `build.yaml` in, jobs out. Pure; collects all errors.

mod error;
mod host;
mod model;
mod names;
mod node;
mod overrides;
mod raw;

pub use error::{Location, PlanErrors, Problem, SourceText};
pub use host::{EngineHost, EngineHostError};
pub use model::{
    BuildSpec, CachePolicy, EngineSpec, Image, Job, NamedRegistry, Network, Plan, PullPolicy, RegistryChoice, Transport,
};
pub use names::{EngineName, ImageName, NameError};
pub use overrides::{Overrides, Selection};
