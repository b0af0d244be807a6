//! A repository of ECR: its images, its tags, and what it does not take.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Value, json};

use super::super::images::Document;
use super::refusal::Refusal;

/// Which tags stay what they are. Filters are as ECR's: `*` is any text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Mutability {
    Mutable,
    Immutable,
    /// All tags are immutable but these.
    ImmutableExcept(Vec<String>),
    /// All tags are mutable but these.
    MutableExcept(Vec<String>),
}

impl Mutability {
    /// From what `CreateRepository` and templates say.
    pub(super) fn parse(settings: &Value) -> Self {
        let filters = settings["imageTagMutabilityExclusionFilters"].as_array().into_iter().flatten();
        let filters = filters.filter_map(|filter| filter["filter"].as_str()).map(str::to_owned).collect();
        match settings["imageTagMutability"].as_str() {
            Some("IMMUTABLE") => Self::Immutable,
            Some("IMMUTABLE_WITH_EXCLUSION") => Self::ImmutableExcept(filters),
            Some("MUTABLE_WITH_EXCLUSION") => Self::MutableExcept(filters),
            _ => Self::Mutable,
        }
    }

    /// As `DescribeRepositories` says it, into `settings`.
    pub(super) fn describe(&self, settings: &mut Value) {
        let (name, filters) = match self {
            Self::Mutable => ("MUTABLE", None),
            Self::Immutable => ("IMMUTABLE", None),
            Self::ImmutableExcept(filters) => ("IMMUTABLE_WITH_EXCLUSION", Some(filters)),
            Self::MutableExcept(filters) => ("MUTABLE_WITH_EXCLUSION", Some(filters)),
        };
        settings["imageTagMutability"] = name.into();
        if let Some(filters) = filters {
            let filters = filters.iter().map(|filter| json!({ "filterType": "WILDCARD", "filter": filter }));
            settings["imageTagMutabilityExclusionFilters"] = filters.collect();
        }
    }

    fn holds(&self, tag: &str) -> bool {
        let named = |filters: &[String]| filters.iter().any(|filter| matches(filter, tag));
        match self {
            Self::Mutable => false,
            Self::Immutable => true,
            Self::ImmutableExcept(filters) => !named(filters),
            Self::MutableExcept(filters) => named(filters),
        }
    }
}

fn matches(filter: &str, tag: &str) -> bool {
    match filter.split_once('*') {
        None => filter == tag,
        Some((head, rest)) => tag.strip_prefix(head).is_some_and(|tag| {
            (0..=tag.len()).any(|skipped| tag.is_char_boundary(skipped) && matches(rest, &tag[skipped..]))
        }),
    }
}

/// What is known of an image.
#[derive(Debug)]
struct Kept {
    document: Document,
    /// The number of the put that first brought the image.
    order: usize,
}

/// An image as requests name it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct ImageId {
    pub(super) digest: Option<String>,
    pub(super) tag: Option<String>,
}

impl ImageId {
    pub(super) fn parse(id: &Value) -> Self {
        let text = |key: &str| id[key].as_str().map(str::to_owned);
        Self { digest: text("imageDigest"), tag: text("imageTag") }
    }

    pub(super) fn json(&self) -> Value {
        let mut id = json!({});
        for (key, value) in [("imageDigest", &self.digest), ("imageTag", &self.tag)] {
            if let Some(value) = value {
                id[key] = value.as_str().into();
            }
        }
        id
    }

    /// Of `/v2/…/manifests/REFERENCE`.
    pub(super) fn of(reference: &str) -> Self {
        let text = Some(reference.to_owned());
        if reference.contains(':') { Self { digest: text, tag: None } } else { Self { digest: None, tag: text } }
    }
}

/// Why an image of several is not got or not deleted: ECR's code and its reason.
pub(super) type Failure = (&'static str, &'static str);

/// Where the repository is, for its messages.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) account: &'a str,
    pub(super) name: &'a str,
}

#[derive(Debug)]
pub(super) struct Repository {
    pub(super) mutability: Mutability,
    /// What `CreateRepository` said of scans and encryption.
    pub(super) settings: Value,
    pub(super) resource_tags: Value,
    pub(super) lifecycle: Option<String>,
    tags: BTreeMap<String, String>,
    images: HashMap<String, Kept>,
    blobs: HashMap<String, Vec<u8>>,
    count: usize,
}

