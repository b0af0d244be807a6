//! Facts about the machine that a plan may use: git, CI variables, docker contexts.

mod ci;
mod docker_context;
mod git;

pub use docker_context::{DEFAULT_HOST, DockerContextError, FoundEngine, HostSource, default_engine};
pub use git::git_facts;
