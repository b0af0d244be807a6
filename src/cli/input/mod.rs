//! Makes plans, references, registries and settings from the arguments and the environment.

pub(super) mod docker;
mod large;
pub(super) mod notices;
pub(super) mod plan_file;
pub(super) mod reach;
pub(super) mod repositories;
pub(super) mod screen;
pub(super) mod settings;
