//! Settings of a plan that an engine does not support. BuildKit ignores options that it does not know, without a
//! message.

use std::fmt;

use super::facts::{ApiVersion, EngineFacts, ImageStore};
use crate::buildkit::{Exporter, Worker};
use crate::context::StageName;
use crate::plan::{
    ArchTags, Attest, BuildSpec, CacheExport, Compression, Context, ContextName, Export, LayerPolicy, MediaTypes,
    NamedContext, RemoteContext, Sandbox, Timestamps,
};

/// The requirement of a setting that an engine does not meet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Needs {
    /// The engine must have this version or a newer one: `23.0`.
    Version(&'static str),
    /// The engine must know contexts that no stage of the Dockerfile can replace. It must have this version or a newer
    /// one.
    Contexts(&'static str),
    /// containerd's image store.
    ContainerdStore(WayToStore),
    /// The same, for a cache outside of the image. Other stores export a cache only inside of the image.
    CacheExporter(WayToStore),
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

/// The first API of an engine and its version. The comments give the version of its BuildKit.
const ENGINE_23: (ApiVersion, &str) = (ApiVersion { major: 1, minor: 42 }, "23.0"); // 0.10
const ENGINE_24: (ApiVersion, &str) = (ApiVersion { major: 1, minor: 43 }, "24.0"); // 0.11
const ENGINE_25: ApiVersion = ApiVersion { major: 1, minor: 44 }; // 25.0, 0.12
const ENGINE_26: (ApiVersion, &str) = (ApiVersion { major: 1, minor: 45 }, "26.0"); // 0.13
const ENGINE_27: ApiVersion = ApiVersion { major: 1, minor: 46 }; // 27.0, 0.14
const ENGINE_28: (ApiVersion, &str) = (ApiVersion { major: 1, minor: 48 }, "28.0");

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
        self.api >= ENGINE_24.0
    }

    /// Whether the engine's BuildKit knows named contexts: since 0.10. On older engines, stages of the Dockerfile
    /// replace the contexts that are images.
    #[must_use]
    pub fn knows_contexts(&self) -> bool {
        self.api >= ENGINE_23.0
    }

    /// The worker of the engine's BuildKit.
    pub(super) fn worker(&self) -> Worker {
        let exporter = match self.store {
            ImageStore::GraphDriver => Exporter::Moby,
            ImageStore::Containerd => Exporter::Image,
        };
        Worker { platform: self.platform.clone(), exporter, knows_contexts: self.knows_contexts() }
    }

    /// Whether the engine's BuildKit finds a cache in its own image manifest, the form that polyarch exports: since
    /// 0.12. Older ones find only caches inside of images and ignore others.
    #[must_use]
    pub fn finds_caches_apart(&self) -> bool {
        self.api >= ENGINE_25
    }

    /// Whether the engine's BuildKit checks a Dockerfile without building it: since 0.14.
    #[must_use]
    pub fn checks(&self) -> bool {
        self.api >= ENGINE_27
    }

    /// The keys of the plan that `build` uses and this engine does not support, each with its requirement.
    #[must_use]
    pub fn lacks(&self, build: &BuildSpec, arch_tags: ArchTags) -> Vec<(String, Needs)> {
        let Sandbox { extra_hosts: _, shm_size, ulimits, cgroup_parent } = &build.sandbox;
        let frontend = [
            ("shm_size", shm_size.is_some(), ENGINE_23),
            ("ulimits", !ulimits.is_empty(), ENGINE_23),
            ("cgroup_parent", cgroup_parent.is_some(), ENGINE_23),
            ("context: URL#REF:DIRECTORY", in_a_directory(&build.context), ENGINE_23),
            ("context: ssh://HOST/REPO", over_ssh_by_url(&build.context), ENGINE_23),
        ];
        let Export { compression, level, layers, timestamps, media_types, annotations } = &build.export;
        let Attest { provenance, sbom } = &build.attest;
        let compression = compression.is_some_and(|compression| compression != Compression::Gzip);
        let image_exporter = [
            ("compression", compression, ENGINE_23),
            ("compression_level", level.is_some(), ENGINE_23),
            ("force_compression", *layers == LayerPolicy::Recompress, ENGINE_23),
            ("rewrite_timestamp", *timestamps == Timestamps::Rewrite, ENGINE_26),
            ("oci_mediatypes", *media_types == MediaTypes::Oci, ENGINE_23),
            ("annotations", !annotations.is_empty(), ENGINE_24),
            ("arch_tags", arch_tags == ArchTags::None, ENGINE_26),
            ("provenance", provenance.is_some(), ENGINE_24),
            ("sbom", sbom.is_some(), ENGINE_24),
        ];
        let containerd = self.store == ImageStore::Containerd;
        let frontend = frontend.into_iter().filter(|(_, said, (since, _))| *said && self.api < *since);
        let exporter =
            image_exporter.into_iter().filter(|(_, said, (since, _))| *said && !(containerd && self.api >= *since));
        let contexts = build.contexts.iter().filter(|(name, context)| !self.has(build, name, context));
        let frontend = frontend.map(|(key, _, (_, version))| (key.to_owned(), Needs::Version(version)));
        let contexts = contexts.map(|(name, _)| (format!("contexts.{name}"), Needs::Contexts(ENGINE_23.1)));
        let exporter =
            exporter.map(|(key, _, since)| (key.to_owned(), Needs::ContainerdStore(self.way_to_store(since))));
        frontend.chain(contexts).chain(exporter).chain(self.lacks_cache(build)).collect()
    }

    /// The requirement of a cache outside of the image.
    fn lacks_cache(&self, build: &BuildSpec) -> Option<(String, Needs)> {
        let exports = self.store == ImageStore::Containerd && self.api >= ENGINE_24.0;
        let apart = matches!(build.cache.to, Some(CacheExport::Registry { .. } | CacheExport::Directory { .. }));
        (apart && !exports).then(|| ("cache".to_owned(), Needs::CacheExporter(self.way_to_store(ENGINE_24))))
    }

    /// The way to names that hold several platforms, for an engine whose names [hold one
    /// platform](EngineFacts::names_indexes).
    #[must_use]
    pub fn way_to_indexes(&self) -> WayToStore {
        self.way_to_store(ENGINE_28)
    }

    /// Before 24.0 the engine's BuildKit did not follow the setting of the store.
    fn way_to_store(&self, since: (ApiVersion, &'static str)) -> WayToStore {
        let new_enough = self.api >= since.0.max(ENGINE_24.0);
        let graph_driver = self.store == ImageStore::GraphDriver;
        if graph_driver && new_enough { WayToStore::TurnOn } else { WayToStore::Engine(since.1) }
    }

    /// Whether a Dockerfile finds `context` under `name`. polyarch cannot add stages to a Dockerfile that the engine
    /// fetches.
    fn has(&self, build: &BuildSpec, name: &ContextName, context: &NamedContext) -> bool {
        let image = matches!(context, NamedContext::Image(_) | NamedContext::Reference(_));
        let image = image && !build.dockerfile.is_fetched();
        self.knows_contexts() || image && name.as_str().parse::<StageName>().is_ok()
    }
}
