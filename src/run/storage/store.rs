//! Hides whether an image is in a repository of a registry or in an image layout. A run may have several of both.

use std::ops::Range;
use std::sync::atomic::AtomicU64;

use bytes::Bytes;

use super::layout;
use super::registry::Registry;
use crate::layout::LayoutError;
use crate::oci::{Descriptor, Digest, DigestRef, LayoutPath, Location, RawManifest, Repository, Selector, Tag, TagRef};
use crate::registry::{BlobHead, BlobOutcome, BlobSource, Visibility};
use crate::run::storage::error::StorageError;

/// The registries of a plan.
#[derive(Debug, Clone)]
pub struct Registries {
    /// The registry that images are built to.
    pub first: Registry,
    /// The registries that images are copied to, in the plan's order.
    pub copies: Vec<Registry>,
}

/// A storage that images are read from and written to.
#[derive(Debug, Clone)]
pub enum Storage {
    /// A repository in its registry.
    Repository {
        /// The registry.
        registry: Registry,
        /// The repository.
        repository: Repository,
    },
    /// An image layout on this machine.
    Layout(LayoutPath),
}

/// How closely polyarch looked at a blob.
#[derive(Debug, Clone, Copy)]
pub(in crate::run) enum BlobCheck {
    /// polyarch read the whole blob on this machine, and its digest is right.
    Whole,
    /// The registry reported the blob, and polyarch did not read it.
    Said(BlobHead),
}

/// An image to read, and its storage.
#[derive(Debug, Clone)]
pub struct Source {
    /// The storage of the image.
    pub storage: Storage,
    /// The tag or the digest of the image in this storage.
    pub selector: Selector,
}

/// Why a reference without a tag and a digest names no image.
#[derive(Debug)]
pub enum Unselected {
    /// A repository has no image without a tag or a digest.
    Repository(Repository),
    /// The layout does not have exactly one image, or polyarch cannot read it.
    Layout(LayoutPath, StorageError),
}

/// The tags that polyarch moves in one storage.
#[derive(Debug, Clone)]
pub struct FinalTags {
    /// The storage of the tags.
    pub storage: Storage,
    /// The tags, in the order in which they move.
    pub tags: Vec<Tag>,
}

impl From<Registry> for Registries {
    fn from(first: Registry) -> Self {
        Self { first, copies: Vec::new() }
    }
}

impl Registries {
    /// All registries. The registry that images are built to is the first.
    pub fn all(&self) -> impl Iterator<Item = &Registry> {
        std::iter::once(&self.first).chain(&self.copies)
    }
}

impl Storage {
    /// The image that `selector` names. Without a selector this is the only image of a layout.
    ///
    /// # Errors
    /// There is no selector, and the storage is a repository or does not have exactly one image.
    pub async fn image(self, selector: Option<Selector>) -> Result<Source, Unselected> {
        let selector = match (selector, &self) {
            (Some(selector), _) => selector,
            (None, Self::Repository { repository, .. }) => return Err(Unselected::Repository(repository.clone())),
            (None, Self::Layout(path)) => match layout::only_image(path).await {
                Ok(digest) => Selector::Digest(digest),
                Err(error) => return Err(Unselected::Layout(path.clone(), error)),
            },
        };
        Ok(Source { storage: self, selector })
    }

    /// The name of the storage.
    #[must_use]
    pub fn location(&self) -> Location {
        match self {
            Self::Repository { repository, .. } => Location::Repository(repository.clone()),
            Self::Layout(path) => Location::Layout(path.clone()),
        }
    }

    /// Whether the storage accepts an index whose entries list `features` of their processors.
    pub(in crate::run) fn takes_features(&self) -> bool {
        match self {
            Self::Repository { registry, .. } => registry.takes_features(),
            Self::Layout(_) => true,
        }
    }

    /// Whether `tag` is known to be immutable once it names an image.
    pub(in crate::run) fn fixes(&self, tag: &Tag) -> bool {
        match self {
            Self::Repository { registry, repository } => registry.fixes(&repository.tag(tag.clone())),
            Self::Layout(_) => false,
        }
    }

    pub(in crate::run) fn tag(&self, tag: Tag) -> TagRef<Location> {
        self.location().tag(tag)
    }

    pub(in crate::run) fn digest(&self, digest: Digest) -> DigestRef<Location> {
        self.location().digest(digest)
    }

    /// The full reference of `selector` in this storage, for messages.
    pub(in crate::run) fn named(&self, selector: &Selector) -> String {
        match selector {
            Selector::Tag(tag) => self.tag(tag.clone()).to_string(),
            Selector::Digest(digest) => self.digest(digest.clone()).to_string(),
        }
    }

