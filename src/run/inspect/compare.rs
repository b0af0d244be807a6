//! Compares two references: reports each difference between their digests, platform by platform.

use std::collections::{BTreeMap, BTreeSet};

use futures::future::{join, try_join};
use futures::stream::{self, StreamExt as _};
use serde_json::Value;

use super::command::{ConfigSays, attested};
use super::contrast::{FieldChange, contrast};
use super::difference::{
    AnnotationChange, Change, Difference, ImageFacts, Order, OtherDifference, PlatformDifference, Side,
};
use crate::oci::{Content, Descriptor, Digest, ImageIndex, ImageManifest, RawManifest};
use crate::run::fetch::listing::{Listing, Read};
use crate::run::fetch::walk::AT_ONCE;
use crate::run::storage::Source;
use crate::run::verify::VerifyError;

/// An entry of one of the two indexes, or an image without an index.
struct Listed<'a> {
    /// The platform of the entry, or its kind. Entries of the same name are compared.
    name: String,
    digest: &'a Digest,
    annotations: &'a BTreeMap<String, String>,
    kind: Kind<'a>,
    /// The entry as the index spells it. Null for an image without an index.
    entry: Value,
}

/// The kind of an entry.
enum Kind<'a> {
    /// An image with its manifest, if the manifest could be read.
    Image(Option<(&'a ImageManifest, &'a RawManifest)>),
    /// An attestation or an index.
    Other,
}

impl<'a> Listed<'a> {
    fn is_image(&self) -> bool {
        matches!(self.kind, Kind::Image(_))
    }

    /// Whether the reference names the image directly, without an index.
    fn is_alone(&self) -> bool {
        self.entry.is_null()
    }

    fn manifest(&self) -> Option<&'a ImageManifest> {
        self.read().map(|(manifest, _)| manifest)
    }

    fn read(&self) -> Option<(&'a ImageManifest, &'a RawManifest)> {
        match self.kind {
            Kind::Image(read) => read,
            Kind::Other => None,
        }
    }
}

/// Reads both references and compares them.
///
/// # Errors
/// A registry does not return one of the references.
pub async fn compare(a: &Source, b: &Source) -> Result<Difference, (Source, VerifyError)> {
    let (of_a, of_b) = try_join(read(a), read(b)).await?;
    let (listed_a, listed_b) = join(listed(a, &of_a), listed(b, &of_b)).await;
    let pairs = pairs(&listed_a, &listed_b);
    let left = (0..listed_b.len()).filter(|at| pairs.iter().all(|(_, other)| *other != Some(*at)));
    let left: Vec<_> = left.map(|at| &listed_b[at]).collect();
    let both = || pairs.iter().map(|(one, other)| (*one, other.map(|at| &listed_b[at])));
    let images = both().filter(|(one, _)| one.is_image());
    let comparing = stream::iter(images).map(|(image, other)| difference(a, image, b, other));
    let mut platforms: Vec<_> = comparing.buffered(AT_ONCE).collect().await;
    let only_in_b = left.iter().filter(|one| one.is_image());
    platforms.extend(only_in_b.map(|image| only(image, |b| Change::OnlyB { b })));
    let others = both().map(|(one, other)| (Some(one), other)).chain(left.iter().map(|other| (None, Some(*other))));
    let mut difference = Difference {
        a: side(a, &of_a),
        b: side(b, &of_b),
        platforms,
        annotations: changed(annotations(&of_a.top), annotations(&of_b.top)),
        fields: fields(&of_a.top, &of_b.top),
        others: others.filter_map(|(one, other)| other_difference(one, other)).collect(),
        order: order(&pairs, &listed_b),
        other_bytes: false,
    };
    difference.other_bytes = !difference.is_same() && !difference.names_something();
    Ok(difference)
}

