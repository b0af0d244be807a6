//! Reads the keys of a plan, one key or one group of keys in a file.

pub(super) mod attest;
pub(super) mod cache;
mod cache_service;
pub(super) mod contexts;
pub(super) mod ecr;
pub(super) mod engines;
pub(super) mod entry;
pub(super) mod export;
pub(super) mod import;
pub(super) mod registry;
pub(super) mod sandbox;
pub(super) mod secrets;
pub(super) mod silence;
pub(super) mod ssh;
