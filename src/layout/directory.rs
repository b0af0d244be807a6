//! A directory with an image layout, or a directory that will get one.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Read as _;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, fsync, mkdirat, open, openat};
use rustix::io::Errno;
use serde::Deserialize;
use serde_json::{Value, json};

use super::error::{LayoutError, present};
use super::index::{IMAGE_NAME, Index, LATEST, REF_NAME, with};
use super::ingest::{Ingest, Temporary, sweep};
use super::lock::Lock;
use crate::oci::document::{self, Shape};
use crate::oci::{Descriptor, Digest, Hasher, MAX_MANIFEST_BYTES, MediaType, RawManifest, Selector, Tag};

/// The longest `index.json` that is read.
const MOST_INDEX_BYTES: u64 = 4 << 20;
/// The longest `oci-layout` that is read.
const MOST_LAYOUT_BYTES: u64 = 4 << 10;
const INDEX: &str = "index.json";
const LAYOUT: &str = "oci-layout";

/// A directory with an image layout, or a directory that will get one. No file is kept open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    directory: PathBuf,
}

/// `oci-layout`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Version {
    image_layout_version: String,
}

impl Layout {
    /// The layout in `directory`. No file is read yet.
    #[must_use]
    pub fn at(directory: &Path) -> Self {
        Self { directory: directory.to_owned() }
    }

    /// An id that does not reveal the path.
    #[must_use]
    pub fn id(&self) -> String {
        let path = std::path::absolute(&self.directory).unwrap_or_else(|_| self.directory.clone());
        Digest::of(path.as_os_str().as_encoded_bytes()).hex().to_owned()
    }

    /// A blob and its size in bytes, if the blob exists. Its bytes are not verified yet.
    ///
    /// # Errors
    /// The path is not a file, or it cannot be opened.
    pub fn open(&self, digest: &Digest) -> Result<Option<(File, u64)>, LayoutError> {
        let path = self.blob(digest);
        present(self.shelf().and_then(|shelf| open_file(&shelf, digest.hex(), &path)))
    }

    /// A small blob, verified by its digest.
    ///
    /// # Errors
    /// The blob does not exist, is larger than `limit`, or has another digest.
    pub fn read(&self, digest: &Digest, limit: usize) -> Result<Vec<u8>, LayoutError> {
        let (file, size) = self.open(digest)?.ok_or_else(|| LayoutError::Missing(digest.clone()))?;
        let mut bytes = Vec::new();
        let read = file.take(limit as u64 + 1).read_to_end(&mut bytes);
        read.map_err(|error| LayoutError::at(&self.blob(digest), error))?;
        if bytes.len() > limit {
            return Err(LayoutError::TooLarge { digest: digest.clone(), limit });
        }
        let actual = Digest::of(&bytes);
        if actual != *digest {
            let (digest, written) = (digest.clone(), bytes.len() as u64);
            return Err(LayoutError::Content { digest, size, written, actual });
        }
        Ok(bytes)
    }

    /// The manifest that `selector` names, at most 4 MiB, verified by its digest.
    ///
    /// # Errors
    /// [`LayoutError::is_not_found`]; two images have the tag; the bytes have another digest; or they are not a
    /// manifest.
    pub fn manifest(&self, selector: &Selector) -> Result<RawManifest, LayoutError> {
        let (digest, media_type): (Digest, Option<MediaType>) = match selector {
            Selector::Digest(digest) => (digest.clone(), None),
            Selector::Tag(tag) => {
                let Descriptor { digest, media_type, .. } = self.named(tag)?;
                (digest, Some(media_type))
            }
        };
        let bytes = self.read(&digest, MAX_MANIFEST_BYTES)?;
        RawManifest::new(bytes, media_type.as_ref()).map_err(LayoutError::Manifest)
    }

    /// The only image, or the only image with a tag. An index may also list entries without a tag: oras lists the
    /// children of an index there.
    ///
    /// # Errors
    /// The layout has no image, or several.
    pub fn only(&self) -> Result<Digest, LayoutError> {
        let index = self.images()?;
        let tagged = index.entries().iter().filter(|entry| entry.annotations.contains_key(REF_NAME));
        let mut digests: BTreeSet<_> = tagged.map(|entry| &entry.digest).collect();
        if digests.is_empty() {
            digests = index.entries().iter().map(|entry| &entry.digest).collect();
        }
        match (digests.pop_first(), digests.is_empty()) {
            (None, _) => Err(LayoutError::NoTag { has: index.has() }),
            (Some(digest), true) => Ok(digest.clone()),
            (Some(_), false) => Err(LayoutError::Several { has: index.has() }),
        }
    }

