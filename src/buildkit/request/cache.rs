//! The caches that BuildKit imports and exports, as buildx names them (BuildKit, `client/solve.go`).

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use bollard::moby::buildkit::v1::{CacheOptions, CacheOptionsEntry};

use super::build::BuildRequest;
use crate::layout::Layout;
use crate::oci::{Digest, Reference, Selector};
use crate::plan::{CacheExport, CacheImport, CacheMode, CachePlace, ServiceCache};

/// The manifests of the caches in directories.
pub(in crate::buildkit) type Manifests = BTreeMap<PathBuf, Digest>;

/// The place of a cache that is not inside of its image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CacheTarget {
    /// A registry.
    Registry(Reference),
    /// A directory of this machine.
    Directory(PathBuf),
    /// A storage service, by its type and its name.
    Service(String),
}

impl fmt::Display for CacheTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Registry(reference) => reference.fmt(f),
            Self::Directory(path) => path.display().fmt(f),
            Self::Service(cache) => f.write_str(cache),
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
            CacheImport::Registry(place) => {
                Some(in_registry(request, entry("registry", []), &reference(request, place)))
            }
            CacheImport::Directory(path) => {
                let manifest = have.get(path)?.to_string();
                Some(entry("local", [("src", Layout::at(path).id()), ("digest", manifest)]))
            }
            CacheImport::Service(cache) => Some(in_service(cache)),
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
            in_registry(request, apart("registry", *mode), &reference(request, place))
        }
        CacheExport::Directory { path, mode } => {
            let mut directory = apart("local", *mode);
            directory.attrs.insert("dest".to_owned(), Layout::at(path).id());
            directory
        }
        CacheExport::Service { cache, mode } => {
            let mut entry = in_service(cache);
            entry.attrs.insert("mode".to_owned(), mode.as_str().to_owned());
            entry
        }
    }
}

/// A cache in a service, with its secrets.
fn in_service(ServiceCache { service, attributes, hidden }: &ServiceCache) -> CacheOptionsEntry {
    let hidden = hidden.iter().map(|(key, text)| (key.clone(), text.expose().to_owned()));
    let attrs = attributes.clone().into_iter().chain(hidden).collect();
    CacheOptionsEntry { r#type: service.as_str().to_owned(), attrs }
}

/// The cache `entry` at `reference`.
fn in_registry(request: &BuildRequest<'_>, mut entry: CacheOptionsEntry, reference: &Reference) -> CacheOptionsEntry {
    if request.may_use_http(&reference.repository) {
        entry.attrs.insert("registry.insecure".to_owned(), "true".to_owned());
    }
    entry.attrs.insert("ref".to_owned(), reference.to_string());
    entry
}

/// A cache in its own image manifest.
fn apart(kind: &str, mode: CacheMode) -> CacheOptionsEntry {
    let attrs = [
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
        CacheExport::Service { cache, .. } => Some(CacheTarget::Service(cache.to_string())),
    }
}
