//! The client of an engine that polyarch has reached and identified.

use bollard::Docker;
use bollard::moby::buildkit::v1::{ListWorkersRequest, ListWorkersResponse};
use tonic::transport::Channel;

use super::control::{self, Control};
use super::dial::Dialer;
use super::error::{EngineError, EngineErrorKind, emulation_hint};
use super::rest::{self, ANSWER, classify, innermost, within};
use crate::oci::{Digest, Platform, TagRef};
use crate::plan::{EngineHost, EngineName};

/// The first API whose engines have BuildKit.
const FIRST_API: ApiVersion = ApiVersion { major: 1, minor: 39 };
/// The first API with a platform for pushes. Without a platform, an engine with the containerd store may push something
/// other than the image that it built (moby#47679).
const PUSH_PLATFORM_API: ApiVersion = ApiVersion { major: 1, minor: 46 };

/// A Docker Engine.
pub struct Engine {
    name: EngineName,
    pub(super) dialer: Dialer,
    pub(super) docker: Docker,
    /// The connection to BuildKit, and BuildKit's control API on it.
    pub(super) channel: Channel,
    pub(super) control: Control,
    facts: EngineFacts,
}

/// The facts that an engine reports about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineFacts {
    /// Its version: `28.5.2`.
    pub version: String,
    /// Its API version.
    pub api: ApiVersion,
    /// The platform of its processor: from BuildKit's worker, or else from the engine.
    pub platform: Platform,
    /// The platforms that its BuildKit can run, its own first. They include the platforms that binfmt emulates.
    pub runs: Vec<Platform>,
    /// The store of its images.
    pub store: ImageStore,
    /// The version of the engine's runc, if the engine reports it: `1.3.3`. runc runs the steps of builds.
    pub runc: Option<String>,
}

/// The place where an engine keeps images. It decides the meaning of an image's id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImageStore {
    /// A graph driver: an image id is the digest of its config.
    GraphDriver,
    /// containerd's image store: an image id is the digest of its manifest.
    Containerd,
}

/// The first API that lists the manifests of an image with their descriptors.
const MANIFESTS_API: ApiVersion = ApiVersion { major: 1, minor: 48 };

/// A version of the Engine API: `1.41`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ApiVersion {
    /// The part before the dot.
    pub major: u16,
    /// The part after the dot.
    pub minor: u16,
}

impl EngineFacts {
    /// Whether one name on this engine can hold an image of several platforms. Engines with containerd's store and an
    /// API before 1.48 can hold one, but they do not report enough to prove it.
    #[must_use]
    pub fn names_indexes(&self) -> bool {
        self.store == ImageStore::Containerd && self.api >= MANIFESTS_API
    }

    /// Whether the engine's own processor runs programs of `platform`. BuildKit's worker runs a program of each variant
    /// (`linux/amd64/v3`) before it lists the variant (BuildKit, `util/archutil`). So there is no emulator in between.
    #[must_use]
    pub fn is_native(&self, platform: &Platform) -> bool {
        let own = |listed: &&Platform| {
            listed.os() == self.platform.os() && listed.architecture() == self.platform.architecture()
        };
        std::iter::once(&self.platform).chain(self.runs.iter().filter(own)).any(|own| own.runs(platform))
    }
}

impl Engine {
    /// Connects to an engine, reads its facts, and opens BuildKit's control connection.
    ///
    /// # Errors
    /// polyarch cannot reach the engine, it does not answer within 10 s, or it has no BuildKit (API before 1.39,
    /// Podman).
    pub async fn connect(name: EngineName, host: EngineHost) -> Result<Self, EngineError> {
        let dialer = Dialer::new(host);
        let operation = format!("connect to {}", dialer.host());
        let failed = |kind| EngineError { engine: name.clone(), operation: operation.clone(), kind };
        // This connects by hand first, because the REST client hides the reason of a failure too deep for a hint.
        drop(dialer.connect().await.map_err(|error| failed(EngineErrorKind::Connect(error)))?);
        let docker = rest::client(&dialer).map_err(|error| failed(classify(error)))?;
        // The requests run at the same time, because older engines start programs to answer each of them.
        let facts = within(ANSWER, facts(&docker));
        let control = async { Ok::<_, EngineErrorKind>(within(ANSWER, workers(&dialer)).await) };
        let (mut facts, control) = tokio::try_join!(facts, control).map_err(&failed)?;
        if facts.api < FIRST_API {
            return Err(failed(EngineErrorKind::NoBuildKit(format!(
                "its API version is {}.{}",
                facts.api.major, facts.api.minor
            ))));
        }
        let (channel, workers) = control.map_err(&failed)?;
        let listed = platforms(&workers);
        facts.platform = own(facts.platform, &listed);
        facts.runs = runs(&facts.platform, listed);
        let control = control::control(&channel);
        Ok(Self { name, dialer, docker, channel, control, facts })
    }

