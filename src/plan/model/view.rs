//! The resolved plan as `polyarch plan` prints it: a plan in which every value is explicit. `x-left-out` lists the
//! images and platforms that the selection left out.
//!
//! Every `$` is doubled, so that polyarch reads the output as the same plan.

use std::collections::BTreeMap;
use std::path::Path;

use serde::ser::{Serialize, SerializeMap, SerializeSeq as _, Serializer};

use super::cache_service::ServiceCache;
use super::duration;
use super::endpoint::buildkit::{BuildKitHost, BuilderHost, BuilderName};
use super::endpoint::either::Endpoint;
use super::endpoint::host::EngineHost;
use super::endpoint::tls::{ClientCertificate, EngineTls};
use super::plan::{
    ArchTags, AttestationPolicy, Build, Emulation, EngineNeed, EnginePlatforms, EngineSpec, Image, Import, Job,
    NamedRegistry, Plan, RegistryChoice, Transport, Work,
};
use super::spec::{
    AgentSource, Attest, BuildCache, BuildSpec, CacheExport, CacheImport, CacheMode, CachePolicy, Context, Dockerfile,
    Export, Generator, LayerPolicy, MediaTypes, NamedContext, Network, PullPolicy, Sandbox, SecretSource, SecretSpec,
    SshSpec, Timestamps, Ulimit,
};
use crate::aws::is_ecr;
use crate::oci::EntryOverride;
use crate::plan::model::yaml::escape;

impl Serialize for Plan {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("version", &1)?;
        match (&self.registry, &self.copies[..]) {
            (RegistryChoice::Unnamed, _) => {}
            (first, []) => map.serialize_entry("registry", first)?,
            (first, copies) => map.serialize_entry("registry", &Registries { first, copies })?,
        }
        if !self.engines.is_empty() {
            map.serialize_entry("engines", &InOrder(&self.engines, |engine: &EngineSpec| engine.name.to_string()))?;
        }
        if !self.silence.is_empty() {
            let names: Vec<_> = self.silence.iter().map(|caution| caution.as_str()).collect();
            map.serialize_entry("silence", &names)?;
        }
        map.serialize_entry("images", &InOrder(&self.images, |image: &Image| image.name.to_string()))?;
        let incomplete: BTreeMap<_, _> =
            self.images.iter().filter(|image| !image.is_complete()).map(|i| (i.name.as_str(), &i.left_out)).collect();
        if !incomplete.is_empty() || !self.left_out.is_empty() {
            let left_out = serde_json::json!({ "images": self.left_out, "platforms": incomplete });
            map.serialize_entry("x-left-out", &left_out)?;
        }
        map.end()
    }
}

/// A list that is written as a map, in the order of the list.
struct InOrder<'a, T>(&'a [T], fn(&T) -> String);

impl<T: Serialize> Serialize for InOrder<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|item| (self.1(item), item)))
    }
}

struct Registries<'a> {
    first: &'a RegistryChoice,
    copies: &'a [NamedRegistry],
}

impl Serialize for Registries<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(Some(1 + self.copies.len()))?;
        list.serialize_element(self.first)?;
        self.copies.iter().try_for_each(|copy| list.serialize_element(copy))?;
        list.end()
    }
}

impl Serialize for RegistryChoice {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Unnamed | Self::Embedded => serializer.serialize_str("local"),
            Self::Named(named) => named.serialize(serializer),
        }
    }
}

impl Serialize for NamedRegistry {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        let control = self.ecr.as_ref();
        if control.is_some() && !is_ecr(&self.host) {
            map.serialize_entry("type", "ecr")?;
        }
        map.serialize_entry("host", &self.to_string())?;
        if let Some(region) = control.and_then(|control| control.region.as_ref()) {
            map.serialize_entry("region", region.as_str())?;
        }
        if let Some(endpoint) = control.and_then(|control| control.endpoint.as_ref()) {
            map.serialize_entry("endpoint", &escape(endpoint))?;
        }
        if let Some(ca) = &self.ca {
            map.serialize_entry("ca", &path(ca))?;
        }
        if let Some(ClientCertificate { cert, key }) = &self.cert {
            map.serialize_entry("cert", &path(cert))?;
            map.serialize_entry("key", &path(key))?;
        }
        if self.ca.is_none() && self.cert.is_none() {
            map.serialize_entry("insecure", &(self.transport == Transport::InsecureHttp))?;
        }
        if !self.may_send_to.is_empty() {
            let hosts: Vec<_> = self.may_send_to.iter().map(ToString::to_string).collect();
            map.serialize_entry("may_send_to", &hosts)?;
        }
        map.end()
    }
}

