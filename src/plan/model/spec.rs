//! The inputs and the settings of a build.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::cache_service::ServiceCache;
use super::names::ContextName;
use super::names::ImageName;
use super::remote::RemoteContext;
use crate::oci::{Reference, Tag};
use crate::plan::model::compression::Compression;

/// The inputs and settings of one build. Paths are absolute, or relative to the current directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuildSpec {
    /// The build context.
    pub context: Context,
    /// The named contexts of the Dockerfile.
    pub contexts: BTreeMap<ContextName, NamedContext>,
    /// The Dockerfile.
    pub dockerfile: Dockerfile,
    /// The stage to build. `None`: the last stage.
    pub target: Option<String>,
    /// Build arguments, by name.
    pub args: BTreeMap<String, String>,
    /// Labels of the image, by key.
    pub labels: BTreeMap<String, String>,
    /// The secrets for `RUN --mount=type=secret`. Each id appears once.
    pub secrets: Vec<SecretSpec>,
    /// The agents for `RUN --mount=type=ssh`. Each id appears once.
    pub ssh: Vec<SshSpec>,
    /// The network of `RUN` steps.
    pub network: Network,
    /// Other surroundings of `RUN` steps.
    pub sandbox: Sandbox,
    /// Whether the engine uses its build cache.
    pub no_cache: CachePolicy,
    /// Stages that ignore the build cache, in the plan's order. No name has a comma.
    pub no_cache_filter: Vec<String>,
    /// The caches besides the engine's own.
    pub cache: BuildCache,
    /// Whether the engine asks for newer base images.
    pub pull: PullPolicy,
    /// How the engine writes the image.
    pub export: Export,
    /// The attestations of the image.
    pub attest: Attest,
}

/// The attestations that BuildKit adds to an image, as separate manifests. The default adds none.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Attest {
    /// How the image was made (SLSA provenance).
    pub provenance: Option<Provenance>,
    /// The contents of the image (SPDX), as listed by this generator.
    pub sbom: Option<Generator>,
}

impl Attest {
    /// Whether there are no attestations.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }
}

/// The amount of provenance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Provenance {
    /// The time of the build, its base images, and the kind of frontend.
    Min,
    /// Also the steps, the text of the Dockerfile, and the values of build arguments.
    Max,
}

impl Provenance {
    /// The name in the plan, in BuildKit and in buildx.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        name(self)
    }
}

/// The program that lists the contents of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Generator {
    /// The generator that the engine's BuildKit chooses.
    Standard,
    /// An image that implements BuildKit's "SBOM Scanning Protocol".
    Image(Reference),
}

/// The default source of `COPY` and `ADD`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Context {
    /// A directory of this machine.
    Directory(PathBuf),
    /// A context that the engine fetches itself.
    Remote(RemoteContext),
}

impl Context {
    /// The directory on this machine. `None`: the context is remote.
    #[must_use]
    pub fn directory(&self) -> Option<&Path> {
        match self {
            Self::Directory(path) => Some(path),
            Self::Remote(_) => None,
        }
    }
}

/// Where a Dockerfile is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Dockerfile {
    /// A file on this machine. The file may be outside of the context.
    File(PathBuf),
    /// A path in the remote context.
    InContext(String),
    /// The text itself.
    Inline(Arc<str>),
    /// Standard input. [`super::plan::Plan::with_standard_input`] replaces it with the text.
    StandardInput,
}

impl Dockerfile {
    /// Whether the engine finds the Dockerfile in the context that it fetches.
    #[must_use]
    pub fn is_fetched(&self) -> bool {
        matches!(self, Self::InContext(_))
    }
}

/// How the engine writes an image. The default leaves everything to the engine.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Export {
    /// The compression of the layers. `None`: gzip.
    pub compression: Option<Compression>,
    /// The compression level.
    pub level: Option<CompressionLevel>,
    /// Whether layers with another compression are recompressed, such as those of base images.
    pub layers: LayerPolicy,
    /// Whether the times of files are changed.
    pub timestamps: Timestamps,
    /// The media types of manifest, config and layers.
    pub media_types: MediaTypes,
    /// Annotations of the manifest, by key.
    pub annotations: BTreeMap<String, String>,
}

/// A level of a compression: 0 to 9 for gzip and estargz, 0 to 22 for zstd.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CompressionLevel(pub(in crate::plan) u8);

impl CompressionLevel {
    /// The number.
    #[must_use]
    pub fn get(self) -> u8 {
        self.0
    }
}

/// Whether layers with another compression than the plan's are recompressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LayerPolicy {
    /// The layers are kept.
    #[default]
    Keep,
    /// The layers are recompressed.
    Recompress,
}

/// Whether the times of files in layers are changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Timestamps {
    /// The times are kept.
    #[default]
    Keep,
    /// No time is later than the build argument `SOURCE_DATE_EPOCH`, which must be set.
    Rewrite,
}

