//! The plan: reads `build.yaml` and returns jobs. The room does no I/O and collects all errors.
//!
//! text → tree with places (`raw`) → edits of the tree (defaults, `--set`) → typed values (`reader`, `image`, `job`) →
//! checks across images → the selected [`Plan`].

mod adopt;
mod attest;
mod bases;
mod cache;
mod checks;
mod contexts;
mod distinct;
mod duration;
mod ecr;
mod engines;
mod entry;
mod error;
mod export;
mod forms;
mod host;
mod image;
mod interpolate;
mod job;
mod keys;
mod model;
mod names;
mod node;
mod overrides;
mod pairs;
mod paths;
mod places;
mod raw;
mod reader;
mod registry;
mod remote;
mod resolve;
mod sandbox;
mod schema;
mod secrets;
mod select;
mod set;
mod silence;
mod spec;
mod ssh;
mod suggest;
mod view;
mod yaml;

pub use contexts::{ContextName, ContextNameError};
pub use duration::parse_duration;
pub use ecr::{EcrControl, EcrCreation, Encryption};
pub use error::{Location, PlanErrors, Problem, SourceText};
pub use host::{EngineHost, EngineHostError};
pub use model::{
    Adoption, ArchTags, AttestationPolicy, Build, ClientCertificate, EngineSpec, Image, Job, NamedRegistry, Plan,
    RegistryChoice, Transport, Work,
};
pub use names::{EngineName, ImageName, NameError};
pub use overrides::{Overrides, Selection};
pub use places::{InputPlaces, Place, Places};
pub use reader::{Environment, Facts};
pub use remote::{GitContext, HttpContext, RemoteContext, RemoteContextError};
pub use resolve::{needed_facts, own_region, resolve};
pub use schema::SCHEMA;
pub use select::select;
pub use silence::Caution;
pub use spec::{
    AgentSource, Attest, BuildCache, BuildSpec, CacheExport, CacheImport, CacheMode, CachePlace, CachePolicy,
    Compression, CompressionLevel, Context, Dockerfile, Export, Generator, LayerPolicy, MediaTypes, NamedContext,
    Network, Provenance, PullPolicy, Sandbox, SecretSource, SecretSpec, SshSpec, Timestamps, Ulimit,
};
pub(crate) use suggest::{did_you_mean, nearest};
pub use yaml::to_yaml;