impl Serialize for EngineSpec {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        let words = |words: &[String]| words.iter().map(|word| escape(word)).collect::<Vec<_>>();
        match &self.host {
            Endpoint::Docker(EngineHost::Command(command)) => map.serialize_entry("command", &words(command))?,
            Endpoint::Docker(EngineHost::Context(name)) => map.serialize_entry("context", name.as_str())?,
            Endpoint::Docker(host) => map.serialize_entry("host", &escape(&host.to_string()))?,
            Endpoint::BuildKit(BuildKitHost::Direct(EngineHost::Command(command))) => {
                map.serialize_entry("buildkit", &BTreeMap::from([("command", words(command))]))?;
            }
            Endpoint::BuildKit(BuildKitHost::Builder(BuilderHost { name, .. })) => match name {
                BuilderName::Current => map.serialize_entry("builder", "current")?,
                BuilderName::Named(name) => map.serialize_entry("builder", name.as_str())?,
            },
            Endpoint::BuildKit(host) => map.serialize_entry("buildkit", &escape(&host.to_string()))?,
        }
        if let Endpoint::Docker(EngineHost::Tls(host))
        | Endpoint::BuildKit(BuildKitHost::Direct(EngineHost::Tls(host))) = &self.host
        {
            map.serialize_entry("tls", &host.tls)?;
        }
        if !self.host.is_private() {
            map.serialize_entry("insecure", &true)?;
        }
        match &self.platforms {
            EnginePlatforms::Own => {}
            EnginePlatforms::Also(platforms) => map.serialize_entry("platforms", platforms)?,
            EnginePlatforms::Only(platforms) => map.serialize_entry("platforms_only", platforms)?,
        }
        map.serialize_entry("slots", &self.slots)?;
        if self.emulation == Emulation::Refused {
            map.serialize_entry("emulate", &false)?;
        }
        if self.need == EngineNeed::Required {
            map.serialize_entry("required", &true)?;
        }
        map.end()
    }
}

impl Serialize for EngineTls {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        if let Some(ca) = &self.ca {
            map.serialize_entry("ca", &path(ca))?;
        }
        if let Some(ClientCertificate { cert, key }) = &self.client {
            map.serialize_entry("cert", &path(cert))?;
            map.serialize_entry("key", &path(key))?;
        }
        if let Some(name) = &self.server_name {
            map.serialize_entry("servername", &name.to_string())?;
        }
        map.end()
    }
}

impl Serialize for Image {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("repository", &self.repository)?;
        map.serialize_entry("tags", &self.tags)?;
        if self.attestations != AttestationPolicy::default() {
            map.serialize_entry("attestations", attestations(self.attestations))?;
        }
        if let Some(ecr) = &self.ecr {
            map.serialize_entry("ecr", ecr)?;
        }
        map.serialize_entry("platforms", &InOrder(&self.jobs, |job: &Job| job.platform.to_string()))?;
        map.end()
    }
}

impl Serialize for Job {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("arch_tag", &self.arch_tag)?;
        match self.arch_tags {
            ArchTags::Keep => {}
            ArchTags::Remove => map.serialize_entry("arch_tags", "remove")?,
            ArchTags::None => map.serialize_entry("arch_tags", "none")?,
        }
        match &self.work {
            Work::Build(work) => build(&mut map, work)?,
            // A reference never contains a `$`.
            Work::Import(Import { from }) => map.serialize_entry("from", &from.to_string())?,
        }
        if self.entry != EntryOverride::default() {
            map.serialize_entry("entry", &Entry(&self.entry))?;
        }
        map.end()
    }
}

fn build<M: SerializeMap>(map: &mut M, build: &Build) -> Result<(), M::Error> {
    spec(map, &build.spec)?;
    if let Some(engine) = &build.engine {
        map.serialize_entry("engine", engine)?;
    }
    if build.emulation == Emulation::Refused {
        map.serialize_entry("emulate", &false)?;
    }
    build.timeout.map_or(Ok(()), |timeout| map.serialize_entry("timeout", &duration::display(timeout)))
}

