//! Registries, repositories and image layouts: the storages of images. polyarch copies images between them.

pub(super) mod engine_names;
pub(super) mod error;
pub(super) mod layout;
pub(super) mod put_tag;
pub(super) mod reach;
pub(super) mod registry;
pub(super) mod store;
pub(super) mod transfer;

pub(super) use store::*;
