//! All that is known to be in a repository, each manifest once.

use std::collections::{BTreeMap, BTreeSet};

use futures::stream::{self, StreamExt as _, TryStreamExt as _};

use super::super::access::Registry;
use super::super::failure::chain;
use super::super::listing::AT_ONCE;
use super::error::{ImagesError, MOST_LISTED};
use super::item::{Fetched, Inside, Item, ListedEntry, Says};
use super::listed::ListedBy;
use crate::oci::{Descriptor, Digest, EcrHost, MediaType, Repository, Selector, Tag};
use crate::registry::{Client, Visibility};

/// Most tags of a repository that are listed, each of which is asked for then.
const MOST_TAGS: usize = 10_000;

/// What is in a repository.
#[derive(Debug)]
pub(in crate::run) struct Catalog<'a> {
    client: &'a Client,
    repository: &'a Repository,
    pub(in crate::run) listed_by: ListedBy,
    pub(in crate::run) items: BTreeMap<Digest, Item>,
    /// What indexes list and the repository does not have.
    absent: BTreeSet<Digest>,
    /// How much the indexes list that were opened.
    listed: usize,
}

impl<'a> Catalog<'a> {
    /// Lists a repository, and opens all its indexes. ECR itself knows everything that is there; a registry is asked for
    /// its tags and what they lead to. Of ECR images are not opened yet.
    pub(in crate::run) async fn read(registry: &'a Registry, repository: &'a Repository) -> Result<Self, ImagesError> {
        let (client, items, absent) = (registry.client(), BTreeMap::new(), BTreeSet::new());
        let mut catalog = Self { client, repository, listed_by: ListedBy::Registry, items, absent, listed: 0 };
        // The gallery's own API is not asked: its registry answers the same.
        let is_public = EcrHost::of(repository.host()) == Some(EcrHost::Public);
        match registry.ecr().filter(|_| !is_public) {
            None => catalog.follow_tags().await?,
            Some(ecr) => match ecr.images(repository.path()).await {
                Ok(details) => {
                    catalog.listed_by = ListedBy::Ecr;
                    catalog.items = details.into_iter().map(Item::of_ecr).collect();
                }
                Err(error) if error.is_denied() || error.is_anonymous() => {
                    catalog.listed_by = ListedBy::Instead(chain(&error));
                    catalog.follow_tags().await?;
                }
                Err(error) => return Err(error.into()),
            },
        }
        catalog.open_indexes().await?;
        Ok(catalog)
    }

    /// Opens what the tags of the repository name.
    async fn follow_tags(&mut self) -> Result<(), ImagesError> {
        let (client, repository) = (self.client, self.repository);
        let tags = client.list_tags(repository.path(), MOST_TAGS).await?;
        let fetch = async |tag: Tag| {
            let found = tagged(client, repository, &tag).await?;
            Ok::<_, ImagesError>((tag, found))
        };
        let mut fetching = stream::iter(tags).map(fetch).buffered(AT_ONCE);
        while let Some((tag, found)) = fetching.try_next().await? {
            // A tag that went meanwhile names nothing.
            let Some((digest, fetched)) = found else { continue };
            self.items.entry(digest.clone()).or_default().tags.push(tag);
            self.take(digest, Some(fetched))?;
        }
        Ok(())
    }

    /// Takes what was fetched of an item.
    fn take(&mut self, digest: Digest, fetched: Option<Fetched>) -> Result<(), ImagesError> {
        match (fetched, self.items.get_mut(&digest)) {
            (Some(fetched), Some(item)) if matches!(item.inside, Inside::Closed) => {
                item.open(&fetched);
                self.listed += item.entries().len();
            }
            (Some(_), _) => {}
            (None, _) => {
                self.items.remove(&digest);
                self.absent.insert(digest);
            }
        }
        if self.listed > MOST_LISTED { Err(ImagesError::Many) } else { Ok(()) }
    }

