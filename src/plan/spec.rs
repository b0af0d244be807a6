//! What a build is: its inputs and its settings.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::oci::{Reference, Tag};

use super::contexts::ContextName;
use super::names::ImageName;
use super::remote::RemoteContext;

/// The inputs and settings of one build. Paths are absolute, or relative to the current directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuildSpec {
    /// The build context.
    pub context: Context,
    /// What the Dockerfile finds under other names.
    pub contexts: BTreeMap<ContextName, NamedContext>,
    /// The Dockerfile.
    pub dockerfile: Dockerfile,
    /// The stage that is built; without it the last one.
    pub target: Option<String>,
    /// Build arguments, by name.
    pub args: BTreeMap<String, String>,
    /// Labels of the image, by key.
    pub labels: BTreeMap<String, String>,
    /// What `RUN --mount=type=secret` may ask for. No id twice.
    pub secrets: Vec<SecretSpec>,
    /// The agents that `RUN --mount=type=ssh` may ask for. No id twice.
    pub ssh: Vec<SshSpec>,
    /// The network of `RUN` steps.
    pub network: Network,
    /// What else `RUN` steps find around them.
    pub sandbox: Sandbox,
    /// Whether the engine's build cache is used.
    pub no_cache: CachePolicy,
    /// Stages for which it is not used, in the plan's order. No name has a comma.
    pub no_cache_filter: Vec<String>,
    /// Which caches beside the engine's own are used.
    pub cache: BuildCache,
    /// Whether base images are looked up again.
    pub pull: PullPolicy,
    /// How the image is written.
    pub export: Export,
    /// What is attested of the image.
    pub attest: Attest,
}

/// What BuildKit states of an image that it builds, in manifests that stand beside the image. The empty value is nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Attest {
    /// How it was made (SLSA provenance).
    pub provenance: Option<Provenance>,
    /// What is in it (SPDX), as this generator finds it.
    pub sbom: Option<Generator>,
}

impl Attest {
    /// Whether nothing is attested.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }
}

/// How much provenance says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Provenance {
    /// When it was built, on what, and with which kind of frontend.
    Min,
    /// Also the steps, the Dockerfile's text, and build arguments with their values.
    Max,
}

impl Provenance {
    /// The name that the plan, BuildKit and buildx have for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        super::attest::name(self)
    }
}

/// Who lists what is in an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Generator {
    /// The one that the engine's BuildKit chooses.
    Standard,
    /// An image that keeps to BuildKit's "SBOM Scanning Protocol".
    Image(Reference),
}

/// What a build copies from where nothing else is said.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Context {
    /// A directory of this machine.
    Directory(PathBuf),
    /// What the engine fetches itself.
    Remote(RemoteContext),
}

impl Context {
    /// The directory of this machine, if it is one.
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
    /// A file of this machine; it may lie outside of the context.
    File(PathBuf),
    /// In the remote context, at this path.
    InContext(String),
    /// This text.
    Inline(Arc<str>),
    /// On the standard input, which [`super::Plan::with_standard_input`] puts in its place.
    StandardInput,
}

impl Dockerfile {
    /// Whether the engine finds it in the context that it fetches.
    #[must_use]
    pub fn is_fetched(&self) -> bool {
        matches!(self, Self::InContext(_))
    }
}

/// How an image is written. The empty value is what the engine does by itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Export {
    /// How its layers are compressed; without it with gzip.
    pub compression: Option<Compression>,
    /// How hard the compressor tries.
    pub level: Option<CompressionLevel>,
    /// What becomes of layers that are compressed otherwise, as those of base images may be.
    pub layers: LayerPolicy,
    /// What becomes of the times of files.
    pub timestamps: Timestamps,
    /// The media types of manifest, config and layers.
    pub media_types: MediaTypes,
    /// Annotations of the manifest, by key.
    pub annotations: BTreeMap<String, String>,
}

/// How layers are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// What every engine and registry can read.
    Gzip,
    /// Faster and smaller. Docker Engine before 23.0 cannot pull it.
    Zstd,
    /// gzip whose files can be read one by one, which containerd's stargz snapshotter does.
    Estargz,
    /// None.
    Uncompressed,
}

impl Compression {
    /// The name that the plan, BuildKit and buildx have for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        super::export::name(self)
    }
}

/// A level of a compression: 0 to 9 for gzip and estargz, 0 to 22 for zstd.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CompressionLevel(pub(super) u8);

impl CompressionLevel {
    /// Its number.
    #[must_use]
    pub fn get(self) -> u8 {
        self.0
    }
}

