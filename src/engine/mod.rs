//! Docker Engine. Only this room names bollard's client.
//!
//! An [`Engine`] is connected and identified. [`Engine::build`] drives its BuildKit as buildx does, in a [`Session`] that
//! [`Engine::open_session`] opens. With [`Engine::push`] the engine pushes the image that it built, and with
//! [`Engine::pull`] it pulls an image. [`Engine::check`] asks BuildKit for the faults of a Dockerfile.

mod archive;
mod bounds;
mod build;
mod client;
mod error;
mod escapes;
mod facts;
mod lacks;
mod naming;
mod pull;
mod push;
mod rest;
mod stages;
mod upgrade;

pub(crate) use crate::buildkit::{ASK_FOR_ITS_DIRECTORY, UNASKABLE};
pub use crate::buildkit::{
    BaseImage, BuildAgents, BuildCause, BuildEvent, BuildFault, BuildRequest, BuildSummary, CacheTarget, EngineNames,
    Excerpt, Lint, LintFinding, Output, Session, SessionSpec, SharedContext, cache_directories, directories,
    given_dockerfile,
};
pub use build::BuiltImage;
pub use client::Engine;
pub use error::{EngineError, EngineErrorKind};
pub use facts::{ApiVersion, EngineFacts, ImageStore};
pub use lacks::{Needs, WayToStore};
pub use naming::PlatformImage;
pub use pull::{HeldImage, PriorImage, PullRequest};
pub use push::{PushRequest, PushSummary};
