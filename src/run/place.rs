//! Repositories with the registries that they are in, and image layouts: a run may have several of both. The only place
//! that knows which of them it is.

use std::ops::Range;
use std::sync::atomic::AtomicU64;

use bytes::Bytes;

use super::access::Registry;
use super::shelf;
use crate::layout::LayoutError;
use crate::oci::{
    Descriptor, Digest, DigestRef, LayoutPath, Location, ManifestError, RawManifest, Repository, Selector, Tag, TagRef,
};
use crate::registry::{Arrival, BlobHead, BlobSource, ErrorKind, RegistryError, Visibility};

/// The registries of a plan.
#[derive(Debug, Clone)]
pub struct Registries {
    /// Where images are built to.
    pub first: Registry,
    /// Where they are copied to, in the plan's order.
    pub copies: Vec<Registry>,
}

/// Where images are read from and written to.
#[derive(Debug, Clone)]
pub enum Place {
    /// A repository, and its registry.
    Repository {
        /// The registry.
        registry: Registry,
        /// The repository.
        repository: Repository,
    },
    /// An image layout of this machine.
    Layout(LayoutPath),
}

/// How far a blob was looked at.
#[derive(Debug, Clone, Copy)]
pub(super) enum Seen {
    /// All of it was read, and has its digest: what is on this machine.
    Whole,
    /// A registry says so.
    Said(BlobHead),
}

/// What is to be read, and where.
#[derive(Debug, Clone)]
pub struct Source {
    /// Where it is.
    pub place: Place,
    /// What of it.
    pub selector: Selector,
}

/// The tags of one place that are to be put.
#[derive(Debug, Clone)]
pub struct FinalTags {
    /// Where they are.
    pub place: Place,
    /// The tags, in the order in which they are put.
    pub tags: Vec<Tag>,
}

impl From<Registry> for Registries {
    fn from(first: Registry) -> Self {
        Self { first, copies: Vec::new() }
    }
}

impl Registries {
    /// All of them, the one that images are built to first.
    pub fn all(&self) -> impl Iterator<Item = &Registry> {
        std::iter::once(&self.first).chain(&self.copies)
    }
}

/// Why a place did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum PlaceError {
    /// The registry.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The layout.
    #[error(transparent)]
    Layout(#[from] LayoutError),
}

impl Place {
    /// Its name.
    #[must_use]
    pub fn location(&self) -> Location {
        match self {
            Self::Repository { repository, .. } => Location::Repository(repository.clone()),
            Self::Layout(path) => Location::Layout(path.clone()),
        }
    }

    /// Whether the place takes an index whose entries say `features` of their processors.
    pub(super) fn takes_features(&self) -> bool {
        match self {
            Self::Repository { registry, .. } => registry.takes_features(),
            Self::Layout(_) => true,
        }
    }

    /// Whether it is known that `tag`, once it names an image, names it for ever.
    pub(super) fn fixes(&self, tag: &Tag) -> bool {
        match self {
            Self::Repository { registry, repository } => registry.fixes(&repository.tag(tag.clone())),
            Self::Layout(_) => false,
        }
    }

    pub(super) fn tag(&self, tag: Tag) -> TagRef<Location> {
        self.location().tag(tag)
    }

    pub(super) fn digest(&self, digest: Digest) -> DigestRef<Location> {
        self.location().digest(digest)
    }

    /// What `selector` names here, as it is shown.
    pub(super) fn named(&self, selector: &Selector) -> String {
        match selector {
            Selector::Tag(tag) => self.tag(tag.clone()).to_string(),
            Selector::Digest(digest) => self.digest(digest.clone()).to_string(),
        }
    }

    /// Gets a manifest or an index, at most 4 MiB; by digest, the bytes are proven to be those.
    ///
    /// # Errors
    /// [`PlaceError::is_not_found`] where there is none; what is refused.
    pub async fn manifest(&self, selector: &Selector, visibility: Visibility) -> Result<RawManifest, PlaceError> {
        match self {
            Self::Repository { registry, repository } => {
                Ok(registry.client().get_manifest(repository.path(), selector, visibility).await?)
            }
            Self::Layout(path) => shelf::manifest(path, selector).await,
        }
    }

    /// Gets what is under a tag that was put a moment ago, and named `before` until then: a registry may be slow to show
    /// it, a layout is not.
    pub(super) async fn moved(&self, tag: &Tag, before: Option<&Digest>) -> Result<RawManifest, PlaceError> {
        match self {
            Self::Repository { registry, repository } => {
                Ok(registry.client().get_moved(repository.path(), tag, before).await?)
            }
            Self::Layout(path) => shelf::manifest(path, &Selector::Tag(tag.clone())).await,
        }
    }

    /// Whether there is something under `selector`, and which digest it is said to have.
    pub(super) async fn head(&self, selector: &Selector) -> Result<Option<Option<Digest>>, PlaceError> {
        match self {
            Self::Repository { registry, repository } => {
                let head = registry.client().head_manifest(repository.path(), selector).await?;
                Ok(head.map(|head| head.digest))
            }
            Self::Layout(path) => match shelf::manifest(path, selector).await {
                Ok(manifest) => Ok(Some(Some(manifest.digest().clone()))),
                Err(error) if error.is_not_found() => Ok(None),
                // What is there is damaged: it is written again.
                Err(PlaceError::Layout(LayoutError::Content { .. })) => Ok(None),
                Err(error) => Err(error),
            },
        }
    }

