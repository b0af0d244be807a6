//! Manifests and blobs that no tag leads to.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::content::Store;
use super::disk::{self, StoreError};
use crate::oci::{Content, Digest, RawManifest, RepositoryPath};

/// The parts of a store that can be deleted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Unreferenced {
    /// Links in repositories to manifests and blobs that no tag of the repository leads to.
    links: Vec<PathBuf>,
    /// Content that no repository has apart from those links.
    content: Vec<PathBuf>,
    /// Bytes of that content.
    pub bytes: u64,
    /// The number of blobs and manifests of all repositories.
    pub stored: usize,
    /// The bytes of the blobs and manifests of all repositories.
    pub stored_bytes: u64,
    /// Repositories that keep everything, because polyarch could not read a manifest that a tag leads to.
    pub unread: Vec<String>,
}

/// The amount that polyarch deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pruned {
    /// The number of blobs and manifests.
    pub count: usize,
    /// The bytes of those blobs and manifests.
    pub bytes: u64,
}

impl Unreferenced {
    /// The number of blobs and manifests.
    #[must_use]
    pub fn count(&self) -> usize {
        self.content.len()
    }

    /// Deletes the links first, then the content. So no link ever names missing content, even if the process is killed.
    pub(in crate::embedded) fn delete(&self) -> Result<Pruned, StoreError> {
        for path in self.links.iter().chain(&self.content) {
            disk::remove(path)?;
        }
        Ok(Pruned { count: self.content.len(), bytes: self.bytes })
    }
}

/// The manifests and blobs that the tags of a repository lead to.
#[derive(Default)]
struct Reached {
    manifests: BTreeSet<Digest>,
    blobs: BTreeSet<Digest>,
}

impl Store {
    /// Finds the manifests and blobs that no tag leads to. A tag leads to its manifest, and to all that an index lists.
    /// It also leads to the referrers of these manifests, and to the blobs that all of them name. The caller must hold
    /// the store's lock.
    pub(in crate::embedded) fn unreferenced(&self) -> Result<Unreferenced, StoreError> {
        let mut found = Unreferenced::default();
        let mut kept = BTreeSet::new();
        for repository in self.repositories()? {
            let Some(reached) = self.reached(&repository)? else {
                found.unread.push(repository.as_str().to_owned());
                for kind in ["_manifests", "_blobs"] {
                    kept.extend(disk::names(&self.of(&repository, kind))?);
                }
                continue;
            };
            for (kind, reached) in [("_manifests", &reached.manifests), ("_blobs", &reached.blobs)] {
                let directory = self.of(&repository, kind);
                let hexes: BTreeSet<&str> = reached.iter().map(Digest::hex).collect();
                let (stay, go) =
                    disk::names(&directory)?.into_iter().partition::<Vec<_>, _>(|hex| hexes.contains(&**hex));
                kept.extend(stay);
                found.links.extend(go.into_iter().map(|hex| directory.join(hex)));
            }
            found.links.extend(self.lost_referrers(&repository, &reached)?);
        }
        let directory = self.root().join("blobs/sha256");
        for hex in disk::names(&directory)? {
            let path = directory.join(&hex);
            let bytes = fs::metadata(&path).map_err(StoreError::at("read", &path))?.len();
            found.stored += 1;
            found.stored_bytes += bytes;
            if !kept.contains(&hex) {
                found.content.push(path);
                found.bytes += bytes;
            }
        }
        Ok(found)
    }

    /// Bytes of all content.
    pub(in crate::embedded) fn stored_bytes(root: &Path) -> u64 {
        let files = fs::read_dir(root.join("blobs/sha256")).into_iter().flatten().flatten();
        files.filter_map(|file| file.metadata().ok()).map(|metadata| metadata.len()).sum()
    }

    fn repositories(&self) -> Result<Vec<RepositoryPath>, StoreError> {
        let root = self.root().join("repositories");
        let (mut found, mut open) = (Vec::new(), vec![String::new()]);
        while let Some(path) = open.pop() {
            let names = disk::names(&root.join(&path))?;
            if names.iter().any(|name| name.starts_with('_')) {
                found.extend(path.parse().ok());
            }
            let deeper = names.iter().filter(|name| !name.starts_with('_') && root.join(&path).join(name).is_dir());
            open.extend(deeper.map(|name| if path.is_empty() { name.clone() } else { format!("{path}/{name}") }));
        }
        Ok(found)
    }

    /// The manifests and blobs that the tags lead to. `None` means that a manifest on the way is not readable. Such a
    /// manifest may name any content.
    fn reached(&self, repository: &RepositoryPath) -> Result<Option<Reached>, StoreError> {
        let mut reached = Reached::default();
        let mut open = Vec::new();
        for tag in self.tags(repository)? {
            let Ok(tag) = tag.parse() else { continue };
            let Some(digest) = self.tag(repository, &tag)? else { return Ok(None) };
            open.push(digest);
        }
        while let Some(digest) = open.pop() {
            if !reached.manifests.insert(digest.clone()) {
                continue;
            }
            let Some(stored) = self.manifest(repository, &digest)? else { return Ok(None) };
            let content = RawManifest::new(stored.bytes, Some(&stored.media_type)).and_then(|raw| raw.content());
            match content {
                Ok(Content::Index(index)) => open.extend(index.manifests.into_iter().map(|entry| entry.digest)),
                Ok(Content::Image(image)) => {
                    let named = std::iter::once(image.config).chain(image.layers);
                    reached.blobs.extend(named.map(|descriptor| descriptor.digest));
                }
                Err(_) => return Ok(None),
            }
            // The store keeps an attestation together with its image.
            open.extend(self.referrers(repository, &digest)?);
        }
        Ok(Some(reached))
    }

