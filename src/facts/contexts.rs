//! Lists the docker contexts of this machine (docker/cli, `cli/context/store`).

use std::fs;
use std::io::Read as _;
use std::path::Path;

use serde::Deserialize;

/// The largest file of a context that is read, in bytes.
const MAX_FILE: u64 = 1024 * 1024;
/// How many contexts polyarch reads.
const MOST: usize = 200;

/// A docker context with an engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DockerContext {
    /// Its name.
    pub name: String,
    /// The host of its engine, as the docker CLI writes it: `ssh://graviton`.
    pub host: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct MetaFile {
    name: String,
    #[serde(default)]
    endpoints: Endpoints,
}

#[derive(Default, Deserialize)]
struct Endpoints {
    docker: Option<Endpoint>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Endpoint {
    host: Option<String>,
}

/// The docker contexts that name an engine, by name. `config` is docker's directory. polyarch skips files that it cannot
/// read, as it only lists the contexts. The context `default` has no file.
#[must_use]
pub fn docker_contexts(config: &Path) -> Vec<DockerContext> {
    let directories = fs::read_dir(config.join("contexts/meta")).into_iter().flatten().take(MOST);
    let read = |directory: &Path| {
        let mut text = Vec::new();
        fs::File::open(directory.join("meta.json")).ok()?.take(MAX_FILE).read_to_end(&mut text).ok()?;
        let MetaFile { name, endpoints } = serde_json::from_slice(&text).ok()?;
        let host = endpoints.docker?.host.filter(|host| !host.is_empty())?;
        Some(DockerContext { name, host })
    };
    let mut contexts: Vec<_> = directories.filter_map(|directory| read(&directory.ok()?.path())).collect();
    contexts.sort_by(|one, other| one.name.cmp(&other.name));
    contexts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn docker_contexts_are_listed_by_name() {
        let config = tempfile::tempdir().unwrap();
        assert_eq!(docker_contexts(config.path()), []);
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
        let found = docker_contexts(config.path());
        let found: Vec<_> = found.iter().map(|one| (&*one.name, &*one.host)).collect();
        assert_eq!(found, [("arm", "ssh://arm"), ("lab", "unix:///lab.sock")]);
    }
}
