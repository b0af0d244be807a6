//! What a build asks of its client: files, caches, credentials, secrets, ssh agents, whether it is still there.
//!
//! `BuildKit`, `session/`: a gRPC server of ours on a connection that `POST /session` turned around.

mod auth;
mod backlog;
mod content;
mod content_proto;
mod dockerfile;
mod filesync;
mod health;
mod outcome;
mod secrets;
mod serve;
mod ssh;

pub(super) use backlog::UPLOAD_IDLE;
pub(super) use serve::random_id;
pub use serve::{Session, SessionSpec};
pub use ssh::BuildAgents;
