//! The caches that BuildKit imports and exports, as buildx names them (BuildKit, `client/solve.go`).

use bollard::moby::buildkit::v1::{CacheOptions, CacheOptionsEntry};

use super::request::BuildRequest;
use crate::oci::{Reference, Selector};
use crate::plan::{CacheExport, CachePlace};

/// What Solve is told.
pub(super) fn options(request: &BuildRequest<'_>) -> CacheOptions {
    let cache = &request.build.cache;
    CacheOptions {
        imports: cache.from.iter().map(|place| import(request, place)).collect(),
        exports: cache.to.iter().map(|to| export(request, to)).collect(),
        ..CacheOptions::default()
    }
}

/// The frontend imports by itself, and is told in JSON (`BuildKit`, `frontend/dockerui`, `cache-imports`).
pub(super) fn frontend_attr(request: &BuildRequest<'_>) -> Option<(String, String)> {
    let entry = |place| {
        let CacheOptionsEntry { r#type, attrs } = import(request, place);
        serde_json::json!({ "Type": r#type, "Attrs": attrs })
    };
    let imports: Vec<_> = request.build.cache.from.iter().map(entry).collect();
    (!imports.is_empty()).then(|| ("cache-imports".to_owned(), serde_json::Value::from(imports).to_string()))
}

/// Where the build exports its cache to, if it is a place of its own.
pub(super) fn exported_to(request: &BuildRequest<'_>) -> Option<Reference> {
    match request.build.cache.to.as_ref()? {
        CacheExport::Inline => None,
        CacheExport::Registry { place, .. } => Some(reference(request, place)),
    }
}

/// `BuildKit` finds the cache of an image by the same type.
fn import(request: &BuildRequest<'_>, place: &CachePlace) -> CacheOptionsEntry {
    entry("registry", [("ref", reference(request, place).to_string())])
}

fn export(request: &BuildRequest<'_>, to: &CacheExport) -> CacheOptionsEntry {
    match to {
        CacheExport::Inline => entry("inline", []),
        CacheExport::Registry { place, mode } => entry(
            "registry",
            [
                ("ref", reference(request, place).to_string()),
                ("mode", mode.as_str().to_owned()),
                // BuildKit before 0.21 would put an index whose entries are layers, which ECR and others refuse.
                ("image-manifest", "true".to_owned()),
                ("oci-mediatypes", "true".to_owned()),
            ],
        ),
    }
}

fn entry<const N: usize>(kind: &str, attrs: [(&str, String); N]) -> CacheOptionsEntry {
    let attrs = attrs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
    CacheOptionsEntry { r#type: kind.to_owned(), attrs }
}

/// The repository of the image's name is its own.
fn reference(request: &BuildRequest<'_>, place: &CachePlace) -> Reference {
    match place {
        CachePlace::Own(tag) => {
            Reference { repository: request.to.repository().clone(), selector: Selector::Tag(tag.clone()) }
        }
        CachePlace::Reference(reference) => reference.clone(),
    }
}