/// The media types of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MediaTypes {
    /// The engine's default: Docker's types, unless another part of the image needs those of OCI.
    #[default]
    Default,
    /// The types of OCI.
    Oci,
}

/// A named context of a Dockerfile: `docker buildx build --build-context`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NamedContext {
    /// The image of the same platform from another image of the plan. [`super::plan::Plan::images`] contains it.
    Image(ImageName),
    /// An image in a registry.
    Reference(Reference),
    /// A directory of this machine.
    Directory(PathBuf),
    /// A context that the engine fetches itself.
    Remote(RemoteContext),
}

/// A build secret: its id, and the place where polyarch finds the value just before the build. A plan never holds the
/// value.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SecretSpec {
    /// The id that the Dockerfile uses to mount the secret.
    pub id: String,
    /// The place of the value.
    pub source: SecretSource,
}

/// The place of a secret's value.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SecretSource {
    /// The environment variable with this name.
    Env(String),
    /// This file, byte for byte.
    File(PathBuf),
}

/// An ssh agent: its id and its address.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SshSpec {
    /// The id that the Dockerfile uses to mount the agent. A mount without an id means `default`.
    pub id: String,
    /// The address of the agent.
    pub agent: AgentSource,
}

/// The address of an ssh agent.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AgentSource {
    /// The socket in the environment variable `SSH_AUTH_SOCK`.
    Environment,
    /// This socket.
    Socket(PathBuf),
}

/// The surroundings of `RUN` steps. The default leaves everything to the engine.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sandbox {
    /// Hosts and their addresses, for `/etc/hosts`: `docker build --add-host`. No name has a comma, `=` or a quote.
    pub extra_hosts: BTreeMap<String, Vec<IpAddr>>,
    /// The size of `/dev/shm` in bytes, at most `i64::MAX`: `docker build --shm-size`.
    pub shm_size: Option<NonZeroU64>,
    /// Limits by the lower-case names of Linux: `docker build --ulimit`.
    pub ulimits: BTreeMap<&'static str, Ulimit>,
    /// The parent cgroup of the steps, which is not empty: `docker build --cgroup-parent`.
    pub cgroup_parent: Option<String>,
}

/// A limit of the operating system. -1 means unlimited. The soft limit is never above the hard limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ulimit {
    /// The limit at the start of a step.
    pub soft: i64,
    /// The highest value to which a step may raise the soft limit.
    pub hard: i64,
}

/// The network of `RUN` steps: `docker build --network`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Network {
    /// The default network of the engine.
    #[default]
    Default,
    /// No network.
    None,
    /// The network of the engine's host.
    Host,
}

/// Whether the engine uses its build cache: `docker build --no-cache`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CachePolicy {
    /// The engine skips steps whose results are in the cache.
    #[default]
    Use,
    /// The engine runs every step.
    Ignore,
}

/// The caches that a build imports, and the cache that it exports: `docker buildx build --cache-from`, `--cache-to`.
/// The default uses only the engine's own cache.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BuildCache {
    /// The imported caches, in this order: bare caches, or images with a cache in their config. There are no
    /// duplicates.
    pub from: Vec<CacheImport>,
    /// The exported cache.
    pub to: Option<CacheExport>,
}

/// A cache that a build imports.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum CacheImport {
    /// A cache in a registry.
    Registry(CachePlace),
    /// A directory on this machine.
    Directory(PathBuf),
    /// A storage service.
    Service(ServiceCache),
}

/// The place of a cache in a registry.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum CachePlace {
    /// This tag in the image's own repository.
    Own(Tag),
    /// This reference.
    Reference(Reference),
}

/// A cache that a build exports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CacheExport {
    /// In the config of the image: it records which layers belong to which steps.
    Inline,
    /// Under its own tag.
    Registry {
        /// The place, which is never a digest.
        place: CachePlace,
        /// The layers to export.
        mode: CacheMode,
    },
    /// In a directory on this machine.
    Directory {
        /// The directory.
        path: PathBuf,
        /// The layers to export.
        mode: CacheMode,
    },
    /// In a storage service.
    Service {
        /// The place.
        cache: ServiceCache,
        /// The layers to export.
        mode: CacheMode,
    },
}

/// The layers of a build that are exported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CacheMode {
    /// The layers of the image.
    #[default]
    Min,
    /// The layers of every stage.
    Max,
}

/// Whether the engine asks for newer base images: `docker build --pull`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PullPolicy {
    /// The engine uses the images that it has.
    #[default]
    IfMissing,
    /// The engine asks the registry for newer images.
    Always,
}

pub(in crate::plan) const PROVENANCES: [(&str, Provenance); 2] = [("min", Provenance::Min), ("max", Provenance::Max)];

/// The name in the plan.
pub(in crate::plan) fn name(provenance: Provenance) -> &'static str {
    PROVENANCES.iter().find(|(_, known)| *known == provenance).map_or("max", |(name, _)| name)
}
