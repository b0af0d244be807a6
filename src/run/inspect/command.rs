//! Reads the content of a reference in a registry or a layout, with all manifests that it lists. Faults are shown,
//! but they do not fail the command.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use crate::oci::null;
use crate::oci::{
    Content, Descriptor, Digest, Entry, IMAGE_LABEL, ImageIndex, ImageManifest, Platform, PlatformFields, RawManifest,
    Selector,
};
use crate::run::fetch::listing::{Listing, Read};
use crate::run::storage::Storage;
use crate::run::verify::VerifyError;
use crate::text::Text;

/// The content of a reference.
#[derive(Debug, Clone)]
pub struct Inspected {
    /// The manifest or the index itself.
    #[doc(hidden)]
    pub manifest: RawManifest,
    /// The content of the manifest.
    #[doc(hidden)]
    pub inside: ManifestContent,
}

impl Inspected {
    /// The digest of the image or the index itself.
    #[must_use]
    pub fn digest(&self) -> &Digest {
        self.manifest.digest()
    }

    /// The images, in the order of the index, with their attestations. The images of a nested index follow in its
    /// place. Images without a platform, and images that polyarch could not read, are not in the list.
    #[must_use]
    pub fn images(&self) -> Vec<Entry> {
        match &self.inside {
            ManifestContent::Image(image, says) => {
                says.platform.clone().map(|platform| entry(platform, self.digest(), image)).into_iter().collect()
            }
            ManifestContent::Index(index) => index.images(),
        }
    }
}

/// The image of `platform`, with no attestations yet.
fn entry(platform: Platform, digest: &Digest, image: &ImageManifest) -> Entry {
    let bytes = std::iter::once(&image.config).chain(&image.layers).map(|part| part.size).sum();
    Entry { platform, digest: digest.clone(), bytes, attestations: Vec::new() }
}

/// The content of a manifest.
#[derive(Debug, Clone)]
pub enum ManifestContent {
    /// An image, with the fields of its config.
    Image(Box<ImageManifest>, ConfigSays),
    /// An index.
    Index(InspectedIndex),
}

/// The fields of an image's config. They are empty if the config could not be read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ConfigSays {
    /// The platform.
    pub platform: Option<Platform>,
    /// The creation time (RFC 3339), as the config spells it.
    pub created: Option<String>,
    /// The image's name in the plan that polyarch built it from ([`IMAGE_LABEL`](crate::oci::IMAGE_LABEL)).
    pub built_as: Option<String>,
}

/// An index with its entries.
#[derive(Debug, Clone)]
pub struct InspectedIndex {
    /// The annotations of the index.
    pub annotations: BTreeMap<String, String>,
    /// The entries of the index, in order.
    pub entries: Vec<InspectedEntry>,
}

impl InspectedIndex {
    fn images(&self) -> Vec<Entry> {
        let mut images = Vec::new();
        for one in &self.entries {
            let platform = || one.entry.platform.as_ref().and_then(|fields| fields.platform().ok());
            match (&one.inside, &one.attests) {
                (Listed::Image(image), None) if !one.entry.is_attestation() => {
                    images.extend(platform().map(|platform| entry(platform, &one.entry.digest, image)));
                }
                (Listed::Image(_), Some(platform)) => {
                    if let Some(image) = images.iter_mut().find(|image: &&mut Entry| image.platform == *platform) {
                        image.attestations.push(one.entry.digest.clone());
                    }
                }
                (Listed::Index(index), _) => images.extend(index.images()),
                _ => {}
            }
        }
        images
    }
}

/// An entry of an index, with the manifest that it names.
#[derive(Debug, Clone)]
pub struct InspectedEntry {
    /// The entry, as the index spells it.
    pub entry: Descriptor,
    /// For an attestation: the platform of the attested image, if the index lists that image.
    pub attests: Option<Platform>,
    /// The manifest that the entry names.
    pub inside: Listed,
}

/// The manifest that an entry of an index names.
#[derive(Debug, Clone)]
pub enum Listed {
    /// An image or an attestation.
    Image(Box<ImageManifest>),
    /// A nested index.
    Index(InspectedIndex),
    /// An index that was shown before.
    Again,
    /// The manifest does not exist or does not match the entry. The text gives the reason in one line.
    Unread(Text),
}

#[derive(Deserialize)]
struct ConfigView {
    created: Option<String>,
}

/// The labels of a config. They are parsed separately, so that odd labels do not hide the other fields.
#[derive(Deserialize)]
struct LabelsView {
    #[serde(default, deserialize_with = "null::or_default")]
    config: Labelled,
}

#[derive(Deserialize, Default)]
struct Labelled {
    #[serde(rename = "Labels", default, deserialize_with = "null::texts")]
    labels: BTreeMap<String, String>,
}

impl ConfigSays {
    pub(in crate::run) fn read(config: &[u8]) -> Self {
        let Ok(Some(fields)) = PlatformFields::of_config(config) else { return Self::default() };
        let Ok(view) = serde_json::from_slice::<ConfigView>(config) else { return Self::default() };
        let labels = serde_json::from_slice::<LabelsView>(config).map(|view| view.config.labels);
        let built_as = labels.ok().and_then(|mut labels| labels.remove(IMAGE_LABEL));
        Self { platform: fields.platform().ok(), created: view.created, built_as }
    }

    /// Fetches the config of `image`. The configs of artifacts have no such fields.
    pub(in crate::run) async fn fetch(storage: &Storage, image: &ImageManifest) -> Self {
        let config = storage.config(&image.config).await;
        config.map(|config| Self::read(&config)).unwrap_or_default()
    }
}

/// Reads the content of `selector`, and all manifests that it lists.
///
/// # Errors
/// The registry does not return the content, or the content lists more than polyarch reads. Faults of listed
/// manifests are a part of the result.
pub async fn inspect(storage: &Storage, selector: &Selector) -> Result<Inspected, VerifyError> {
    let listing = Listing::read(storage, selector).await.map_err(VerifyError::of_top)?;
    let inside = match &listing.top.content {
        Content::Image(image) => {
            let says = ConfigSays::fetch(storage, image).await;
            ManifestContent::Image(Box::new(image.clone()), says)
        }
        Content::Index(index) => ManifestContent::Index(open(&listing, index, &mut BTreeSet::new())),
    };
    Ok(Inspected { manifest: listing.top.manifest, inside })
}

/// An index with its entries. Its depth is limited by the listing, and each index is opened once.
fn open<'a>(listing: &'a Listing, index: &'a ImageIndex, opened: &mut BTreeSet<&'a Digest>) -> InspectedIndex {
    let mut entries = Vec::new();
    for entry in &index.manifests {
        let inside = match listing.get(entry) {
            Err(why) => Listed::Unread(why.into()),
            Ok(Read { content: Content::Image(image), .. }) => Listed::Image(Box::new(image.clone())),
            Ok(Read { manifest, .. }) if !opened.insert(manifest.digest()) => Listed::Again,
            Ok(Read { content: Content::Index(index), .. }) => Listed::Index(open(listing, index, opened)),
        };
        entries.push(InspectedEntry { entry: entry.clone(), attests: attested(entry, index), inside });
    }
    InspectedIndex { annotations: index.annotations.clone(), entries }
}

/// The platform of the image that an entry attests.
pub(in crate::run) fn attested(entry: &Descriptor, index: &ImageIndex) -> Option<Platform> {
    let image = entry.attests()?;
    let of = index.manifests.iter().find(|entry| entry.digest == image && !entry.is_attestation())?;
    of.platform()
}