    /// Its name in the plan.
    #[must_use]
    pub fn name(&self) -> &EngineName {
        &self.name
    }

    /// The facts that it reports about itself.
    #[must_use]
    pub fn facts(&self) -> &EngineFacts {
        &self.facts
    }

    /// Whether the engine can push one platform of an image.
    pub(super) fn pushes_by_platform(&self) -> bool {
        self.facts.api >= PUSH_PLATFORM_API
    }

    /// A hint how to make this engine run programs of `platform`, if it cannot run them now.
    #[must_use]
    pub fn missing_emulation(&self, platform: &Platform) -> Option<String> {
        let runs = self.facts.runs.iter().any(|host| host.runs(platform));
        (!runs).then(|| emulation_hint(&self.facts.platform, platform))
    }

    /// The digest that this engine finds under `reference` in the registry. It proves that the engine reaches the same
    /// registry as polyarch (Engine API, `/distribution/{name}/json`). The engine pulls no image.
    ///
    /// # Errors
    /// The engine cannot reach the registry, or finds nothing under the reference.
    pub async fn digest_in_registry(&self, reference: &TagRef) -> Result<Digest, EngineError> {
        let asking = async {
            let found = self.docker.inspect_registry_image(&reference.to_string(), None).await.map_err(classify)?;
            let digest = found.descriptor.digest.unwrap_or_default();
            digest.parse().map_err(|_| EngineErrorKind::NoProof(format!("the engine reports the digest {digest:?}")))
        };
        within(ANSWER, asking).await.map_err(|kind| self.error(format!("look up {reference} in the registry"), kind))
    }

    pub(super) fn error(&self, operation: String, kind: EngineErrorKind) -> EngineError {
        EngineError { engine: self.name.clone(), operation, kind }
    }
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("name", &self.name).field("facts", &self.facts).finish_non_exhaustive()
    }
}

async fn facts(docker: &Docker) -> Result<EngineFacts, EngineErrorKind> {
    let (version, info) = tokio::try_join!(docker.version(), docker.info()).map_err(classify)?;
    facts_of(&version, &info)
}

fn facts_of(
    version: &bollard::models::SystemVersion,
    info: &bollard::models::SystemInfo,
) -> Result<EngineFacts, EngineErrorKind> {
    let text = |field: &Option<String>| field.clone().unwrap_or_default();
    let (os, architecture) = (text(&version.os), text(&version.arch));
    let platform = Platform::new(&os, &architecture, None)
        .map_err(|_| EngineErrorKind::NoBuildKit(format!("it reports the platform {os:?}/{architecture:?}")))?;
    let api = text(&version.api_version);
    let api = parse_api(&api).ok_or_else(|| EngineErrorKind::NoBuildKit(format!("it reports the API {api:?}")))?;
    let containerd = info
        .driver_status
        .iter()
        .flatten()
        .any(|pair| matches!(&pair[..], [key, value] if key == "driver-type" && value.starts_with("io.containerd.snapshotter")));
    let store = if containerd { ImageStore::Containerd } else { ImageStore::GraphDriver };
    let runc = version.components.iter().flatten().find(|part| part.name == "runc").map(|part| part.version.clone());
    Ok(EngineFacts { version: text(&version.version), api, runs: vec![platform.clone()], platform, store, runc })
}

fn parse_api(text: &str) -> Option<ApiVersion> {
    let (major, minor) = text.split_once('.')?;
    Some(ApiVersion { major: major.parse().ok()?, minor: minor.parse().ok()? })
}

