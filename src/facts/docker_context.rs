//! Finds the engine that the docker CLI would use. The sources are, in this order: `DOCKER_HOST`, `DOCKER_CONTEXT`,
//! the current context and the default socket (docker/cli, `cli/command/cli.go`).

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::de::MapAccess;

use super::context_store::{self, FoundTls, read_json};
use super::docker_error::{DockerContextError, HostSetting};
use crate::oci::loose::{self, Object};

/// The default address of the engine.
pub const DEFAULT_HOST: &str = "unix:///var/run/docker.sock";
/// The default address of the engine if a variable asks for TLS (docker/cli, `opts/hosts.go`).
const DEFAULT_TLS_HOST: &str = "tcp://localhost:2376";
/// The variable that asks for TLS with a check of the engine's certificate. Any value counts, also `0`.
const VERIFY: &str = "DOCKER_TLS_VERIFY";
/// The variable that asks for TLS.
const TLS: &str = "DOCKER_TLS";

/// The engine that the docker CLI would use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundEngine {
    /// The host as the docker CLI writes it, without checks: `unix:///var/run/docker.sock`, `tcp://host:port`,
    /// `ssh://host`.
    pub host: String,
    /// The setting that names the host.
    pub source: HostSource,
    /// The files of TLS. `None`: the connection has no TLS.
    pub tls: Option<FoundTls>,
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
    /// The variable that asks for TLS, which changes the default.
    DefaultWithTls,
}

impl fmt::Display for HostSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DockerHost => f.write_str("DOCKER_HOST"),
            Self::Context(name) => write!(f, "docker context {name}"),
            Self::Default => f.write_str("the default"),
            Self::DefaultWithTls => f.write_str("the default with DOCKER_TLS_VERIFY"),
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

/// Finds the engine that the docker CLI would use.
///
/// `environment` holds the variables. `config` is the directory of the docker CLI (`DOCKER_CONFIG`, or `.docker` in
/// the home directory). The function opens no connection.
///
/// # Errors
/// A file cannot be read or parsed, the context does not exist, or the setting asks for TLS without a check.
pub fn default_engine(
    environment: &BTreeMap<String, String>,
    config: &Path,
) -> Result<FoundEngine, DockerContextError> {
    let variable = |name: &str| variable(environment, name);
    if variable("DOCKER_HOST").is_some() {
        return without_context(environment, config);
    }
    match variable("DOCKER_CONTEXT") {
        Some(name) => engine_of_context(name, environment, config),
        None => engine_of_context(&current_context(config)?, environment, config),
    }
}

/// Finds the engine of a context, as `docker --context NAME` does. The name `default` means that no context is selected:
/// the engine of `DOCKER_HOST`, or the default socket.
///
/// # Errors
/// As for [`default_engine`].
pub fn engine_of_context(
    name: &str,
    environment: &BTreeMap<String, String>,
    config: &Path,
) -> Result<FoundEngine, DockerContextError> {
    if name.is_empty() || name == "default" {
        return without_context(environment, config);
    }
    let Some(stored) = context_store::find(name, config)? else {
        let existing = context_store::contexts(config).into_iter().map(|context| context.name).collect();
        return Err(DockerContextError::Missing { name: name.to_owned(), existing });
    };
    let host = stored.host.ok_or_else(|| DockerContextError::NoEndpoint { name: name.to_owned() })?;
    // Like the docker CLI, this ignores the certificates of a context that needs none.
    if !host.starts_with("tcp://") {
        return Ok(FoundEngine { host, source: HostSource::Context(name.to_owned()), tls: None });
    }
    if stored.skips_check {
        return Err(DockerContextError::Unverified { asked_by: HostSetting::Context(name.to_owned()) });
    }
    Ok(FoundEngine { host, source: HostSource::Context(name.to_owned()), tls: stored.tls })
}

/// The engine that the variables name, or the default one.
fn without_context(environment: &BTreeMap<String, String>, config: &Path) -> Result<FoundEngine, DockerContextError> {
    let variable = |name: &str| variable(environment, name);
    let (verifies, encrypts) = (variable(VERIFY).is_some(), variable(TLS).is_some());
    let (host, source) = match variable("DOCKER_HOST") {
        // The docker CLI reads `host:port` as plain TCP.
        Some(host) if !host.contains("://") => (format!("tcp://{host}"), HostSource::DockerHost),
        Some(host) => (host.to_owned(), HostSource::DockerHost),
        None if verifies || encrypts => (DEFAULT_TLS_HOST.to_owned(), HostSource::DefaultWithTls),
        None => (DEFAULT_HOST.to_owned(), HostSource::Default),
    };
    if !host.starts_with("tcp://") || !(verifies || encrypts) {
        return Ok(FoundEngine { host, source, tls: None });
    }
    if !verifies {
        return Err(DockerContextError::Unverified { asked_by: HostSetting::Variable });
    }
    let directory = variable("DOCKER_CERT_PATH").map_or_else(|| config.to_owned(), PathBuf::from);
    Ok(FoundEngine {
        host,
        source,
        tls: Some(FoundTls { ca: Some(directory.join("ca.pem")), ..FoundTls::in_directory(&directory) }),
    })
}

