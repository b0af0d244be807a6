//! The caches in directories of this machine, which BuildKit imports and exports through a session.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::error::BuildKitError;
use super::request::{CacheTarget, Manifests};
use super::status::BuildEvent;
use crate::layout::{Layout, on_disk, when_free};
use crate::oci::Descriptor;
use crate::plan::{BuildSpec, CacheExport, CacheImport};

/// The directories that `build` imports caches from.
fn sources(build: &BuildSpec) -> impl Iterator<Item = &Path> {
    build.cache.from.iter().filter_map(|from| match from {
        CacheImport::Directory(path) => Some(path.as_path()),
        CacheImport::Registry(_) | CacheImport::Service(_) => None,
    })
}

/// The directories that the engine reads and writes for the caches of `build`.
pub fn cache_directories(build: &BuildSpec) -> impl Iterator<Item = PathBuf> {
    let exported = match &build.cache.to {
        Some(CacheExport::Directory { path, .. }) => Some(path.clone()),
        Some(CacheExport::Inline | CacheExport::Registry { .. } | CacheExport::Service { .. }) | None => None,
    };
    sources(build).map(Path::to_owned).chain(exported)
}

/// Searches the directories for caches, and reports directories without one. The build continues without these caches.
pub(super) async fn find(build: &BuildSpec) -> (Manifests, Vec<BuildEvent>) {
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
pub(super) async fn publish(build: &BuildSpec, response: &HashMap<String, String>) -> Result<(), BuildKitError> {
    let Some(CacheExport::Directory { path, .. }) = &build.cache.to else { return Ok(()) };
    let Some(answer) = response.get("cache.manifest").filter(|answer| !answer.is_empty()) else { return Ok(()) };
    let failed = |message| BuildKitError::CacheExport { to: CacheTarget::Directory(path.clone()), message };
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
pub(super) fn with_directory_names(event: BuildEvent, build: &BuildSpec) -> BuildEvent {
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
