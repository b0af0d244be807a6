//! One manifest of a repository: the facts from its registry and from its content.

use std::time::SystemTime;

use crate::ecr::ImageDetail;
use crate::oci::{Content, Descriptor, Digest, MediaType, Platform, RawManifest, Tag};
use crate::run::event::failure::chain;
use crate::run::inspect::command::ConfigSays;

/// The longest image label that polyarch keeps, in characters.
const MAX_LABEL: usize = 256;

/// A manifest of a repository.
#[derive(Debug, Default)]
pub(in crate::run) struct Item {
    /// The tags of the manifest, in the registry's order.
    pub(in crate::run) tags: Vec<Tag>,
    /// The media type of the manifest.
    pub(in crate::run) media_type: Option<MediaType>,
    /// The media type of its config.
    pub(in crate::run) artifact_type: Option<String>,
    /// The compressed size of config and layers in bytes. For an index, the size of its largest image.
    pub(in crate::run) size: Option<u64>,
    /// The time of the push.
    pub(in crate::run) pushed_at: Option<SystemTime>,
    /// The AWS account of the registry.
    pub(in crate::run) account: Option<String>,
    /// The content of the manifest.
    pub(in crate::run) inside: ItemContent,
}

/// The result of fetching a manifest.
pub(super) enum Fetched {
    Read(RawManifest),
    /// The manifest exists, but polyarch cannot read it. The text gives the reason. The media type is set if the
    /// manifest declares another type.
    Unread(String, Option<MediaType>),
}

impl Fetched {
    /// The reason why the manifest was not read. Empty if it was read.
    pub(super) fn why(self) -> String {
        if let Self::Unread(why, _) = self { why } else { String::new() }
    }
}

/// The content of a manifest.
#[derive(Debug, Default)]
pub(in crate::run) enum ItemContent {
    /// The manifest was not fetched yet.
    #[default]
    Closed,
    Index(Vec<ListedEntry>),
    Image(Box<ReadImage>),
    /// The manifest was read. It is neither an image nor an index, and it lists nothing. The text gives the reason.
    Foreign(String),
    /// The manifest cannot be read, and it may list other manifests. The text gives the reason.
    Unread(String),
}

/// An entry of an index.
#[derive(Debug, Clone)]
pub(in crate::run) struct ListedEntry {
    pub(in crate::run) digest: Digest,
    pub(in crate::run) media_type: MediaType,
    pub(in crate::run) platform: Option<Platform>,
    /// The image that the entry attests.
    pub(in crate::run) attests: Option<Digest>,
    pub(in crate::run) is_attestation: bool,
}

/// The content of an image's manifest and config.
#[derive(Debug)]
pub(in crate::run) struct ReadImage {
    pub(in crate::run) config: Descriptor,
    /// The subject of the manifest, if it is an artifact.
    pub(in crate::run) subject: Option<Digest>,
    /// The fields of the config. `None` if the config was not read yet.
    pub(in crate::run) says: Option<ConfigFacts>,
}

/// The fields of a config. They are empty if it is not the config of an image.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(in crate::run) struct ConfigFacts {
    pub(in crate::run) platform: Option<Platform>,
    pub(in crate::run) created: Option<SystemTime>,
    /// The image's name in the plan that polyarch built it from.
    pub(in crate::run) built_as: Option<String>,
}

impl ConfigFacts {
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

    /// Records the fetched manifest.
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
            // A document with `manifests` counts as an index here. Other documents were refused before.
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

    /// Copies the content of `opened`, which has the same digest.
    pub(super) fn open_as(&mut self, opened: Self) {
        self.media_type = opened.media_type;
        self.artifact_type = self.artifact_type.take().or(opened.artifact_type);
        self.size = self.size.or(opened.size);
        self.inside = opened.inside;
    }

    /// The entries of the index. Empty if the manifest is not an index.
    pub(in crate::run) fn entries(&self) -> &[ListedEntry] {
        match &self.inside {
            ItemContent::Index(entries) => entries,
            ItemContent::Closed | ItemContent::Image(_) | ItemContent::Foreign(_) | ItemContent::Unread(_) => &[],
        }
    }

    /// Whether the manifest is an image, or another manifest that lists nothing.
    pub(super) fn is_image(&self) -> bool {
        self.media_type.as_ref().is_some_and(MediaType::is_image)
    }

    /// The reason why the manifest cannot be read, if it may list other manifests.
    pub(in crate::run) fn unread(&self) -> Option<&str> {
        if let ItemContent::Unread(why) = &self.inside { Some(why) } else { None }
    }

    /// The fields of the config, if it was read.
    pub(in crate::run) fn says(&self) -> Option<&ConfigFacts> {
        match &self.inside {
            ItemContent::Image(image) => image.says.as_ref(),
            ItemContent::Closed | ItemContent::Index(_) | ItemContent::Foreign(_) | ItemContent::Unread(_) => None,
        }
    }
}

impl ListedEntry {
    fn of(entry: Descriptor) -> Self {
        let (attests, is_attestation) = (entry.attests(), entry.is_attestation());
        let platform = entry.platform().filter(|_| !is_attestation);
        Self { digest: entry.digest, media_type: entry.media_type, platform, attests, is_attestation }
    }

    /// Whether the entry names a manifest. The indexes of caches list layers.
    pub(super) fn is_manifest(&self) -> bool {
        self.media_type.is_image() || self.media_type.is_index()
    }
}
