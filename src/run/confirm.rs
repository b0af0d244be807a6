//! What the registry has is what was built: bytes fetched, hashed and compared.

use std::collections::BTreeSet;

use futures::future::try_join;

use super::attestations::{Beside, LeftOut};
use super::flat::Opening;
use super::listing::Read;
use super::place::{Place, PlaceError};
use super::verify::complete::{Named, complete};
use crate::engine::{BuiltImage, ImageStore};
use crate::oci::{
    AttestationError, Child, ChildError, Content, Descriptor, Digest, EntryOverride, ImageManifest, MediaType,
    Platform, PlatformFields, RawManifest, Selector,
};
use crate::plan::AttestationPolicy;
use crate::registry::Visibility;

/// A child, and how it stands in the registry.
#[derive(Debug, Clone)]
pub(super) struct Found {
    /// The child, with its attestations.
    pub(super) child: Child,
    /// What the selector named: the child's manifest, or an index that held it.
    pub(super) top: Digest,
    /// What of that index the joined one will not have.
    pub(super) left_out: LeftOut,
    /// Blobs that this run read, put or asked for in the place where the child was found.
    pub(super) there: BTreeSet<Digest>,
}

impl Found {
    /// A child whose config was just read.
    pub(super) fn read(child: Child, top: Digest, left_out: LeftOut) -> Self {
        let there = BTreeSet::from([child.config().clone()]);
        Self { child, top, left_out, there }
    }

    /// Whether the selector named what was built and nothing beside it: the same image may stand in an index with
    /// what another build attested.
    pub(super) fn is_all_of(&self, built: &BuiltImage) -> bool {
        self.top == built.id || self.top == *self.child.manifest().digest()
    }
}

