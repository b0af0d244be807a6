//! Manifests: their bytes, and their content.

pub(super) mod content;
pub(super) mod descriptor;
mod entries;
pub(super) mod media_type;
pub(super) mod platform_fields;
pub(super) mod raw;
pub(super) mod unread;
