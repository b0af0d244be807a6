//! The resolved plan: the builds, their engines, and the names under which images are published.

use std::collections::BTreeSet;
use std::num::NonZeroU16;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::caution::Caution;
use super::ecr::{EcrControl, EcrCreation};
use super::endpoint::either::Endpoint;
use super::endpoint::tls::ClientCertificate;
use super::error::Problem;
use super::names::{EngineName, ImageName};
use super::places::Places;
use super::spec::{BuildSpec, Dockerfile};
use crate::aws::is_ecr;
use crate::oci::{EntryOverride, Platform, Reference, RegistryHost, Repository, RepositoryPath, Tag};

/// The number of an image in [`Plan::images`], from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ImageNumber(pub usize);

/// A plan after all defaults, variables and overrides were applied. No value is left to look up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The registry that polyarch builds to.
    pub registry: RegistryChoice,
    /// The registries that polyarch copies to, in the plan's order. All of them are distinct, and none is
    /// [`Plan::registry`].
    pub copies: Vec<NamedRegistry>,
    /// The engines that the plan names, in its order. If the list is empty, polyarch uses the engine of the docker
    /// CLI.
    pub engines: Vec<EngineSpec>,
    /// The selected images, in the plan's order. The list is empty only if the run has none of the images that `when`
    /// makes conditional.
    pub images: Vec<Image>,
    /// Images of the plan that this run does not have: first those whose `when` does not hold, then those that the
    /// selection left out.
    pub left_out: Vec<ImageName>,
    /// A line for each image whose `when` does not hold.
    #[doc(hidden)]
    pub notes: Vec<String>,
    /// The warnings that no run of this plan prints.
    #[doc(hidden)]
    pub silence: BTreeSet<Caution>,
    /// Warnings for the user. A warning does not stop the run.
    pub warnings: Vec<Problem>,
    /// The places in the plan of the builds' inputs.
    #[doc(hidden)]
    pub places: Places,
}

/// The registry that polyarch builds to, from the plan or from the command line.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum RegistryChoice {
    /// The plan names no registry. polyarch then uses the embedded registry, and reports an error in CI.
    #[default]
    Unnamed,
    /// `registry: local`: the embedded registry.
    Embedded,
    /// A named registry.
    Named(NamedRegistry),
}

impl RegistryChoice {
    /// The registry, if it is a named one.
    pub(in crate::plan) fn named(&self) -> Option<&NamedRegistry> {
        match self {
            Self::Named(named) => Some(named),
            Self::Unnamed | Self::Embedded => None,
        }
    }
}

/// A named registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedRegistry {
    /// Its host and port.
    pub host: RegistryHost,
    /// The text before the name of each repository: `acme` in `ghcr.io/acme`.
    pub namespace: Option<RepositoryPath>,
    /// The protocol.
    pub transport: Transport,
    /// A PEM file of certificate authorities. polyarch trusts them for this registry in addition to those of the
    /// system.
    pub ca: Option<PathBuf>,
    /// The client certificate that polyarch sends to the registry.
    pub cert: Option<ClientCertificate>,
    /// Hosts of this machine or of private networks to which the registry may redirect polyarch for tokens, uploads
    /// and downloads.
    pub may_send_to: Vec<RegistryHost>,
    /// Where the API of the registry is. `None`: the registry is not on Amazon ECR.
    #[doc(hidden)]
    pub ecr: Option<EcrControl>,
}

impl From<RegistryHost> for NamedRegistry {
    /// A registry with default settings: HTTPS, or plain HTTP on loopback.
    fn from(host: RegistryHost) -> Self {
        let transport = if host.is_loopback() { Transport::InsecureHttp } else { Transport::Https };
        let ecr = is_ecr(&host).then(EcrControl::default);
        Self { host, namespace: None, transport, ca: None, cert: None, may_send_to: Vec::new(), ecr }
    }
}

