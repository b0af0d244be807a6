//! Directories of this machine that hold caches: OCI image layouts (OCI image-spec, "Image Layout"), as buildx writes and
//! reads them. What the engine sends is written under its own digest, or not at all.

use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::{Value, json};

use super::session::random_id;
use crate::oci::{Descriptor, Digest, Hasher};

/// Longest `index.json` that is read.
const MOST_INDEX_BYTES: u64 = 4 << 20;
/// The name under which a directory's cache stands in its index (BuildKit, `client/solve.go`).
const LATEST: &str = "latest";
const REF_NAME: &str = "org.opencontainers.image.ref.name";
/// containerd's annotation. An entry that has it is an image of that name.
const IMAGE_NAME: &str = "io.containerd.image.name";

/// A directory with a cache in it, or where one will be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Layout {
    directory: PathBuf,
}

/// Why a directory cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub(super) enum LayoutError {
    /// The file system refuses.
    #[error("{}: {error}", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// What it says.
        error: io::Error,
    },
    /// `index.json` is none.
    #[error("{}: {why}", path.display())]
    Index {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// Other bytes than were named.
    #[error("{digest} was to have {size} bytes and has {written}, which are {actual}")]
    Content {
        /// What was named.
        digest: Digest,
        /// Its size.
        size: u64,
        /// How many bytes came.
        written: u64,
        /// What they are.
        actual: Digest,
    },
    /// More bytes than were named.
    #[error("{0} has more bytes than were named")]
    TooLong(Digest),
    /// What an index is to name is not there.
    #[error("{0} is not in the directory")]
    Missing(Digest),
}

#[derive(Deserialize)]
struct Index {
    #[serde(default)]
    manifests: Vec<Descriptor>,
}

impl Layout {
    pub(super) fn at(directory: &Path) -> Self {
        Self { directory: directory.to_owned() }
    }

    /// The name that an engine gets for it: it is told no path of this machine.
    pub(super) fn id(&self) -> String {
        let path = std::path::absolute(&self.directory).unwrap_or_else(|_| self.directory.clone());
        Digest::of(path.as_os_str().as_encoded_bytes()).hex().to_owned()
    }

    fn blob(&self, digest: &Digest) -> PathBuf {
        self.directory.join("blobs").join("sha256").join(digest.hex())
    }

    /// A blob and its size, if it is there.
    pub(super) fn open(&self, digest: &Digest) -> Result<Option<(File, u64)>, LayoutError> {
        let path = self.blob(digest);
        let opened = File::open(&path).and_then(|file| Ok((file.metadata()?.len(), file)));
        Ok(present(opened, &path)?.map(|(size, file)| (file, size)))
    }

    /// The manifest of the cache that is there now.
    pub(super) fn latest(&self) -> Result<Option<Digest>, LayoutError> {
        let Some(text) = self.index()? else { return Ok(None) };
        let index: Index = serde_json::from_slice(&text).map_err(|error| self.bad_index(error.to_string()))?;
        let named =
            |name| index.manifests.iter().find(move |one| one.annotations.get(name).is_some_and(|n| n == LATEST));
        let Some(found) = named(IMAGE_NAME).or_else(|| named(REF_NAME)) else { return Ok(None) };
        Ok(self.open(&found.digest)?.map(|_| found.digest.clone()))
    }

    /// Names `manifest` as the cache that is there. Everything else in the index stays.
    pub(super) fn publish(&self, manifest: &Descriptor) -> Result<(), LayoutError> {
        let Descriptor { digest, media_type, .. } = manifest;
        let (_, size) = self.open(digest)?.ok_or_else(|| LayoutError::Missing(digest.clone()))?;
        let index = self.index()?.map(|text| serde_json::from_slice(&text));
        let index = index.transpose().map_err(|error| self.bad_index(error.to_string()))?;
        let mut index = index.unwrap_or_else(|| json!({}));
        let Some(fields) = index.as_object_mut() else { return Err(self.bad_index("it is no object".to_owned())) };
        fields.insert("schemaVersion".to_owned(), json!(2));
        fields.entry("mediaType").or_insert_with(|| json!("application/vnd.oci.image.index.v1+json"));
        let manifests = fields.entry("manifests").or_insert_with(|| json!([]));
        if manifests.is_null() {
            *manifests = json!([]);
        }
        let Some(manifests) = manifests.as_array_mut() else {
            return Err(self.bad_index("its `manifests` are no list".to_owned()));
        };
        manifests.retain(|one| !is_latest(one));
        let named =
            json!({ "mediaType": media_type, "digest": digest, "size": size, "annotations": { REF_NAME: LATEST } });
        manifests.push(named);
        self.write("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#)?;
        self.write("index.json", index.to_string().as_bytes())
    }

    /// Begins to take a blob.
    pub(super) fn ingest(&self, digest: Digest, size: u64) -> Result<Ingest, LayoutError> {
        let blob = self.blob(&digest);
        if let Some(parent) = blob.parent() {
            fs::create_dir_all(parent).map_err(|error| at(parent, error))?;
        }
        Ok(Ingest { temporary: self.temporary()?, blob, digest, size, written: 0, hasher: Hasher::new() })
    }

    fn index(&self) -> Result<Option<Vec<u8>>, LayoutError> {
        let path = self.directory.join("index.json");
        let read = File::open(&path).and_then(|file| {
            let mut text = Vec::new();
            file.take(MOST_INDEX_BYTES + 1).read_to_end(&mut text)?;
            Ok(text)
        });
        let text = present(read, &path)?;
        // BuildKit locks it, writes it in place, and has it empty meanwhile.
        let text = text.filter(|text| !text.is_empty());
        match text {
            Some(text) if text.len() as u64 > MOST_INDEX_BYTES => Err(self.bad_index("it is too long".to_owned())),
            text => Ok(text),
        }
    }

    fn bad_index(&self, why: String) -> LayoutError {
        LayoutError::Index { path: self.directory.join("index.json"), why }
    }

    /// Puts a file in its place, whole.
    fn write(&self, name: &str, bytes: &[u8]) -> Result<(), LayoutError> {
        let mut temporary = self.temporary()?;
        temporary.file.write_all(bytes).map_err(|error| at(&temporary.path, error))?;
        temporary.keep_as(&self.directory.join(name))
    }

    /// A new file beside the blobs, where containerd has its own.
    fn temporary(&self) -> Result<Temporary, LayoutError> {
        let directory = self.directory.join("ingest");
        fs::create_dir_all(&directory).map_err(|error| at(&directory, error))?;
        let path = directory.join(random_id());
        let file = File::create_new(&path).map_err(|error| at(&path, error))?;
        Ok(Temporary { file, path })
    }
}

/// Whether an entry of an index is the cache.
fn is_latest(entry: &Value) -> bool {
    let annotations = &entry["annotations"];
    annotations[REF_NAME] == LATEST && annotations[IMAGE_NAME].is_null()
}

/// A blob that comes in. Dropped before its end, it was never there.
#[derive(Debug)]
pub(super) struct Ingest {
    temporary: Temporary,
    blob: PathBuf,
    digest: Digest,
    size: u64,
    written: u64,
    hasher: Hasher,
}

impl Ingest {
    /// Which blob.
    pub(super) fn digest(&self) -> &Digest {
        &self.digest
    }

