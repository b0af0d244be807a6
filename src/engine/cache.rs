//! The caches that BuildKit imports and exports, as buildx names them (BuildKit, `client/solve.go`).

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use bollard::moby::buildkit::v1::{CacheOptions, CacheOptionsEntry};

use super::error::{CacheTarget, EngineErrorKind};
use super::request::BuildRequest;
use super::status::BuildEvent;
use crate::layout::{Layout, on_disk, when_free};
use crate::oci::{Descriptor, Digest, Reference, Selector};
use crate::plan::{BuildSpec, CacheExport, CacheImport, CacheMode, CachePlace};

/// The manifests of the caches in directories.
pub(super) type Manifests = BTreeMap<PathBuf, Digest>;

/// The caches of one build.
#[derive(Debug, Default)]
pub(super) struct Caches {
    imports: Vec<CacheOptionsEntry>,
    exports: Vec<CacheOptionsEntry>,
}

impl Caches {
    /// The caches that the plan names. A directory without a cache is not imported.
    pub(super) fn of(request: &BuildRequest<'_>, have: &Manifests) -> Self {
        let cache = &request.build.cache;
        let imports = cache.from.iter().filter_map(|from| match from {
            // `BuildKit` uses the same type for a cache inside of an image.
            CacheImport::Registry(place) => Some(entry("registry", [("ref", reference(request, place).to_string())])),
            CacheImport::Directory(path) => {
                let manifest = have.get(path)?.to_string();
                Some(entry("local", [("src", Layout::at(path).id()), ("digest", manifest)]))
            }
        });
        let exports = cache.to.iter().map(|to| export(request, to));
        Self { imports: imports.collect(), exports: exports.collect() }
    }

    /// The frontend imports caches itself and reads them as JSON (`BuildKit`, `frontend/dockerui`, `cache-imports`).
    pub(super) fn frontend_attr(&self) -> Option<(String, String)> {
        let entry = |CacheOptionsEntry { r#type, attrs }: &_| serde_json::json!({ "Type": r#type, "Attrs": attrs });
        let imports: Vec<_> = self.imports.iter().map(entry).collect();
        (!imports.is_empty()).then(|| ("cache-imports".to_owned(), serde_json::Value::from(imports).to_string()))
    }

    /// The cache options of Solve.
    pub(super) fn into_options(self) -> CacheOptions {
        CacheOptions { imports: self.imports, exports: self.exports, ..CacheOptions::default() }
    }
}

fn export(request: &BuildRequest<'_>, to: &CacheExport) -> CacheOptionsEntry {
    match to {
        CacheExport::Inline => entry("inline", []),
        CacheExport::Registry { place, mode } => {
            apart("registry", ("ref", reference(request, place).to_string()), *mode)
        }
        CacheExport::Directory { path, mode } => apart("local", ("dest", Layout::at(path).id()), *mode),
    }
}

/// A cache in its own image manifest.
fn apart(kind: &str, place: (&str, String), mode: CacheMode) -> CacheOptionsEntry {
    let attrs = [
        place,
        ("mode", mode.as_str().to_owned()),
        // Without these, BuildKit before 0.21 writes an index with layers as entries. ECR and other registries refuse
        // such an index.
        ("image-manifest", "true".to_owned()),
        ("oci-mediatypes", "true".to_owned()),
    ];
    entry(kind, attrs)
}

fn entry<const N: usize>(kind: &str, attrs: [(&str, String); N]) -> CacheOptionsEntry {
    let attrs = attrs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
    CacheOptionsEntry { r#type: kind.to_owned(), attrs }
}

/// The reference of a cache. `Own` means the repository of the image's name.
fn reference(request: &BuildRequest<'_>, place: &CachePlace) -> Reference {
    match place {
        CachePlace::Own(tag) => {
            Reference { repository: request.to.repository().clone(), selector: Selector::Tag(tag.clone()) }
        }
        CachePlace::Reference(reference) => reference.clone(),
    }
}

/// The place that the build exports its cache to, unless the cache is inside of the image.
pub(super) fn exported_to(request: &BuildRequest<'_>) -> Option<CacheTarget> {
    match request.build.cache.to.as_ref()? {
        CacheExport::Inline => None,
        CacheExport::Registry { place, .. } => Some(CacheTarget::Registry(reference(request, place))),
        CacheExport::Directory { path, .. } => Some(CacheTarget::Directory(path.clone())),
    }
}

/// The directories that `build` imports caches from.
fn sources(build: &BuildSpec) -> impl Iterator<Item = &Path> {
    build.cache.from.iter().filter_map(|from| match from {
        CacheImport::Directory(path) => Some(path.as_path()),
        CacheImport::Registry(_) => None,
    })
}

/// The directories that the engine reads and writes for the caches of `build`.
pub fn cache_directories(build: &BuildSpec) -> impl Iterator<Item = PathBuf> {
    let exported = match &build.cache.to {
        Some(CacheExport::Directory { path, .. }) => Some(path.clone()),
        Some(CacheExport::Inline | CacheExport::Registry { .. }) | None => None,
    };
    sources(build).map(Path::to_owned).chain(exported)
}

/// Searches the directories for caches, and reports directories without one. The build continues without these caches.
pub(super) async fn look(build: &BuildSpec) -> (Manifests, Vec<BuildEvent>) {
    let (mut manifests, mut events) = (Manifests::new(), Vec::new());
    for path in sources(build) {
        let layout = Layout::at(path);
        let at = path.display().to_string();
        match on_disk(move || layout.latest()).await {
            Ok(Some(manifest)) => drop(manifests.insert(path.to_owned(), manifest)),
            Ok(None) => events.push(BuildEvent::CacheMissing { at }),
            Err(error) => events.push(BuildEvent::CacheUnusable { at, error: error.to_string() }),
        }
    }
    (manifests, events)
}

/// Makes the exported cache the current cache of its directory. A build without steps exports nothing.
pub(super) async fn publish(build: &BuildSpec, response: &HashMap<String, String>) -> Result<(), EngineErrorKind> {
    let Some(CacheExport::Directory { path, .. }) = &build.cache.to else { return Ok(()) };
    let Some(answer) = response.get("cache.manifest").filter(|answer| !answer.is_empty()) else { return Ok(()) };
    let failed = |message| EngineErrorKind::CacheExport { to: CacheTarget::Directory(path.clone()), message };
    let manifest: Descriptor = serde_json::from_str(answer)
        .map_err(|error| failed(format!("the engine did not name the manifest that it exported: {error}")))?;
    let layout = Layout::at(path);
    let publish = || {
        let (layout, manifest) = (layout.clone(), manifest.clone());
        on_disk(move || layout.publish_cache(&manifest))
    };
    when_free(publish).await.map_err(|error| failed(error.to_string()))
}

/// Replaces BuildKit's name for a cache in a directory, which is a hash of its options (`solver/llbsolver`, `cmKey`),
/// with the directory.
pub(super) fn in_our_words(event: BuildEvent, build: &BuildSpec) -> BuildEvent {
    let ours = |at: String| {
        let hash = at.strip_prefix("local:").is_some_and(|hash| hash.bytes().all(|byte| byte.is_ascii_digit()));
        let names = sources(build).map(|path| path.display().to_string()).collect::<Vec<_>>();
        if hash && !names.is_empty() { names.join(" or ") } else { at }
    };
    match event {
        BuildEvent::CacheMissing { at } => BuildEvent::CacheMissing { at: ours(at) },
        BuildEvent::CacheUnusable { at, error } => BuildEvent::CacheUnusable { at: ours(at), error },
        other => other,
    }
}
