//! The plan: reads `build.yaml` and returns jobs. The room does no I/O and collects all errors.
//!
//! text → tree with places (`read/raw`) → edits of the tree (defaults, `--set`) → typed values (`read/reader`, `keys`,
//! `image`, `job`) → checks across images → the selected [`Plan`].

mod bases;
mod checks;
mod condition;
mod image;
mod job;
mod keys;
mod model;
mod read;
mod resolve;
mod schema;
mod select;
mod tags;

pub use model::endpoint::host::{EngineHost, EngineHostError};
pub use model::endpoint::ssh::SshHost;
pub use model::endpoint::tls::ClientCertificate;
pub use model::error::{Location, PlanErrors, Problem, SourceText};
pub use model::names::{EngineName, ImageName, NameError};
pub use model::overrides::{Overrides, Selection};
pub use model::plan::{
    ArchTags, AttestationPolicy, Build, EngineSpec, Image, Import, Job, NamedRegistry, Plan, RegistryChoice, Transport,
    Work,
};
pub use model::spec::{CachePolicy, PullPolicy};
pub use read::reader::{Environment, Facts};
pub use resolve::resolve;
pub use schema::SCHEMA;

// The other rooms and the program use these names. They are not on the pages of the library.
#[doc(hidden)]
pub use model::cache_service::{CacheService, HiddenText, ServiceCache};
#[doc(hidden)]
pub use model::caution::Caution;
#[doc(hidden)]
pub use model::compression::Compression;
#[doc(hidden)]
pub use model::duration::parse_duration;
#[doc(hidden)]
pub use model::ecr::{EcrControl, EcrCreation, Encryption};
#[doc(hidden)]
pub use model::endpoint::buildkit::{
    BuildKitHost, BuilderHost, BuilderName, Cluster, ContainerHost, ContainerProgram, PodHost, PodsHost, Word,
};
#[doc(hidden)]
pub use model::endpoint::docker_context::{DockerContext, DockerContextNameError};
#[doc(hidden)]
pub use model::endpoint::either::Endpoint;
#[doc(hidden)]
pub use model::endpoint::tls::{EngineTls, ServerName, TlsHost};
#[doc(hidden)]
pub use model::names::{ContextName, ContextNameError};
#[doc(hidden)]
pub use model::places::{InputPlaces, Places, Position};
#[doc(hidden)]
pub use model::plan::{Emulation, EngineNeed, EnginePlatforms, ImageNumber};
#[doc(hidden)]
pub use model::remote::{GitContext, HttpContext, RemoteContext, RemoteContextError};
#[doc(hidden)]
pub use model::spec::{
    AgentSource, Attest, BuildCache, BuildSpec, CacheExport, CacheImport, CacheMode, CachePlace, CompressionLevel,
    Context, Dockerfile, Export, Generator, LayerPolicy, MediaTypes, NamedContext, Network, Provenance, Sandbox,
    SecretSource, SecretSpec, SshSpec, Timestamps, Ulimit,
};
#[doc(hidden)]
pub use model::yaml::to_yaml;
pub(crate) use read::suggest::{did_you_mean, nearest};
#[doc(hidden)]
pub use resolve::{Outline, needed_facts, outline, own_region};
#[doc(hidden)]
pub use select::select;
