//! Finds the engine that the docker CLI would use. The sources are, in this order: `DOCKER_HOST`, `DOCKER_CONTEXT`,
//! the current context and the default socket (docker/cli, `cli/command` and `cli/context/store`).

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde::de::MapAccess;

use crate::oci::Digest;
use crate::oci::loose::{self, Loose, Object};

/// The default address of the engine.
pub const DEFAULT_HOST: &str = "unix:///var/run/docker.sock";

/// The largest file of the docker CLI that is read, in bytes.
const MAX_FILE: u64 = 1024 * 1024;

/// The engine that the docker CLI would use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundEngine {
    /// The host as the docker CLI writes it, without checks: `unix:///var/run/docker.sock`, `tcp://host:port`,
    /// `ssh://host`.
    pub host: String,
    /// The setting that names the host.
    pub source: HostSource,
}

/// The setting that names the engine, for messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostSource {
    /// The environment variable `DOCKER_HOST`.
    DockerHost,
    /// The docker context of this name.
    Context(String),
    /// No setting: this is the default.
    Default,
}

impl fmt::Display for HostSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DockerHost => f.write_str("DOCKER_HOST"),
            Self::Context(name) => write!(f, "docker context {name}"),
            Self::Default => f.write_str("the default"),
        }
    }
}

/// Why polyarch does not know which engine the docker CLI would use, or cannot use that engine.
#[derive(Debug, thiserror::Error)]
pub enum DockerContextError {
    /// A file of the docker CLI cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file of the docker CLI is not valid.
    #[error("{path} is not valid")]
    Parse {
        /// The file.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
    /// The context does not exist.
    #[error("there is no docker context {name:?}")]
    Missing {
        /// Its name.
        name: String,
    },
    /// The context names no engine.
    #[error("docker context {name} has no docker endpoint")]
    NoEndpoint {
        /// Its name.
        name: String,
    },
    /// The setting requires TLS.
    #[error("{asked_by} asks for TLS, which is not yet supported")]
    Tls {
        /// The setting.
        asked_by: String,
    },
}

impl DockerContextError {
    /// The next step.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Missing { .. } | Self::NoEndpoint { .. } => Some(
                "run `docker context ls` to see the contexts \
                that exist",
            ),
            Self::Tls { .. } => Some("name an engine in the plan, or pass --engine NAME=unix:///path/to.sock"),
            Self::Read { .. } | Self::Parse { .. } => None,
        }
    }
}

#[derive(Default)]
struct ConfigFile {
    current_context: String,
}

impl Object for ConfigFile {
    fn take<'de, A: MapAccess<'de>>(&mut self, name: &str, values: &mut A) -> Result<(), A::Error> {
        match name {
            "currentcontext" => loose::set(&mut self.current_context, values),
            _ => loose::skip(values),
        }
    }
}

#[derive(Default)]
struct ContextFile {
    endpoints: BTreeMap<String, Loose<Endpoint>>,
}

impl Object for ContextFile {
    fn take<'de, A: MapAccess<'de>>(&mut self, name: &str, values: &mut A) -> Result<(), A::Error> {
        match name {
            "endpoints" => loose::add(&mut self.endpoints, values),
            _ => loose::skip(values),
        }
    }
}

#[derive(Default)]
struct Endpoint {
    host: String,
}

impl Object for Endpoint {
    fn take<'de, A: MapAccess<'de>>(&mut self, name: &str, values: &mut A) -> Result<(), A::Error> {
        match name {
            "host" => loose::set(&mut self.host, values),
            _ => loose::skip(values),
        }
    }
}

