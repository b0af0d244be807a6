//! The reasons why polyarch cannot clean a repository.

use super::keep::Order;
use crate::ecr::EcrError;
use crate::registry::RegistryError;
use crate::run::images::ImagesError;
use crate::run::images::ListedBy;

/// The hint for registries that do not report when images were pushed.
const BY_VERSION: &str =
    "pass `--order version` if the tags are versions; or name the tags to keep: `--keep 0 --keep-tag PATTERN`";
/// The hint for repositories without a version among their tags.
const BY_NAME: &str = "name the tags to keep: `--keep 0 --keep-tag PATTERN`";

fn unordered(order: Order) -> &'static str {
    match order {
        Order::Push => "the registry does not report when they were pushed",
        Order::Version => "no tag is a version",
    }
}

/// The reason why polyarch cannot clean a repository. Nothing was deleted.
#[derive(Debug, thiserror::Error)]
pub enum CleanError {
    /// polyarch cannot list the content of the repository.
    #[error(transparent)]
    Images(#[from] ImagesError),
    /// A manifest in the repository cannot be read, and it may be an index.
    #[error("{manifest} cannot be read, and it may list images that would be deleted: {why}")]
    Unread {
        /// The tag or the digest of the manifest.
        manifest: String,
        /// The reason, in one line.
        why: String,
    },
    /// polyarch cannot order the publications of the repository.
    #[error("polyarch cannot find the newest publications: {}", unordered(*order))]
    Unordered {
        /// The order that the user asked for.
        order: Order,
        /// The API that listed the repository.
        listed_by: ListedBy,
    },
    /// The repository is in the embedded registry.
    #[error("the embedded registry deletes only tags, not images")]
    Embedded,
    /// The registry does not support deletion, or it does not permit deletion to this login.
    #[error("polyarch cannot delete images in this repository")]
    Registry(#[source] RegistryError),
    /// AWS does not permit deletion to this role.
    #[error("polyarch cannot delete images in this repository")]
    Ecr(#[source] EcrError),
}

impl CleanError {
    /// The next step for the user in one line, if there is one.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Images(error) => error.hint(),
            Self::Unread { manifest, .. } => Some(format!("repair {manifest}, or delete it by hand")),
            Self::Unordered { order: Order::Push, listed_by: ListedBy::Instead(_) } => {
                Some(format!("allow ecr:DescribeImages in the role's policy; or {BY_VERSION}"))
            }
            Self::Unordered { order: Order::Push, .. } => Some(BY_VERSION.into()),
            Self::Unordered { order: Order::Version, .. } => Some(BY_NAME.into()),
            Self::Embedded => Some(
                "run `polyarch prune` to delete content without a tag; for an empty registry, delete the directory \
                 that `polyarch prune` prints"
                    .into(),
            ),
            Self::Registry(error) if crate::run::publish::remove_arch_tags::is_unsupported(error) => Some(
                "enable deletion in the registry (docker-registry: `storage: { delete: { enabled: true } }`)".into(),
            ),
            Self::Registry(error) => error.hint(),
            Self::Ecr(error) => error.hint(),
        }
    }
}
