//! Proves that the registry has the image that the engine built: fetches its bytes, hashes them and compares the
//! digests.

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

/// A child manifest that polyarch found in a registry.
#[derive(Debug, Clone)]
pub(super) struct Found {
    /// The child manifest with its attestations.
    pub(super) child: Child,
    /// The digest that the selector named: the child's manifest, or an index that lists it.
    pub(super) top: Digest,
    /// The content of the source index that the joined index will not have.
    pub(super) left_out: LeftOut,
    /// Digests of blobs that exist where the child was found. This run read them, pushed them or asked for them.
    pub(super) there: BTreeSet<Digest>,
}

impl Found {
    /// A child whose config was just read.
    pub(super) fn read(child: Child, top: Digest, left_out: LeftOut) -> Self {
        let there = BTreeSet::from([child.config().clone()]);
        Self { child, top, left_out, there }
    }

    /// Whether the selector named exactly the built content. The same image may be in an index with attestations of
    /// another build.
    pub(super) fn is_all_of(&self, built: &BuiltImage) -> bool {
        self.top == built.id || self.top == *self.child.manifest().digest()
    }
}

/// The reason why there is no usable child manifest.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConfirmError {
    /// The registry did not answer with content, or the layout has none.
    #[error(transparent)]
    Place(#[from] PlaceError),
    /// The content is not an image of the planned platform.
    #[error(transparent)]
    Child(#[from] ChildError),
    /// The content is not an attestation of the image.
    #[error(transparent)]
    Untrue(#[from] AttestationError),
    /// A nested index cannot be read.
    #[error("its index {digest}")]
    Nested {
        /// The digest of the nested index.
        digest: Digest,
        /// The reason.
        source: Box<Self>,
    },
    /// The manifest exists, but a part that it names is missing.
    #[error("its {part} {digest}")]
    Part {
        /// The kind of the part: an image, a config.
        part: &'static str,
        /// The digest of the part.
        digest: Digest,
        /// The reason.
        source: Box<PlaceError>,
    },
    /// The attestation attests no image of its index.
    #[error("it names no image of the index")]
    Astray,
    /// An attestation of the image cannot be used.
    #[error("its attestation {digest}")]
    Attestation {
        /// The digest of the attestation's manifest.
        digest: Digest,
        /// The reason.
        source: Box<Self>,
    },
    /// The image has more attestations than polyarch accepts.
    #[error("it has {count} attestations, and polyarch accepts at most {most}")]
    Attestations {
        /// The number of attestations in the index.
        count: usize,
        /// The number of attestations that polyarch accepts.
        most: usize,
    },
    /// The index does not list the planned platform exactly once.
    #[error("the index lists {count} images for {platform} instead of one; it has {held}")]
    Index {
        /// The number of entries with the platform.
        count: usize,
        /// The planned platform.
        platform: Platform,
        /// The platforms in the index.
        held: String,
    },
    /// The content is an artifact: a Helm chart, a signature.
    #[error("it is {0}, not an image")]
    Artifact(String),
    /// An entry names no platform. Or an image without an index has a config that names no platform.
    #[error("it names no platform")]
    NoPlatform,
    /// The tag ends in the name of another architecture.
    #[error("is {0}; not joined")]
    Suffix(Platform),
    /// The user annotated an index of several images as a single image.
    #[error("it is an index of {0} images, and only a single image can be annotated")]
    Several(usize),
    /// None of the images has a wanted platform.
    #[error("it contains {held}; none of them is {wanted}")]
    Unwanted {
        /// The platforms of the images.
        held: String,
        /// The wanted platforms.
        wanted: String,
    },
    /// The size in the entry differs from the size of the manifest.
    #[error("the entry specifies {claimed} bytes, but the manifest has {actual}")]
    Size {
        /// The size in the entry, in bytes.
        claimed: u64,
        /// The size of the manifest, in bytes.
        actual: u64,
    },
    /// The media type in the entry differs from the media type of the manifest.
    #[error("the entry specifies media type {claimed}, but the manifest has {actual}")]
    MediaType {
        /// The media type in the entry.
        claimed: MediaType,
        /// The media type of the manifest.
        actual: MediaType,
    },
    /// The index lists more than polyarch reads.
    #[error("it lists {count} manifests of {bytes} bytes: more than polyarch reads of one index")]
    Large {
        /// The number of manifests, at least.
        count: usize,
        /// The sum of the sizes in their entries.
        bytes: u64,
    },
    /// The index's entry for the platform does not lead to its image.
    #[error("{platform}: {why}")]
    Entry {
        /// The platform.
        platform: Platform,
        /// The fault.
        why: String,
    },
    /// The image is of another commit than the plan: another pipeline pushed it.
    #[error("its revision is {found}, but the plan has {planned}")]
    Revision {
        /// The revision in the image's label.
        found: String,
        /// The revision in the plan.
        planned: String,
    },
    /// polyarch waited until the time limit without an answer.
    #[error("the registry did not answer in time")]
    NoAnswer,
    /// Indexes are nested too deep.
    #[error("its indexes are nested too deep")]
    Deep,
    /// It is another image than the built one.
    #[error("the registry has another image: {found}; the engine built {built}")]
    Other {
        /// The digest that the engine built.
        built: Digest,
        /// The digest in the registry, of the same kind as `built`: of a config or of a manifest.
        found: Digest,
        /// The digest that the registry shows for the selector.
        named: Digest,
    },
}

/// Fetches the content that `selector` names, and returns it as the child manifest of `platform`.
///
/// An index is reduced to its one image of the platform, with the attestations of that image. containerd's image
/// store pushes such an index if the image has attestations.
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

/// [`find`]s and [`prove`]s the content of `tag` before a push. If that content may be all of `built`, polyarch asks
/// for its config and its layers at once.
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

/// The layers of `top` that exist in the place, if `top` is `built`. [`complete`] reports missing layers later.
async fn layers_there(place: &Place, top: &Read, built: &BuiltImage) -> BTreeSet<Digest> {
    let Content::Image(ImageManifest { config, .. }) = &top.content else { return BTreeSet::new() };
    if built.id != config.digest && built.id != *top.manifest.digest() {
        return BTreeSet::new();
    }
    let image = Named { of: String::new(), manifest: &top.manifest };
    let known = BTreeSet::from([config.digest.clone()]);
    complete(place, &[image], &known).await.map(|complete| complete.there).unwrap_or_default()
}

/// Parses `manifest`. For an index, also expands nested indexes that may list `platform`.
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

/// Proves that the child in the registry is the image that the engine built.
pub(super) fn prove(found: &Found, built: &BuiltImage) -> Result<(), ConfirmError> {
    let (proof, held) = match built.store {
        ImageStore::GraphDriver => (found.child.config() == &built.id, found.child.config()),
        ImageStore::Containerd => {
            (found.child.manifest().digest() == &built.id || found.top == built.id, found.child.manifest().digest())
        }
    };
    let other = || ConfirmError::Other { built: built.id.clone(), found: held.clone(), named: found.top.clone() };
    if proof { Ok(()) } else { Err(other()) }
}

/// The bytes of an image's config. An index has no config: [`Child::new`] refuses it.
pub(super) async fn config_of(place: &Place, manifest: &RawManifest) -> Result<Vec<u8>, ConfirmError> {
    match manifest.content().map_err(ChildError::from)? {
        Content::Image(image) => {
            let config = place.config(&image.config).await;
            let config = config.map_err(|error| ConfirmError::part("config", &image.config.digest, error))?;
            // Old tools gave configs other media types. A config that names its platform is the config of an image.
            let names_platform = || PlatformFields::of_config(&config).ok().flatten()?.platform().ok();
            match image.artifact() {
                Some(what) if names_platform().is_none() => Err(ConfirmError::Artifact(what)),
                _ => Ok(config.into()),
            }
        }
        Content::Index(_) => Ok(Vec::new()),
    }
}

/// The only entry of `platform`.
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

/// The platforms of an index, as text.
pub(super) fn held(entries: &[Descriptor]) -> String {
    let name = |entry: &Descriptor| {
        let platform = entry.platform.as_ref().and_then(|fields| fields.platform().ok());
        platform.map_or_else(|| "an entry without a platform".to_owned(), |platform| platform.to_string())
    };
    let names: Vec<_> = entries.iter().filter(|entry| !entry.is_attestation()).map(name).collect();
    if names.is_empty() { "no image".into() } else { names.join(", ") }
}

impl ConfirmError {
    /// Adds the digest of the attestation to `source`.
    pub(super) fn attestation(digest: &Digest, source: Self) -> Self {
        Self::Attestation { digest: digest.clone(), source: Box::new(source) }
    }

    /// Adds the missing part to `error`. Any error except "not found" is returned unchanged.
    fn part(part: &'static str, digest: &Digest, error: PlaceError) -> Self {
        if !error.is_not_found() {
            return Self::Place(error);
        }
        Self::Part { part, digest: digest.clone(), source: Box::new(error) }
    }

    /// Whether the registry has the content, but polyarch refuses it: exit code 7. An image or index with a missing
    /// part is refused too, because it cannot be pulled.
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

    /// Whether the reference names no content.
    pub(super) fn is_missing(&self) -> bool {
        matches!(self, Self::Place(error) if error.is_not_found())
    }

    /// Whether a later push by another run may help.
    pub(super) fn may_come(&self) -> bool {
        self.is_missing() || matches!(self, Self::Revision { .. } | Self::NoAnswer)
    }

    /// The next step for the user.
    pub(super) fn hint(&self) -> Option<String> {
        match self {
            Self::Place(error) => error.hint(),
            Self::Nested { source, .. } => source.hint(),
            Self::Part { .. } => Some("push the image again: the registry lost a part of it, or never had it".into()),
            Self::Child(ChildError::Platform { .. }) => Some(
                "override the entry if only the config is wrong: `entry:` in the plan, `--annotate` with references"
                    .into(),
            ),
            Self::Suffix(platform) => Some(format!(
                "push the image that the tag names, or confirm its platform: --annotate SOURCE={platform}"
            )),
            Self::Artifact(_) => Some("name an image, or copy the artifact with `polyarch copy`".into()),
            Self::Several(_) => Some("name the image by its digest, or choose it with `--platform`".into()),
            Self::Attestation { .. } | Self::Attestations { .. } => {
                Some("set `attestations: strip` to publish the index without attestations".into())
            }
            Self::Revision { .. } => Some(
                "build and push it again, or check out its commit before you join: another pipeline pushed it".into(),
            ),
            Self::Other { .. } => Some("run polyarch again: another run may have built or pushed this tag".into()),
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
