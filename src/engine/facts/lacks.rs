//! Settings of a plan that an engine does not support. BuildKit ignores options that it does not know, without a
//! message.

use std::fmt;

use super::engine_facts::{EngineFacts, ImageStore};
use crate::buildkit::{BuildKitVersion, Exporter, Worker};
use crate::context::StageName;
use crate::plan::{
    ArchTags, Attest, BuildCache, BuildSpec, CacheExport, CacheImport, Compression, Context, ContextName, Export,
    LayerPolicy, MediaTypes, NamedContext, RemoteContext, Sandbox, Timestamps,
};

/// The requirement of a setting that an engine does not meet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Needs {
    /// The program must have this version or a newer one.
    Version(NewerProgram),
    /// The engine must know contexts that no stage of the Dockerfile can replace. It must have this version or a newer
    /// one.
    Contexts(NewerProgram),
    /// containerd's image store.
    ContainerdStore(WayToStore),
    /// A BuildKit without a Docker Engine, for a cache in a storage service.
    BuildKitAlone,
    /// The same, for a cache outside of the image. Other stores export a cache only inside of the image.
    CacheExporter(WayToStore),
}

/// The oldest version of a program with a feature. Its text is a part of a hint: `Engine 23.0 or newer`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum NewerProgram {
    /// A Docker Engine.
    Engine(&'static str),
    /// BuildKit without an engine.
    BuildKit(&'static str),
}

impl fmt::Display for NewerProgram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Engine(version) => write!(f, "Engine {version} or newer"),
            Self::BuildKit(version) => write!(f, "BuildKit {version} or newer"),
        }
    }
}

/// The way to an engine with containerd's image store. Its text is a hint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum WayToStore {
    /// The engine is new enough but uses a graph driver: turn on the store in its settings.
    TurnOn,
    /// Use another engine, of this version or newer.
    Engine(&'static str),
}

impl fmt::Display for WayToStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TurnOn => f.write_str(
                "turn on the engine's containerd image store: \"features\": {\"containerd-snapshotter\": true} in \
                 /etc/docker/daemon.json, and restart it (on GitHub Actions with docker/setup-docker-action)",
            ),
            Self::Engine(version) => write!(f, "use an engine with the containerd image store, {version} or newer"),
        }
    }
}

/// A version of BuildKit, and the first Docker Engine with it.
#[derive(Debug, Clone, Copy)]
struct Since {
    buildkit: BuildKitVersion,
    /// The number of the BuildKit in messages.
    number: &'static str,
    engine: &'static str,
}

const fn since(number: &'static str, minor: u32, engine: &'static str) -> Since {
    Since { buildkit: BuildKitVersion::new(0, minor, 0), number, engine }
}

const BUILDKIT_10: Since = since("0.10", 10, "23.0");
const BUILDKIT_11: Since = since("0.11", 11, "24.0");
const BUILDKIT_12: Since = since("0.12", 12, "25.0");
const BUILDKIT_13: Since = since("0.13", 13, "26.0");
const BUILDKIT_14: Since = since("0.14", 14, "27.0");
const BUILDKIT_19: Since = since("0.19", 19, "28.0");

/// Whether the context is a directory of a repository. BuildKit 0.8 answers `subdir not supported yet`.
fn in_a_directory(context: &Context) -> bool {
    matches!(context, Context::Remote(RemoteContext::Git(git)) if git.directory().is_some())
}

/// Whether the context is a git repository over ssh, in another form than `git@HOST:REPO`. BuildKit 0.8 takes such a
/// URL for a local context.
fn over_ssh_by_url(context: &Context) -> bool {
    let known = ["https://", "http://", "git://", "git@", "github.com/"];
    let is_known = |remote: &str| known.iter().any(|known| remote.to_ascii_lowercase().starts_with(known));
    matches!(context, Context::Remote(RemoteContext::Git(git)) if !is_known(git.remote()))
}

impl EngineFacts {
    /// Whether the engine's BuildKit knows the build argument `SOURCE_DATE_EPOCH`: since 0.11.
    #[must_use]
    pub fn knows_the_epoch(&self) -> bool {
        self.buildkit >= BUILDKIT_11.buildkit
    }

    /// Whether the engine's BuildKit knows named contexts: since 0.10. On older engines, stages of the Dockerfile
    /// replace the contexts that are images.
    #[must_use]
    pub fn knows_contexts(&self) -> bool {
        self.buildkit >= BUILDKIT_10.buildkit
    }

    /// The worker of the engine's BuildKit.
    pub(in crate::engine) fn worker(&self) -> Worker {
        let exporter = match self.store {
            ImageStore::GraphDriver => Exporter::Moby,
            ImageStore::Containerd | ImageStore::None => Exporter::Image,
        };
        Worker { platform: self.platform.clone(), exporter, knows_contexts: self.knows_contexts() }
    }

    /// Whether the engine's BuildKit finds a cache in its own image manifest, the form that polyarch exports: since
    /// 0.12. Older ones find only caches inside of images and ignore others.
    #[must_use]
    pub fn finds_caches_apart(&self) -> bool {
        self.buildkit >= BUILDKIT_12.buildkit
    }

    /// Whether the engine's BuildKit checks a Dockerfile without building it: since 0.14.
    #[must_use]
    pub fn checks(&self) -> bool {
        self.buildkit >= BUILDKIT_14.buildkit
    }

