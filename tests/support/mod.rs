//! What the tests share: the program under test, scripted peers behind sockets, and the real parts.
#![allow(dead_code, reason = "the integration and the live target each use a part of it")]

pub(crate) mod aws;
pub(crate) mod bare_buildkit;
pub(crate) mod distribution;
pub(crate) mod ecr;
pub(crate) mod engines;
pub(crate) mod expected;
pub(crate) mod fetched;
pub(crate) mod gate;
pub(crate) mod images;
pub(crate) mod memory;
pub(crate) mod parts;
pub(crate) mod program;
pub(crate) mod schema;
pub(crate) mod scripted_ecr;
pub(crate) mod scripted_engine;
pub(crate) mod scripted_registry;
pub(crate) mod ssh_server;
pub(crate) mod store;
pub(crate) mod terminal;
pub(crate) mod tls_front;
