//! The addresses of engines.

pub(in crate::plan) mod host;
pub(in crate::plan) mod ssh;
