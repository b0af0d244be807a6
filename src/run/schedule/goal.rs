//! The last stage of a run.

/// The last stage of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Goal {
    /// The images are on their engines (`--no-push`).
    Build,
    /// The images are on their engines under their names (`--load`).
    Load,
    /// The arch tags are in the registry and confirmed (`--no-join`).
    Push,
    /// The final tags are in the registry.
    Publish,
}

impl Goal {
    /// Whether the engines push the images.
    pub(in crate::run) fn pushes(self) -> bool {
        self >= Self::Push
    }

    /// The option that keeps the final tags, with or without a failure.
    pub(in crate::run) fn keeps_tags(self) -> Option<&'static str> {
        match self {
            Self::Build => Some("--no-push"),
            Self::Push => Some("--no-join"),
            Self::Load | Self::Publish => None,
        }
    }
}
