//! Who we are at a registry: the configurations of docker and podman, credential helpers, secrets.
//!
//! Nothing here talks to a registry. A [`CredentialSource`] answers for one host at a time, and what it
//! answers is a [`Credential`] that cannot be printed.

mod docker_config;
mod error;
mod helper;
mod logins;
mod proxies;
mod secret;
mod source;

pub use docker_config::DockerConfig;
pub use error::AuthError;
pub use logins::Logins;
pub use proxies::BuildProxies;
pub use secret::{BuildSecrets, Secret, SecretBytes};
pub use source::{Anonymous, Credential, CredentialSource, Withheld};

#[cfg(test)]
mod testing {
    /// A directory with a helper `docker-credential-NAME` that is the shell script `body`.
    pub(super) fn helper(name: &str, body: &str) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join(format!("docker-credential-{name}"));
        // Another process writes it: were it open for writing here, a helper that another test starts at that
        // moment would inherit it, and the system would refuse to run it (ETXTBSY).
        let write = r#"printf '#!/bin/sh\n%s\n' "$1" > "$0" && chmod 755 "$0""#;
        let status = std::process::Command::new("sh").arg("-c").arg(write).arg(&file).arg(body).status().unwrap();
        assert!(status.success());
        dir
    }
}