    /// Gets an image's configuration, at most 4 MiB, proven by its digest.
    pub(super) async fn config(&self, config: &Descriptor) -> Result<Box<[u8]>, PlaceError> {
        match self {
            Self::Repository { registry, repository } => {
                Ok(registry.client().get_config(repository.path(), config).await?)
            }
            Self::Layout(path) => shelf::config(path, config).await,
        }
    }

    /// What is known of a blob where it is; `None` where a registry has not got it.
    pub(super) async fn look_at(&self, blob: &Descriptor) -> Result<Option<Seen>, PlaceError> {
        match self {
            Self::Repository { registry, repository } => {
                let head = registry.client().head_blob(repository.path(), &blob.digest).await?;
                Ok(head.map(Seen::Said))
            }
            Self::Layout(path) => shelf::check(path, blob).await.map(|()| Some(Seen::Whole)),
        }
    }

    /// Gets a part of a blob, of which nothing is proven but its length.
    pub(super) async fn part(&self, blob: &Descriptor, range: Range<u64>) -> Result<Bytes, PlaceError> {
        match self {
            Self::Repository { registry, repository } => {
                Ok(registry.client().get_part(repository.path(), blob, range).await?)
            }
            Self::Layout(path) => shelf::part(path, blob, range).await,
        }
    }

    /// Puts a manifest, byte for byte. Under a tag, it moves.
    pub(super) async fn put_manifest(&self, selector: &Selector, manifest: &RawManifest) -> Result<(), PlaceError> {
        match self {
            Self::Repository { registry, repository } => {
                Ok(registry.client().put_manifest(repository.path(), selector, manifest).await?)
            }
            Self::Layout(path) => shelf::put(path, selector, manifest).await,
        }
    }

    /// Brings a blob here. `moved` grows by the bytes that were sent.
    pub(super) async fn bring(&self, blob: &Descriptor, from: &Self, moved: &AtomicU64) -> Result<Arrival, PlaceError> {
        let file;
        let source = match from {
            Self::Repository { registry, repository } => {
                BlobSource::Registry { client: registry.client(), repository: repository.path() }
            }
            Self::Layout(path) => {
                file = shelf::open(path, blob).await?;
                BlobSource::File(&file)
            }
        };
        match self {
            Self::Repository { registry, repository } => {
                Ok(registry.client().copy_blob(repository.path(), blob, source, moved).await?)
            }
            Self::Layout(path) => shelf::bring(path, blob, source, moved).await,
        }
    }
}

impl PlaceError {
    /// Whether there is nothing under the name.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        match self {
            Self::Registry(error) => error.is_not_found(),
            Self::Layout(error) => error.is_not_found(),
        }
    }

    /// Whether going on would trust what must not be trusted.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        match self {
            Self::Registry(error) => error.is_refusal(),
            Self::Layout(error) => error.is_refusal(),
        }
    }

    /// Whether content is not there, or is not what its digest names: nobody can pull it.
    pub(super) fn is_damage(&self) -> bool {
        let is_other =
            |error: &RegistryError| matches!(error.kind(), ErrorKind::DigestMismatch { .. } | ErrorKind::Size { .. });
        match self {
            Self::Registry(error) => error.is_not_found() || is_other(error),
            Self::Layout(error) => {
                error.is_not_found() || matches!(error, LayoutError::Content { .. } | LayoutError::Size { .. })
            }
        }
    }

    /// What to do next, in one line, where there is something to do.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Registry(error) => error.hint(),
            Self::Layout(error) => error.hint(),
        }
    }

    /// Whether it was refused for sure, so that nothing moved. Anything else of a registry leaves open whether it took it.
    pub(super) fn is_settled(&self) -> bool {
        match self {
            Self::Registry(_) => self.status().is_some_and(|status| (400..500).contains(&status)),
            Self::Layout(_) => true,
        }
    }

    /// What a registry answered, if it answered.
    pub(super) fn status(&self) -> Option<u16> {
        match self {
            Self::Registry(error) => error.answer().map(|(status, _)| status),
            Self::Layout(_) => None,
        }
    }

    /// Whether a tag may not move.
    pub(super) fn is_immutable(&self) -> bool {
        matches!(self, Self::Registry(error) if error.is_immutable())
    }

    /// What a tag still names that was put.
    pub(super) fn stale(&self) -> Option<&Digest> {
        match self {
            Self::Registry(error) => match error.kind() {
                ErrorKind::Stale(old) => Some(old),
                _ => None,
            },
            Self::Layout(_) => None,
        }
    }

    /// Whether there is something else than an image or an index.
    pub(super) fn is_artifact(&self) -> bool {
        let manifest = match self {
            Self::Registry(error) => match error.kind() {
                ErrorKind::Manifest(error) => error,
                _ => return false,
            },
            Self::Layout(LayoutError::Manifest(error)) => error,
            Self::Layout(_) => return false,
        };
        matches!(manifest, ManifestError::Foreign(_) | ManifestError::Schema1)
    }
}

impl PartialEq for Place {
    fn eq(&self, other: &Self) -> bool {
        self.location() == other.location()
    }
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.place.named(&self.selector))
    }
}