    fn named(&self, tag: &Tag) -> Result<Descriptor, LayoutError> {
        let index = self.images()?;
        let mut named = index.named(REF_NAME, tag.as_str());
        let first = named.next().ok_or_else(|| LayoutError::NoTag { has: index.has() })?;
        if named.any(|other| other.digest != first.digest) {
            return Err(LayoutError::Twice);
        }
        Ok(first.clone())
    }

    /// The manifest of the current cache.
    ///
    /// # Errors
    /// The index cannot be read.
    pub fn latest(&self) -> Result<Option<Digest>, LayoutError> {
        let Some(index) = self.index()? else { return Ok(None) };
        let found = index.named(IMAGE_NAME, LATEST).next().or_else(|| index.named(REF_NAME, LATEST).next());
        let Some(found) = found else { return Ok(None) };
        Ok(self.open(&found.digest)?.map(|_| found.digest.clone()))
    }

    /// Names `manifest` as the current cache. All other entries of the index are kept.
    ///
    /// # Errors
    /// The manifest does not exist, or the index cannot be read or replaced. [`LayoutError::Locked`]: see
    /// [`when_free`].
    ///
    /// [`when_free`]: super::when_free
    pub fn publish_cache(&self, manifest: &Descriptor) -> Result<(), LayoutError> {
        let is_cache = |entry: &Value| {
            let annotations = &entry["annotations"];
            annotations[REF_NAME] == LATEST && annotations[IMAGE_NAME].is_null()
        };
        self.name((&manifest.digest, &manifest.media_type), LATEST, is_cache)
    }

    /// Stores `manifest` and names it `tag`. All other entries of the index are kept.
    ///
    /// # Errors
    /// The index cannot be read or replaced, and is unchanged. [`LayoutError::Locked`]: see [`when_free`].
    ///
    /// [`when_free`]: super::when_free
    pub fn publish(&self, manifest: &RawManifest, tag: &Tag) -> Result<(), LayoutError> {
        self.put(manifest)?;
        let has_tag = |entry: &Value| entry["annotations"][REF_NAME] == tag.as_str();
        self.name((manifest.digest(), manifest.media_type()), tag.as_str(), has_tag)
    }

    /// Stores `manifest` as a blob, unless the complete blob exists.
    ///
    /// # Errors
    /// The file system returns an error.
    pub fn put(&self, manifest: &RawManifest) -> Result<(), LayoutError> {
        if self.read(manifest.digest(), MAX_MANIFEST_BYTES).is_ok() {
            return Ok(());
        }
        let mut ingest = self.ingest(manifest.digest().clone(), manifest.size())?;
        ingest.write(manifest.bytes())?;
        ingest.commit()
    }

    /// Begins to receive a blob.
    ///
    /// # Errors
    /// The file system returns an error.
    pub fn ingest(&self, digest: Digest, size: u64) -> Result<Ingest, LayoutError> {
        let (directory, temporary) = (self.made(&["blobs", "sha256"])?, self.temporary()?);
        let (path, hasher) = (self.blob(&digest), Hasher::new());
        Ok(Ingest { temporary, directory, path, digest, size, written: 0, hasher })
    }