/// Why there is no child.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConfirmError {
    /// The registry did not answer with content, or the layout has none.
    #[error(transparent)]
    Place(#[from] PlaceError),
    /// The content is not an image of the planned platform.
    #[error(transparent)]
    Child(#[from] ChildError),
    /// The content is no attestation of the image.
    #[error(transparent)]
    Untrue(#[from] AttestationError),
    /// An index that it lists cannot be read.
    #[error("its index {digest}")]
    Nested {
        /// The index.
        digest: Digest,
        /// Why.
        source: Box<Self>,
    },
    /// What it lists or names cannot be had. It is there itself.
    #[error("its {what} {digest}")]
    Part {
        /// What it is: an image, a config.
        what: &'static str,
        /// Its digest.
        digest: Digest,
        /// Why.
        source: Box<PlaceError>,
    },
    /// An attestation of no image of its index.
    #[error("it names no image of the index")]
    Astray,
    /// An attestation of the image cannot be taken.
    #[error("its attestation {digest}")]
    Attestation {
        /// The attestation's manifest.
        digest: Digest,
        /// Why.
        source: Box<Self>,
    },
    /// More attestations than any image has.
    #[error("it has {count} attestations, at most {most} are taken")]
    Attestations {
        /// How many its index lists.
        count: usize,
        /// How many are taken.
        most: usize,
    },
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
    /// The content is an artifact: a Helm chart, a signature.
    #[error("it is {0}, and not an image")]
    Artifact(String),
    /// An entry, or the config of an image alone, names no platform.
    #[error("it names no platform")]
    NoPlatform,
    /// Its tag ends in the name of another architecture.
    #[error("is {0}; not joined")]
    Suffix(Platform),
    /// An index of several images, where one is to be listed as something else.
    #[error("it is an index of {0} images, and only one can be annotated")]
    Several(usize),
    /// None of its images is of a platform that is wanted.
    #[error("it has {held}, and nothing else is wanted than {wanted}")]
    Unwanted {
        /// What it has.
        held: String,
        /// What is wanted.
        wanted: String,
    },
    /// An entry's size is not that of its manifest.
    #[error("the entry says {claimed} bytes, the manifest has {actual}")]
    Size {
        /// What the entry says, in bytes.
        claimed: u64,
        /// What the registry returned, in bytes.
        actual: u64,
    },
    /// An entry's media type is not that of its manifest.
    #[error("the entry says {claimed}, the manifest is {actual}")]
    MediaType {
        /// What the entry says.
        claimed: MediaType,
        /// What the registry returned.
        actual: MediaType,
    },
    /// An index of more than can be looked at.
    #[error("it lists {count} manifests of {bytes} bytes: more than are read of one index")]
    Large {
        /// How many, at least.
        count: usize,
        /// Their sizes, as they are claimed.
        bytes: u64,
    },
    /// The index's entry of the platform does not lead to its image.
    #[error("{platform}: {why}")]
    Entry {
        /// The platform.
        platform: Platform,
        /// What is wrong.
        why: String,
    },
    /// It is of another commit than the plan says: an earlier pipeline pushed it.
    #[error("it is of revision {found}, planned is {planned}")]
    Revision {
        /// What the image says.
        found: String,
        /// What the plan labels it with.
        planned: String,
    },
    /// It was looked for until the end of the time.
    #[error("the registry did not answer in time")]
    NoAnswer,
    /// Indexes in indexes in indexes.
    #[error("it lists indexes that list indexes, too deep to be read")]
    Deep,
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
/// attestations), and the attestations of that image come with it.
pub(super) async fn find(
    place: &Place,
    selector: &Selector,
    visibility: Visibility,
    platform: &Platform,
    entry: &EntryOverride,
    attestations: AttestationPolicy,
) -> Result<Found, ConfirmError> {
    let manifest = place.manifest(selector, visibility).await?;
    let top = flat(place, manifest, visibility, platform).await?;
    find_in(place, &top, visibility, platform, entry, attestations).await
}

/// [`find`]s and [`prove`]s what `tag` names before anything is pushed. If that may be all of `built`, polyarch asks for
/// its config and its layers at once.
pub(super) async fn find_standing(
    place: &Place,
    tag: &Selector,
    platform: &Platform,
    entry: &EntryOverride,
    attestations: AttestationPolicy,
    built: &BuiltImage,
) -> Result<Found, ConfirmError> {
    let manifest = place.manifest(tag, Visibility::Settled).await?;
    let top = flat(place, manifest, Visibility::Settled, platform).await?;
    let finding = find_in(place, &top, Visibility::Settled, platform, entry, attestations);
    let (found, there) = tokio::join!(finding, layers_there(place, &top, built));
    let mut found = found?;
    prove(&found, built)?;
    found.there.extend(there);
    Ok(found)
}

/// The layers of `top` that the place has, if it is `built`. A layer that the place lacks is for [`complete`] to name.
async fn layers_there(place: &Place, top: &Read, built: &BuiltImage) -> BTreeSet<Digest> {
    let Content::Image(ImageManifest { config, .. }) = &top.content else { return BTreeSet::new() };
    if built.id != config.digest && built.id != *top.manifest.digest() {
        return BTreeSet::new();
    }
    let image = Named { of: String::new(), manifest: &top.manifest };
    let known = BTreeSet::from([config.digest.clone()]);
    complete(place, &[image], &known).await.map(|complete| complete.there).unwrap_or_default()
}

/// What `manifest` says; of an index also what the indexes say that it lists, if they may have `platform`.
pub(super) async fn flat(
    place: &Place,
    manifest: RawManifest,
    visibility: Visibility,
    platform: &Platform,
) -> Result<Read, ConfirmError> {
    let content = match manifest.content().map_err(ChildError::from)? {
        Content::Index(index) => {
            let wanted = std::slice::from_ref(platform);
            let opening = Opening { place, visibility, wanted };
            Content::Index(opening.flatten(index).await?.index)
        }
        image @ Content::Image(_) => image,
    };
    Ok(Read { manifest, content })
}

/// [`find`] in `top`, which was fetched and is [`flat`].
pub(super) async fn find_in(
    place: &Place,
    Read { manifest: top, content }: &Read,
    visibility: Visibility,
    platform: &Platform,
    entry: &EntryOverride,
    attestations: AttestationPolicy,
) -> Result<Found, ConfirmError> {
    let Content::Index(index) = content else {
        let child = image(place, top.clone(), platform, entry).await?;
        return Ok(Found::read(child, top.digest().clone(), LeftOut::default()));
    };
    let chosen = choose(&index.manifests, platform)?;
    let beside = Beside::of(&chosen.digest, &index.manifests, attestations);
    let found = async {
        let manifest = listed(place, chosen, visibility).await?;
        let mut child = image(place, manifest, platform, entry).await?;
        child.listed_as(chosen)?;
        Ok(child)
    };
    let (mut child, manifests) = try_join(found, beside.fetch(place, visibility)).await?;
    let left_out = beside.attest(&mut child, manifests)?;
    Ok(Found::read(child, top.digest().clone(), left_out))
}

/// The manifest of an entry of an index.
pub(super) async fn listed(
    place: &Place,
    entry: &Descriptor,
    visibility: Visibility,
) -> Result<RawManifest, ConfirmError> {
    let manifest = place.manifest(&Selector::Digest(entry.digest.clone()), visibility).await;
    manifest.map_err(|error| ConfirmError::part("image", &entry.digest, error))
}

async fn image(
    place: &Place,
    manifest: RawManifest,
    platform: &Platform,
    entry: &EntryOverride,
) -> Result<Child, ConfirmError> {
    let config = config_of(place, &manifest).await?;
    Ok(Child::new(manifest, &config, platform, entry)?)
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
pub(super) async fn config_of(place: &Place, manifest: &RawManifest) -> Result<Vec<u8>, ConfirmError> {
    match manifest.content().map_err(ChildError::from)? {
        Content::Image(image) => {
            let config = place.config(&image.config).await;
            let config = config.map_err(|error| ConfirmError::part("config", &image.config.digest, error))?;
            // Old tools gave their configs other types. A config that names its platform is an image's.
            let names_platform = || PlatformFields::of_config(&config).ok().flatten()?.platform().ok();
            match image.artifact() {
                Some(what) if names_platform().is_none() => Err(ConfirmError::Artifact(what)),
                _ => Ok(config.into()),
            }
        }
        Content::Index(_) => Ok(Vec::new()),
    }
}

/// The one entry of `platform`.
pub(super) fn choose<'a>(entries: &'a [Descriptor], platform: &Platform) -> Result<&'a Descriptor, ConfirmError> {
    let own = |entry: &Descriptor| entry.platform.as_ref().and_then(|fields| fields.platform().ok());
    let exact = entries.iter().filter(|entry| own(entry).as_ref() == Some(platform));
    let mut matching: Vec<_> = exact.collect();
    if matching.is_empty() {
        matching = entries.iter().filter(|entry| own(entry).is_some_and(|own| platform.covers(&own))).collect();
    }
    match matching[..] {
        [one] => Ok(one),
        _ => Err(ConfirmError::Index { count: matching.len(), platform: platform.clone(), held: held(entries) }),
    }
}

/// The platforms of an index, in words.
pub(super) fn held(entries: &[Descriptor]) -> String {
    let name = |entry: &Descriptor| {
        let platform = entry.platform.as_ref().and_then(|fields| fields.platform().ok());
        platform.map_or_else(|| "an entry without a platform".to_owned(), |platform| platform.to_string())
    };
    let names: Vec<_> = entries.iter().filter(|entry| !entry.is_attestation()).map(name).collect();
    if names.is_empty() { "nothing".into() } else { names.join(", ") }
}

impl ConfirmError {
    /// `source`, told of the attestation `digest`.
    pub(super) fn attestation(digest: &Digest, source: Self) -> Self {
        Self::Attestation { digest: digest.clone(), source: Box::new(source) }
    }

    /// `error`, told of what it is of. An answer about anything but that content stays as it is.
    fn part(what: &'static str, digest: &Digest, error: PlaceError) -> Self {
        if !error.is_not_found() {
            return Self::Place(error);
        }
        Self::Part { what, digest: digest.clone(), source: Box::new(error) }
    }

    /// Whether the content was there and was refused: exit code 7. What lists something that is not there is no image that
    /// can be pulled.
    pub(super) fn is_refusal(&self) -> bool {
        match self {
            Self::Place(error) => error.is_refusal(),
            Self::Attestation { source, .. } | Self::Nested { source, .. } => {
                source.is_missing() || source.is_refusal()
            }
            Self::NoAnswer => false,
            Self::Part { .. }
            | Self::Child(_)
            | Self::Untrue(_)
            | Self::Astray
            | Self::Attestations { .. }
            | Self::Index { .. }
            | Self::Artifact(_)
            | Self::NoPlatform
            | Self::Suffix(_)
            | Self::Several(_)
            | Self::Unwanted { .. }
            | Self::Size { .. }
            | Self::MediaType { .. }
            | Self::Large { .. }
            | Self::Entry { .. }
            | Self::Revision { .. }
            | Self::Deep
            | Self::Other { .. } => true,
        }
    }

    /// Whether there is nothing under the name.
    pub(super) fn is_missing(&self) -> bool {
        matches!(self, Self::Place(error) if error.is_not_found())
    }

    /// Whether waiting for another push may help.
    pub(super) fn may_come(&self) -> bool {
        self.is_missing() || matches!(self, Self::Revision { .. } | Self::NoAnswer)
    }

    /// What to do next.
    pub(super) fn hint(&self) -> Option<String> {
        match self {
            Self::Place(error) => error.hint(),
            Self::Nested { source, .. } => source.hint(),
            Self::Part { .. } => Some("push it again: the registry has lost a part of it, or never had it".into()),
            Self::Child(ChildError::Platform { .. }) => Some(
                "if the image is right and its config is not, say so: `entry:` in the plan, `--annotate` of references"
                    .into(),
            ),
            Self::Suffix(platform) => Some(format!(
                "push the image that the tag names, or say that it is right: --annotate SOURCE={platform}"
            )),
            Self::Artifact(_) => Some("name an image; `polyarch copy` copies artifacts as they are".into()),
            Self::Several(_) => Some("name the image by its digest, or choose it with `--platform`".into()),
            Self::Attestation { .. } | Self::Attestations { .. } => {
                Some("an index without attestations is published with `attestations: strip`".into())
            }
            Self::Revision { .. } => Some(
                "an earlier pipeline pushed it: build and push it again, or join where that commit is checked out"
                    .into(),
            ),
            Self::Other { .. } => Some("another run built or pushed this tag meanwhile? run again".into()),
            Self::Child(_)
            | Self::Untrue(_)
            | Self::Astray
            | Self::Index { .. }
            | Self::Unwanted { .. }
            | Self::NoPlatform
            | Self::NoAnswer
            | Self::Deep
            | Self::Large { .. }
            | Self::Entry { .. }
            | Self::MediaType { .. }
            | Self::Size { .. } => None,
        }
    }
}
