//! Makes plans, references, registries and settings from the arguments and the environment.

pub(super) mod load;
pub(super) mod notices;
pub(super) mod reach;
pub(super) mod repositories;
pub(super) mod settings;
