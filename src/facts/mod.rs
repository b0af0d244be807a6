//! Facts about the machine that a plan may use: git, CI variables, docker contexts.

mod builders;
mod ci;
mod commit;
mod context_store;
mod date;
mod docker_context;
mod docker_error;
mod event;
mod git;
mod slug;
mod sockets;
mod version;

pub use builders::{Builder, builders};
pub use commit::{ci_disagreement, git_facts, git_origin};
pub use context_store::{FoundTls, StoredContext, contexts};
pub use date::build_facts;
pub use docker_context::{DEFAULT_HOST, FoundEngine, HostSource, default_engine, engine_of_context};
pub use docker_error::{DockerContextError, HostSetting};
pub use sockets::{ExistingSocket, SocketOwner, existing_sockets};
