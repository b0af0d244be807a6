//! Finds the builders of buildx (docker/buildx, `store/store.go` and `store/nodegroup.go`).

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::oci::{Digest, Platform};

/// The largest file of buildx that is read, in bytes. A builder may hold certificates.
const MAX_FILE: u64 = 1024 * 1024;
/// How many builders polyarch reads.
const MOST: usize = 200;

/// The driver whose builders are BuildKit inside of a Docker Engine.
const DOCKER_DRIVER: &str = "docker";

/// A builder of buildx.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Builder {
    /// Its name.
    pub name: String,
    /// Its driver: `docker-container`, `kubernetes`, `remote`, `docker`, `cloud`.
    pub driver: String,
    /// The endpoints of its nodes: addresses, or names of docker contexts.
    pub endpoints: Vec<String>,
    /// The platforms that the user gave to its nodes. Most users give none.
    pub platforms: Vec<Platform>,
    /// Whether buildx uses this builder if no other is named.
    pub is_current: bool,
}

impl Builder {
    /// Whether the builder has a BuildKit of its own, which can do more than the BuildKit of a Docker Engine.
    #[must_use]
    pub fn has_own_buildkit(&self) -> bool {
        self.driver != DOCKER_DRIVER
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct InstanceFile {
    name: String,
    #[serde(default)]
    driver: Option<String>,
    #[serde(default)]
    nodes: Option<Vec<NodeFields>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct NodeFields {
    #[serde(default)]
    endpoint: Option<String>,
    #[serde(default)]
    platforms: Option<Vec<PlatformFields>>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum PlatformFields {
    /// The form of buildx 0.3 and older.
    Text(String),
    Fields {
        os: String,
        architecture: String,
        #[serde(default)]
        variant: Option<String>,
    },
}

impl PlatformFields {
    fn platform(&self) -> Option<Platform> {
        match self {
            Self::Text(text) => text.parse().ok(),
            Self::Fields { os, architecture, variant } => Platform::new(os, architecture, variant.as_deref()).ok(),
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct CurrentFile {
    #[serde(default)]
    key: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    global: bool,
}

/// The directory of buildx: `BUILDX_CONFIG`, or else `buildx` in docker's directory `config`.
fn directory(environment: &BTreeMap<String, String>, config: &Path) -> PathBuf {
    let own = environment.get("BUILDX_CONFIG").filter(|value| !value.is_empty());
    own.map_or_else(|| config.join("buildx"), PathBuf::from)
}

/// The builders of buildx, by name. `config` is docker's directory. `endpoint` is the docker context in use, or the
/// address of the engine if no context is in use: buildx remembers a builder for each of them. polyarch skips files
/// that it cannot read, as it only lists the builders.
#[must_use]
pub fn builders(environment: &BTreeMap<String, String>, config: &Path, endpoint: &str) -> Vec<Builder> {
    let directory = directory(environment, config);
    let files = fs::read_dir(directory.join("instances")).into_iter().flatten().take(MOST);
    let read = |path: PathBuf| serde_json::from_slice::<InstanceFile>(&read_file(&path).ok()?).ok();
    let instances: Vec<_> = files.filter_map(|file| read(file.ok()?.path())).collect();
    let exists = |name: &String| instances.iter().any(|instance| instance.name == *name);
    let named = environment.get("BUILDX_BUILDER").filter(|name| !name.is_empty()).cloned();
    let current = named.or_else(|| current(&directory, endpoint)).filter(exists);
    let mut builders: Vec<_> = instances.into_iter().map(|instance| builder(instance, current.as_deref())).collect();
    builders.sort_by(|one, other| one.name.cmp(&other.name));
    builders
}

/// The name of the builder that `docker buildx use` chose for everything, for this endpoint, or as its default.
fn current(directory: &Path, endpoint: &str) -> Option<String> {
    let file = read_file(&directory.join("current")).ok();
    let file = file.and_then(|text| serde_json::from_slice::<CurrentFile>(&text).ok());
    if let Some(CurrentFile { name, .. }) =
        file.filter(|file| !file.name.is_empty() && (file.global || file.key == endpoint))
    {
        return Some(name);
    }
    let hash = Digest::of(endpoint.as_bytes());
    let default = read_file(&directory.join("defaults").join(&hash.hex()[..20])).ok()?;
    String::from_utf8(default).ok()
}

fn builder(InstanceFile { name, driver, nodes }: InstanceFile, current: Option<&str>) -> Builder {
    let nodes = nodes.unwrap_or_default();
    let platforms = nodes.iter().flat_map(|node| node.platforms.iter().flatten());
    let mut platforms: Vec<_> = platforms.filter_map(PlatformFields::platform).collect();
    platforms.sort();
    platforms.dedup();
    let is_current = current == Some(&*name);
    let endpoints = nodes.into_iter().filter_map(|node| node.endpoint).collect();
    Builder { driver: driver.unwrap_or_default(), endpoints, platforms, is_current, name }
}

fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    fs::File::open(path)?.take(MAX_FILE).read_to_end(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The file that `docker buildx create --name ci --platform linux/arm64` writes.
    const CI: &str = r#"{"Name":"ci","Driver":"docker-container","Nodes":[{"Name":"ci0","Endpoint":"graviton",
        "Platforms":[{"architecture":"arm64","os":"linux"}],"DriverOpts":{},"Flags":null,"Files":null}],"Dynamic":false}"#;
    const OLD: &str =
        r#"{"Name":"old","Driver":"docker","Nodes":[{"Endpoint":"unix:///x","Platforms":["linux/386"]}]}"#;

    fn found(config: &Path, variables: &[(&str, &str)], endpoint: &str) -> Vec<Builder> {
        let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        builders(&variables.collect(), config, endpoint)
    }

    fn current(config: &Path, variables: &[(&str, &str)], endpoint: &str) -> Option<String> {
        found(config, variables, endpoint).into_iter().find(|one| one.is_current).map(|one| one.name)
    }

    #[test]
    fn builders_are_read_from_the_files_of_buildx() {
        let config = tempfile::tempdir().unwrap();
        assert_eq!(found(config.path(), &[], "default"), []);
        let instances = config.path().join("buildx/instances");
        fs::create_dir_all(&instances).unwrap();
        for (name, text) in [("ci", CI), ("old", OLD), ("broken", "{"), ("odd", r#"{"Name":"odd","Nodes":null}"#)] {
            fs::write(instances.join(name), text).unwrap();
        }
        let read = found(config.path(), &[], "default");
        assert_eq!(read.iter().map(|one| &*one.name).collect::<Vec<_>>(), ["ci", "odd", "old"]);
        assert_eq!((&*read[0].driver, &read[0].endpoints), ("docker-container", &vec!["graviton".to_owned()]));
        assert_eq!(read[0].platforms, ["linux/arm64".parse().unwrap()]);
        assert_eq!(read[2].platforms, ["linux/386".parse().unwrap()]);
        assert!(read[0].has_own_buildkit() && !read[2].has_own_buildkit());
        let elsewhere = [("BUILDX_CONFIG", "/nonexistent")];
        assert_eq!(found(config.path(), &elsewhere, "default"), []);
    }

    #[test]
    fn current_builder_is_found_in_the_order_of_buildx() {
        let config = tempfile::tempdir().unwrap();
        let (config, buildx) = (config.path(), config.path().join("buildx"));
        fs::create_dir_all(buildx.join("instances")).unwrap();
        fs::create_dir_all(buildx.join("defaults")).unwrap();
        fs::write(buildx.join("instances/ci"), CI).unwrap();
        fs::write(buildx.join("instances/old"), OLD).unwrap();
        assert_eq!(current(config, &[], "default"), None);
        // The directory of a default is `printf ENDPOINT | sha256sum | cut -c-20`.
        let hash = Digest::of(b"default").hex()[..20].to_owned();
        fs::write(buildx.join("defaults").join(hash), "old").unwrap();
        assert_eq!(current(config, &[], "default").as_deref(), Some("old"));
        fs::write(buildx.join("current"), r#"{"Key":"default","Name":"ci","Global":false}"#).unwrap();
        assert_eq!(current(config, &[], "default").as_deref(), Some("ci"));
        assert_eq!(current(config, &[], "graviton"), None);
        fs::write(buildx.join("current"), r#"{"Key":"default","Name":"ci","Global":true}"#).unwrap();
        assert_eq!(current(config, &[], "graviton").as_deref(), Some("ci"));
        assert_eq!(current(config, &[("BUILDX_BUILDER", "old")], "graviton").as_deref(), Some("old"));
        assert_eq!(current(config, &[("BUILDX_BUILDER", "missing")], "graviton"), None);
    }
}