impl Repository {
    pub(super) fn new(mutability: Mutability) -> Self {
        Self {
            mutability,
            settings: json!({}),
            resource_tags: json!([]),
            lifecycle: None,
            tags: BTreeMap::new(),
            images: HashMap::new(),
            blobs: HashMap::new(),
            count: 0,
        }
    }

    pub(super) fn tags(&self) -> Vec<String> {
        self.tags.keys().cloned().collect()
    }

    pub(super) fn keep_blob(&mut self, digest: &str, bytes: Vec<u8>) {
        self.blobs.insert(digest.to_owned(), bytes);
    }

    pub(super) fn blob(&self, digest: &str) -> Option<&Vec<u8>> {
        self.blobs.get(digest)
    }

    /// Whether a manifest names the blob: only then can it be mounted.
    pub(super) fn names_blob(&self, digest: &str) -> bool {
        self.images.values().any(|image| blobs(&image.document.json()).contains(&digest.to_owned()))
    }

    pub(super) fn keep(&mut self, tag: Option<&str>, document: Document) {
        let digest = document.digest();
        self.count += 1;
        // An image that is there keeps the time of its first push, whatever tag it gets (containers-roadmap issue
        // 2746).
        self.images.entry(digest.clone()).or_insert(Kept { document, order: self.count });
        if let Some(tag) = tag {
            self.tags.insert(tag.to_owned(), digest);
        }
    }

    pub(super) fn get(&self, reference: &str) -> Option<&Document> {
        let digest = self.tags.get(reference).map_or(reference, String::as_str);
        self.images.get(digest).map(|image| &image.document)
    }

    /// `PutImage`.
    pub(super) fn put(&mut self, place: Place<'_>, reference: &str, document: Document) -> Result<String, Refusal> {
        let json: Value = serde_json::from_slice(&document.bytes).map_err(|_| Refusal::syntax())?;
        let entries = json["manifests"].as_array().cloned().unwrap_or_default();
        let has_features = entries.iter().any(|entry| !entry["platform"]["features"].is_null());
        if json["mediaType"].as_str().is_none() || has_features {
            return Err(Refusal::syntax());
        }
        let digest = document.digest();
        let id = ImageId::of(reference);
        if id.digest.as_ref().is_some_and(|named| *named != digest) {
            return Err(digest_differs(place, reference));
        }
        let layers: Vec<_> = blobs(&json).into_iter().filter(|blob| !self.blobs.contains_key(blob)).collect();
        required(place, "Layers", "LayersNotFoundException", &layers)?;
        let children: Vec<_> = children(&json).into_iter().filter(|child| !self.images.contains_key(child)).collect();
        required(place, "Images", "ReferencedImagesNotFoundException", &children)?;
        if let Some(tag) = &id.tag {
            self.check_mutability(place, tag, &digest)?;
        }
        self.keep(id.tag.as_deref(), document);
        Ok(digest)
    }

    /// The same digest is refused, too.
    fn check_mutability(&self, place: Place<'_>, tag: &str, digest: &str) -> Result<(), Refusal> {
        let Some(standing) = self.tags.get(tag).filter(|_| self.mutability.holds(tag)) else { return Ok(()) };
        let exception =
            if standing == digest { "ImageAlreadyExistsException" } else { "ImageTagAlreadyExistsException" };
        let message = format!(
            "The image tag '{tag}' already exists in the '{}' repository and cannot be overwritten because the \
             repository is immutable.",
            place.name
        );
        Err(Refusal::new(exception, 400, "TAG_INVALID", message))
    }

    /// The digest that an id names.
    pub(super) fn find(&self, id: &ImageId) -> Result<String, Failure> {
        let named = match (&id.digest, &id.tag) {
            (None, None) => {
                return Err(("MissingDigestAndTag", "Invalid request parameters: both tag and digest cannot be null"));
            }
            (Some(digest), Some(tag)) if self.tags.get(tag).is_some_and(|tagged| tagged != digest) => {
                return Err(("ImageTagDoesNotMatchDigest", "The tag of the requested image does not match its digest"));
            }
            (Some(digest), None) => Some(digest),
            (_, Some(tag)) => self.tags.get(tag),
        };
        let found = named.filter(|digest| self.images.contains_key(*digest)).cloned();
        found.ok_or(("ImageNotFound", "Requested image not found"))
    }

