//! BuildKit, over any gRPC connection: this room knows nothing of the program that BuildKit runs in.
//!
//! [`connect`] makes the connection from a function that opens streams, and [`BuildKit`] speaks on it as buildx does. A
//! [`Session`] serves the build's requests on a second stream, `Control.Solve` builds one platform, and `Control.Status`
//! reports the progress. The second stream is a connection of Docker Engine, or the RPC `Control.Session`.

mod cache_directories;
mod check;
mod client;
mod emulation;
mod error;
mod excerpt;
mod failure;
mod fault;
mod gateway;
mod grpc;
mod request;
mod session;
mod solve;
mod status;
mod version;

pub use cache_directories::cache_directories;
pub use check::{Lint, LintFinding};
pub(crate) use client::{BuildKit, Workers, connect};
pub(crate) use emulation::emulation_hint;
pub(crate) use error::BuildKitError;
pub use excerpt::Excerpt;
pub(crate) use fault::{ASK_FOR_ITS_DIRECTORY, UNASKABLE};
pub use fault::{BuildCause, BuildFault};
pub use request::{
    BaseImage, BuildRequest, CacheTarget, EngineNames, Output, SharedContext, directories, given_dockerfile,
};
pub(crate) use request::{Exporter, Worker};
pub(crate) use session::SessionServices;
pub use session::{BuildAgents, Session, SessionSpec};
pub(crate) use solve::Solved;
pub use status::{BuildEvent, BuildSummary};
pub use version::BuildKitVersion;