/// What becomes of layers that are compressed otherwise than the plan says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LayerPolicy {
    /// They stay as they are.
    #[default]
    Keep,
    /// They are compressed anew.
    Recompress,
}

/// What becomes of the times of files in layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Timestamps {
    /// They stay as they are.
    #[default]
    Keep,
    /// None is later than the build argument `SOURCE_DATE_EPOCH`, which is there.
    Rewrite,
}

/// The media types of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MediaTypes {
    /// The engine's own: Docker's, but where something else in the image needs OCI's.
    #[default]
    Default,
    /// OCI's.
    Oci,
}

/// What a Dockerfile finds under a name: `docker buildx build --build-context`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NamedContext {
    /// The same platform of another image of the plan, which [`super::Plan::images`] has.
    Image(ImageName),
    /// An image of a registry.
    Reference(Reference),
    /// A directory of this machine.
    Directory(PathBuf),
    /// What the engine fetches itself.
    Remote(RemoteContext),
}

/// A build secret: its id, and where its value is found just before the build. A plan never holds the value.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SecretSpec {
    /// The id by which the Dockerfile mounts it.
    pub id: String,
    /// Where its value is.
    pub source: SecretSource,
}

/// Where the value of a secret is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SecretSource {
    /// In the environment variable of this name.
    Env(String),
    /// In this file: its bytes as they are.
    File(PathBuf),
}

/// An ssh agent: its id, and where it listens.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SshSpec {
    /// The id by which the Dockerfile mounts it; a mount without one means `default`.
    pub id: String,
    /// Where the agent is.
    pub agent: AgentSource,
}

/// Where an ssh agent listens.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AgentSource {
    /// At the socket that the environment variable `SSH_AUTH_SOCK` names.
    Environment,
    /// At this socket.
    Socket(PathBuf),
}

/// What `RUN` steps find around them. The empty value is what the engine does by itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sandbox {
    /// Hosts and their addresses, for `/etc/hosts`: `docker build --add-host`. No name has a comma, `=` or a quote.
    pub extra_hosts: BTreeMap<String, Vec<IpAddr>>,
    /// The size of `/dev/shm` in bytes, at most `i64::MAX`: `docker build --shm-size`.
    pub shm_size: Option<NonZeroU64>,
    /// Limits by name, as Linux names them in lower case: `docker build --ulimit`.
    pub ulimits: BTreeMap<&'static str, Ulimit>,
    /// The cgroup under which steps run: `docker build --cgroup-parent`. Not empty.
    pub cgroup_parent: Option<String>,
}

/// A limit of the system's. -1 is unlimited; the soft limit is not above the hard one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ulimit {
    /// What holds at first.
    pub soft: i64,
    /// Up to where a step may raise it.
    pub hard: i64,
}

/// The network of `RUN` steps: `docker build --network`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Network {
    /// The engine's own.
    #[default]
    Default,
    /// No network.
    None,
    /// The network of the engine's host.
    Host,
}

/// Whether the engine's build cache is used: `docker build --no-cache`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CachePolicy {
    /// Steps that the cache has are not run again.
    #[default]
    Use,
    /// Every step is run.
    Ignore,
}

/// The caches that a build imports, and the one that it exports: `docker buildx build --cache-from`, `--cache-to`. The
/// empty value is the engine's own cache alone.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BuildCache {
    /// What is imported, in this order: caches alone, or images with a cache in their config. None twice.
    pub from: Vec<CacheImport>,
    /// What is exported.
    pub to: Option<CacheExport>,
}

/// A cache that a build imports.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum CacheImport {
    /// From a registry.
    Registry(CachePlace),
    /// From a directory of this machine.
    Directory(PathBuf),
}

/// Where a cache is in a registry.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum CachePlace {
    /// Under this tag of the image's own repository.
    Own(Tag),
    /// Under this reference.
    Reference(Reference),
}

/// A cache that a build exports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CacheExport {
    /// In the image's config: which of its own layers are of which steps.
    Inline,
    /// Under a tag of its own.
    Registry {
        /// Where; no digest.
        place: CachePlace,
        /// How much.
        mode: CacheMode,
    },
    /// In a directory of this machine.
    Directory {
        /// Which.
        path: PathBuf,
        /// How much.
        mode: CacheMode,
    },
}

/// How much of a build is exported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CacheMode {
    /// The layers of the image.
    #[default]
    Min,
    /// The layers of every stage.
    Max,
}

/// Whether base images are looked up again: `docker build --pull`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PullPolicy {
    /// An image that the engine has is used as it is.
    #[default]
    IfMissing,
    /// The registry is asked for a newer one.
    Always,
}
