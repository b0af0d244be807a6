//! Named contexts. polyarch passes them to the Dockerfile frontend (buildx, `build/opt.go`; `BuildKit`,
//! `frontend/dockerui/namedcontext.go`).

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;

use super::worker::Worker;
use crate::context::{GivenDockerfile, dockerfile_at};
use crate::oci::{DigestRef, Reference, Selector, TagRef};
use crate::plan::{BuildSpec, Context, ContextName, Dockerfile, ImageName, NamedContext};

/// The place of an image of the plan that another image builds on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BaseImage {
    /// In the registry, confirmed.
    Pushed(DigestRef),
    /// On the engine of the image that builds on it, and nowhere else.
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

impl From<BaseImage> for Reference {
    fn from(base: BaseImage) -> Self {
        match base {
            BaseImage::Pushed(DigestRef { repository, digest }) => {
                Self { repository, selector: Selector::Digest(digest) }
            }
            BaseImage::OnEngine(TagRef { repository, tag }) => Self { repository, selector: Selector::Tag(tag) },
        }
    }
}

/// The frontend's options for the build context and the Dockerfile of `build`.
pub(super) fn input_attrs(build: &BuildSpec) -> HashMap<String, String> {
    let name = match &build.dockerfile {
        Dockerfile::InContext(path) => path.clone(),
        // The file's name in the directory that the session serves.
        given => given_dockerfile(given).map_or_else(|| GivenDockerfile::NAME.to_owned(), |given| given.name()),
    };
    let mut attrs = HashMap::from([("filename".to_owned(), name)]);
    if let Context::Remote(remote) = &build.context {
        attrs.insert("context".to_owned(), remote.to_string());
        if !build.dockerfile.is_fetched() {
            // The Dockerfile is not in the context.
            attrs.insert("dockerfilekey".to_owned(), "dockerfile".to_owned());
        }
    }
    attrs
}

/// The frontend's options for the named contexts of `build`. A frontend from a `# syntax=` line may not know contexts.
/// It then refuses these options.
pub(super) fn attrs(
    worker: &Worker,
    build: &BuildSpec,
    bases: &BTreeMap<ImageName, BaseImage>,
) -> HashMap<String, String> {
    let mut attrs = HashMap::new();
    for (name, context) in build.contexts.iter().filter(|_| worker.knows_contexts) {
        let found = match context {
            // Without an image the frontend gets no context of this name, and then finds nothing under it.
            NamedContext::Image(image) => bases.get(image).map(|base| format!("docker-image://{base}")),
            NamedContext::Reference(reference) => Some(format!("docker-image://{reference}")),
            NamedContext::Directory(_) => Some(format!("local:{}", directory_name(name))),
            NamedContext::Remote(remote) => Some(remote.to_string()),
        };
        attrs.extend(found.map(|found| (format!("context:{name}"), found)));
    }
    if !attrs.is_empty() {
        attrs.insert("frontend.caps".to_owned(), "moby.buildkit.frontend.contexts+forward".to_owned());
    }
    if bases.values().any(|base| matches!(base, BaseImage::OnEngine(_))) {
        // A registry may have an older image under this name.
        attrs.insert("image-resolve-mode".to_owned(), "local".to_owned());
    }
    attrs
}

/// The Dockerfile that a session serves. `None` means that the engine fetches it, or that it comes from standard input
/// and is not read yet.
#[must_use]
pub fn given_dockerfile(dockerfile: &Dockerfile) -> Option<GivenDockerfile> {
    match dockerfile {
        Dockerfile::File(path) => Some(GivenDockerfile::File(dockerfile_at(path))),
        Dockerfile::Inline(text) => Some(GivenDockerfile::Text(text.clone())),
        Dockerfile::InContext(_) | Dockerfile::StandardInput => None,
    }
}

/// The directories among the contexts of `build`, by the names that the session serves them under.
#[must_use]
pub fn directories(build: &BuildSpec) -> BTreeMap<String, PathBuf> {
    let directory = |(name, context): (&ContextName, &NamedContext)| match context {
        NamedContext::Directory(path) => Some((directory_name(name), path.clone())),
        NamedContext::Image(_) | NamedContext::Reference(_) | NamedContext::Remote(_) => None,
    };
    build.contexts.iter().filter_map(directory).collect()
}

/// A name that differs from the names of the build context and of the Dockerfile's directory.
fn directory_name(name: &ContextName) -> String {
    match name.as_str() {
        taken @ ("context" | "dockerfile") => format!("_{taken}"),
        free => free.to_owned(),
    }
}