    /// The keys of the plan that `build` uses and this engine does not support, each with its requirement.
    #[must_use]
    pub fn lacks(&self, build: &BuildSpec, arch_tags: ArchTags) -> Vec<(String, Needs)> {
        let Sandbox { extra_hosts: _, shm_size, ulimits, cgroup_parent } = &build.sandbox;
        let frontend = [
            ("shm_size", shm_size.is_some(), BUILDKIT_10),
            ("ulimits", !ulimits.is_empty(), BUILDKIT_10),
            ("cgroup_parent", cgroup_parent.is_some(), BUILDKIT_10),
            ("context: URL#REF:DIRECTORY", in_a_directory(&build.context), BUILDKIT_10),
            ("context: ssh://HOST/REPO", over_ssh_by_url(&build.context), BUILDKIT_10),
        ];
        let Export { compression, level, layers, timestamps, media_types, annotations } = &build.export;
        let Attest { provenance, sbom } = &build.attest;
        let compression = compression.is_some_and(|compression| compression != Compression::Gzip);
        let image_exporter = [
            ("compression", compression, BUILDKIT_10),
            ("compression_level", level.is_some(), BUILDKIT_10),
            ("force_compression", *layers == LayerPolicy::Recompress, BUILDKIT_10),
            ("rewrite_timestamp", *timestamps == Timestamps::Rewrite, BUILDKIT_13),
            ("oci_mediatypes", *media_types == MediaTypes::Oci, BUILDKIT_10),
            ("annotations", !annotations.is_empty(), BUILDKIT_11),
            ("arch_tags", arch_tags == ArchTags::None && self.store != ImageStore::None, BUILDKIT_13),
            ("provenance", provenance.is_some(), BUILDKIT_11),
            ("sbom", sbom.is_some(), BUILDKIT_11),
        ];
        let exports = self.store != ImageStore::GraphDriver;
        let lacks = |since: &Since| self.buildkit < since.buildkit;
        let frontend = frontend.into_iter().filter(|(_, said, since)| *said && lacks(since));
        let exporter = image_exporter.into_iter().filter(|(_, said, since)| *said && (!exports || lacks(since)));
        let contexts = build.contexts.iter().filter(|(name, context)| !self.has(build, name, context));
        let frontend = frontend.map(|(key, _, since)| (key.to_owned(), Needs::Version(self.newer(since))));
        let contexts = contexts.map(|(name, _)| (format!("contexts.{name}"), Needs::Contexts(self.newer(BUILDKIT_10))));
        let exporter = exporter.map(|(key, _, since)| (key.to_owned(), self.needs_store(since)));
        frontend.chain(contexts).chain(exporter).chain(self.lacks_cache(build)).collect()
    }

    fn needs_store(&self, since: Since) -> Needs {
        match self.store {
            ImageStore::None => Needs::Version(self.newer(since)),
            ImageStore::GraphDriver | ImageStore::Containerd => Needs::ContainerdStore(self.way_to_store(since)),
        }
    }

    /// The oldest program of the same kind with a feature.
    fn newer(&self, since: Since) -> NewerProgram {
        match self.store {
            ImageStore::None => NewerProgram::BuildKit(since.number),
            ImageStore::GraphDriver | ImageStore::Containerd => NewerProgram::Engine(since.engine),
        }
    }

    /// The program that [checks](Self::checks) a Dockerfile.
    #[must_use]
    pub fn newer_for_checks(&self) -> NewerProgram {
        self.newer(BUILDKIT_14)
    }

    /// The program that [knows the epoch](Self::knows_the_epoch).
    #[must_use]
    pub fn newer_for_the_epoch(&self) -> NewerProgram {
        self.newer(BUILDKIT_11)
    }

    /// The program that [finds caches apart](Self::finds_caches_apart).
    #[must_use]
    pub fn newer_for_caches(&self) -> NewerProgram {
        self.newer(BUILDKIT_12)
    }

    /// The requirement of a cache outside of the image.
    fn lacks_cache(&self, build: &BuildSpec) -> Option<(String, Needs)> {
        let BuildCache { from, to } = &build.cache;
        let is_in_service = matches!(to, Some(CacheExport::Service { .. }))
            || from.iter().any(|from| matches!(from, CacheImport::Service(_)));
        if is_in_service && self.store != ImageStore::None {
            return Some(("cache".to_owned(), Needs::BuildKitAlone));
        }
        let exports = match self.store {
            ImageStore::None => true,
            ImageStore::GraphDriver => false,
            ImageStore::Containerd => self.buildkit >= BUILDKIT_11.buildkit,
        };
        let apart = matches!(build.cache.to, Some(CacheExport::Registry { .. } | CacheExport::Directory { .. }));
        (apart && !exports).then(|| ("cache".to_owned(), Needs::CacheExporter(self.way_to_store(BUILDKIT_11))))
    }

    /// The way to names that hold several platforms, for an engine whose names [hold one
    /// platform](EngineFacts::names_indexes).
    #[must_use]
    pub fn way_to_indexes(&self) -> WayToStore {
        self.way_to_store(BUILDKIT_19)
    }

    /// Before 24.0 the engine's BuildKit did not follow the setting of the store.
    fn way_to_store(&self, since: Since) -> WayToStore {
        let new_enough = self.buildkit >= since.buildkit.max(BUILDKIT_11.buildkit);
        let graph_driver = self.store == ImageStore::GraphDriver;
        if graph_driver && new_enough { WayToStore::TurnOn } else { WayToStore::Engine(since.engine) }
    }

    /// Whether a Dockerfile finds `context` under `name`. polyarch cannot add stages to a Dockerfile that the engine
    /// fetches.
    fn has(&self, build: &BuildSpec, name: &ContextName, context: &NamedContext) -> bool {
        let image = matches!(context, NamedContext::Image(_) | NamedContext::Reference(_));
        let image = image && !build.dockerfile.is_fetched();
        self.knows_contexts() || image && name.as_str().parse::<StageName>().is_ok()
    }
}
