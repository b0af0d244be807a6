//! The facts that an engine reports about itself.

use crate::buildkit::{BuildKitVersion, Workers};
use crate::oci::Platform;

/// The facts that an engine reports about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineFacts {
    /// Its version: `28.5.2`, or `BuildKit 0.25.1` without a Docker Engine.
    pub version: String,
    /// The version of its REST API. BuildKit alone has none.
    pub api: Option<ApiVersion>,
    /// The version of its BuildKit. The API version of an engine decides, because old engines do not report it.
    pub buildkit: BuildKitVersion,
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
    /// BuildKit alone keeps no images: an image id is the digest of its manifest.
    None,
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
        self.store == ImageStore::Containerd && self.api >= Some(MANIFESTS_API)
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

    /// The facts in the engine's answers. Its BuildKit has not listed its platforms yet.
    pub(in crate::engine) fn of(
        version: &bollard::models::SystemVersion,
        info: &bollard::models::SystemInfo,
    ) -> Result<Self, String> {
        let text = |field: &Option<String>| field.clone().unwrap_or_default();
        let (os, architecture) = (text(&version.os), text(&version.arch));
        let platform = Platform::new(&os, &architecture, None)
            .map_err(|_| format!("it reports the platform {os:?}/{architecture:?}"))?;
        let api = text(&version.api_version);
        let api = ApiVersion::parse(&api).ok_or_else(|| format!("it reports the API {api:?}"))?;
        let containerd = info
            .driver_status
            .iter()
            .flatten()
            .any(|pair| matches!(&pair[..], [key, value] if key == "driver-type" && value.starts_with("io.containerd.snapshotter")));
        let store = if containerd { ImageStore::Containerd } else { ImageStore::GraphDriver };
        let runc =
            version.components.iter().flatten().find(|part| part.name == "runc").map(|part| part.version.clone());
        Ok(Self {
            version: text(&version.version),
            api: Some(api),
            buildkit: api.buildkit(),
            runs: vec![platform.clone()],
            platform,
            store,
            runc,
        })
    }

    /// The facts of a BuildKit without a Docker Engine. Its workers list their own platform first.
    pub(in crate::engine) fn of_buildkit(workers: Workers) -> Result<Self, String> {
        let platform = workers.platforms.first().cloned().ok_or("it lists no platform")?;
        Ok(Self {
            version: format!("BuildKit {}", workers.version),
            api: None,
            buildkit: workers.version,
            runs: runs(&platform, workers.platforms),
            platform,
            store: ImageStore::None,
            runc: None,
        })
    }

    /// The same facts, with the platforms that BuildKit's worker `listed`.
    pub(in crate::engine) fn with_listed(self, listed: Vec<Platform>) -> Self {
        let platform = own(self.platform, &listed);
        Self { runs: runs(&platform, listed), platform, ..self }
    }
}

impl ApiVersion {
    /// The APIs that came with a new BuildKit, and its version (moby, `vendor.mod` of the first release with that API).
    const BUILDKITS: [(u16, BuildKitVersion); 6] = [
        (48, BuildKitVersion::new(0, 19, 0)),
        (46, BuildKitVersion::new(0, 14, 0)),
        (45, BuildKitVersion::new(0, 13, 0)),
        (44, BuildKitVersion::new(0, 12, 0)),
        (43, BuildKitVersion::new(0, 11, 0)),
        (42, BuildKitVersion::new(0, 10, 0)),
    ];

    fn parse(text: &str) -> Option<Self> {
        let (major, minor) = text.split_once('.')?;
        Some(Self { major: major.parse().ok()?, minor: minor.parse().ok()? })
    }

    /// The oldest BuildKit of an engine with this API.
    #[must_use]
    pub fn buildkit(self) -> BuildKitVersion {
        let known = Self::BUILDKITS.iter().find(|(minor, _)| self >= Self { major: 1, minor: *minor });
        known.map_or(BuildKitVersion::new(0, 8, 0), |(_, version)| *version)
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(said: &str, listed: &[&str]) -> EngineFacts {
        let listed = listed.iter().map(|one| one.parse().unwrap()).collect();
        let (platform, api) = (said.parse().unwrap(), ApiVersion { major: 1, minor: 51 });
        let store = ImageStore::Containerd;
        let (version, buildkit, api, runs) = ("28".into(), api.buildkit(), Some(api), Vec::new());
        let facts = EngineFacts { version, api, buildkit, platform, runs, store, runc: None };
        facts.with_listed(listed)
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
}
