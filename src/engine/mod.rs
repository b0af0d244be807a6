//! The programs that build: Docker Engine, and BuildKit alone. Only this room names bollard's client.
//!
//! An [`Engine`] is connected and identified. [`Engine::build`] drives its BuildKit as buildx does, in a [`Session`] that
//! [`Engine::open_session`] opens. With [`Engine::push`] the engine pushes the image that it built, and with
//! [`Engine::pull`] it pulls an image. [`Engine::check`] asks BuildKit for the faults of a Dockerfile.

mod archive;
mod bounds;
mod build;
mod client;
mod error;
mod facts;
mod lines;
mod naming;
mod pods;
mod pull;
mod push;
mod rest;
mod upgrade;

pub(crate) use crate::buildkit::{ASK_FOR_ITS_DIRECTORY, UNASKABLE};
pub use crate::buildkit::{
    BaseImage, BuildAgents, BuildCause, BuildEvent, BuildFault, BuildKitVersion, BuildRequest, BuildSummary,
    CacheTarget, EngineNames, Excerpt, Lint, LintFinding, Output, Session, SessionSpec, SharedContext,
    cache_directories, directories, given_dockerfile,
};
pub use build::BuiltImage;
pub use client::{Engine, EngineCondition};
pub use error::{EngineError, EngineErrorKind};
pub use facts::{ApiVersion, EngineFacts, ImageStore, Needs, NewerProgram, WayToStore};
pub use naming::PlatformImage;
pub(crate) use pods::pods;
pub use pull::{HeldImage, PriorImage, PullRequest};
pub use push::{PushRequest, PushSummary};
