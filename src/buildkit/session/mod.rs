//! The services that a build uses on its client: files, caches, credentials, secrets, ssh agents, health.
//!
//! As in `BuildKit`'s `session/`, polyarch runs a gRPC server on a connection that BuildKit opened the other end of.

mod auth;
mod backlog;
mod content;
mod content_proto;
mod dockerfile;
mod filesync;
mod health;
mod observed;
mod secrets;
mod serve;
mod ssh;
mod tunnel;

pub(super) use backlog::UPLOAD_IDLE;
pub(crate) use serve::SessionServices;
pub(super) use serve::random_id;
pub use serve::{Session, SessionSpec};
pub use ssh::BuildAgents;
