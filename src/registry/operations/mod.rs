//! The operations of a registry: manifests, tags, blobs and their transfers.

mod blobs;
pub(super) mod manifests;
mod permission;
pub(super) mod reading;
mod stream;
mod tags;
pub(super) mod transfer;