/// Each entry of `a`, with the place of its counterpart in `b`. The counterpart has the same name. An identical image
/// takes precedence over the next one of that name.
fn pairs<'l, 'a>(a: &'l [Listed<'a>], b: &[Listed<'a>]) -> Vec<(&'l Listed<'a>, Option<usize>)> {
    let mut left: Vec<usize> = (0..b.len()).collect();
    let mut take =
        |is_it: &dyn Fn(&Listed<'_>) -> bool| left.iter().position(|at| is_it(&b[*at])).map(|found| left.remove(found));
    let is_like = |one: &Listed<'_>, other: &Listed<'_>| one.name == other.name && one.is_image() == other.is_image();
    let exact: Vec<_> = a.iter().map(|one| take(&|other| is_like(one, other) && one.digest == other.digest)).collect();
    let near =
        |(one, exact): (&'l Listed<'a>, Option<usize>)| (one, exact.or_else(|| take(&|other| is_like(one, other))));
    a.iter().zip(exact).map(near).collect()
}

/// The order of the common entries, if the second index has another order.
fn order(pairs: &[(&Listed<'_>, Option<usize>)], b: &[Listed<'_>]) -> Option<Order> {
    let places: Vec<usize> = pairs.iter().filter_map(|(_, other)| *other).collect();
    if places.is_sorted() {
        return None;
    }
    let common = pairs.iter().filter(|(_, other)| other.is_some());
    let mut sorted = places.clone();
    sorted.sort_unstable();
    Some(Order {
        a: common.map(|(one, _)| one.name.clone()).collect(),
        b: sorted.into_iter().map(|at| b[at].name.clone()).collect(),
    })
}

async fn read(source: &Source) -> Result<Listing, (Source, VerifyError)> {
    let Source { storage, selector } = source;
    let listing = Listing::read(storage, selector).await;
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

/// The JSON document of a manifest that was already parsed once.
fn document(manifest: &RawManifest) -> Value {
    serde_json::from_slice(manifest.bytes()).unwrap_or_default()
}

/// All listed entries, including the entries of nested indexes. If a platform is listed twice, its entries are
/// compared in order.
async fn listed<'a>(source: &Source, listing: &'a Listing) -> Vec<Listed<'a>> {
    if let Read { manifest, content: Content::Image(image) } = &listing.top {
        let says = ConfigSays::fetch(&source.storage, image).await;
        let name = says.platform.map_or_else(|| NO_PLATFORM.to_owned(), |platform| platform.to_string());
        // The image has no entry. Its fields count as the fields of the whole reference.
        let kind = Kind::Image(Some((image, manifest)));
        return vec![Listed {
            name,
            digest: manifest.digest(),
            annotations: &image.annotations,
            kind,
            entry: Value::Null,
        }];
    }
    let mut found = Vec::new();
    for (manifest, index) in listing.indexes() {
        let mut document = document(manifest);
        for (at, entry) in index.manifests.iter().enumerate() {
            let (name, kind) = what(listing, index, entry);
            let entry_document = document.pointer_mut(&format!("/manifests/{at}")).map(Value::take).unwrap_or_default();
            let Descriptor { digest, annotations, .. } = entry;
            found.push(Listed { name, digest, annotations, kind, entry: entry_document });
        }
    }
    found
}

/// The name of an image without a platform.
const NO_PLATFORM: &str = "no platform";

fn what<'a>(listing: &'a Listing, index: &ImageIndex, entry: &Descriptor) -> (String, Kind<'a>) {
    if entry.is_attestation() {
        let of = attested(entry, index).map(|platform| format!(" of {platform}"));
        return (format!("attestation{}", of.unwrap_or_default()), Kind::Other);
    }
    let name = entry.platform().map_or_else(|| NO_PLATFORM.to_owned(), |platform| platform.to_string());
    match listing.get(entry) {
        Ok(Read { content: Content::Index(_), .. }) => ("index".to_owned(), Kind::Other),
        Ok(Read { content: Content::Image(image), manifest }) => (name, Kind::Image(Some((image, manifest)))),
        Err(_) => (name, Kind::Image(None)),
    }
}

async fn difference(a: &Source, image: &Listed<'_>, b: &Source, other: Option<&Listed<'_>>) -> PlatformDifference {
    let Some(other) = other else { return only(image, |a| Change::OnlyA { a }) };
    let change = if image.digest == other.digest {
        Change::Same { a: facts(image, None) }
    } else {
        let (created_a, created_b) = join(created(a, image), created(b, other)).await;
        let (layers_shared, new_bytes) = shared(image, other);
        Change::Changed { a: facts(image, created_a), b: facts(other, created_b), layers_shared, new_bytes }
    };
    let (annotations, entry) = if image.is_alone() || other.is_alone() {
        (Vec::new(), Vec::new())
    } else {
        (changed(image.annotations, other.annotations), of_entries(image, other, &["annotations"]))
    };
    PlatformDifference {
        platform: image.name.clone(),
        change,
        annotations,
        entry,
        manifest: of_manifests(image, other),
    }
}