fn spec<M: SerializeMap>(map: &mut M, build: &BuildSpec) -> Result<(), M::Error> {
    map.serialize_entry("context", &build.context)?;
    if !build.contexts.is_empty() {
        let contexts: BTreeMap<&str, _> =
            build.contexts.iter().map(|(name, context)| (name.as_str(), context)).collect();
        map.serialize_entry("contexts", &contexts)?;
    }
    // polyarch reads the path relative to the context, so a path in the context is written that way.
    let (key, dockerfile) = match (&build.dockerfile, &build.context) {
        (Dockerfile::File(file), Context::Directory(context)) => {
            // A bare `-` would be read as standard input.
            let file = file.strip_prefix(context).unwrap_or(file);
            ("dockerfile", if file == Path::new("-") { "./-".to_owned() } else { path(file) })
        }
        (Dockerfile::File(file), Context::Remote(_)) => ("dockerfile", path(file)),
        (Dockerfile::InContext(inside), _) => ("dockerfile", escape(inside)),
        (Dockerfile::Inline(text), _) => ("dockerfile_inline", escape(text)),
        (Dockerfile::StandardInput, _) => ("dockerfile", "-".to_owned()),
    };
    map.serialize_entry(key, &dockerfile)?;
    if let Some(target) = &build.target {
        map.serialize_entry("target", &escape(target))?;
    }
    let pairs = |pairs: &BTreeMap<String, String>| -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| (name.clone(), escape(value))).collect()
    };
    map.serialize_entry("args", &pairs(&build.args))?;
    map.serialize_entry("labels", &pairs(&build.labels))?;
    if !build.secrets.is_empty() {
        map.serialize_entry("secrets", &build.secrets)?;
    }
    if !build.ssh.is_empty() {
        map.serialize_entry("ssh", &build.ssh.iter().map(ssh).collect::<Vec<_>>())?;
    }
    map.serialize_entry("network", network(build.network))?;
    sandbox(map, &build.sandbox)?;
    map.serialize_entry("no_cache", &(build.no_cache == CachePolicy::Ignore))?;
    if !build.no_cache_filter.is_empty() {
        let stages: Vec<_> = build.no_cache_filter.iter().map(|stage| escape(stage)).collect();
        map.serialize_entry("no_cache_filter", &stages)?;
    }
    if build.cache != BuildCache::default() {
        map.serialize_entry("cache", &Cache(&build.cache))?;
    }
    map.serialize_entry("pull", &(build.pull == PullPolicy::Always))?;
    export(map, &build.export)?;
    attest(map, &build.attest)
}

fn attest<M: SerializeMap>(map: &mut M, attest: &Attest) -> Result<(), M::Error> {
    let Attest { provenance, sbom } = attest;
    if let Some(provenance) = provenance {
        map.serialize_entry("provenance", provenance.as_str())?;
    }
    match sbom {
        None => Ok(()),
        Some(Generator::Standard) => map.serialize_entry("sbom", &true),
        Some(Generator::Image(image)) => map.serialize_entry("sbom", &image.to_string()),
    }
}

fn export<M: SerializeMap>(map: &mut M, export: &Export) -> Result<(), M::Error> {
    let Export { compression, level, layers, timestamps, media_types, annotations } = export;
    if let Some(compression) = compression {
        map.serialize_entry("compression", compression.as_str())?;
    }
    if let Some(level) = level {
        map.serialize_entry("compression_level", &level.get())?;
    }
    for (key, said) in [
        ("force_compression", *layers == LayerPolicy::Recompress),
        ("rewrite_timestamp", *timestamps == Timestamps::Rewrite),
        ("oci_mediatypes", *media_types == MediaTypes::Oci),
    ] {
        if said {
            map.serialize_entry(key, &true)?;
        }
    }
    if annotations.is_empty() {
        return Ok(());
    }
    let escaped = |(name, value): (&String, &String)| (name.clone(), escape(value));
    map.serialize_entry("annotations", &annotations.iter().map(escaped).collect::<BTreeMap<_, _>>())
}

impl Serialize for NamedContext {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&match self {
            Self::Image(name) => format!("image:{name}"),
            Self::Reference(reference) => format!("docker-image://{reference}"),
            Self::Directory(path) => directory(path),
            Self::Remote(remote) => escape(&remote.to_string()),
        })
    }
}

impl Serialize for Context {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&match self {
            Self::Directory(path) => directory(path),
            Self::Remote(remote) => escape(&remote.to_string()),
        })
    }
}

/// A directory, in a form that is not read as another kind of context.
fn directory(directory: &Path) -> String {
    let text = directory.to_string_lossy();
    let other = text.contains([':', '@']) || text.starts_with("github.com/");
    if other { path(&Path::new(".").join(directory)) } else { path(directory) }
}