/// Finds the engine that the docker CLI would use.
///
/// `environment` holds the variables. `config` is the directory of the docker CLI (`DOCKER_CONFIG`, or `.docker` in
/// the home directory). The function opens no connection.
///
/// # Errors
/// A file cannot be read or parsed, the context does not exist, or the engine requires TLS.
pub fn default_engine(
    environment: &BTreeMap<String, String>,
    config: &Path,
) -> Result<FoundEngine, DockerContextError> {
    let variable = |name: &str| environment.get(name).filter(|value| !value.is_empty());
    let found = if let Some(host) = variable("DOCKER_HOST") {
        // The docker CLI reads `host:port` as plain TCP.
        let host = if host.contains("://") { host.clone() } else { format!("tcp://{host}") };
        FoundEngine { host, source: HostSource::DockerHost }
    } else {
        let name = match variable("DOCKER_CONTEXT") {
            Some(name) => name.clone(),
            None => current_context(config)?,
        };
        // `default` means that no context is selected.
        if !name.is_empty() && name != "default" {
            return from_context(&name, config);
        }
        FoundEngine { host: DEFAULT_HOST.to_owned(), source: HostSource::Default }
    };
    let tls = ["DOCKER_TLS_VERIFY", "DOCKER_TLS"].into_iter().find(|name| variable(name).is_some());
    match tls {
        Some(name) if found.host.starts_with("tcp://") => Err(DockerContextError::Tls { asked_by: name.to_owned() }),
        _ => Ok(found),
    }
}

fn current_context(config: &Path) -> Result<String, DockerContextError> {
    let file: Option<ConfigFile> = read_json(&config.join("config.json"))?;
    Ok(file.map(|file| file.current_context).unwrap_or_default())
}

fn from_context(name: &str, config: &Path) -> Result<FoundEngine, DockerContextError> {
    // The directory is named by the hash of the name, so no name can lead to another place.
    let digest = Digest::of(name.as_bytes()).to_string();
    let id = digest.split(':').next_back().unwrap_or_default();
    let file: Option<ContextFile> = read_json(&config.join("contexts/meta").join(id).join("meta.json"))?;
    let file = file.ok_or_else(|| DockerContextError::Missing { name: name.to_owned() })?;
    let mut endpoints = file.endpoints.into_iter();
    let endpoint = endpoints.find(|(kind, Loose(endpoint))| kind == "docker" && !endpoint.host.is_empty());
    let (_, Loose(endpoint)) = endpoint.ok_or_else(|| DockerContextError::NoEndpoint { name: name.to_owned() })?;
    let source = HostSource::Context(name.to_owned());
    if config.join("contexts/tls").join(id).join("docker").exists() {
        return Err(DockerContextError::Tls { asked_by: source.to_string() });
    }
    Ok(FoundEngine { host: endpoint.host, source })
}

