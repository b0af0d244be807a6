//! Docker Engine. Only this room names bollard.
//!
//! An [`Engine`] is connected and identified. [`Engine::build`] drives BuildKit as buildx does: a [`Session`] of
//! polyarch serves the build's requests, `Control.Solve` builds one platform, and `Control.Status` reports the
//! progress. With [`Engine::push`] the engine pushes the image that it built, and with [`Engine::pull`] it pulls an
//! image. [`Engine::check`] asks BuildKit for the faults of a Dockerfile.

mod archive;
mod bounds;
mod cache;
mod check;
mod client;
mod contexts;
mod control;
mod emulation;
mod error;
mod escapes;
mod exporter;
mod facts;
mod fault;
mod gateway;
mod lacks;
mod load;
mod local;
mod pull;
mod push;
mod request;
mod rest;
mod session;
mod solve;
mod source;
mod stages;
mod status;
mod upgrade;
mod windows;

pub use cache::cache_directories;
pub use check::{Finding, Lint};
pub use client::Engine;
pub use contexts::{BaseImage, directories, given_dockerfile};
pub use error::{CacheTarget, EngineError, EngineErrorKind};
pub use facts::{ApiVersion, EngineFacts, ImageStore};
pub(crate) use fault::{ASK_FOR_ITS_DIRECTORY, UNASKABLE};
pub use fault::{BuildCause, BuildFault};
pub use lacks::{Needs, WayToStore};
pub use load::Part;
pub use local::SharedContext;
pub use pull::{Before, HeldImage, PullRequest};
pub use push::{PushRequest, PushSummary};
pub use request::{BuildRequest, EngineNames, Output};
pub use session::{BuildAgents, Session, SessionSpec};
pub use solve::BuiltImage;
pub use source::Excerpt;
pub use status::{BuildEvent, BuildSummary};