/// The connection to BuildKit, and the workers that BuildKit lists.
async fn workers(dialer: &Dialer) -> Result<(Channel, ListWorkersResponse), EngineErrorKind> {
    let channel = control::connect(dialer).await.map_err(|error| no_control(&error))?;
    let workers = control::control(&channel).list_workers(ListWorkersRequest::default()).await;
    let workers = workers.map_err(|status| EngineErrorKind::NoBuildKit(status.message().to_owned()))?;
    Ok((channel, workers.into_inner()))
}

/// The platforms of BuildKit's workers, in their order.
fn platforms(workers: &ListWorkersResponse) -> Vec<Platform> {
    let specs = workers.record.iter().flat_map(|worker| &worker.platforms);
    specs.filter_map(|spec| Platform::new(&spec.os, &spec.architecture, Some(&spec.variant)).ok()).collect()
}

/// The processor's platform: the first platform in BuildKit's list with the engine's architecture. The engine itself
/// reports no variant, and its processor may be `arm/v6`.
fn own(said: Platform, listed: &[Platform]) -> Platform {
    let same = |one: &&Platform| one.os() == said.os() && one.architecture() == said.architecture();
    listed.iter().find(same).cloned().unwrap_or(said)
}

/// The platforms that the engine can run. `own` is always the first.
fn runs(own: &Platform, listed: Vec<Platform>) -> Vec<Platform> {
    let mut platforms = vec![own.clone()];
    for platform in listed {
        if !platforms.contains(&platform) {
            platforms.push(platform);
        }
    }
    platforms
}

fn no_control(error: &tonic::transport::Error) -> EngineErrorKind {
    EngineErrorKind::NoBuildKit(innermost(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(said: &str, listed: &[&str]) -> EngineFacts {
        let listed: Vec<Platform> = listed.iter().map(|one| one.parse().unwrap()).collect();
        let platform = own(said.parse().unwrap(), &listed);
        let runs = runs(&platform, listed);
        let api = ApiVersion { major: 1, minor: 51 };
        EngineFacts { version: "28".into(), api, platform, runs, store: ImageStore::Containerd, runc: None }
    }

    #[test]
    fn native_platforms_are_those_that_need_no_emulator() {
        let x86 =
            facts("linux/amd64", &["linux/amd64", "linux/amd64/v2", "linux/amd64/v3", "linux/386", "linux/arm64"]);
        for (platform, native) in [
            ("linux/amd64", true),
            ("linux/amd64/v2", true),
            ("linux/amd64/v3", true),
            ("linux/amd64/v4", false),
            ("linux/386", true),
            ("linux/arm64", false),
        ] {
            assert_eq!(x86.is_native(&platform.parse().unwrap()), native, "{platform}");
        }
        // The variants of an emulated processor are emulated, too.
        let arm =
            facts("linux/arm64", &["linux/arm64", "linux/amd64", "linux/amd64/v2", "linux/arm/v7", "linux/arm/v6"]);
        assert!(!arm.is_native(&"linux/amd64/v2".parse().unwrap()));
        // BuildKit lists emulators first, or lists nothing.
        assert_eq!(facts("linux/arm64", &["linux/amd64", "linux/arm64"]).platform.to_string(), "linux/arm64");
        assert_eq!(facts("linux/amd64", &[]).runs, ["linux/amd64".parse().unwrap()]);
        // Normalization turns `arm` into `arm/v7`.
        let pi = facts("linux/arm", &["linux/arm/v6", "linux/arm/v5"]);
        assert_eq!(pi.platform.to_string(), "linux/arm/v6");
        assert!(!pi.is_native(&"linux/arm/v7".parse().unwrap()) && pi.is_native(&"linux/arm/v5".parse().unwrap()));
    }

    #[test]
    fn emulation_hint_appears_only_if_emulation_helps() {
        let hint = |own: &str, wanted: &str| emulation_hint(&own.parse().unwrap(), &wanted.parse().unwrap());
        assert!(hint("linux/amd64", "linux/arm64").contains("tonistiigi/binfmt --install arm64"));
        assert!(hint("linux/amd64", "linux/arm/v7").contains("tonistiigi/binfmt --install arm`"));
        assert!(hint("linux/amd64", "linux/amd64/v4").contains("use a newer engine"));
        assert!(hint("linux/amd64", "windows/amd64").contains("runs only linux programs"));
        assert!(hint("linux/amd64", "linux/sparc64").contains("on an engine whose processor runs it"));
    }
}
