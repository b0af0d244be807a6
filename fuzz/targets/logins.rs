//! docker's `config.json`, asked for logins of several hosts. No helper is there to be started.
#![no_main]

use std::ffi::OsStr;

use libfuzzer_sys::fuzz_target;
use polyarch::auth::{CredentialSource, DockerConfig};
use polyarch::oci::{RegistryHost, RepositoryPath};
use tokio::runtime::Builder;

fuzz_target!(|text: &str| {
    let Ok(config) = DockerConfig::inline("DOCKER_AUTH_CONFIG", text, OsStr::new("/nowhere")) else { return };
    let runtime = Builder::new_current_thread().build().unwrap();
    let within: RepositoryPath = "org/hello".parse().unwrap();
    for host in ["docker.io", "registry.example:5000", "localhost"] {
        let host: RegistryHost = host.parse().unwrap();
        for within in [None, Some(&within)] {
            let _ = runtime.block_on(config.credential(&host, within));
        }
        config.namespace(&host, &within);
    }
    let _ = format!("{config:?}");
});