    fn lost_referrers(&self, repository: &RepositoryPath, reached: &Reached) -> Result<Vec<PathBuf>, StoreError> {
        let directory = self.of(repository, "_referrers");
        let mut lost = Vec::new();
        for subject in disk::names(&directory)? {
            for hex in disk::names(&directory.join(&subject))? {
                let stays = format!("sha256:{hex}").parse().is_ok_and(|digest| reached.manifests.contains(&digest));
                lost.extend((!stays).then(|| directory.join(&subject).join(hex)));
            }
        }
        Ok(lost)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oci::MediaType;

    fn put(
        store: &Store,
        repository: &str,
        manifest: &serde_json::Value,
        subject: Option<&Digest>,
        tag: &str,
    ) -> Digest {
        let media_type = if manifest["manifests"].is_array() { MediaType::OciIndex } else { MediaType::OciManifest };
        let raw = RawManifest::new(manifest.to_string().into_bytes(), Some(&media_type)).unwrap();
        let tag = (!tag.is_empty()).then(|| tag.parse().unwrap());
        store.put_manifest(&repository.parse().unwrap(), &raw, subject, tag.as_ref()).unwrap();
        raw.digest().clone()
    }

    fn blob(store: &Store, repository: &str, bytes: &str) -> serde_json::Value {
        let upload = store.uploads().join("upload");
        fs::write(&upload, bytes).unwrap();
        let digest = Digest::of(bytes.as_bytes());
        store.take_blob(&upload, &repository.parse().unwrap(), &digest).unwrap();
        serde_json::json!({ "mediaType": "application/octet-stream", "digest": digest, "size": bytes.len() })
    }

    fn image(store: &Store, repository: &str, layer: &str, tag: &str) -> Digest {
        let (config, layer) = (blob(store, repository, &format!("config of {layer}")), blob(store, repository, layer));
        let image = serde_json::json!({ "schemaVersion": 2, "config": config, "layers": [layer] });
        put(store, repository, &image, None, tag)
    }

    fn index(store: &Store, repository: &str, children: &[&Digest], tag: &str) -> Digest {
        let entry = |digest: &&Digest| {
            let size = store.manifest_bytes(digest).unwrap().unwrap().len();
            serde_json::json!({ "mediaType": MediaType::OciManifest, "digest": digest, "size": size })
        };
        let entries: Vec<_> = children.iter().map(entry).collect();
        put(store, repository, &serde_json::json!({ "schemaVersion": 2, "manifests": entries }), None, tag)
    }

    #[test]
    fn prune_deletes_only_unreferenced_content() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let old = image(&store, "a", "old", "");
        let base = image(&store, "a", "shared", "");
        index(&store, "a", &[&old, &base], "1.0");
        let new = image(&store, "a", "new", "");
        let top = index(&store, "a", &[&new, &base], "1.0");
        let subject = serde_json::json!({ "mediaType": MediaType::OciIndex, "digest": top, "size": 1 });
        let attests = |of: &serde_json::Value, subject: &Digest| {
            let config = blob(&store, "a", "{}");
            let text = serde_json::json!({ "schemaVersion": 2, "config": config, "layers": [], "subject": of });
            put(&store, "a", &text, Some(subject), "")
        };
        let attestation = attests(&subject, &top);
        let lost = attests(&serde_json::json!({ "mediaType": "x", "digest": old, "size": 1 }), &old);
        // The test deletes this image here, but another repository has it under a tag.
        let elsewhere = image(&store, "a/b/c", "old", "kept");
        assert_eq!(elsewhere, old);

        let found = store.unreferenced().unwrap();
        assert_eq!((found.count(), found.stored), (2, 14), "{found:?}");
        let pruned = found.delete().unwrap();
        assert_eq!((pruned.count, pruned.bytes), (2, found.bytes));
        let (a, c) = ("a".parse().unwrap(), "a/b/c".parse().unwrap());
        for kept in [&new, &base, &top, &attestation] {
            assert!(store.manifest(&a, kept).unwrap().is_some());
        }
        for gone in [&old, &lost] {
            assert!(store.manifest(&a, gone).unwrap().is_none());
        }
        assert_eq!(store.referrers(&a, &top).unwrap(), [attestation]);
        assert_eq!(store.referrers(&a, &old).unwrap(), []);
        assert!(store.manifest(&c, &old).unwrap().is_some());
        for (repository, layer, there) in
            [(&a, "new", true), (&a, "shared", true), (&a, "old", false), (&c, "old", true)]
        {
            let size = store.blob_size(repository, &Digest::of(layer.as_bytes())).unwrap();
            assert_eq!(size.is_some(), there, "{layer} of {repository:?}");
        }
        assert_eq!(store.unreferenced().unwrap().count(), 0, "a second time nothing goes");
    }

    #[test]
    fn prune_keeps_everything_of_an_unreadable_repository() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let old = image(&store, "a", "old", "");
        let shown = image(&store, "a", "shown", "1.0");
        let tag = store.of(&"a".parse().unwrap(), "_tags").join("1.0");
        let damages: [&dyn Fn(); 3] = [
            &|| fs::write(store.content(&shown), "{").unwrap(),
            &|| fs::remove_file(store.content(&shown)).unwrap(),
            &|| fs::write(&tag, "no digest").unwrap(),
        ];
        for damage in damages {
            damage();
            let found = store.unreferenced().unwrap();
            assert_eq!((found.count(), &found.unread[..]), (0, &["a".to_owned()][..]));
            found.delete().unwrap();
            assert!(store.manifest(&"a".parse().unwrap(), &old).unwrap().is_some());
            image(&store, "a", "shown", "1.0");
        }
        assert_eq!(store.unreferenced().unwrap().count(), 3, "a new push makes the rest deletable");
    }
}