fn only(image: &Listed<'_>, change: impl Fn(ImageFacts) -> Change) -> PlatformDifference {
    PlatformDifference {
        platform: image.name.clone(),
        change: change(facts(image, None)),
        annotations: Vec::new(),
        entry: Vec::new(),
        manifest: Vec::new(),
    }
}

/// The difference of an entry that is not an image. `None` if the entry is equal on both sides.
fn other_difference(a: Option<&Listed<'_>>, b: Option<&Listed<'_>>) -> Option<OtherDifference> {
    let one = a.or(b).filter(|one| !one.is_image())?;
    let entry = a.zip(b).map(|(a, b)| of_entries(a, b, &[])).unwrap_or_default();
    let digest = |listed: Option<&Listed<'_>>| listed.map(|listed| listed.digest.clone());
    let (a, b) = (digest(a), digest(b));
    (a != b || !entry.is_empty()).then(|| OtherDifference { what: one.name.clone(), a, b, entry })
}

/// The fields of two entries that differ. The fields in `told` are left out, and so are the digests. Sizes are left
/// out if the digests differ.
fn of_entries(a: &Listed<'_>, b: &Listed<'_>, told: &[&str]) -> Vec<FieldChange> {
    let mut changes = contrast(&a.entry, &b.entry);
    let of_digest = |field: &str| field == "digest" || field == "size" && a.digest != b.digest;
    changes.retain(|change| !told.contains(&change.root()) && !of_digest(&change.field));
    changes
}

/// The fields of two image manifests that differ. Blobs are left out, because other fields report them. Annotations
/// of images without an index are left out too, because the whole reference reports them.
fn of_manifests(a: &Listed<'_>, b: &Listed<'_>) -> Vec<FieldChange> {
    let (Some((_, of_a)), Some((_, of_b))) = (a.read(), b.read()) else { return Vec::new() };
    let mut changes = contrast(&document(of_a), &document(of_b));
    let is_blob = |field: &str| {
        let inside = field
            .strip_prefix("config.")
            .or_else(|| field.strip_prefix("layers[")?.split_once("].").map(|(_, rest)| rest));
        field == "layers" || matches!(inside, Some("digest" | "size"))
    };
    let is_told = |change: &FieldChange| change.root() == "annotations" && a.is_alone() && b.is_alone();
    changes.retain(|change| !is_blob(&change.field) && !is_told(change));
    changes
}

/// The fields of the whole references that differ. For two images, their platform reports the fields.
fn fields(a: &Read, b: &Read) -> Vec<FieldChange> {
    if let (Content::Image(_), Content::Image(_)) = (&a.content, &b.content) {
        return Vec::new();
    }
    let mut changes = contrast(&document(&a.manifest), &document(&b.manifest));
    changes.retain(|change| !["manifests", "annotations", "config", "layers"].contains(&change.root()));
    changes
}

fn facts(image: &Listed<'_>, created: Option<String>) -> ImageFacts {
    ImageFacts {
        digest: image.digest.clone(),
        bytes: image.manifest().map(ImageManifest::image_bytes),
        layers: image.manifest().map(|manifest| manifest.layers.len()),
        created,
    }
}

async fn created(source: &Source, image: &Listed<'_>) -> Option<String> {
    ConfigSays::fetch(&source.storage, image.manifest()?).await.created
}

/// The number of layers of `other` that `image` has too, and the bytes that only `other` has.
fn shared(image: &Listed<'_>, other: &Listed<'_>) -> (usize, u64) {
    let blobs = |image: &ImageManifest| -> Vec<Descriptor> {
        std::iter::once(image.config.clone()).chain(image.layers.clone()).collect()
    };
    let had: BTreeSet<Digest> =
        image.manifest().map(blobs).unwrap_or_default().into_iter().map(|one| one.digest).collect();
    let Some(other) = other.manifest() else { return (0, 0) };
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
