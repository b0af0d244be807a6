//! Collects the known manifests of a repository, each once.

use std::collections::{BTreeMap, BTreeSet};

use futures::stream::{self, StreamExt as _, TryStreamExt as _};

use super::error::{ImagesError, MOST_LISTED};
use super::image::ListedBy;
use super::item::{ConfigFacts, Fetched, Item, ItemContent};
use crate::aws::EcrHost;
use crate::oci::{Descriptor, Digest, ManifestError, Repository, Selector, Tag};
use crate::registry::{Client, ErrorKind, Visibility};
use crate::run::event::failure::chain;
use crate::run::fetch::walk::AT_ONCE;
use crate::run::storage::registry::Registry;

/// The most tags of a repository that polyarch lists. It fetches the manifest of each tag.
const MOST_TAGS: usize = 10_000;

/// The content of a repository.
#[derive(Debug)]
pub(in crate::run) struct Catalog<'a> {
    registry: &'a Registry,
    repository: &'a Repository,
    pub(in crate::run) listed_by: ListedBy,
    pub(in crate::run) items: BTreeMap<Digest, Item>,
    /// Tags whose manifest cannot be read and whose digest the registry does not report. Each has the reason.
    pub(in crate::run) unread: BTreeMap<Tag, String>,
    /// Digests that indexes list, but that do not exist in the repository.
    absent: BTreeSet<Digest>,
    /// The number of entries in all opened indexes.
    listed: usize,
    /// Manifests that were opened before the last listing. The content of a digest cannot change.
    opened: BTreeMap<Digest, Item>,
}

impl<'a> Catalog<'a> {
    /// Lists a repository and opens all its indexes. The API of ECR lists all manifests. For other registries,
    /// polyarch lists the tags and follows them. Images of ECR are not opened yet.
    pub(in crate::run) async fn read(registry: &'a Registry, repository: &'a Repository) -> Result<Self, ImagesError> {
        let mut catalog = Self {
            registry,
            repository,
            listed_by: ListedBy::Registry,
            items: BTreeMap::new(),
            unread: BTreeMap::new(),
            absent: BTreeSet::new(),
            listed: 0,
            opened: BTreeMap::new(),
        };
        catalog.list().await?;
        Ok(catalog)
    }

    /// Lists the repository again.
    pub(in crate::run) async fn read_again(&mut self) -> Result<(), ImagesError> {
        let is_opened = |item: &Item| matches!(item.inside, ItemContent::Index(_) | ItemContent::Image(_));
        self.opened = std::mem::take(&mut self.items).into_iter().filter(|(_, item)| is_opened(item)).collect();
        self.absent.clear();
        self.unread.clear();
        self.listed = 0;
        self.list().await
    }

    async fn list(&mut self) -> Result<(), ImagesError> {
        // polyarch does not use the API of public.ecr.aws, because its registry gives the same answers.
        let is_public = EcrHost::of(self.repository.host()) == Some(EcrHost::Public);
        match self.registry.ecr().filter(|_| !is_public) {
            None => self.follow_tags().await?,
            Some(ecr) => match ecr.images(self.repository.path()).await {
                Ok(details) => {
                    self.listed_by = ListedBy::Ecr;
                    self.items = details.into_iter().map(Item::of_ecr).collect();
                }
                Err(error) if error.is_denied() || error.is_anonymous() => {
                    self.listed_by = ListedBy::Instead(chain(&error).into());
                    self.follow_tags().await?;
                }
                Err(error) => return Err(error.into()),
            },
        }
        self.open_indexes().await
    }

    /// Opens the manifests that the tags of the repository name.
    async fn follow_tags(&mut self) -> Result<(), ImagesError> {
        let (client, repository) = (self.registry.client(), self.repository);
        let tags = client.list_tags(repository.path(), MOST_TAGS).await?;
        let fetch = async |tag: Tag| {
            let found = tagged(client, repository, &tag).await?;
            Ok::<_, ImagesError>((tag, found))
        };
        let mut fetching = stream::iter(tags).map(fetch).buffered(AT_ONCE);
        while let Some((tag, found)) = fetching.try_next().await? {
            match found {
                // A tag that was deleted in the meantime names no manifest.
                None => {}
                Some((Some(digest), fetched)) => {
                    self.items.entry(digest.clone()).or_default().tags.push(tag);
                    self.take(digest, Some(fetched))?;
                }
                Some((None, fetched)) => {
                    self.unread.insert(tag, fetched.why());
                }
            }
        }
        Ok(())
    }

    /// Records the fetched content of an item.
    fn take(&mut self, digest: Digest, fetched: Option<Fetched>) -> Result<(), ImagesError> {
        match (fetched, self.items.get_mut(&digest)) {
            (Some(fetched), Some(item)) if matches!(item.inside, ItemContent::Closed) => {
                match self.opened.remove(&digest) {
                    Some(opened) => item.open_as(opened),
                    None => item.open(&fetched),
                }
                self.listed += item.entries().len();
            }
            (Some(_), _) => {}
            // ECR lists the manifest, but its registry does not return it. It is archived, or it is being deleted.
            (None, Some(item)) if self.listed_by == ListedBy::Ecr && !item.is_image() => {
                item.inside = ItemContent::Unread("ECR lists it, but the registry does not return it".to_owned());
            }
            (None, _) => {
                self.items.remove(&digest);
                self.absent.insert(digest);
            }
        }
        if self.listed > MOST_LISTED { Err(ImagesError::Many) } else { Ok(()) }
    }

