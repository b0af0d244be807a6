//! Reads the contexts of the docker CLI from their files (docker/cli, `cli/context/store`).

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde::de::MapAccess;

use super::docker_error::DockerContextError;
use crate::oci::Digest;
use crate::oci::loose::{self, Loose, Object};

/// The largest file of the docker CLI that is read, in bytes.
const MAX_FILE: u64 = 1024 * 1024;
/// The most contexts that are listed.
const MOST: usize = 1000;

/// The files of TLS that a setting of docker names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FoundTls {
    /// The only authorities to trust. `None`: those of the system.
    pub ca: Option<PathBuf>,
    /// The client certificate and its key.
    pub client: Option<(PathBuf, PathBuf)>,
}

impl FoundTls {
    /// The files in a directory that exist (docker/cli, `cli/flags/options.go` and `cli/context/tlsdata.go`).
    pub(super) fn in_directory(directory: &Path) -> Self {
        let [ca, cert, key] = ["ca.pem", "cert.pem", "key.pem"].map(|name| directory.join(name));
        // One of the two files alone is an error of its own, which reports the other file.
        let client = (cert.exists() || key.exists()).then_some((cert, key));
        Self { ca: ca.exists().then_some(ca), client }
    }
}

/// A context of the docker CLI.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredContext {
    /// Its name.
    pub name: String,
    /// The host of its engine as the docker CLI writes it, without checks. `None`: the context has no engine.
    pub host: Option<String>,
    /// Its files of TLS. `None`: it has none.
    pub tls: Option<FoundTls>,
    /// Whether the docker CLI would not check the certificate of the engine.
    pub skips_check: bool,
}

#[derive(Default)]
struct ContextFile {
    name: String,
    endpoints: BTreeMap<String, Loose<Endpoint>>,
}

impl Object for ContextFile {
    fn take<'de, A: MapAccess<'de>>(&mut self, name: &str, values: &mut A) -> Result<(), A::Error> {
        match name {
            "name" => loose::set(&mut self.name, values),
            "endpoints" => loose::add(&mut self.endpoints, values),
            _ => loose::skip(values),
        }
    }
}

#[derive(Default)]
struct Endpoint {
    host: String,
    skip_tls_verify: bool,
}

impl Object for Endpoint {
    fn take<'de, A: MapAccess<'de>>(&mut self, name: &str, values: &mut A) -> Result<(), A::Error> {
        match name {
            "host" => loose::set(&mut self.host, values),
            "skiptlsverify" => loose::set(&mut self.skip_tls_verify, values),
            _ => loose::skip(values),
        }
    }
}

/// The context of this name, if it exists.
pub(super) fn find(name: &str, config: &Path) -> Result<Option<StoredContext>, DockerContextError> {
    // The directory is named by the hash of the name, so no name can lead to another place.
    let digest = Digest::of(name.as_bytes()).to_string();
    let id = digest.split(':').next_back().unwrap_or_default();
    let file: Option<ContextFile> = read_json(&config.join("contexts/meta").join(id).join("meta.json"))?;
    Ok(file.map(|file| StoredContext { name: name.to_owned(), ..stored(file, config, id) }))
}

/// All contexts in the docker CLI's configuration, in the order of their names. The function skips unreadable ones. The
/// context `default` has no file, so it is not in the list.
#[must_use]
pub fn contexts(config: &Path) -> Vec<StoredContext> {
    let Ok(directories) = std::fs::read_dir(config.join("contexts/meta")) else { return Vec::new() };
    let ids = directories.take(MOST).filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let read = |id: String| {
        let file: ContextFile = read_json(&config.join("contexts/meta").join(&id).join("meta.json")).ok()??;
        Some(stored(file, config, &id)).filter(|context| !context.name.is_empty())
    };
    let mut contexts: Vec<_> = ids.filter_map(read).collect();
    contexts.sort_by(|a, b| a.name.cmp(&b.name));
    contexts
}

fn stored(file: ContextFile, config: &Path, id: &str) -> StoredContext {
    let mut endpoints = file.endpoints.into_iter();
    let endpoint = endpoints.find(|(kind, Loose(endpoint))| kind == "docker" && !endpoint.host.is_empty());
    let (host, skips_check) =
        endpoint.map_or((None, false), |(_, Loose(endpoint))| (Some(endpoint.host), endpoint.skip_tls_verify));
    let tls = config.join("contexts/tls").join(id).join("docker");
    StoredContext { name: file.name, host, tls: tls.exists().then(|| FoundTls::in_directory(&tls)), skips_check }
}

/// The contents of a JSON file, if it exists.
pub(super) fn read_json<T: Object>(path: &Path) -> Result<Option<T>, DockerContextError> {
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

    #[test]
    fn docker_contexts_are_listed_by_name() {
        let config = tempfile::tempdir().unwrap();
        assert_eq!(contexts(config.path()), []);
        for (id, meta) in [
            ("1", r#"{"Name":"lab","Metadata":{},"Endpoints":{"docker":{"Host":"unix:///lab.sock"}}}"#),
            ("2", r#"{"Name":"arm","Endpoints":{"docker":{"Host":"ssh://arm","SkipTLSVerify":false}}}"#),
            ("3", r#"{"Name":"kubernetes","Endpoints":{"kubernetes":{"Host":"https://k"}}}"#),
            ("4", "{"),
        ] {
            let directory = config.path().join("contexts/meta").join(id);
            fs::create_dir_all(&directory).unwrap();
            fs::write(directory.join("meta.json"), meta).unwrap();
        }
        let found = contexts(config.path());
        let found: Vec<_> = found.iter().map(|one| (&*one.name, one.host.as_deref())).collect();
        assert_eq!(found, [("arm", Some("ssh://arm")), ("kubernetes", None), ("lab", Some("unix:///lab.sock"))]);
    }
}