    /// Its size, as it was named.
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// Bytes of it that came.
    pub(super) fn written(&self) -> u64 {
        self.written
    }

    /// Forgets what came of it.
    pub(super) fn restart(&mut self) -> Result<(), LayoutError> {
        let Temporary { file, path } = &mut self.temporary;
        file.set_len(0).and_then(|()| file.rewind()).map_err(|error| at(path, error))?;
        (self.written, self.hasher) = (0, Hasher::new());
        Ok(())
    }

    /// Takes more of it.
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), LayoutError> {
        if self.size - self.written < bytes.len() as u64 {
            return Err(LayoutError::TooLong(self.digest.clone()));
        }
        self.temporary.file.write_all(bytes).map_err(|error| at(&self.temporary.path, error))?;
        self.hasher.update(bytes);
        self.written += bytes.len() as u64;
        Ok(())
    }

    /// Puts it in its place, if it is what was named.
    pub(super) fn commit(self) -> Result<(), LayoutError> {
        let Self { temporary, blob, digest, size, written, hasher } = self;
        let actual = hasher.finish();
        if actual != digest || size != written {
            return Err(LayoutError::Content { digest, size, written, actual });
        }
        temporary.keep_as(&blob)
    }
}

/// A file that goes when it is dropped.
#[derive(Debug)]
struct Temporary {
    file: File,
    path: PathBuf,
}

impl Temporary {
    /// On the disk before it has its name: what is found under it is whole.
    fn keep_as(self, name: &Path) -> Result<(), LayoutError> {
        self.file.sync_data().map_err(|error| at(&self.path, error))?;
        fs::rename(&self.path, name).map_err(|error| at(name, error))
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // After the rename there is none.
        let _ = fs::remove_file(&self.path);
    }
}

fn at(path: &Path, error: io::Error) -> LayoutError {
    LayoutError::File { path: path.to_owned(), error }
}

/// What is not there is no error.
fn present<T>(read: io::Result<T>, path: &Path) -> Result<Option<T>, LayoutError> {
    match read {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(at(path, error)),
    }
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
    fn other_bytes_than_were_named_are_never_in_a_cache() {
        let folder = tempfile::tempdir().unwrap();
        let layout = Layout::at(&folder.path().join("cache"));
        let digest = Digest::of(b"layer");
        for (bytes, said) in [(&b"later"[..], "was to have"), (b"lay", "was to have"), (b"layers", "more bytes")] {
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
    fn the_cache_that_was_exported_last_is_found_beside_images_of_others() {
        let folder = tempfile::tempdir().unwrap();
        let layout = Layout::at(folder.path());
        assert_eq!(layout.latest().unwrap(), None);
        let other =
            json!({ "mediaType": "x", "digest": Digest::of(b"image"), "size": 5, "annotations": { REF_NAME: "1.0" } });
        let written = json!({ "schemaVersion": 2, "manifests": [other] });
        fs::write(folder.path().join("index.json"), written.to_string()).unwrap();
        assert_eq!(layout.latest().unwrap(), None);
        let refused = layout.publish(&manifest(&Digest::of(b"none"))).unwrap_err().to_string();
        assert!(refused.contains("is not in the directory"), "{refused}");
        for bytes in [b"one", b"two"] {
            let digest = put(&layout, bytes);
            layout.publish(&manifest(&digest)).unwrap();
            assert_eq!(layout.latest().unwrap(), Some(digest));
        }
        let index: Value = serde_json::from_slice(&layout.index().unwrap().unwrap()).unwrap();
        assert_eq!((index["manifests"].as_array().unwrap().len(), &index["manifests"][0]), (2, &other));
        // Without its manifest it is none.
        fs::remove_file(layout.blob(&Digest::of(b"two"))).unwrap();
        assert_eq!(layout.latest().unwrap(), None);
    }

    #[test]
    fn an_index_that_is_none_is_an_error_and_stays_as_it_was() {
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
            layout.publish(&manifest(&digest)).unwrap_err();
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
        File::create(&path).unwrap().set_len(MOST_INDEX_BYTES + 1).unwrap();
        assert!(layout.latest().unwrap_err().to_string().contains("too long"));
    }
}