/// The contents of a JSON file, if it exists.
fn read_json<T: Object>(path: &Path) -> Result<Option<T>, DockerContextError> {
    use io::ErrorKind::{IsADirectory, NotADirectory, NotFound};
    let mut text = Vec::new();
    match File::open(path).and_then(|file| file.take(MAX_FILE).read_to_end(&mut text)) {
        Ok(_) => {}
        Err(error) if matches!(error.kind(), NotFound | NotADirectory | IsADirectory) => return Ok(None),
        Err(source) => return Err(DockerContextError::Read { path: path.to_owned(), source }),
    }
    let parsed = loose::read(&text);
    parsed.map(Some).map_err(|source| DockerContextError::Parse { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn find(config: &Path, variables: &[(&str, &str)]) -> Result<FoundEngine, DockerContextError> {
        let environment = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        default_engine(&environment, config)
    }

    fn found(config: &Path, variables: &[(&str, &str)]) -> (String, String) {
        let found = find(config, variables).unwrap();
        (found.host, found.source.to_string())
    }

    fn is(host: &str, source: &str) -> (String, String) {
        (host.to_owned(), source.to_owned())
    }

    /// The file that `docker context create` writes. The directory is `printf NAME | sha256sum`.
    fn context(config: &Path, id: &str, meta: &str) {
        let directory = config.join("contexts/meta").join(id);
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join("meta.json"), meta).unwrap();
    }

    const REMOTE: &str = "b71199ebd070b36beab7317920c2c2f1d777df8d05e5527d8458fda57cb17a7a";
    const LAB: &str = "a51146d38077ff992eba84cf1d5e9b249073503eb74868699016153b031a38f7";

    #[test]
    fn docker_context_is_found_in_the_order_of_the_docker_cli() {
        let config = tempfile::tempdir().unwrap();
        let config = config.path();
        assert_eq!(found(config, &[]), is(DEFAULT_HOST, "the default"));
        context(
            config,
            REMOTE,
            r#"{"Name":"remote","Metadata":{},"Endpoints":{"docker":{"Host":"ssh://b@h","SkipTLSVerify":false}}}"#,
        );
        context(config, LAB, r#"{"Name":"lab","Endpoints":{"docker":{"Host":"unix:///tmp/lab.sock"}}}"#);
        fs::write(config.join("config.json"), r#"{"auths":{},"currentContext":"remote"}"#).unwrap();
        assert_eq!(found(config, &[]), is("ssh://b@h", "docker context remote"));
        assert_eq!(found(config, &[("DOCKER_CONTEXT", "lab")]), is("unix:///tmp/lab.sock", "docker context lab"));
        assert_eq!(found(config, &[("DOCKER_CONTEXT", "default")]), is(DEFAULT_HOST, "the default"));
        let both = [("DOCKER_CONTEXT", "lab"), ("DOCKER_HOST", "tcp://127.0.0.1:2375")];
        assert_eq!(found(config, &both), is("tcp://127.0.0.1:2375", "DOCKER_HOST"));
        assert_eq!(found(config, &[("DOCKER_HOST", "127.0.0.1:2375")]), is("tcp://127.0.0.1:2375", "DOCKER_HOST"));
        assert_eq!(
            found(config, &[("DOCKER_HOST", ""), ("DOCKER_CONTEXT", "")]),
            is("ssh://b@h", "docker context remote")
        );
    }

    #[test]
    fn empty_docker_config_names_no_context() {
        let config = tempfile::tempdir().unwrap();
        let (config, file) = (config.path(), config.path().join("config.json"));
        for nothing in ["", "null", r#"{"currentContext":null}"#] {
            fs::write(&file, nothing).unwrap();
            assert_eq!(found(config, &[]), is(DEFAULT_HOST, "the default"), "{nothing:?}");
        }
        assert_eq!(found(&file, &[]), is(DEFAULT_HOST, "the default"), "the directory is a file");
        context(config, LAB, r#"{"endpoints":{"kubernetes":null,"docker":{"HOST":"unix:///tmp/lab.sock"}}}"#);
        fs::write(&file, r#"{"CURRENTCONTEXT":"lab"}"#).unwrap();
        assert_eq!(found(config, &[]), is("unix:///tmp/lab.sock", "docker context lab"));
        fs::remove_file(&file).unwrap();
        fs::create_dir(&file).unwrap();
        assert_eq!(found(config, &[]), is(DEFAULT_HOST, "the default"), "the file is a directory");
    }

    #[test]
    fn docker_context_errors_name_the_problem() {
        let config = tempfile::tempdir().unwrap();
        let config = config.path();
        let message = |variables: &[(&str, &str)]| find(config, variables).unwrap_err().to_string();
        assert_eq!(message(&[("DOCKER_CONTEXT", "../x")]), "there is no docker context \"../x\"");
        let tls = [("DOCKER_HOST", "tcp://10.0.0.1:2376"), ("DOCKER_TLS_VERIFY", "1")];
        assert_eq!(message(&tls), "DOCKER_TLS_VERIFY asks for TLS, which is not yet supported");
        assert!(find(config, &[("DOCKER_TLS_VERIFY", "1")]).is_ok(), "a socket has no TLS");
        context(config, LAB, r#"{"Endpoints":{"kubernetes":{"Host":"x"}}}"#);
        assert_eq!(message(&[("DOCKER_CONTEXT", "lab")]), "docker context lab has no docker endpoint");
        context(config, LAB, r#"{"Endpoints":{"docker":{"Host":"tcp://h:2376"}}}"#);
        fs::create_dir_all(config.join("contexts/tls").join(LAB).join("docker")).unwrap();
        assert_eq!(
            message(&[("DOCKER_CONTEXT", "lab")]),
            "docker context lab asks for TLS, which is not yet supported"
        );
        fs::write(config.join("config.json"), "{").unwrap();
        assert_eq!(message(&[]), format!("{} is not valid", config.join("config.json").display()));
    }
}
