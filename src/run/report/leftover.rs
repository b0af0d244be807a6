//! Names and tags that a run left behind.

use serde::Serialize;

use crate::oci::{DigestRef, Location, TagRef};

/// Something that an unfinished run left in a registry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Leftover {
    /// The image.
    pub image: String,
    /// The name of the leftover.
    #[serde(flatten)]
    pub name: LeftoverName,
    /// The kind of the leftover.
    pub kind: LeftoverKind,
}

/// The name of a leftover.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum LeftoverName {
    /// A tag.
    Tag(TagRef<Location>),
    /// An image without a tag.
    Reference(DigestRef),
}

impl std::fmt::Display for LeftoverName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tag(tag) => write!(f, "{tag}"),
            Self::Reference(reference) => write!(f, "{reference}"),
        }
    }
}

/// The kind of a leftover.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum LeftoverKind {
    /// An arch tag of an image that is not finished.
    ArchTag,
    /// An arch tag whose push did not end. The tag may exist.
    PerhapsArchTag,
    /// An image without a tag. Its index is not finished.
    Untagged,
    /// A final tag that moved before a later step failed.
    FinalTag,
    /// A final tag whose request was not answered. The tag may have moved.
    PerhapsFinalTag,
}
