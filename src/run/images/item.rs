//! One manifest of a repository: what its registry says of it, and what it says itself.

use std::time::SystemTime;

use super::super::failure::chain;
use super::super::inspect::ConfigSays;
use crate::ecr::ImageDetail;
use crate::oci::{Content, Descriptor, Digest, MediaType, Platform, RawManifest, Tag};

/// Longest label that is kept, in characters.
const MAX_LABEL: usize = 256;

/// A manifest of a repository.
#[derive(Debug, Default)]
pub(in crate::run) struct Item {
    /// Its tags, in the registry's order.
    pub(in crate::run) tags: Vec<Tag>,
    /// The type of the manifest.
    pub(in crate::run) media_type: Option<MediaType>,
    /// The type of its config.
    pub(in crate::run) artifact_type: Option<String>,
    /// Bytes of config and layers, compressed; of an index those of its largest image.
    pub(in crate::run) size: Option<u64>,
    /// When it was pushed.
    pub(in crate::run) pushed_at: Option<SystemTime>,
    /// Whose registry it is in.
    pub(in crate::run) account: Option<String>,
    /// What it says itself.
    pub(in crate::run) inside: ItemContent,
}

/// What came when a manifest was asked for.
pub(super) enum Fetched {
    Read(RawManifest),
    /// It is there, and is nothing that is read: why, and what it says to be where it is something else.
    Unread(String, Option<MediaType>),
}

impl Fetched {
    /// Why the manifest was not read; empty where it was.
    pub(super) fn why(self) -> String {
        if let Self::Unread(why, _) = self { why } else { String::new() }
    }
}

/// What a manifest says itself.
#[derive(Debug, Default)]
pub(in crate::run) enum ItemContent {
    /// Nobody has looked.
    #[default]
    Closed,
    Index(Vec<ListedEntry>),
    Image(Box<ReadImage>),
    /// It was read, is neither an image nor an index, and lists nothing; the text says why.
    Foreign(String),
    /// It cannot be read, and may list anything; the text says why.
    Unread(String),
}

/// An entry of an index, as far as it says what it names.
#[derive(Debug, Clone)]
pub(in crate::run) struct ListedEntry {
    pub(in crate::run) digest: Digest,
    pub(in crate::run) media_type: MediaType,
    pub(in crate::run) platform: Option<Platform>,
    /// The image that it is an attestation of.
    pub(in crate::run) attests: Option<Digest>,
    pub(in crate::run) is_attestation: bool,
}

/// What an image's manifest and its config say.
#[derive(Debug)]
pub(in crate::run) struct ReadImage {
    pub(in crate::run) config: Descriptor,
    /// What it is about, where it is an artifact.
    pub(in crate::run) subject: Option<Digest>,
    /// Nothing was read of its config yet, or what it says.
    pub(in crate::run) says: Option<Says>,
}

/// What a config says; nothing where it is not an image's.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(in crate::run) struct Says {
    pub(in crate::run) platform: Option<Platform>,
    pub(in crate::run) created: Option<SystemTime>,
    /// By which name polyarch built it.
    pub(in crate::run) built_as: Option<String>,
}

impl Says {
    pub(super) fn read(config: &[u8]) -> Self {
        let ConfigSays { platform, created, built_as } = ConfigSays::read(config);
        let parsed = |text: String| {
            time::OffsetDateTime::parse(&text, &time::format_description::well_known::Rfc3339).ok().map(Into::into)
        };
        let built_as = built_as.map(|name| name.chars().take(MAX_LABEL).collect());
        Self { platform, created: created.and_then(parsed), built_as }
    }
}

impl Item {
    pub(super) fn of_ecr(detail: ImageDetail) -> (Digest, Self) {
        let item = Self {
            tags: detail.tags.iter().filter_map(|tag| tag.parse().ok()).collect(),
            media_type: detail.manifest_media_type.as_deref().map(MediaType::parse),
            artifact_type: detail.artifact_media_type,
            size: detail.size,
            pushed_at: detail.pushed_at,
            account: Some(detail.registry_id).filter(|id| !id.is_empty()),
            inside: ItemContent::Closed,
        };
        (detail.digest, item)
    }

    /// Takes what was fetched of it.
    pub(super) fn open(&mut self, fetched: &Fetched) {
        let manifest = match fetched {
            Fetched::Read(manifest) => manifest,
            Fetched::Unread(why, media_type) => {
                let content = if media_type.is_some() { ItemContent::Foreign } else { ItemContent::Unread };
                self.media_type = self.media_type.take().or_else(|| media_type.clone());
                self.inside = content(why.clone());
                return;
            }
        };
        self.media_type = Some(manifest.media_type().clone());
        self.inside = match manifest.content() {
            // A document that has `manifests` is an index here; any other one was refused before.
            Err(error) if manifest.media_type().is_image() => ItemContent::Foreign(chain(&error)),
            Err(error) => ItemContent::Unread(chain(&error)),
            Ok(Content::Index(index)) => ItemContent::Index(index.manifests.into_iter().map(ListedEntry::of).collect()),
            Ok(Content::Image(image)) => {
                self.size.get_or_insert(image.image_bytes());
                self.artifact_type.get_or_insert_with(|| image.config.media_type.as_str().to_owned());
                let subject = image.subject.map(|subject| subject.digest);
                ItemContent::Image(Box::new(ReadImage { config: image.config, subject, says: None }))
            }
        };
    }

    /// Takes what was opened of the same digest.
    pub(super) fn open_as(&mut self, opened: Self) {
        self.media_type = opened.media_type;
        self.artifact_type = self.artifact_type.take().or(opened.artifact_type);
        self.size = self.size.or(opened.size);
        self.inside = opened.inside;
    }

    /// What it lists; nothing of what is no index.
    pub(in crate::run) fn entries(&self) -> &[ListedEntry] {
        match &self.inside {
            ItemContent::Index(entries) => entries,
            ItemContent::Closed | ItemContent::Image(_) | ItemContent::Foreign(_) | ItemContent::Unread(_) => &[],
        }
    }

    /// Whether it is known to be an image, or another manifest that lists nothing.
    pub(super) fn is_image(&self) -> bool {
        self.media_type.as_ref().is_some_and(MediaType::is_image)
    }

    /// Why the manifest cannot be read, where it may list other manifests.
    pub(in crate::run) fn unread(&self) -> Option<&str> {
        if let ItemContent::Unread(why) = &self.inside { Some(why) } else { None }
    }

    /// What its config says, where it was read.
    pub(in crate::run) fn says(&self) -> Option<&Says> {
        match &self.inside {
            ItemContent::Image(image) => image.says.as_ref(),
            ItemContent::Closed | ItemContent::Index(_) | ItemContent::Foreign(_) | ItemContent::Unread(_) => None,
        }
    }
}

impl ListedEntry {
    fn of(entry: Descriptor) -> Self {
        let (attests, is_attestation) = (entry.attests(), entry.is_attestation());
        let platform = entry.platform.filter(|_| !is_attestation).and_then(|fields| fields.platform().ok());
        Self { digest: entry.digest, media_type: entry.media_type, platform, attests, is_attestation }
    }

    /// Whether it names a manifest: caches list layers.
    pub(super) fn is_manifest(&self) -> bool {
        self.media_type.is_image() || self.media_type.is_index()
    }
}