impl NamedRegistry {
    /// The name of `repository` behind the namespace. `None`: `repository` is not in this registry and namespace.
    pub(in crate::plan) fn own<'a>(&self, repository: &'a Repository) -> Option<&'a str> {
        let path = Some(repository.path().as_str()).filter(|_| *repository.host() == self.host)?;
        self.namespace.as_ref().map_or(Some(path), |namespace| path.strip_prefix(namespace.as_str())?.strip_prefix('/'))
    }
}

/// The protocol that polyarch uses for a registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// HTTPS with verified certificates.
    Https,
    /// Plain HTTP: the plan has `insecure: true`, or the host is exactly a loopback name or address.
    InsecureHttp,
}

/// An engine that the plan names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineSpec {
    /// The name in the plan.
    pub name: EngineName,
    /// The way to it.
    #[doc(hidden)]
    pub host: Endpoint,
    /// The platforms that the engine may build.
    #[doc(hidden)]
    pub platforms: EnginePlatforms,
    /// The number of builds that it runs at the same time.
    pub slots: NonZeroU16,
    /// Whether the engine may emulate a foreign platform.
    #[doc(hidden)]
    pub emulation: Emulation,
    /// Whether a run may begin without the engine.
    #[doc(hidden)]
    pub need: EngineNeed,
}

/// The platforms that an engine may build.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum EnginePlatforms {
    /// The platforms of its own processor. If the plan has no other engine, the engine builds every platform.
    #[default]
    Own,
    /// The platforms of its own processor, and these (`platforms`).
    Also(Vec<Platform>),
    /// No other platforms than these (`platforms_only`).
    Only(Vec<Platform>),
}

impl EnginePlatforms {
    /// The platforms that the plan lists.
    #[must_use]
    pub fn listed(&self) -> &[Platform] {
        match self {
            Self::Own => &[],
            Self::Also(listed) | Self::Only(listed) => listed,
        }
    }
}

/// Whether an engine may emulate the processor of a platform.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Emulation {
    /// It may.
    #[default]
    Allowed,
    /// It may not (`emulate: false`).
    Refused,
}

/// Whether a run may begin without an engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum EngineNeed {
    /// It may, if the other engines can take all jobs.
    #[default]
    Optional,
    /// It may not (`required: true`).
    Required,
}

impl EngineSpec {
    /// The number of parallel builds on an engine without `slots` in the plan.
    pub const DEFAULT_SLOTS: NonZeroU16 = NonZeroU16::new(4).unwrap();

    /// An engine with the default settings.
    #[doc(hidden)]
    #[must_use]
    pub fn new(name: EngineName, host: impl Into<Endpoint>) -> Self {
        let (platforms, emulation, need) = (EnginePlatforms::default(), Emulation::default(), EngineNeed::default());
        Self { name, host: host.into(), platforms, slots: Self::DEFAULT_SLOTS, emulation, need }
    }
}

/// An image of the plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// The name in the plan.
    pub name: ImageName,
    /// The name of the repository, behind the namespace of each registry.
    pub repository: RepositoryPath,
    /// The final tags, without duplicates. There is at least one. The arch tags begin with the first one by default.
    pub tags: Vec<Tag>,
    /// Whether the index keeps the attestations of the images.
    pub attestations: AttestationPolicy,
    /// How polyarch creates the repository in ECR registries that do not have it. `None`: polyarch does not create it.
    #[doc(hidden)]
    pub ecr: Option<EcrCreation>,
    /// The jobs in the plan's order of platforms. There is at least one, and each platform appears once.
    pub jobs: Vec<Job>,
    /// Platforms of the image that the selection left out, in the plan's order. If there are any, polyarch cannot join
    /// the image from `jobs` alone.
    pub left_out: Vec<Platform>,
}

/// One platform of an image, and the work that provides its image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job<W = Work> {
    /// The platform.
    pub platform: Platform,
    /// The arch tag in the image's repository, unless [`ArchTags::None`]. An engine that keeps the image uses the arch
    /// tag as its name.
    pub arch_tag: Tag,
    /// Whether the registry gets the arch tag.
    pub arch_tags: ArchTags,
    /// Values of the index entry that override the image config.
    #[doc(hidden)]
    pub entry: EntryOverride,
    /// The work.
    pub work: W,
}