fn variable<'a>(environment: &'a BTreeMap<String, String>, name: &str) -> Option<&'a str> {
    environment.get(name).map(String::as_str).filter(|value| !value.is_empty())
}

fn current_context(config: &Path) -> Result<String, DockerContextError> {
    let file: Option<ConfigFile> = read_json(&config.join("config.json"))?;
    Ok(file.map(|file| file.current_context).unwrap_or_default())
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
        context(config, LAB, r#"{"Endpoints":{"kubernetes":{"Host":"x"}}}"#);
        assert_eq!(message(&[("DOCKER_CONTEXT", "lab")]), "docker context lab has no docker endpoint");
        fs::write(config.join("config.json"), "{").unwrap();
        assert_eq!(message(&[]), format!("{} is not valid", config.join("config.json").display()));
    }

    #[test]
    fn missing_docker_context_names_those_that_exist() {
        let config = tempfile::tempdir().unwrap();
        let config = config.path();
        let hint = || find(config, &[("DOCKER_CONTEXT", "none")]).unwrap_err().hint().unwrap();
        assert!(hint().contains("docker context create"));
        context(config, LAB, r#"{"Name":"lab","Endpoints":{"docker":{"Host":"unix:///tmp/lab.sock"}}}"#);
        context(config, REMOTE, r#"{"Name":"remote","Endpoints":{"docker":{"Host":"ssh://h"}}}"#);
        assert_eq!(hint(), "name a context that exists: lab, remote");
    }

    #[test]
    fn tls_variables_are_read_as_by_the_docker_cli() {
        let config = tempfile::tempdir().unwrap();
        let config = config.path();
        let tls = |variables: &[(&str, &str)]| find(config, variables).unwrap().tls;
        let host = ("DOCKER_HOST", "tcp://10.0.0.1:2376");
        let ca = Some(config.join("ca.pem"));
        assert_eq!(tls(&[host]), None);
        // Any value counts. The authority is not optional, so its absence is an error later.
        for value in ["1", "0", "false"] {
            let found = tls(&[host, ("DOCKER_TLS_VERIFY", value)]);
            assert_eq!(found, Some(FoundTls { ca: ca.clone(), client: None }), "{value}");
        }
        let certs = config.join("certs");
        fs::create_dir(&certs).unwrap();
        fs::write(certs.join("cert.pem"), "").unwrap();
        let elsewhere = ("DOCKER_CERT_PATH", certs.to_str().unwrap());
        let client = Some((certs.join("cert.pem"), certs.join("key.pem")));
        let wanted = FoundTls { ca: Some(certs.join("ca.pem")), client };
        assert_eq!(tls(&[host, ("DOCKER_TLS_VERIFY", "1"), ("DOCKER_TLS", "1"), elsewhere]), Some(wanted));
        // A socket has no TLS, and TLS changes the default.
        assert_eq!(tls(&[("DOCKER_HOST", "unix:///a.sock"), ("DOCKER_TLS_VERIFY", "1")]), None);
        let default = find(config, &[("DOCKER_TLS_VERIFY", "1")]).unwrap();
        assert_eq!((default.host.as_str(), default.tls.is_some()), (DEFAULT_TLS_HOST, true));
        let unverified = find(config, &[host, ("DOCKER_TLS", "1")]).unwrap_err();
        assert!(
            unverified.to_string().starts_with("DOCKER_TLS without DOCKER_TLS_VERIFY asks for TLS without a check")
        );
        assert!(unverified.hint().unwrap().starts_with("set DOCKER_TLS_VERIFY=1"));
    }

    #[test]
    fn tls_of_a_docker_context_is_found_in_its_store() {
        let config = tempfile::tempdir().unwrap();
        let config = config.path();
        let lab = [("DOCKER_CONTEXT", "lab")];
        let meta = |host: &str, skips: bool| {
            format!(r#"{{"Name":"lab","Endpoints":{{"docker":{{"Host":"{host}","SkipTLSVerify":{skips}}}}}}}"#)
        };
        context(config, LAB, &meta("tcp://h:2376", false));
        assert_eq!(find(config, &lab).unwrap().tls, None);
        let tls = config.join("contexts/tls").join(LAB).join("docker");
        fs::create_dir_all(&tls).unwrap();
        assert_eq!(find(config, &lab).unwrap().tls, Some(FoundTls::default()), "the authorities of the system");
        for name in ["ca.pem", "cert.pem", "key.pem"] {
            fs::write(tls.join(name), "").unwrap();
        }
        let client = Some((tls.join("cert.pem"), tls.join("key.pem")));
        let wanted = FoundTls { ca: Some(tls.join("ca.pem")), client };
        assert_eq!(find(config, &lab).unwrap().tls, Some(wanted));
        context(config, LAB, &meta("ssh://h", true));
        assert_eq!(find(config, &lab).unwrap().tls, None, "ssh needs no certificates");
        context(config, LAB, &meta("tcp://h:2376", true));
        let unverified = find(config, &lab).unwrap_err();
        assert!(unverified.to_string().starts_with("docker context lab asks for TLS without a check"));
        assert!(unverified.hint().unwrap().contains("docker context update lab"));
    }
}
