//! The resolved plan: what is built, on which engines, and under which names it is published.

use std::collections::BTreeSet;
use std::num::NonZeroU16;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::oci::{EntryOverride, Platform, Reference, RegistryHost, Repository, RepositoryPath, Tag};

use super::ecr::{EcrControl, EcrCreation};
use super::error::Problem;
use super::host::EngineHost;
use super::names::{EngineName, ImageName};
use super::places::Places;
use super::silence::Caution;
use super::spec::{BuildSpec, Dockerfile};

/// A plan with every default, variable and override applied, and nothing left to look up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Where images are built to.
    pub registry: RegistryChoice,
    /// Where they are copied to, in the plan's order. None is there twice, or is [`Plan::registry`].
    pub copies: Vec<NamedRegistry>,
    /// The engines that the plan names, in its order; none means the engine that the docker CLI would use.
    pub engines: Vec<EngineSpec>,
    /// The selected images, in the plan's order. At least one.
    pub images: Vec<Image>,
    /// Images of the plan that the selection left out, in the plan's order.
    pub left_out: Vec<ImageName>,
    /// The cautions that no run of this plan says.
    pub silence: BTreeSet<Caution>,
    /// What the user should know and that stops nothing.
    pub warnings: Vec<Problem>,
    /// Where the inputs of its builds are said.
    pub places: Places,
}

/// Where the plan, or the command line over it, says that images are built to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum RegistryChoice {
    /// Nothing was said: the embedded registry, and in CI an error.
    #[default]
    Unnamed,
    /// `registry: local`: the embedded registry.
    Embedded,
    /// A registry by name.
    Named(NamedRegistry),
}

impl RegistryChoice {
    /// The registry, where it has a name.
    pub(super) fn named(&self) -> Option<&NamedRegistry> {
        match self {
            Self::Named(named) => Some(named),
            Self::Unnamed | Self::Embedded => None,
        }
    }
}

/// A registry by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedRegistry {
    /// Its host and port.
    pub host: RegistryHost,
    /// What stands before the name of each of its repositories: `acme` of `ghcr.io/acme`.
    pub namespace: Option<RepositoryPath>,
    /// How it is spoken to.
    pub transport: Transport,
    /// A PEM file of certificate authorities that are trusted for this registry, beside the system's.
    pub ca: Option<PathBuf>,
    /// The certificate that is shown to it.
    pub cert: Option<ClientCertificate>,
    /// Hosts of this machine or of private networks to which it may send polyarch, for tokens, uploads and downloads.
    pub may_send_to: Vec<RegistryHost>,
    /// Where its API is, if it is one of Amazon ECR.
    pub ecr: Option<EcrControl>,
}

/// A client certificate and its key, both in PEM files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCertificate {
    /// The certificate, and those behind it.
    pub cert: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

impl From<RegistryHost> for NamedRegistry {
    /// A registry with default settings: HTTPS, and plain HTTP on loopback.
    fn from(host: RegistryHost) -> Self {
        let transport = if host.is_loopback() { Transport::InsecureHttp } else { Transport::Https };
        let ecr = host.is_ecr().then(EcrControl::default);
        Self { host, namespace: None, transport, ca: None, cert: None, may_send_to: Vec::new(), ecr }
    }
}

impl NamedRegistry {
    /// Whether this is the registry and the namespace of `repository`; then its name there.
    pub(super) fn own<'a>(&self, repository: &'a Repository) -> Option<&'a str> {
        let path = Some(repository.path().as_str()).filter(|_| *repository.host() == self.host)?;
        self.namespace.as_ref().map_or(Some(path), |namespace| path.strip_prefix(namespace.as_str())?.strip_prefix('/'))
    }
}

/// How a registry is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// HTTPS, certificates verified.
    Https,
    /// Plain HTTP: `insecure: true` was said, or the host is exactly a loopback name or address.
    InsecureHttp,
}

/// An engine that the plan names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineSpec {
    /// Its name in the plan.
    pub name: EngineName,
    /// Where it listens.
    pub host: EngineHost,
    /// The platforms that it may build, foreign ones among them; without a list those of its own processor.
    pub platforms: Option<Vec<Platform>>,
    /// How many builds it runs at once.
    pub slots: NonZeroU16,
}

impl EngineSpec {
    /// Builds at once on an engine whose `slots` the plan does not say.
    pub const DEFAULT_SLOTS: NonZeroU16 = NonZeroU16::new(4).unwrap();
}