    fn name(
        &self,
        (digest, media_type): (&Digest, &MediaType),
        name: &str,
        replaces: impl Fn(&Value) -> bool,
    ) -> Result<(), LayoutError> {
        let (_, size) = self.open(digest)?.ok_or_else(|| LayoutError::Missing(digest.clone()))?;
        let _lock = Lock::take(&self.directory)?;
        sweep(&self.made(&["ingest"])?);
        let entry =
            json!({ "mediaType": media_type, "digest": digest, "size": size, "annotations": { REF_NAME: name } });
        let text = self.small(INDEX, MOST_INDEX_BYTES)?;
        let index = with(text.as_deref(), entry, replaces).map_err(|why| self.bad(INDEX, why))?;
        if self.small(LAYOUT, MOST_LAYOUT_BYTES)?.is_none() {
            self.write(LAYOUT, br#"{"imageLayoutVersion":"1.0.0"}"#)?;
        }
        // The blobs must be on the disk before the index names them, also after a power failure.
        let path = self.directory.join("blobs");
        fsync(self.shelf()?).map_err(|error| LayoutError::at(&path, error))?;
        self.write(INDEX, index.as_bytes())
    }

    /// The index of a directory that must be a layout.
    fn images(&self) -> Result<Index, LayoutError> {
        let index = self.index()?.ok_or_else(|| LayoutError::NoLayout(self.directory.clone()))?;
        if let Some(text) = self.small(LAYOUT, MOST_LAYOUT_BYTES)? {
            let version: Version =
                document::read(&text, Shape::Layout).map_err(|error| self.bad(LAYOUT, error.to_string()))?;
            if !version.image_layout_version.starts_with("1.") {
                return Err(self.bad(LAYOUT, "its version is not supported; polyarch reads version 1.0.0".to_owned()));
            }
        }
        Ok(index)
    }

    fn index(&self) -> Result<Option<Index>, LayoutError> {
        let text = self.small(INDEX, MOST_INDEX_BYTES)?;
        text.map(|text| Index::read(&text).map_err(|why| self.bad(INDEX, why))).transpose()
    }

    /// A small file directly in the directory.
    fn small(&self, name: &str, limit: u64) -> Result<Option<Vec<u8>>, LayoutError> {
        let path = self.directory.join(name);
        let opened = open_directory(&self.directory).and_then(|directory| open_file(&directory, name, &path));
        let Some((file, _)) = present(opened)? else { return Ok(None) };
        let mut text = Vec::new();
        file.take(limit + 1).read_to_end(&mut text).map_err(|error| LayoutError::at(&path, error))?;
        if text.len() as u64 > limit {
            return Err(self.bad(name, "it is too long".to_owned()));
        }
        // BuildKit locks the file and rewrites it in place. The file is empty during that time.
        Ok(Some(text).filter(|text| !text.is_empty()))
    }

    fn bad(&self, name: &str, why: String) -> LayoutError {
        LayoutError::Index { path: self.directory.join(name), why }
    }

    fn blob(&self, digest: &Digest) -> PathBuf {
        self.directory.join("blobs").join("sha256").join(digest.hex())
    }

    /// Replaces a file atomically.
    fn write(&self, name: &str, bytes: &[u8]) -> Result<(), LayoutError> {
        let mut temporary = self.temporary()?;
        temporary.write(bytes)?;
        temporary.keep_as(open_directory(&self.directory)?, name, &self.directory.join(name))
    }

    /// A new temporary file in `ingest`, the directory that containerd and oras also use.
    fn temporary(&self) -> Result<Temporary, LayoutError> {
        Temporary::new(self.made(&["ingest"])?, &self.directory.join("ingest"))
    }

    /// Opens `blobs/sha256`. A layout must not show files outside of its directory, so no link is followed.
    fn shelf(&self) -> Result<OwnedFd, LayoutError> {
        let mut path = self.directory.clone();
        let mut directory = open_directory(&path)?;
        for name in ["blobs", "sha256"] {
            path.push(name);
            directory = step(&directory, name).map_err(|error| LayoutError::at(&path, error))?;
        }
        Ok(directory)
    }

    /// Opens a directory beneath this one, and creates it if it does not exist.
    fn made(&self, names: &[&str]) -> Result<OwnedFd, LayoutError> {
        fs::create_dir_all(&self.directory).map_err(|error| LayoutError::at(&self.directory, error))?;
        let mut path = self.directory.clone();
        let mut directory = open_directory(&path)?;
        for name in names {
            path.push(name);
            let made = match mkdirat(&directory, *name, Mode::from_bits_truncate(0o777)) {
                Err(Errno::EXIST) | Ok(()) => step(&directory, name),
                Err(error) => Err(error),
            };
            directory = made.map_err(|error| LayoutError::at(&path, error))?;
        }
        Ok(directory)
    }
}

/// Opens the directory of the layout. The user named it, so a link to it is allowed.
fn open_directory(path: &Path) -> Result<OwnedFd, LayoutError> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    // Links to the directory are followed. Any other file is an error.
    open(path, flags, Mode::empty()).map_err(|error| LayoutError::File { path: path.to_owned(), error: error.into() })
}

fn step(from: &OwnedFd, name: &str) -> Result<OwnedFd, Errno> {
    openat(from, name, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())
}

