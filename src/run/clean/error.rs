//! Why a repository cannot be cleaned.

use super::super::images::{ImagesError, ListedBy};
use super::keep::Order;
use crate::ecr::EcrError;
use crate::registry::RegistryError;

/// The next step where nobody says when images were pushed.
const BY_VERSION: &str =
    "say `--order version` if the tags are versions; or name what stays: `--keep 0 --keep-tag PATTERN`";
/// The next step where no tag is a version.
const BY_NAME: &str = "name what stays: `--keep 0 --keep-tag PATTERN`";

fn unordered(order: Order) -> &'static str {
    match order {
        Order::Push => "the registry does not say when they were pushed",
        Order::Version => "none has a tag that is a version",
    }
}

/// Why a repository cannot be cleaned. Nothing was deleted.
#[derive(Debug, thiserror::Error)]
pub enum CleanError {
    /// What it has is not known.
    #[error(transparent)]
    Images(#[from] ImagesError),
    /// Something in the repository cannot be read, and may be an index.
    #[error("{what} cannot be read, and may list what would be deleted: {why}")]
    Unread {
        /// The tag, or the digest.
        what: String,
        /// Why, in one line.
        why: String,
    },
    /// Nothing orders the publications of the repository.
    #[error("which publications are the newest is not known: {}", unordered(*order))]
    Unordered {
        /// The order that was asked for.
        order: Order,
        /// The API that listed the repository.
        listed_by: ListedBy,
    },
    /// It is in the embedded registry.
    #[error("the embedded registry deletes nothing but tags")]
    Embedded,
    /// The registry deletes nothing, or not for us.
    #[error("nothing can be deleted there")]
    Registry(#[source] RegistryError),
    /// AWS deletes nothing for us.
    #[error("nothing can be deleted there")]
    Ecr(#[source] EcrError),
}

impl CleanError {
    /// What to do next, in one line, where there is something to do.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Images(error) => error.hint(),
            Self::Unread { what, .. } => Some(format!("delete it by hand, or repair it: {what}")),
            Self::Unordered { order: Order::Push, listed_by: ListedBy::Instead(_) } => {
                Some(format!("allow ecr:DescribeImages in the role's policy; or {BY_VERSION}"))
            }
            Self::Unordered { order: Order::Push, .. } => Some(BY_VERSION.into()),
            Self::Unordered { order: Order::Version, .. } => Some(BY_NAME.into()),
            Self::Embedded => Some("what it has is in POLYARCH_HOME: remove that to begin anew".into()),
            Self::Registry(error) if super::super::untag::is_unsupported(error) => Some(
                "let the registry delete by digest (docker-registry: `storage: { delete: { enabled: true } }`)".into(),
            ),
            Self::Registry(error) => error.hint(),
            Self::Ecr(error) => error.hint(),
        }
    }
}
