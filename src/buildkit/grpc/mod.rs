//! The gRPC connection to BuildKit, and the limits that it shares with sessions.

mod channel;
mod windows;

pub(crate) use channel::connect;
pub(super) use channel::{Control, MAX_MESSAGE, control};
pub(super) use windows::{CONNECTION_WINDOW, STREAM_WINDOW};
