//! What must be asked of the machine before a plan can be resolved: git, CI variables, docker contexts.

mod ci;
mod docker_context;
mod git;

pub use docker_context::{DEFAULT_HOST, DockerContextError, FoundEngine, HostSource, default_engine};
pub use git::git_facts;
