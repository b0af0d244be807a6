//! Facts about the machine that a plan may use: git, CI variables, docker contexts.

mod builders;
mod ci;
mod contexts;
mod docker_context;
mod git;
mod sockets;

pub use builders::{Builder, builders};
pub use contexts::{DockerContext, docker_contexts};
pub use docker_context::{DEFAULT_HOST, DockerContextError, FoundEngine, HostSource, default_engine};
pub use git::git_facts;
pub use sockets::{ExistingSocket, SocketOwner, existing_sockets};
