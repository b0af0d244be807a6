//! Blobs, manifests and tags.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::disk::{self, StoreError};
use super::sound;
use crate::oci::{Digest, MAX_MANIFEST_BYTES, MediaType, RawManifest, RepositoryPath, Tag};

/// Content-addressed storage under one directory. Its functions block on the disk.
#[derive(Debug)]
pub(in crate::embedded) struct Store {
    root: PathBuf,
}

/// A blob that a repository has.
#[derive(Debug)]
pub(in crate::embedded) struct Blob {
    /// The content, opened for reading.
    pub(in crate::embedded) file: File,
    /// Its size in bytes.
    pub(in crate::embedded) size: u64,
}

/// A manifest that a repository has.
#[derive(Debug)]
pub(in crate::embedded) struct StoredManifest {
    /// The media type of the push.
    pub(in crate::embedded) media_type: MediaType,
    /// The bytes as the client pushed them.
    pub(in crate::embedded) bytes: Vec<u8>,
}

impl Store {
    /// Opens the store in `root`, and creates it if it does not exist. Deletes unfinished uploads.
    ///
    /// The caller must hold the store's lock. Otherwise this would delete the uploads of another process.
    pub(in crate::embedded) fn open(root: &Path) -> Result<Self, StoreError> {
        let store = Self { root: root.to_owned() };
        let uploads = store.uploads();
        match fs::remove_dir_all(&uploads) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(StoreError::at("remove", &uploads)(e)),
            _ => disk::make_dir(&uploads)?,
        }
        disk::make_dir(&root.join("blobs/sha256"))?;
        disk::make_dir(&root.join("repositories"))?;
        Ok(store)
    }

    /// The directory for content that is not checked yet.
    pub(in crate::embedded) fn uploads(&self) -> PathBuf {
        self.root.join("uploads")
    }

    /// The root directory of the store.
    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    pub(super) fn content(&self, digest: &Digest) -> PathBuf {
        self.root.join("blobs/sha256").join(digest.hex())
    }

    /// A directory of a repository: `_blobs`, `_manifests`, `_referrers` or `_tags`.
    pub(super) fn of(&self, repository: &RepositoryPath, kind: &str) -> PathBuf {
        self.root.join("repositories").join(repository.as_str()).join(kind)
    }

    /// Whether any content was ever pushed to `repository`.
    pub(in crate::embedded) fn has_repository(&self, repository: &RepositoryPath) -> bool {
        self.of(repository, "_blobs").is_dir() || self.of(repository, "_manifests").is_dir()
    }

    /// The size in bytes of a blob of `repository`.
    pub(in crate::embedded) fn blob_size(
        &self,
        repository: &RepositoryPath,
        digest: &Digest,
    ) -> Result<Option<u64>, StoreError> {
        if !self.of(repository, "_blobs").join(digest.hex()).is_file() {
            return Ok(None);
        }
        sound::size(&self.content(digest), digest)
    }

    /// A blob of `repository`.
    pub(in crate::embedded) fn blob(
        &self,
        repository: &RepositoryPath,
        digest: &Digest,
    ) -> Result<Option<Blob>, StoreError> {
        let Some(size) = self.blob_size(repository, digest)? else { return Ok(None) };
        let path = self.content(digest);
        let file = File::open(&path).map_err(StoreError::at("open", &path))?;
        Ok(Some(Blob { file, size }))
    }

    /// Takes the file at `upload` as a blob of `repository`. The caller has checked its digest. The file replaces
    /// content whose bytes do not match its name.
    pub(in crate::embedded) fn take_blob(
        &self,
        upload: &Path,
        repository: &RepositoryPath,
        digest: &Digest,
    ) -> Result<(), StoreError> {
        let content = self.content(digest);
        if sound::size(&content, digest)?.is_some() {
            fs::remove_file(upload).map_err(StoreError::at("remove", upload))?;
        } else {
            sound::mark(upload, digest)?;
            disk::place(upload, &content)?;
        }
        self.link(&self.of(repository, "_blobs").join(digest.hex()), b"")
    }

    /// Makes a blob of `from` also a blob of `repository`. Returns `false` if `from` does not have the blob.
    pub(in crate::embedded) fn mount(
        &self,
        from: &RepositoryPath,
        repository: &RepositoryPath,
        digest: &Digest,
    ) -> Result<bool, StoreError> {
        if self.blob_size(from, digest)?.is_none() {
            return Ok(false);
        }
        self.link(&self.of(repository, "_blobs").join(digest.hex()), b"")?;
        Ok(true)
    }

    /// The digest that `tag` names.
    pub(in crate::embedded) fn tag(
        &self,
        repository: &RepositoryPath,
        tag: &Tag,
    ) -> Result<Option<Digest>, StoreError> {
        let text = disk::read_small(&self.of(repository, "_tags").join(tag.as_str()))?;
        Ok(text.and_then(|text| text.parse().ok()))
    }

    /// The tags of `repository`, sorted.
    pub(in crate::embedded) fn tags(&self, repository: &RepositoryPath) -> Result<Vec<String>, StoreError> {
        disk::names(&self.of(repository, "_tags"))
    }

    /// The size in bytes of a manifest of `repository`.
    pub(in crate::embedded) fn manifest_size(
        &self,
        repository: &RepositoryPath,
        digest: &Digest,
    ) -> Result<Option<u64>, StoreError> {
        if !self.of(repository, "_manifests").join(digest.hex()).is_file() {
            return Ok(None);
        }
        Ok(self.manifest_bytes(digest)?.map(|bytes| bytes.len() as u64))
    }

    /// The bytes of a manifest, or `None` if it does not exist or its bytes do not match the digest.
    pub(super) fn manifest_bytes(&self, digest: &Digest) -> Result<Option<Vec<u8>>, StoreError> {
        let path = self.content(digest);
        let mut bytes = Vec::new();
        // One byte more than the largest manifest: a longer file is not a manifest.
        let read = File::open(&path).and_then(|file| file.take(MAX_MANIFEST_BYTES as u64 + 1).read_to_end(&mut bytes));
        match read {
            Ok(_) if Digest::of(&bytes) == *digest => Ok(Some(bytes)),
            Ok(_) => {
                sound::told(digest);
                Ok(None)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(StoreError::at("read", &path)(error)),
        }
    }

    /// A manifest of `repository`.
    pub(in crate::embedded) fn manifest(
        &self,
        repository: &RepositoryPath,
        digest: &Digest,
    ) -> Result<Option<StoredManifest>, StoreError> {
        let link = self.of(repository, "_manifests").join(digest.hex());
        let Some(media_type) = disk::read_small(&link)? else { return Ok(None) };
        let bytes = self.manifest_bytes(digest)?;
        Ok(bytes.map(|bytes| StoredManifest { media_type: MediaType::parse(&media_type), bytes }))
    }

    /// Stores a manifest, and then moves `tag` to it. The caller has checked its references.
    pub(in crate::embedded) fn put_manifest(
        &self,
        repository: &RepositoryPath,
        manifest: &RawManifest,
        subject: Option<&Digest>,
        tag: Option<&Tag>,
    ) -> Result<(), StoreError> {
        let digest = manifest.digest();
        let content = self.content(digest);
        if self.manifest_bytes(digest)?.is_none() {
            disk::write_whole(&self.uploads(), &content, manifest.bytes())?;
        }
        if let Some(subject) = subject {
            let referrers = self.of(repository, "_referrers").join(subject.hex());
            self.link(&referrers.join(digest.hex()), b"")?;
        }
        let link = self.of(repository, "_manifests").join(digest.hex());
        self.link(&link, manifest.media_type().as_str().as_bytes())?;
        let Some(tag) = tag else { return Ok(()) };
        self.link(&self.of(repository, "_tags").join(tag.as_str()), digest.as_str().as_bytes())
    }

    /// Deletes a tag but not its manifest. Returns `false` if the tag does not exist.
    pub(in crate::embedded) fn remove_tag(&self, repository: &RepositoryPath, tag: &Tag) -> Result<bool, StoreError> {
        disk::remove(&self.of(repository, "_tags").join(tag.as_str()))
    }

    /// The digests of the manifests of `repository` whose subject is `subject`, sorted.
    pub(in crate::embedded) fn referrers(
        &self,
        repository: &RepositoryPath,
        subject: &Digest,
    ) -> Result<Vec<Digest>, StoreError> {
        let names = disk::names(&self.of(repository, "_referrers").join(subject.hex()))?;
        Ok(names.iter().filter_map(|hex| format!("sha256:{hex}").parse().ok()).collect())
    }

    /// Writes a small file, unless it already has this content. So a push that changes nothing does not wait for the
    /// disk.
    fn link(&self, path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
        if fs::read(path).is_ok_and(|old| old == bytes) {
            return Ok(());
        }
        disk::write_whole(&self.uploads(), path, bytes)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    fn repository() -> RepositoryPath {
        "a".parse().unwrap()
    }

    fn index(filler: &str) -> RawManifest {
        let json = format!("{{\"schemaVersion\":2,\"manifests\":[],\"annotations\":{{\"filler\":\"{filler}\"}}}}");
        RawManifest::new(json.as_bytes(), Some(&MediaType::OciIndex)).unwrap()
    }

    /// At every moment, another process sees the state that a SIGKILL at that moment would leave.
    #[test]
    fn partial_content_is_never_visible() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for n in 0..60_u8 {
                    let bytes = vec![n; 4 << 20];
                    let upload = store.uploads().join("upload");
                    fs::write(&upload, &bytes).unwrap();
                    store.take_blob(&upload, &repository(), &Digest::of(&bytes)).unwrap();
                    store.put_manifest(&repository(), &index(&n.to_string().repeat(1 << 20)), None, None).unwrap();
                }
                done.store(true, Ordering::Release);
            });
            let mut seen = HashSet::new();
            loop {
                let last = done.load(Ordering::Acquire);
                for name in disk::names(&dir.path().join("blobs/sha256")).unwrap() {
                    if seen.insert(name.clone()) {
                        let bytes = fs::read(dir.path().join("blobs/sha256").join(&name)).unwrap();
                        assert_eq!(Digest::of(&bytes).hex(), name, "{} bytes of it", bytes.len());
                    }
                }
                if last {
                    break;
                }
            }
            assert_eq!(seen.len(), 120);
        });
    }

    #[test]
    fn moving_tag_always_names_the_old_or_the_new_manifest() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let (first, second) = (index("1"), index("2"));
        let tag: Tag = "latest".parse().unwrap();
        store.put_manifest(&repository(), &first, None, Some(&tag)).unwrap();
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for _ in 0..300 {
                    store.put_manifest(&repository(), &second, None, Some(&tag)).unwrap();
                    store.put_manifest(&repository(), &first, None, Some(&tag)).unwrap();
                }
                done.store(true, Ordering::Release);
            });
            while !done.load(Ordering::Acquire) {
                let named = store.tag(&repository(), &tag).unwrap().expect("the tag is there");
                assert!([first.digest(), second.digest()].contains(&&named));
            }
        });
    }

    fn taken(store: &Store, bytes: &[u8]) -> Digest {
        let (upload, digest) = (store.uploads().join("upload"), Digest::of(bytes));
        fs::write(&upload, bytes).unwrap();
        store.take_blob(&upload, &repository(), &digest).unwrap();
        digest
    }

    #[test]
    fn damaged_blob_counts_as_missing_until_it_is_pushed_again() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let digest = taken(&store, b"layer");
        let other: RepositoryPath = "b".parse().unwrap();
        for wrong in [&b"later"[..], b"lay", b"", b"layers and more"] {
            fs::write(store.content(&digest), wrong).unwrap();
            assert_eq!(store.blob_size(&repository(), &digest).unwrap(), None);
            assert!(store.blob(&repository(), &digest).unwrap().is_none());
            assert!(!store.mount(&repository(), &other, &digest).unwrap(), "nobody else gets it");
            assert_eq!(taken(&store, b"layer"), digest);
            assert_eq!(store.blob_size(&repository(), &digest).unwrap(), Some(5));
            assert_eq!(fs::read(store.content(&digest)).unwrap(), b"layer");
        }
        fs::remove_file(store.content(&digest)).unwrap();
        assert_eq!(store.blob_size(&repository(), &digest).unwrap(), None, "gone is missing, and no failure");
        // If a file's time changes but its bytes are right, the store hashes them once and does not write them again.
        taken(&store, b"layer");
        File::open(store.content(&digest)).unwrap().set_modified(std::time::SystemTime::now()).unwrap();
        for _ in 0..2 {
            assert_eq!(store.blob_size(&repository(), &digest).unwrap(), Some(5));
        }
        assert!(store.mount(&repository(), &other, &digest).unwrap());
    }

    #[test]
    fn damaged_manifest_tag_or_referrer_counts_as_missing() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let (subject, referrer) = (index("subject"), index("referrer"));
        let tag: Tag = "latest".parse().unwrap();
        let put = || {
            store.put_manifest(&repository(), &subject, None, Some(&tag)).unwrap();
            store.put_manifest(&repository(), &referrer, Some(subject.digest()), None).unwrap();
        };
        put();
        for manifest in [&subject, &referrer] {
            let mut wrong = manifest.bytes().to_vec();
            wrong[0] = b'[';
            for wrong in [&wrong[..], &wrong[..9], b""] {
                fs::write(store.content(manifest.digest()), wrong).unwrap();
                assert!(store.manifest(&repository(), manifest.digest()).unwrap().is_none());
                assert_eq!(store.manifest_size(&repository(), manifest.digest()).unwrap(), None);
                put();
                let stored = store.manifest(&repository(), manifest.digest()).unwrap().unwrap();
                assert_eq!(stored.bytes, manifest.bytes());
            }
        }
        let file = store.of(&repository(), "_tags").join("latest");
        for wrong in [&b"sha256:"[..], b"", b"\xff\xfe", b"sha256:../../x"] {
            fs::write(&file, wrong).unwrap();
            assert_eq!(store.tag(&repository(), &tag).unwrap(), None);
            put();
            assert_eq!(store.tag(&repository(), &tag).unwrap().as_ref(), Some(subject.digest()));
        }
        assert_eq!(store.referrers(&repository(), subject.digest()).unwrap(), [referrer.digest().clone()]);
    }

    #[test]
    fn stored_files_are_readable_only_by_their_owner() {
        use std::os::unix::fs::PermissionsExt as _;
        fn look(path: &Path) {
            let metadata = fs::metadata(path).unwrap();
            assert_eq!(metadata.permissions().mode() & 0o077, 0, "{}", path.display());
            if metadata.is_dir() {
                for entry in fs::read_dir(path).unwrap() {
                    look(&entry.unwrap().path());
                }
            }
        }
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("registry");
        let store = Store::open(&root).unwrap();
        store.put_manifest(&"a/b".parse().unwrap(), &index("x"), None, Some(&"1".parse().unwrap())).unwrap();
        look(&root);
    }

    #[test]
    fn reopened_store_keeps_all_but_unfinished_uploads() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let manifest = index("kept");
        let tag: Tag = "latest".parse().unwrap();
        store.put_manifest(&repository(), &manifest, None, Some(&tag)).unwrap();
        fs::write(store.uploads().join("unfinished"), "x").unwrap();
        let again = Store::open(dir.path()).unwrap();
        assert_eq!(again.tag(&repository(), &tag).unwrap().as_ref(), Some(manifest.digest()));
        assert_eq!(again.manifest(&repository(), manifest.digest()).unwrap().unwrap().bytes, manifest.bytes());
        assert_eq!(disk::names(&again.uploads()).unwrap(), Vec::<String>::new());
    }
}
