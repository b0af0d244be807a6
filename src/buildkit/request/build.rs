//! The request for a build.

use std::collections::BTreeMap;

use super::contexts::BaseImage;
use super::shared_context::SharedContext;
use crate::buildkit::session::Session;
use crate::oci::{Platform, RegistryHost, Repository, TagRef};
use crate::plan::{BuildSpec, ImageName};

/// The request for a build.
#[derive(Debug)]
pub struct BuildRequest<'a> {
    /// The place for the image.
    pub to: Output<'a>,
    /// The platform.
    pub platform: &'a Platform,
    /// The build settings of the plan, which the engine supports. The session serves the context, the Dockerfile and the
    /// secrets.
    pub build: &'a BuildSpec,
    /// The places of the images in the plan that this build uses as base images.
    pub bases: &'a BTreeMap<ImageName, BaseImage>,
    /// A registry that BuildKit may reach over plain HTTP. Docker Engine decides this by its own settings.
    pub plain_http: Option<&'a RegistryHost>,
    /// The context, if other builds share it. `None` uses the session's own context.
    pub context: Option<SharedContext<'a>>,
}

impl<'a> BuildRequest<'a> {
    /// Whether BuildKit may reach the registry of `repository` over plain HTTP.
    pub(super) fn may_use_http(&self, repository: &Repository) -> bool {
        self.plain_http == Some(repository.host())
    }

    /// The sessions of the build: its `own` one, and the one of a shared context.
    pub(crate) fn sessions(&self, own: &'a Session) -> impl Iterator<Item = &'a Session> + use<'a> {
        [Some(own), self.context.map(|context| context.session)].into_iter().flatten()
    }
}

/// The names of an image on the engine that builds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineNames {
    /// A name that no other build uses. It shows the built image until polyarch removes the name.
    pub own: TagRef,
    /// The permanent name, which the push uses. Any other build may move it at any time.
    pub shared: TagRef,
}

/// The place for a built image.
#[derive(Debug, Clone, Copy)]
pub enum Output<'a> {
    /// The image stays on the engine, under these names.
    Engine(&'a EngineNames),
    /// The engine pushes the image to this repository by digest, and keeps only its build cache. The session has the
    /// login there.
    Registry(&'a Repository),
    /// BuildKit keeps only its build cache, and pushes nothing to this repository.
    Nowhere(&'a Repository),
}

impl<'a> Output<'a> {
    /// The repository of the image.
    pub(crate) fn repository(self) -> &'a Repository {
        match self {
            Self::Engine(names) => &names.shared.repository,
            Self::Registry(repository) | Self::Nowhere(repository) => repository,
        }
    }
}
