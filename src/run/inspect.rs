//! What a registry or a layout has under a name, with all that it lists: shown, not judged.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::listing::{Listing, Read};
use super::place::Place;
use super::verify::VerifyError;
use crate::oci::null;
use crate::oci::{
    Content, Descriptor, Digest, IMAGE_LABEL, ImageIndex, ImageManifest, Platform, PlatformFields, RawManifest,
    Selector,
};
use crate::text::Text;

/// What was found under a name.
#[derive(Debug, Clone)]
pub struct Inspected {
    /// The manifest or index itself.
    pub manifest: RawManifest,
    /// What it holds.
    pub inside: Inside,
}

/// What a manifest or index holds.
#[derive(Debug, Clone)]
pub enum Inside {
    /// One image, and what its config says.
    Image(Box<ImageManifest>, ConfigSays),
    /// An index.
    Index(InspectedIndex),
}

/// What an image's config says of it; nothing where it could not be read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ConfigSays {
    /// The platform.
    pub platform: Option<Platform>,
    /// When it was made (RFC 3339), in the config's own words.
    pub created: Option<String>,
    /// By which name the plan has it that polyarch built it from ([`IMAGE_LABEL`](crate::oci::IMAGE_LABEL)).
    pub built_as: Option<String>,
}

/// An index, and what its entries are.
#[derive(Debug, Clone)]
pub struct InspectedIndex {
    /// Its annotations.
    pub annotations: BTreeMap<String, String>,
    /// Its entries, in its order.
    pub entries: Vec<InspectedEntry>,
}

/// An entry of an index, and what it names.
#[derive(Debug, Clone)]
pub struct InspectedEntry {
    /// What the index says of it.
    pub entry: Descriptor,
    /// Of an attestation: the platform of the image that it is of, where that is in the index.
    pub attests: Option<Platform>,
    /// What is there.
    pub inside: Listed,
}

/// What an entry of an index names.
#[derive(Debug, Clone)]
pub enum Listed {
    /// An image, or an attestation.
    Image(Box<ImageManifest>),
    /// Another index.
    Index(InspectedIndex),
    /// An index that was shown already.
    Again,
    /// It is not there, or not what the entry says: why, in one line.
    Unread(Text),
}

#[derive(Deserialize)]
struct ConfigView {
    created: Option<String>,
}

/// What a config is labelled with. It is read apart: what is odd about labels is no matter to the rest.
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
    pub(super) fn read(config: &[u8]) -> Self {
        let Ok(Some(fields)) = PlatformFields::of_config(config) else { return Self::default() };
        let Ok(view) = serde_json::from_slice::<ConfigView>(config) else { return Self::default() };
        let labels = serde_json::from_slice::<LabelsView>(config).map(|view| view.config.labels);
        let built_as = labels.ok().and_then(|mut labels| labels.remove(IMAGE_LABEL));
        Self { platform: fields.platform().ok(), created: view.created, built_as }
    }

    /// Fetches the config of `image`. Artifacts have configs that say nothing of this.
    pub(super) async fn fetch(place: &Place, image: &ImageManifest) -> Self {
        let config = place.config(&image.config).await;
        config.map(|config| Self::read(&config)).unwrap_or_default()
    }
}

/// Reads what `selector` names, and all manifests that it lists.
///
/// # Errors
/// The registry does not answer with it, or lists more in it than is read. What is wrong below it is a part of what is
/// shown.
pub async fn inspect(place: &Place, selector: &Selector) -> Result<Inspected, VerifyError> {
    let listing = Listing::read(place, selector).await.map_err(VerifyError::of_top)?;
    let inside = match &listing.top.content {
        Content::Image(image) => {
            let says = ConfigSays::fetch(place, image).await;
            Inside::Image(Box::new(image.clone()), says)
        }
        Content::Index(index) => Inside::Index(open(&listing, index, &mut BTreeSet::new())),
    };
    Ok(Inspected { manifest: listing.top.manifest, inside })
}

/// An index with its entries. It is as deep as a listing is at most, and each index is opened once.
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
pub(super) fn attested(entry: &Descriptor, index: &ImageIndex) -> Option<Platform> {
    let image = entry.attests()?;
    let of = index.manifests.iter().find(|entry| entry.digest == image && !entry.is_attestation())?;
    of.platform.as_ref()?.platform().ok()
}
