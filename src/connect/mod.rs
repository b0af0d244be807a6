//! Connections to the programs that build: a stream of bytes to an endpoint.
//!
//! A [`Dialer`] opens every connection to its endpoint. The rooms above speak their protocols over these connections, and
//! know nothing about the way to the endpoint.

mod commands;
mod dialer;
mod error;
mod heard;
mod ping;
mod pods;
mod program;
mod ssh;
mod tcp;
mod tls;

pub(crate) use dialer::{Dialer, HeardConnection};
pub(crate) use error::ConnectError;
pub(crate) use heard::Heard;
pub(crate) use pods::ready_pods;