impl Serialize for SecretSpec {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(2))?;
        map.serialize_entry("id", &escape(&self.id))?;
        match &self.source {
            SecretSource::Env(name) => map.serialize_entry("env", name)?,
            SecretSource::File(file) => map.serialize_entry("file", &path(file))?,
        }
        map.end()
    }
}

fn ssh(ssh: &SshSpec) -> String {
    match &ssh.agent {
        AgentSource::Environment => escape(&ssh.id),
        AgentSource::Socket(socket) => format!("{}={}", escape(&ssh.id), path(socket)),
    }
}

fn sandbox<M: SerializeMap>(map: &mut M, sandbox: &Sandbox) -> Result<(), M::Error> {
    let Sandbox { extra_hosts, shm_size, ulimits, cgroup_parent } = sandbox;
    if !extra_hosts.is_empty() {
        map.serialize_entry("extra_hosts", extra_hosts)?;
    }
    if let Some(bytes) = shm_size {
        map.serialize_entry("shm_size", bytes)?;
    }
    if !ulimits.is_empty() {
        let limits = |(name, limit): (&&'static str, &Ulimit)| {
            (*name, BTreeMap::from([("soft", limit.soft), ("hard", limit.hard)]))
        };
        map.serialize_entry("ulimits", &ulimits.iter().map(limits).collect::<BTreeMap<_, _>>())?;
    }
    cgroup_parent.as_ref().map_or(Ok(()), |parent| map.serialize_entry("cgroup_parent", &escape(parent)))
}

/// Caches in the form of the plan. A reference never contains a `$`.
struct Cache<'a>(&'a BuildCache);

impl Serialize for Cache<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let BuildCache { from, to } = self.0;
        let mut map = serializer.serialize_map(None)?;
        if !from.is_empty() {
            let from = from.iter().map(|from| match from {
                CacheImport::Registry(place) => serde_json::json!(place.to_string()),
                CacheImport::Directory(src) => serde_json::json!({ "type": "local", "src": path(src) }),
                CacheImport::Service(cache) => service(cache, None),
            });
            map.serialize_entry("from", &from.collect::<Vec<_>>())?;
        }
        let to = to.as_ref().map(|to| match to {
            CacheExport::Inline => serde_json::json!({ "type": "inline" }),
            CacheExport::Registry { place, mode } => {
                serde_json::json!({ "type": "registry", "ref": place.to_string(), "mode": mode.as_str() })
            }
            CacheExport::Directory { path: dest, mode } => {
                serde_json::json!({ "type": "local", "dest": path(dest), "mode": mode.as_str() })
            }
            CacheExport::Service { cache, mode } => service(cache, Some(*mode)),
        });
        to.map_or(Ok(()), |to| map.serialize_entry("to", &to))?;
        map.end()
    }
}

/// A cache in a service. The marks of hidden attributes are not their values.
fn service(ServiceCache { service, attributes, hidden }: &ServiceCache, mode: Option<CacheMode>) -> serde_json::Value {
    let attributes = attributes.iter().map(|(key, value)| (key.clone(), escape(value)));
    let hidden = hidden.keys().map(|key| (key.clone(), "…".to_owned()));
    let own = [("type", Some(service.as_str())), ("mode", mode.map(CacheMode::as_str))];
    let own = own.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?.to_owned())));
    let all: BTreeMap<_, _> = own.chain(attributes).chain(hidden).collect();
    serde_json::json!(all)
}

/// The overrides of an entry in the form of the plan.
struct Entry<'a>(&'a EntryOverride);

impl Serialize for Entry<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        if let Some(words) = &self.0.platform {
            if words.variant() == Some("") {
                map.serialize_entry("os", words.platform().os())?;
                map.serialize_entry("arch", words.platform().architecture())?;
                map.serialize_entry("variant", "")?;
            } else {
                map.serialize_entry("platform", &words.to_string())?;
            }
        }
        if let Some(version) = &self.0.os_version {
            map.serialize_entry("os_version", &escape(version))?;
        }
        if let Some(features) = &self.0.os_features {
            map.serialize_entry("os_features", &features.iter().map(|text| escape(text)).collect::<Vec<_>>())?;
        }
        map.end()
    }
}

fn attestations(policy: AttestationPolicy) -> &'static str {
    match policy {
        AttestationPolicy::Keep => "keep",
        AttestationPolicy::Strip => "strip",
    }
}

fn network(network: Network) -> &'static str {
    match network {
        Network::Default => "default",
        Network::None => "none",
        Network::Host => "host",
    }
}

fn path(path: &Path) -> String {
    let text = path.to_string_lossy();
    escape(if text.is_empty() { "." } else { &text })
}