    /// Opens the indexes, and those that they list. Where only tags were listed, what an index lists is there, too.
    async fn open_indexes(&mut self) -> Result<(), ImagesError> {
        let is_whole = self.listed_by == ListedBy::Ecr;
        let is_wanted = |item: &Item| !(is_whole && item.media_type.as_ref().is_some_and(MediaType::is_image));
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

    /// What indexes list is there, until it is asked for. Caches list layers, which are no manifests.
    fn take_listed(&mut self) {
        let listed = self.items.values().flat_map(Item::entries).filter(|entry| entry.is_manifest());
        let new = listed.map(|entry| &entry.digest).filter(|digest| !self.absent.contains(*digest)).cloned();
        for digest in new.collect::<BTreeSet<_>>() {
            self.items.entry(digest).or_default();
        }
    }

    fn closed(&self) -> impl Iterator<Item = (&Digest, &Item)> {
        self.items.iter().filter(|(_, item)| matches!(item.inside, Inside::Closed))
    }

    /// Opens items by their digests. What is not there is none.
    async fn open(&mut self, closed: Vec<Digest>) -> Result<(), ImagesError> {
        let (client, repository) = (self.client, self.repository);
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

    /// Reads what the configs of images say, those that are `wanted`.
    pub(in crate::run) async fn read_configs(&mut self, wanted: impl Fn(&Digest) -> bool) -> Result<(), ImagesError> {
        let closed = self.closed().map(|(digest, _)| digest).filter(|digest| wanted(digest)).cloned().collect();
        self.open(closed).await?;
        let unread = self.items.iter().filter_map(|(digest, item)| match &item.inside {
            Inside::Image(image) if image.says.is_none() && wanted(digest) => {
                Some((digest.clone(), image.config.clone()))
            }
            _ => None,
        });
        let unread: Vec<_> = unread.collect();
        let (client, repository) = (self.client, self.repository);
        let read = async |(digest, config): (Digest, Descriptor)| {
            says(client, repository, &config).await.map(|says| (digest, says))
        };
        let mut reading = stream::iter(unread).map(read).buffer_unordered(AT_ONCE);
        while let Some((digest, says)) = reading.try_next().await? {
            if let Some(Item { inside: Inside::Image(image), .. }) = self.items.get_mut(&digest) {
                image.says = Some(says);
            }
        }
        Ok(())
    }

    /// The indexes that list each manifest, with what they say of it.
    pub(in crate::run) fn listing(&self) -> BTreeMap<&Digest, BTreeMap<&Digest, &ListedEntry>> {
        let mut listing: BTreeMap<_, BTreeMap<_, _>> = BTreeMap::new();
        for (index, item) in &self.items {
            for entry in item.entries() {
                listing.entry(&entry.digest).or_default().entry(index).or_insert(entry);
            }
        }
        listing
    }
}

/// What a tag names. What cannot be read has a digest all the same, as far as the registry says it.
async fn tagged(client: &Client, repository: &Repository, tag: &Tag) -> Result<Option<(Digest, Fetched)>, ImagesError> {
    let selector = Selector::Tag(tag.clone());
    let Some(fetched) = manifest(client, repository, &selector).await? else { return Ok(None) };
    let digest = match &fetched {
        Fetched::Read(manifest) => Some(manifest.digest().clone()),
        Fetched::Unread(_) => client.head_manifest(repository.path(), &selector).await?.and_then(|head| head.digest),
    };
    Ok(digest.zip(Some(fetched)))
}

/// A manifest; `None` where there is none.
async fn manifest(
    client: &Client,
    repository: &Repository,
    selector: &Selector,
) -> Result<Option<Fetched>, ImagesError> {
    match client.get_manifest(repository.path(), selector, Visibility::Settled).await {
        Ok(manifest) => Ok(Some(Fetched::Read(manifest))),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) if error.is_refusal() => Ok(Some(Fetched::Unread(chain(&error)))),
        Err(error) => Err(error.into()),
    }
}

/// What a config says: nothing, if it is not an image's, or not what was named.
async fn says(client: &Client, repository: &Repository, config: &Descriptor) -> Result<Says, ImagesError> {
    if !config.is_image_config() {
        return Ok(Says::default());
    }
    match client.get_config(repository.path(), config).await {
        Ok(config) => Ok(Says::read(&config)),
        Err(error) if error.is_not_found() || error.is_refusal() => Ok(Says::default()),
        Err(error) => Err(error.into()),
    }
}
