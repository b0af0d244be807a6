//! Named contexts, as the Dockerfile frontend is told of them (buildx, `build/opt.go`; `BuildKit`,
//! `frontend/dockerui/namedcontext.go`).

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;

use crate::oci::{DigestRef, TagRef};
use crate::plan::{BuildSpec, ContextName, ImageName, NamedContext};

/// Where an image of the plan is that another one builds on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BaseImage {
    /// In the registry, confirmed.
    Pushed(DigestRef),
    /// On the engine that builds on it, and nowhere else.
    OnEngine(TagRef),
}

impl std::fmt::Display for BaseImage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Pushed(image) => image.fmt(f),
            Self::OnEngine(image) => image.fmt(f),
        }
    }
}

/// The frontend's options for the contexts of `build`. A frontend of a `# syntax=` line that does not know contexts
/// refuses them.
pub(super) fn attrs(build: &BuildSpec, bases: &BTreeMap<ImageName, BaseImage>) -> HashMap<String, String> {
    let mut attrs = HashMap::new();
    for (name, context) in &build.contexts {
        let found = match context {
            // One that is not there leaves the name to the frontend, which then finds nothing under it.
            NamedContext::Image(image) => bases.get(image).map(|base| format!("docker-image://{base}")),
            NamedContext::Reference(reference) => Some(format!("docker-image://{reference}")),
            NamedContext::Directory(_) => Some(format!("local:{}", directory_name(name))),
        };
        attrs.extend(found.map(|found| (format!("context:{name}"), found)));
    }
    if !attrs.is_empty() {
        attrs.insert("frontend.caps".to_owned(), "moby.buildkit.frontend.contexts+forward".to_owned());
    }
    if bases.values().any(|base| matches!(base, BaseImage::OnEngine(_))) {
        // A registry may have an older one under its name.
        attrs.insert("image-resolve-mode".to_owned(), "local".to_owned());
    }
    attrs
}

/// The directories among the contexts of `build`, by the names under which a session serves them.
#[must_use]
pub fn directories(build: &BuildSpec) -> BTreeMap<String, PathBuf> {
    let directory = |(name, context): (&ContextName, &NamedContext)| match context {
        NamedContext::Directory(path) => Some((directory_name(name), path.clone())),
        NamedContext::Image(_) | NamedContext::Reference(_) => None,
    };
    build.contexts.iter().filter_map(directory).collect()
}

/// A name that is neither that of the build context nor that of the Dockerfile's directory.
fn directory_name(name: &ContextName) -> String {
    match name.as_str() {
        taken @ ("context" | "dockerfile") => format!("_{taken}"),
        free => free.to_owned(),
    }
}
