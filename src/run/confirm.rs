//! What the registry has is what was built: bytes fetched, hashed and compared.

use crate::engine::{BuiltImage, ImageStore};
use crate::oci::{
    Child, ChildError, Content, Descriptor, Digest, EntryOverride, Platform, RawManifest, Repository, Selector,
};
use crate::registry::{Client, RegistryError, Visibility};

/// A child, and how it stands in the registry.
#[derive(Debug, Clone)]
pub(super) struct Found {
    /// The child.
    pub(super) child: Child,
    /// What the selector named: the child's manifest, or an index that held it.
    pub(super) top: Digest,
    /// Attestations of that index, which the joined one will not have.
    pub(super) attestations: usize,
}

/// Why there is no child.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConfirmError {
    /// The registry did not answer with content.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The content is not an image of the planned platform.
    #[error(transparent)]
    Child(#[from] ChildError),
    /// An index that does not hold the planned platform exactly once.
    #[error("it is an index of {count} images for {platform}, which has {held}")]
    Index {
        /// How many entries are of the platform.
        count: usize,
        /// The planned platform.
        platform: Platform,
        /// What the index holds.
        held: String,
    },
    /// An entry, or the config of an image alone, names no platform.
    #[error("it names no platform")]
    NoPlatform,
    /// An entry's size is not that of its manifest.
    #[error("the entry says {claimed} bytes, the manifest has {actual}")]
    Size {
        /// What the entry says, in bytes.
        claimed: u64,
        /// What the registry returned, in bytes.
        actual: u64,
    },
    /// It is an image, but not the one that was built.
    #[error("it is another image than the one that was built: {found}, built was {built}")]
    Other {
        /// What the engine built.
        built: Digest,
        /// What the registry has.
        found: Digest,
    },
}

/// Fetches what `selector` names and makes the child of `platform` of it.
///
/// An index is flattened to its one image of the platform (containerd's store pushes one where the image has
/// attestations); attestations are counted.
pub(super) async fn find(
    client: &Client,
    repository: &Repository,
    selector: &Selector,
    visibility: Visibility,
    platform: &Platform,
    entry: &EntryOverride,
) -> Result<Found, ConfirmError> {
    let top = client.get_manifest(repository.path(), selector, visibility).await?;
    let mut attestations = 0;
    let manifest = match top.content().map_err(ChildError::from)? {
        Content::Image(_) => top.clone(),
        Content::Index(index) => {
            attestations = index.manifests.iter().filter(|entry| is_attestation(entry)).count();
            let chosen = choose(&index.manifests, platform)?;
            client.get_manifest(repository.path(), &Selector::Digest(chosen.digest.clone()), visibility).await?
        }
    };
    let config = config_of(client, repository, &manifest).await?;
    let child = Child::new(manifest, &config, platform, entry)?;
    Ok(Found { child, top: top.digest().clone(), attestations })
}

/// Proves that the registry's child is what the engine built.
pub(super) fn prove(found: &Found, built: &BuiltImage) -> Result<(), ConfirmError> {
    let (proof, held) = match built.store {
        ImageStore::GraphDriver => (found.child.config() == &built.id, found.child.config()),
        ImageStore::Containerd => {
            (found.child.manifest().digest() == &built.id || found.top == built.id, found.child.manifest().digest())
        }
    };
    if proof { Ok(()) } else { Err(ConfirmError::Other { built: built.id.clone(), found: held.clone() }) }
}

/// The bytes of an image's config. A manifest that is an index has none: [`Child::new`] refuses it.
pub(super) async fn config_of(
    client: &Client,
    repository: &Repository,
    manifest: &RawManifest,
) -> Result<Vec<u8>, ConfirmError> {
    match manifest.content().map_err(ChildError::from)? {
        Content::Image(image) => Ok(client.get_config(repository.path(), &image.config).await?.into()),
        Content::Index(_) => Ok(Vec::new()),
    }
}

/// The one entry of `platform`.
fn choose<'a>(entries: &'a [Descriptor], platform: &Platform) -> Result<&'a Descriptor, ConfirmError> {
    let of = |entry: &&Descriptor| {
        let fields = entry.platform.as_ref();
        fields.is_some_and(|fields| fields.platform().as_ref() == Ok(platform))
    };
    let matching: Vec<_> = entries.iter().filter(of).collect();
    match matching[..] {
        [one] => Ok(one),
        _ => Err(ConfirmError::Index { count: matching.len(), platform: platform.clone(), held: held(entries) }),
    }
}

fn held(entries: &[Descriptor]) -> String {
    let name = |entry: &Descriptor| {
        let platform = entry.platform.as_ref().and_then(|fields| fields.platform().ok());
        platform.map_or_else(|| "an entry without a platform".to_owned(), |platform| platform.to_string())
    };
    let names: Vec<_> = entries.iter().filter(|entry| !is_attestation(entry)).map(name).collect();
    if names.is_empty() { "nothing".into() } else { names.join(", ") }
}

/// BuildKit puts attestations under the platform `unknown/unknown` (BuildKit, "Attestation storage").
pub(super) fn is_attestation(entry: &Descriptor) -> bool {
    entry.platform.as_ref().is_some_and(crate::oci::PlatformFields::is_unknown)
}

impl ConfirmError {
    /// Whether the content was there and was refused: exit code 7.
    pub(super) fn is_refusal(&self) -> bool {
        match self {
            Self::Registry(error) => error.is_refusal(),
            Self::Child(_) | Self::Index { .. } | Self::NoPlatform | Self::Size { .. } | Self::Other { .. } => true,
        }
    }

    /// Whether there is nothing under the name.
    pub(super) fn is_missing(&self) -> bool {
        matches!(self, Self::Registry(error) if error.is_not_found())
    }

    /// What to do next.
    pub(super) fn hint(&self) -> Option<String> {
        match self {
            Self::Registry(error) => error.hint(),
            Self::Child(ChildError::Platform { .. }) => {
                Some("if the image is right and its config is not, say so with `entry:` in the plan".into())
            }
            Self::Other { .. } => Some("another run built or pushed this tag meanwhile? run again".into()),
            Self::Child(_) | Self::Index { .. } | Self::NoPlatform | Self::Size { .. } => None,
        }
    }
}
