//! Credentials for registries: docker's and podman's configurations, credential helpers, and secrets.
//!
//! Nothing in this room connects to a registry. A [`CredentialSource`] answers for one host at a time. Its answer is a
//! [`Credential`], which cannot be printed.

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
pub use secret::Secret;
pub use source::{Credential, CredentialSource};

// The other rooms and the program use these names. They are not on the pages of the library.
#[doc(hidden)]
pub use secret::{BuildSecrets, SecretBytes};
#[doc(hidden)]
pub use source::{Anonymous, Withheld};

#[cfg(test)]
mod testing {
    /// A directory with the helper `docker-credential-NAME`, which is the shell script `body`.
    pub(super) fn helper(name: &str, body: &str) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join(format!("docker-credential-{name}"));
        // Another process writes the file. If this process had it open for writing, a helper that another test starts
        // at that moment would inherit it. The system would then refuse to run the file (ETXTBSY).
        let write = r#"printf '#!/bin/sh\n%s\n' "$1" > "$0" && chmod 755 "$0""#;
        let status = std::process::Command::new("sh").arg("-c").arg(write).arg(&file).arg(body).status().unwrap();
        assert!(status.success());
        dir
    }
}
