//! The difference of two indexes, platform by platform.

use std::collections::{BTreeMap, BTreeSet};

use futures::future::{join, try_join};
use futures::stream::{self, StreamExt as _};
use serde::Serialize;

use super::inspect::ConfigSays;
use super::listing::{AT_ONCE, Listing, Read};
use super::place::Source;
use super::verify::VerifyError;
use crate::oci::{Content, Descriptor, Digest, ImageManifest, MediaType, PlatformFields};

/// What two references differ in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// The first.
    pub a: Side,
    /// The second.
    pub b: Side,
    /// Their platforms, in the order of the first, then those that only the second has.
    pub platforms: Vec<PlatformDifference>,
    /// Annotations of the indexes that are not the same.
    pub annotations: Vec<AnnotationChange>,
}

/// One of the two.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Side {
    /// What was named.
    pub reference: String,
    /// Its digest.
    pub digest: Digest,
    /// Its media type.
    pub media_type: MediaType,
    /// Attestations in it.
    pub attestations: usize,
}

/// A platform, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PlatformDifference {
    /// The platform, with the version of the operating system where that is said.
    pub platform: String,
    /// How the images differ.
    #[serde(flatten)]
    pub change: Change,
    /// Annotations of its entry that are not the same.
    pub annotations: Vec<AnnotationChange>,
}

/// How two images of a platform differ.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Change {
    /// They have the same digest.
    Same {
        /// The image.
        a: ImageFacts,
    },
    /// Only the first index has one.
    OnlyA {
        /// The image.
        a: ImageFacts,
    },
    /// Only the second index has one.
    OnlyB {
        /// The image.
        b: ImageFacts,
    },
    /// They are not the same.
    Changed {
        /// The image of the first.
        a: ImageFacts,
        /// The image of the second.
        b: ImageFacts,
        /// Layers of the second that the first has, too.
        layers_shared: usize,
        /// Config and layers of the second that the first has not, in bytes as a registry stores them.
        new_bytes: u64,
    },
}

/// An image, as far as it could be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ImageFacts {
    /// The digest of its manifest.
    pub digest: Digest,
    /// Config and layers together, in bytes as a registry stores them.
    pub bytes: Option<u64>,
    /// How many layers it has.
    pub layers: Option<usize>,
    /// When it was made (RFC 3339), as its config says; asked for where images changed.
    pub created: Option<String>,
}

/// An annotation of which the values are not the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AnnotationChange {
    /// Its key.
    pub key: String,
    /// Its value in the first, if it is there.
    pub a: Option<String>,
    /// Its value in the second, if it is there.
    pub b: Option<String>,
}

impl Difference {
    /// Whether both are the same bytes.
    #[must_use]
    pub fn is_same(&self) -> bool {
        self.a.digest == self.b.digest
    }
}

/// An image of one of the two.
struct Image<'a> {
    platform: String,
    digest: &'a Digest,
    annotations: &'a BTreeMap<String, String>,
    manifest: Option<&'a ImageManifest>,
}

/// Reads both, and compares them.
///
/// # Errors
/// A registry does not answer with one of them.
pub async fn compare(a: &Source, b: &Source) -> Result<Difference, (Source, VerifyError)> {
    let (of_a, of_b) = try_join(read(a), read(b)).await?;
    let (images_a, images_b) = join(images(a, &of_a), images(b, &of_b)).await;
    let mut left: Vec<_> = images_b.iter().collect();
    let mut pairs = Vec::new();
    for image in &images_a {
        let other = left.iter().position(|other| other.platform == image.platform).map(|at| left.remove(at));
        pairs.push((image, other));
    }
    let comparing = stream::iter(pairs).map(|(image, other)| difference(a, image, b, other));
    let mut platforms: Vec<_> = comparing.buffered(AT_ONCE).collect().await;
    platforms.extend(left.into_iter().map(|image| only(image, |b| Change::OnlyB { b })));
    let annotations = changed(annotations(&of_a.top), annotations(&of_b.top));
    Ok(Difference { a: side(a, &of_a), b: side(b, &of_b), platforms, annotations })
}

async fn read(source: &Source) -> Result<Listing, (Source, VerifyError)> {
    let Source { place, selector } = source;
    let listing = Listing::read(place, selector).await;
    listing.map_err(|error| (source.clone(), VerifyError::of_top(error)))
}

