//! Names of registries, repositories, tags and layouts.

pub(super) mod arch_tag;
pub(super) mod location;
pub(super) mod reference;