/// Opens a regular file, and returns its size. Reading a pipe or a device might never end.
fn open_file(directory: &OwnedFd, name: &str, path: &Path) -> Result<(File, u64), LayoutError> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = File::from(openat(directory, name, flags, Mode::empty()).map_err(|error| LayoutError::at(path, error))?);
    let metadata = file.metadata().map_err(|error| LayoutError::at(path, error))?;
    if !metadata.is_file() {
        return Err(LayoutError::Special(path.to_owned()));
    }
    Ok((file, metadata.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(digest: &Digest) -> Descriptor {
        let text = json!({ "mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": digest, "size": 1 });
        serde_json::from_value(text).unwrap()
    }

    fn put(layout: &Layout, bytes: &[u8]) -> Digest {
        let digest = Digest::of(bytes);
        let mut ingest = layout.ingest(digest.clone(), bytes.len() as u64).unwrap();
        bytes.chunks(3).for_each(|part| ingest.write(part).unwrap());
        ingest.commit().unwrap();
        digest
    }

    fn files(directory: &Path) -> usize {
        fs::read_dir(directory).unwrap().count()
    }

    #[test]
    fn layout_never_stores_wrong_bytes_under_a_digest() {
        let folder = tempfile::tempdir().unwrap();
        let layout = Layout::at(&folder.path().join("cache"));
        let digest = Digest::of(b"layer");
        for (bytes, said) in [(&b"later"[..], "wrong content"), (b"lay", "wrong content"), (b"layers", "more bytes")] {
            let mut ingest = layout.ingest(digest.clone(), 5).unwrap();
            let refused = ingest.write(bytes).and_then(|()| ingest.commit());
            let refused = refused.unwrap_err().to_string();
            assert!(refused.contains(said), "{refused}");
            assert!(layout.open(&digest).unwrap().is_none());
        }
        drop(layout.ingest(digest.clone(), 5).unwrap());
        assert_eq!(files(&folder.path().join("cache/ingest")), 0);
        assert_eq!(put(&layout, b"layer"), digest);
        let (mut file, size) = layout.open(&digest).unwrap().unwrap();
        let mut read = String::new();
        file.read_to_string(&mut read).unwrap();
        assert_eq!((&*read, size), ("layer", 5));
        assert_eq!(
            (files(&folder.path().join("cache/ingest")), files(&folder.path().join("cache/blobs/sha256"))),
            (0, 1)
        );
    }

    #[test]
    fn layout_sweeps_only_files_of_killed_processes() {
        let folder = tempfile::tempdir().unwrap();
        let layout = Layout::at(folder.path());
        let digest = put(&layout, b"layer");
        let ingest = folder.path().join("ingest");
        // Files of killed processes: a part of a blob, a part of an index, and an empty file.
        for (name, bytes) in [("0", "half a blob"), ("1", "{\"manifests\":["), ("f", "")] {
            fs::write(ingest.join(name.repeat(32)), bytes).unwrap();
        }
        // Names that oras and containerd use, and a link that leads away.
        fs::write(ingest.join("oras_1234"), "").unwrap();
        fs::create_dir(ingest.join("a".repeat(32))).unwrap();
        std::os::unix::fs::symlink(folder.path().join(INDEX), ingest.join("b".repeat(32))).unwrap();
        let mut under_way = layout.ingest(Digest::of(b"another"), 7).unwrap();
        under_way.write(b"ano").unwrap();
        layout.publish_cache(&manifest(&digest)).unwrap();
        let mut names: Vec<_> =
            fs::read_dir(&ingest).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        let own = under_way.temporary.name().to_owned();
        let mut expected = ["oras_1234".to_owned(), "a".repeat(32), "b".repeat(32), own];
        expected.sort();
        assert_eq!(names, expected);
        under_way.write(b"ther").unwrap();
        under_way.commit().unwrap();
        assert!(layout.open(&Digest::of(b"another")).unwrap().is_some());
    }

    #[test]
    fn latest_cache_is_found_beside_third_party_images() {
        let folder = tempfile::tempdir().unwrap();
        let layout = Layout::at(folder.path());
        assert_eq!(layout.latest().unwrap(), None);
        let other =
            json!({ "mediaType": "x", "digest": Digest::of(b"image"), "size": 5, "annotations": { REF_NAME: "1.0" } });
        let written = json!({ "schemaVersion": 2, "manifests": [other] });
        fs::write(folder.path().join("index.json"), written.to_string()).unwrap();
        assert_eq!(layout.latest().unwrap(), None);
        let refused = layout.publish_cache(&manifest(&Digest::of(b"none"))).unwrap_err().to_string();
        assert!(refused.contains("is not in the directory"), "{refused}");
        for bytes in [b"one", b"two"] {
            let digest = put(&layout, bytes);
            layout.publish_cache(&manifest(&digest)).unwrap();
            assert_eq!(layout.latest().unwrap(), Some(digest));
        }
        let text = fs::read(folder.path().join(INDEX)).unwrap();
        let index: Value = serde_json::from_slice(&text).unwrap();
        assert_eq!((index["manifests"].as_array().unwrap().len(), &index["manifests"][0]), (2, &other));
        // Without its manifest there is no cache.
        fs::remove_file(layout.blob(&Digest::of(b"two"))).unwrap();
        assert_eq!(layout.latest().unwrap(), None);
    }

    #[test]
    fn invalid_layout_index_is_an_error_and_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let layout = Layout::at(folder.path());
        let digest = put(&layout, b"one");
        let path = folder.path().join("index.json");
        for text in
            ["{", r#"{"manifests":{}}"#, r#"{"manifests":[{"mediaType":"x","size":1,"digest":"sha256:../../x"}]}"#]
        {
            fs::write(&path, text).unwrap();
            assert!(layout.latest().unwrap_err().to_string().contains("index.json: "), "{text}");
        }
        for text in ["[]", "{", r#"{"manifests":{}}"#] {
            fs::write(&path, text).unwrap();
            layout.publish_cache(&manifest(&digest)).unwrap_err();
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
        File::create(&path).unwrap().set_len(MOST_INDEX_BYTES + 1).unwrap();
        assert!(layout.latest().unwrap_err().to_string().contains("too long"));
    }
}