    /// `BatchDeleteImage` of one: a tag goes, and its image if it has no other; a digest goes with all its tags.
    pub(super) fn delete(&mut self, id: &ImageId) -> Result<Vec<ImageId>, Failure> {
        let digest = self.find(id)?;
        let tags = self.tags_of(&digest);
        let gone: Vec<_> = match &id.tag {
            Some(tag) => vec![tag.clone()],
            None => tags.clone(),
        };
        let is_last = gone.len() == tags.len();
        let is_referenced = self.images.values().any(|image| children(&image.document.json()).contains(&digest));
        if is_last && is_referenced {
            return Err(("ImageReferencedByManifestList", "Requested image referenced by manifest list"));
        }
        self.tags.retain(|tag, _| !gone.contains(tag));
        if is_last {
            self.images.remove(&digest);
        }
        let id = |tag: Option<String>| ImageId { digest: Some(digest.clone()), tag };
        Ok(if gone.is_empty() { vec![id(None)] } else { gone.into_iter().map(|tag| id(Some(tag))).collect() })
    }

    fn tags_of(&self, digest: &str) -> Vec<String> {
        self.tags.iter().filter(|(_, named)| *named == digest).map(|(tag, _)| tag.clone()).collect()
    }

    /// All digests, in the order in which they were first put.
    pub(super) fn digests(&self) -> Vec<String> {
        let mut all: Vec<_> = self.images.iter().collect();
        all.sort_by_key(|(_, image)| image.order);
        all.into_iter().map(|(digest, _)| digest.clone()).collect()
    }

    /// An image as `DescribeImages` has it.
    pub(super) fn describe(&self, place: Place<'_>, digest: &str) -> Value {
        let image = &self.images[digest];
        let mut described = json!({
            "registryId": place.account,
            "repositoryName": place.name,
            "imageDigest": digest,
            "imageSizeInBytes": self.size(digest),
            "imagePushedAt": 1_700_000_000 + image.order,
            "imageManifestMediaType": image.document.media_type,
            "imageStatus": "ACTIVE",
        });
        let tags = self.tags_of(digest);
        if !tags.is_empty() {
            described["imageTags"] = tags.into();
        }
        if let Some(artifact) = image.document.json()["config"]["mediaType"].as_str() {
            described["artifactMediaType"] = artifact.into();
        }
        described
    }

    /// As far as it is compressed and sent; of an index the largest that it lists.
    fn size(&self, digest: &str) -> u64 {
        let Some(image) = self.images.get(digest) else { return 0 };
        let json = image.document.json();
        let listed = children(&json).iter().map(|child| self.size(child)).max();
        listed.unwrap_or_else(|| {
            let layers = json["layers"].as_array().into_iter().flatten();
            layers.chain([&json["config"]]).filter_map(|blob| blob["size"].as_u64()).sum()
        })
    }

    /// Images whose `subject` is this digest, as an index names them.
    pub(super) fn referrers(&self, subject: &str) -> Vec<Value> {
        let of_it = |image: &&Kept| image.document.json()["subject"]["digest"] == subject;
        self.images.values().filter(of_it).map(|image| image.document.descriptor()).collect()
    }
}

fn children(manifest: &Value) -> Vec<String> {
    let entries = manifest["manifests"].as_array().into_iter().flatten();
    entries.filter_map(|entry| entry["digest"].as_str()).map(str::to_owned).collect()
}

fn blobs(manifest: &Value) -> Vec<String> {
    let layers = manifest["layers"].as_array().into_iter().flatten();
    layers.chain([&manifest["config"]]).filter_map(|blob| blob["digest"].as_str()).map(str::to_owned).collect()
}

fn required(place: Place<'_>, what: &str, exception: &'static str, missing: &[String]) -> Result<(), Refusal> {
    if missing.is_empty() {
        return Ok(());
    }
    let message = format!(
        "{what} with digests '[{}]' required for pushing image into repository with name '{}' in the registry with id \
         '{}' do not exist",
        missing.join(", "),
        place.name,
        place.account
    );
    Err(Refusal::new(exception, 404, "MANIFEST_BLOB_UNKNOWN", message))
}

fn digest_differs(place: Place<'_>, reference: &str) -> Refusal {
    let message = format!(
        "The image with digest '{reference}' in repository '{}' and registry ID '{}' does not match the image digest that \
         Amazon ECR has calculated.",
        place.name, place.account
    );
    Refusal::new("ImageDigestDoesNotMatchException", 400, "MANIFEST_INVALID", message)
}
