//! The plan: reads `build.yaml` and returns jobs. The room does no I/O and collects all errors.
//!
//! text → tree with places (`read/raw`) → edits of the tree (defaults, `--set`) → typed values (`read/reader`, `keys`,
//! `image`, `job`) → checks across images → the selected [`Plan`].

mod bases;
mod checks;
mod image;
mod job;
mod keys;
mod model;
mod read;
mod resolve;
mod schema;
mod select;

pub use model::caution::Caution;
pub use model::compression::Compression;
pub use model::duration::parse_duration;
pub use model::ecr::{EcrControl, EcrCreation, Encryption};
pub use model::error::{Location, PlanErrors, Problem, SourceText};
pub use model::host::{EngineHost, EngineHostError};
pub use model::names::{ContextName, ContextNameError};
pub use model::names::{EngineName, ImageName, NameError};
pub use model::overrides::{Overrides, Selection};
pub use model::places::{InputPlaces, Places, Position};
pub use model::plan::{
    ArchTags, AttestationPolicy, Build, ClientCertificate, EngineSpec, Image, ImageNumber, Import, Job, NamedRegistry,
    Plan, RegistryChoice, Transport, Work,
};
pub use model::remote::{GitContext, HttpContext, RemoteContext, RemoteContextError};
pub use model::spec::{
    AgentSource, Attest, BuildCache, BuildSpec, CacheExport, CacheImport, CacheMode, CachePlace, CachePolicy,
    CompressionLevel, Context, Dockerfile, Export, Generator, LayerPolicy, MediaTypes, NamedContext, Network,
    Provenance, PullPolicy, Sandbox, SecretSource, SecretSpec, SshSpec, Timestamps, Ulimit,
};
pub use model::yaml::to_yaml;
pub use read::reader::{Environment, Facts};
pub(crate) use read::suggest::{did_you_mean, nearest};
pub use resolve::{needed_facts, own_region, resolve};
pub use schema::SCHEMA;
pub use select::select;