/// The way to obtain the image of a platform.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Work {
    /// An engine builds it.
    Build(Box<Build>),
    /// polyarch copies a third-party image.
    Import(Import),
}

/// A build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Build {
    /// The inputs and settings of the build.
    #[doc(hidden)]
    pub spec: BuildSpec,
    /// The engine that must build the image, if the plan names one. [`Plan::engines`] contains this engine.
    pub engine: Option<EngineName>,
    /// Whether an engine may emulate the platform of the build.
    #[doc(hidden)]
    pub emulation: Emulation,
    /// The longest time that the build may take.
    pub timeout: Option<Duration>,
}

/// A third-party image that polyarch imports: `from`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Import {
    /// An index that has the platform, or the image itself.
    pub from: Reference,
}

impl<W> Job<W> {
    /// The same job with other work.
    #[doc(hidden)]
    pub fn with_work<V>(&self, work: V) -> Job<V> {
        let (platform, arch_tag, entry) = (self.platform.clone(), self.arch_tag.clone(), self.entry.clone());
        Job { platform, arch_tag, arch_tags: self.arch_tags, entry, work }
    }
}

impl Job {
    /// The build, if this job builds its image.
    #[must_use]
    pub fn build(&self) -> Option<&Build> {
        match &self.work {
            Work::Build(build) => Some(build),
            Work::Import(_) => None,
        }
    }

    /// The build, for changes.
    #[doc(hidden)]
    #[must_use]
    pub fn build_mut(&mut self) -> Option<&mut Build> {
        match &mut self.work {
            Work::Build(build) => Some(build),
            Work::Import(_) => None,
        }
    }
}

impl Plan {
    /// The named registries. The one that polyarch builds to comes first.
    pub fn named_registries(&self) -> impl Iterator<Item = &NamedRegistry> {
        self.registry.named().into_iter().chain(&self.copies)
    }

    /// All builds.
    pub fn builds(&self) -> impl Iterator<Item = &Build> {
        self.images.iter().flat_map(|image| &image.jobs).filter_map(Job::build)
    }

    /// The platforms of all builds, each once.
    #[must_use]
    pub fn built_platforms(&self) -> Vec<Platform> {
        let jobs = self.images.iter().flat_map(|image| &image.jobs).filter(|job| job.build().is_some());
        let platforms: BTreeSet<_> = jobs.map(|job| job.platform.clone()).collect();
        platforms.into_iter().collect()
    }

    /// The sources of all imported images, without duplicates.
    #[must_use]
    pub fn sources(&self) -> Vec<&Reference> {
        let mut sources = Vec::new();
        for job in self.images.iter().flat_map(|image| &image.jobs) {
            if let Work::Import(Import { from }) = &job.work
                && !sources.contains(&from)
            {
                sources.push(from);
            }
        }
        sources
    }

    /// Whether one of the Dockerfiles is on standard input.
    #[doc(hidden)]
    #[must_use]
    pub fn reads_standard_input(&self) -> bool {
        self.builds().any(|build| build.spec.dockerfile == Dockerfile::StandardInput)
    }

    /// The plan with `text` in place of every Dockerfile on standard input.
    #[doc(hidden)]
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

/// Whether the image of a platform has its own tag in the registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ArchTags {
    /// polyarch pushes the image under [`Job::arch_tag`]. The image has the same name on the engine.
    #[default]
    Keep,
    /// Like [`Self::Keep`], until polyarch published the index and read it back. Then polyarch deletes the tag in the
    /// registry.
    Remove,
    /// The build pushes the image by digest only, and the engine does not keep it.
    None,
}

/// Whether the index keeps attestations: statements about the build and the contents of images.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AttestationPolicy {
    /// The index lists them after the platforms.
    #[default]
    Keep,
    /// The index has none.
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