    /// Opens the indexes and their nested indexes. If polyarch listed only tags, the entries of indexes count as
    /// content too.
    async fn open_indexes(&mut self) -> Result<(), ImagesError> {
        let is_whole = self.listed_by == ListedBy::Ecr;
        let is_wanted = |item: &Item| !(is_whole && item.is_image());
        loop {
            if !is_whole {
                self.take_listed();
            }
            let closed = self.closed().filter(|(_, item)| is_wanted(item)).map(|(digest, _)| digest.clone());
            let closed: Vec<_> = closed.collect();
            if closed.is_empty() {
                return Ok(());
            }
            self.open(closed).await?;
        }
    }

    /// Assumes that listed manifests exist, until polyarch asks for them. Caches list layers, which are not
    /// manifests.
    fn take_listed(&mut self) {
        let listed = self.items.values().flat_map(Item::entries).filter(|entry| entry.is_manifest());
        let new = listed.map(|entry| &entry.digest).filter(|digest| !self.absent.contains(*digest)).cloned();
        for digest in new.collect::<BTreeSet<_>>() {
            self.items.entry(digest).or_default();
        }
    }

    fn closed(&self) -> impl Iterator<Item = (&Digest, &Item)> {
        self.items.iter().filter(|(_, item)| matches!(item.inside, ItemContent::Closed))
    }

    /// Opens items by their digests. A manifest that does not exist is removed.
    async fn open(&mut self, mut closed: Vec<Digest>) -> Result<(), ImagesError> {
        let Self { items, opened, listed, .. } = self;
        closed.retain(|digest| {
            let Some(item) = items.get_mut(digest).filter(|_| opened.contains_key(digest)) else { return true };
            item.open_as(opened.remove(digest).unwrap_or_default());
            *listed += item.entries().len();
            false
        });
        let (client, repository) = (self.registry.client(), self.repository);
        let fetch = async |digest: Digest| {
            let fetched = manifest(client, repository, &Selector::Digest(digest.clone())).await;
            fetched.map(|fetched| (digest, fetched))
        };
        let mut fetching = stream::iter(closed).map(fetch).buffer_unordered(AT_ONCE);
        while let Some((digest, fetched)) = fetching.try_next().await? {
            self.take(digest, fetched)?;
        }
        Ok(())
    }

    /// Reads the configs of the `wanted` images.
    pub(in crate::run) async fn read_configs(&mut self, wanted: impl Fn(&Digest) -> bool) -> Result<(), ImagesError> {
        let closed = self.closed().map(|(digest, _)| digest).filter(|digest| wanted(digest)).cloned().collect();
        self.open(closed).await?;
        let unread = self.items.iter().filter_map(|(digest, item)| match &item.inside {
            ItemContent::Image(image) if image.says.is_none() && wanted(digest) => {
                Some((digest.clone(), image.config.clone()))
            }
            _ => None,
        });
        let unread: Vec<_> = unread.collect();
        let (client, repository) = (self.registry.client(), self.repository);
        let read = async |(digest, config): (Digest, Descriptor)| {
            says(client, repository, &config).await.map(|says| (digest, says))
        };
        let mut reading = stream::iter(unread).map(read).buffer_unordered(AT_ONCE);
        while let Some((digest, says)) = reading.try_next().await? {
            if let Some(Item { inside: ItemContent::Image(image), .. }) = self.items.get_mut(&digest) {
                image.says = Some(says);
            }
        }
        Ok(())
    }
}

/// Fetches the manifest of a tag. For an unreadable manifest, the digest is the one that the registry reports, if it
/// reports one.
async fn tagged(
    client: &Client,
    repository: &Repository,
    tag: &Tag,
) -> Result<Option<(Option<Digest>, Fetched)>, ImagesError> {
    let selector = Selector::Tag(tag.clone());
    let Some(fetched) = manifest(client, repository, &selector).await? else { return Ok(None) };
    let digest = match &fetched {
        Fetched::Read(manifest) => Some(manifest.digest().clone()),
        Fetched::Unread(..) => match client.head_manifest(repository.path(), &selector).await {
            Ok(head) => head.and_then(|head| head.digest),
            // If a registry does not answer HEAD, the client fetches the bytes again, and they are still unreadable.
            Err(error) if error.is_refusal() => None,
            Err(error) => return Err(error.into()),
        },
    };
    Ok(Some((digest, fetched)))
}

/// Fetches a manifest. `None` if it does not exist.
async fn manifest(
    client: &Client,
    repository: &Repository,
    selector: &Selector,
) -> Result<Option<Fetched>, ImagesError> {
    match client.get_manifest(repository.path(), selector, Visibility::Settled).await {
        Ok(manifest) => Ok(Some(Fetched::Read(manifest))),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) if error.is_refusal() => {
            let foreign = match error.kind() {
                ErrorKind::Manifest(ManifestError::Foreign(media_type)) => Some(media_type.clone()),
                _ => None,
            };
            Ok(Some(Fetched::Unread(chain(&error), foreign)))
        }
        Err(error) => Err(error.into()),
    }
}

/// The fields of a config. They are empty if the config is missing, is not an image config, or does not match its
/// digest.
async fn says(client: &Client, repository: &Repository, config: &Descriptor) -> Result<ConfigFacts, ImagesError> {
    if !config.is_image_config() {
        return Ok(ConfigFacts::default());
    }
    match client.get_config(repository.path(), config).await {
        Ok(config) => Ok(ConfigFacts::read(&config)),
        Err(error) if error.is_not_found() || error.is_refusal() => Ok(ConfigFacts::default()),
        Err(error) => Err(error.into()),
    }
}
