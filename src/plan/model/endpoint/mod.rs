//! The addresses of engines.

pub(in crate::plan) mod buildkit;
pub(in crate::plan) mod docker_context;
pub(in crate::plan) mod either;
pub(in crate::plan) mod host;
pub(in crate::plan) mod ssh;
pub(in crate::plan) mod tls;
