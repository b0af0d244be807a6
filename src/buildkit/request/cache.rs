//! The caches that BuildKit imports and exports, as buildx names them (BuildKit, `client/solve.go`).

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use bollard::moby::buildkit::v1::{CacheOptions, CacheOptionsEntry};

use super::build::BuildRequest;
use crate::layout::Layout;
use crate::oci::{Digest, Reference, Selector};
use crate::plan::{CacheExport, CacheImport, CacheMode, CachePlace};

/// The manifests of the caches in directories.
pub(in crate::buildkit) type Manifests = BTreeMap<PathBuf, Digest>;

/// The place of a cache that is not inside of its image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CacheTarget {
    /// A registry.
    Registry(Reference),
    /// A directory of this machine.
    Directory(PathBuf),
}

impl fmt::Display for CacheTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Registry(reference) => reference.fmt(f),
            Self::Directory(path) => path.display().fmt(f),
        }
    }
}

/// The caches of one build.
#[derive(Debug, Default)]
pub(in crate::buildkit) struct Caches {
    imports: Vec<CacheOptionsEntry>,
    exports: Vec<CacheOptionsEntry>,
}

impl Caches {
    /// The caches that the plan names. A directory without a cache is not imported.
    pub(in crate::buildkit) fn of(request: &BuildRequest<'_>, have: &Manifests) -> Self {
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
    pub(in crate::buildkit) fn frontend_attr(&self) -> Option<(String, String)> {
        let entry = |CacheOptionsEntry { r#type, attrs }: &_| serde_json::json!({ "Type": r#type, "Attrs": attrs });
        let imports: Vec<_> = self.imports.iter().map(entry).collect();
        (!imports.is_empty()).then(|| ("cache-imports".to_owned(), serde_json::Value::from(imports).to_string()))
    }

    /// The cache options of Solve.
    pub(in crate::buildkit) fn into_options(self) -> CacheOptions {
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
pub(in crate::buildkit) fn exported_to(request: &BuildRequest<'_>) -> Option<CacheTarget> {
    match request.build.cache.to.as_ref()? {
        CacheExport::Inline => None,
        CacheExport::Registry { place, .. } => Some(CacheTarget::Registry(reference(request, place))),
        CacheExport::Directory { path, .. } => Some(CacheTarget::Directory(path.clone())),
    }
}