fn side(source: &Source, listing: &Listing) -> Side {
    let manifest = &listing.top.manifest;
    let entries = listing.indexes().into_iter().flat_map(|(_, index)| &index.manifests);
    Side {
        reference: source.to_string(),
        digest: manifest.digest().clone(),
        media_type: manifest.media_type().clone(),
        attestations: entries.filter(|entry| entry.is_attestation()).count(),
    }
}

/// All images, also those of listed indexes. A platform that is there twice is compared in its order.
async fn images<'a>(source: &Source, listing: &'a Listing) -> Vec<Image<'a>> {
    if let Read { manifest, content: Content::Image(image) } = &listing.top {
        let says = ConfigSays::fetch(&source.place, image).await;
        let platform = says.platform.map_or_else(|| "no platform".to_owned(), |platform| platform.to_string());
        let image =
            Image { platform, digest: manifest.digest(), annotations: &image.annotations, manifest: Some(image) };
        return vec![image];
    }
    let entries = listing.indexes().into_iter().flat_map(|(_, index)| &index.manifests);
    let image = |entry: &'a Descriptor| {
        let manifest = match listing.get(entry).map(|read| &read.content) {
            Ok(Content::Index(_)) => return None,
            Ok(Content::Image(image)) => Some(image),
            Err(_) => None,
        };
        let platform = entry.platform.as_ref().map_or_else(|| "no platform".to_owned(), named);
        Some(Image { platform, digest: &entry.digest, annotations: &entry.annotations, manifest })
    };
    entries.filter(|entry| !entry.is_attestation()).filter_map(image).collect()
}

/// `windows(10.0.17763.1)/amd64`
fn named(fields: &PlatformFields) -> String {
    fields.platform().map_or_else(|_| "no platform".to_owned(), |platform| platform.to_string())
}

async fn difference(a: &Source, image: &Image<'_>, b: &Source, other: Option<&Image<'_>>) -> PlatformDifference {
    let Some(other) = other else { return only(image, |a| Change::OnlyA { a }) };
    let change = if image.digest == other.digest {
        Change::Same { a: facts(image, None) }
    } else {
        let (created_a, created_b) = join(created(a, image), created(b, other)).await;
        let (layers_shared, new_bytes) = shared(image, other);
        Change::Changed { a: facts(image, created_a), b: facts(other, created_b), layers_shared, new_bytes }
    };
    PlatformDifference {
        platform: image.platform.clone(),
        change,
        annotations: changed(image.annotations, other.annotations),
    }
}

fn only(image: &Image<'_>, change: impl Fn(ImageFacts) -> Change) -> PlatformDifference {
    let change = change(facts(image, None));
    PlatformDifference { platform: image.platform.clone(), change, annotations: Vec::new() }
}

fn facts(image: &Image<'_>, created: Option<String>) -> ImageFacts {
    ImageFacts {
        digest: image.digest.clone(),
        bytes: image.manifest.map(ImageManifest::image_bytes),
        layers: image.manifest.map(|manifest| manifest.layers.len()),
        created,
    }
}

async fn created(source: &Source, image: &Image<'_>) -> Option<String> {
    ConfigSays::fetch(&source.place, image.manifest?).await.created
}

/// Layers of `other` that `image` has, too, and the bytes of what it has not.
fn shared(image: &Image<'_>, other: &Image<'_>) -> (usize, u64) {
    let blobs = |image: &ImageManifest| -> Vec<Descriptor> {
        std::iter::once(image.config.clone()).chain(image.layers.clone()).collect()
    };
    let had: BTreeSet<Digest> =
        image.manifest.map(blobs).unwrap_or_default().into_iter().map(|one| one.digest).collect();
    let Some(other) = other.manifest else { return (0, 0) };
    let shared = other.layers.iter().filter(|layer| had.contains(&layer.digest)).count();
    let mut seen = had;
    let new = blobs(other).into_iter().filter(|blob| seen.insert(blob.digest.clone()));
    (shared, new.fold(0, |sum, blob| sum.saturating_add(blob.size)))
}

fn annotations(top: &Read) -> &BTreeMap<String, String> {
    match &top.content {
        Content::Image(image) => &image.annotations,
        Content::Index(index) => &index.annotations,
    }
}

fn changed(a: &BTreeMap<String, String>, b: &BTreeMap<String, String>) -> Vec<AnnotationChange> {
    let keys: BTreeSet<_> = a.keys().chain(b.keys()).collect();
    let change = |key: &String| AnnotationChange { key: key.clone(), a: a.get(key).cloned(), b: b.get(key).cloned() };
    keys.into_iter().map(change).filter(|change| change.a != change.b).collect()
}