    /// Gets a manifest or an index of at most 4 MiB. If `selector` is a digest, polyarch checks the bytes against it.
    ///
    /// # Errors
    /// [`StorageError::is_not_found`] if nothing exists under `selector`, or the refusal of the registry or the layout.
    pub async fn manifest(&self, selector: &Selector, visibility: Visibility) -> Result<RawManifest, StorageError> {
        match self {
            Self::Repository { registry, repository } => {
                Ok(registry.client().get_manifest(repository.path(), selector, visibility).await?)
            }
            Self::Layout(path) => layout::manifest(path, selector).await,
        }
    }

    /// Gets the manifest under a tag that polyarch moved a moment ago. The tag named `before` until then. A registry
    /// may still show the old manifest for a while, but a layout does not.
    pub(in crate::run) async fn moved(&self, tag: &Tag, before: Option<&Digest>) -> Result<RawManifest, StorageError> {
        match self {
            Self::Repository { registry, repository } => {
                Ok(registry.client().get_moved(repository.path(), tag, before).await?)
            }
            Self::Layout(path) => layout::manifest(path, &Selector::Tag(tag.clone())).await,
        }
    }

    /// Looks for a manifest under `selector`. Returns its digest, if the storage reports one.
    pub(in crate::run) async fn head(&self, selector: &Selector) -> Result<Option<Option<Digest>>, StorageError> {
        match self {
            Self::Repository { registry, repository } => {
                let head = registry.client().head_manifest(repository.path(), selector).await?;
                Ok(head.map(|head| head.digest))
            }
            Self::Layout(path) => match layout::manifest(path, selector).await {
                Ok(manifest) => Ok(Some(Some(manifest.digest().clone()))),
                Err(error) if error.is_not_found() => Ok(None),
                // The stored content is damaged, so polyarch writes it again.
                Err(StorageError::Layout(LayoutError::Content { .. })) => Ok(None),
                Err(error) => Err(error),
            },
        }
    }

    /// Gets an image's configuration of at most 4 MiB, and checks it against its digest.
    pub(in crate::run) async fn config(&self, config: &Descriptor) -> Result<Box<[u8]>, StorageError> {
        match self {
            Self::Repository { registry, repository } => {
                Ok(registry.client().get_config(repository.path(), config).await?)
            }
            Self::Layout(path) => layout::config(path, config).await,
        }
    }

    /// Looks for a blob in this storage. Returns `None` if the registry does not have the blob.
    pub(in crate::run) async fn look_at(&self, blob: &Descriptor) -> Result<Option<BlobCheck>, StorageError> {
        match self {
            Self::Repository { registry, repository } => {
                let head = registry.client().head_blob(repository.path(), &blob.digest).await?;
                Ok(head.map(BlobCheck::Said))
            }
            Self::Layout(path) => layout::check(path, blob).await.map(|()| Some(BlobCheck::Whole)),
        }
    }

    /// Gets a part of a blob. polyarch can check only the length of the part.
    pub(in crate::run) async fn part(&self, blob: &Descriptor, range: Range<u64>) -> Result<Bytes, StorageError> {
        match self {
            Self::Repository { registry, repository } => {
                Ok(registry.client().get_part(repository.path(), blob, range).await?)
            }
            Self::Layout(path) => layout::part(path, blob, range).await,
        }
    }

    /// Pushes a manifest, byte for byte. If `selector` is a tag, the tag moves.
    pub(in crate::run) async fn put_manifest(
        &self,
        selector: &Selector,
        manifest: &RawManifest,
    ) -> Result<(), StorageError> {
        match self {
            Self::Repository { registry, repository } => {
                Ok(registry.client().put_manifest(repository.path(), selector, manifest).await?)
            }
            Self::Layout(path) => layout::put(path, selector, manifest).await,
        }
    }

    /// Copies a blob to this storage. `moved` grows by the number of bytes that were sent.
    pub(in crate::run) async fn copy_blob(
        &self,
        blob: &Descriptor,
        from: &Self,
        moved: &AtomicU64,
    ) -> Result<BlobOutcome, StorageError> {
        let file;
        let source = match from {
            Self::Repository { registry, repository } => {
                BlobSource::Registry { client: registry.client(), repository: repository.path() }
            }
            Self::Layout(path) => {
                file = layout::open(path, blob).await?;
                BlobSource::File(&file)
            }
        };
        match self {
            Self::Repository { registry, repository } => {
                Ok(registry.client().copy_blob(repository.path(), blob, source, moved).await?)
            }
            Self::Layout(path) => layout::copy_blob(path, blob, source, moved).await,
        }
    }
}

impl PartialEq for Storage {
    fn eq(&self, other: &Self) -> bool {
        self.location() == other.location()
    }
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.storage.named(&self.selector))
    }
}
