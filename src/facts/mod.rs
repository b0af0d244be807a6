//! Facts about the machine that a plan may use: git, CI variables, docker contexts.

mod builders;
mod ci;
mod context_store;
mod docker_context;
mod docker_error;
mod git;
mod sockets;

pub use builders::{Builder, builders};
pub use context_store::{FoundTls, StoredContext, contexts};
pub use docker_context::{DEFAULT_HOST, FoundEngine, HostSource, default_engine, engine_of_context};
pub use docker_error::{DockerContextError, HostSetting};
pub use git::{git_facts, git_origin};
pub use sockets::{ExistingSocket, SocketOwner, existing_sockets};