/// An image of the plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// Its name in the plan.
    pub name: ImageName,
    /// The name of its repository, which stands behind the namespace of each registry.
    pub repository: RepositoryPath,
    /// The final tags, without duplicates. At least one; the first one names the per-arch tags.
    pub tags: Vec<Tag>,
    /// What becomes of what the platforms' images are attested.
    pub attestations: AttestationPolicy,
    /// How its repository is created in registries of Amazon ECR that do not have it; `None`: it is not.
    pub ecr: Option<EcrCreation>,
    /// What is built or adopted, in the plan's order of platforms. At least one, no platform twice.
    pub jobs: Vec<Job>,
    /// Platforms of the image that the selection left out, in the plan's order. Unless empty, the image cannot
    /// be joined from `jobs` alone.
    pub left_out: Vec<Platform>,
}

/// One platform of an image, and what is done to have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job<W = Work> {
    /// The platform.
    pub platform: Platform,
    /// The tag under which this platform alone is pushed, in the image's repository, unless [`ArchTags::None`]; its
    /// name on the engine, where it stays there.
    pub arch_tag: Tag,
    /// Whether the registry gets that tag.
    pub arch_tags: ArchTags,
    /// What the index entry says instead of what the image config says.
    pub entry: EntryOverride,
    /// What is done.
    pub work: W,
}

/// How the image of a platform comes to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Work {
    /// An engine builds it.
    Build(Box<Build>),
    /// It is somebody else's, and is copied from there.
    Adopt(Adoption),
}

/// A build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Build {
    /// What is built.
    pub spec: BuildSpec,
    /// The engine that must build it, where the plan says so. It is one of [`Plan::engines`].
    pub engine: Option<EngineName>,
    /// How long it may take.
    pub timeout: Option<Duration>,
}

/// An image of others that is taken over: `from`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Adoption {
    /// An index that has the platform, or the image itself.
    pub from: Reference,
}

impl<W> Job<W> {
    /// The same names with other work.
    pub fn with_work<V>(&self, work: V) -> Job<V> {
        let (platform, arch_tag, entry) = (self.platform.clone(), self.arch_tag.clone(), self.entry.clone());
        Job { platform, arch_tag, arch_tags: self.arch_tags, entry, work }
    }
}

impl Job {
    /// Its build, if it is built.
    #[must_use]
    pub fn build(&self) -> Option<&Build> {
        match &self.work {
            Work::Build(build) => Some(build),
            Work::Adopt(_) => None,
        }
    }

    /// The same, to be changed.
    #[must_use]
    pub fn build_mut(&mut self) -> Option<&mut Build> {
        match &mut self.work {
            Work::Build(build) => Some(build),
            Work::Adopt(_) => None,
        }
    }
}

impl Plan {
    /// The registries that have a name, the one that is built to first.
    pub fn named_registries(&self) -> impl Iterator<Item = &NamedRegistry> {
        self.registry.named().into_iter().chain(&self.copies)
    }

    /// Everything that is built.
    pub fn builds(&self) -> impl Iterator<Item = &Build> {
        self.images.iter().flat_map(|image| &image.jobs).filter_map(Job::build)
    }

    /// The sources of all that is adopted, each once.
    #[must_use]
    pub fn sources(&self) -> Vec<&Reference> {
        let mut sources = Vec::new();
        for job in self.images.iter().flat_map(|image| &image.jobs) {
            if let Work::Adopt(Adoption { from }) = &job.work
                && !sources.contains(&from)
            {
                sources.push(from);
            }
        }
        sources
    }

    /// Whether a Dockerfile of it is on the standard input.
    #[must_use]
    pub fn reads_standard_input(&self) -> bool {
        self.builds().any(|build| build.spec.dockerfile == Dockerfile::StandardInput)
    }

    /// The plan with `text` for every Dockerfile that is on the standard input.
    #[must_use]
    pub fn with_standard_input(mut self, text: &Arc<str>) -> Self {
        for job in self.images.iter_mut().flat_map(|image| &mut image.jobs) {
            if let Some(Build { spec, .. }) = job.build_mut()
                && spec.dockerfile == Dockerfile::StandardInput
            {
                spec.dockerfile = Dockerfile::Inline(text.clone());
            }
        }
        self
    }
}

/// Whether the image of a platform has a name of its own in the registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ArchTags {
    /// It is pushed under [`Job::arch_tag`], and is under that name on the engine, too.
    #[default]
    Keep,
    /// As [`Self::Keep`], until the index that lists it is published and was read back: then the registry's tag is deleted.
    Remove,
    /// It is pushed by digest alone, by the build itself, and is not kept on the engine.
    None,
}

/// What becomes of the attestations that images have: statements of how they were made and what is in them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AttestationPolicy {
    /// They stand in the joined index, after the platforms.
    #[default]
    Keep,
    /// The joined index has none.
    Strip,
}

impl ArchTags {
    /// Whether the image is pushed under its arch tag.
    #[must_use]
    pub fn are_pushed(self) -> bool {
        self != Self::None
    }
}

impl Image {
    /// Whether every planned platform of the image is among its jobs.
    pub fn is_complete(&self) -> bool {
        self.left_out.is_empty()
    }
}
