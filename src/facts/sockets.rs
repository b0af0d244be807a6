//! Finds the sockets of Docker engines beside the default one. polyarch only reports these sockets: it never connects
//! to a socket that no setting names.

use std::fmt;
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};

/// A program that listens on a socket of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SocketOwner {
    /// Docker Desktop.
    DockerDesktop,
    /// Docker Desktop on macOS, or rootless Docker without a runtime directory.
    DesktopOrRootless,
    /// Rootless Docker.
    Rootless,
    /// colima.
    Colima,
    /// `OrbStack`.
    OrbStack,
    /// Rancher Desktop.
    RancherDesktop,
    /// Podman. Its API has no BuildKit, so polyarch cannot build there.
    Podman,
}

impl SocketOwner {
    /// Whether the program offers BuildKit on this socket.
    #[must_use]
    pub fn has_buildkit(self) -> bool {
        self != Self::Podman
    }
}

impl fmt::Display for SocketOwner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::DockerDesktop => "Docker Desktop",
            Self::DesktopOrRootless => "Docker Desktop or rootless Docker",
            Self::Rootless => "rootless Docker",
            Self::Colima => "colima",
            Self::OrbStack => "OrbStack",
            Self::RancherDesktop => "Rancher Desktop",
            Self::Podman => "Podman",
        })
    }
}

/// A socket that exists on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExistingSocket {
    /// The program that usually listens there.
    pub owner: SocketOwner,
    /// The path.
    pub path: PathBuf,
}

impl ExistingSocket {
    /// The address, as `DOCKER_HOST` and a plan take it.
    #[must_use]
    pub fn host(&self) -> String {
        format!("unix://{}", self.path.display())
    }
}

/// The sockets in a home directory, as the documentation of each program names them.
const IN_HOME: &[(SocketOwner, &str)] = &[
    (SocketOwner::DockerDesktop, ".docker/desktop/docker.sock"),
    (SocketOwner::DesktopOrRootless, ".docker/run/docker.sock"),
    (SocketOwner::Colima, ".colima/default/docker.sock"),
    (SocketOwner::Colima, ".config/colima/default/docker.sock"),
    (SocketOwner::OrbStack, ".orbstack/run/docker.sock"),
    (SocketOwner::RancherDesktop, ".rd/docker.sock"),
];
/// The sockets in a user's runtime directory (`XDG_RUNTIME_DIR`).
const IN_RUNTIME: &[(SocketOwner, &str)] =
    &[(SocketOwner::Rootless, "docker.sock"), (SocketOwner::Podman, "podman/podman.sock")];

/// The known sockets that exist. `home` is the user's home directory, `runtime` the user's runtime directory. The
/// function connects to none of them.
#[must_use]
pub fn existing_sockets(home: Option<&Path>, runtime: Option<&Path>) -> Vec<ExistingSocket> {
    let places = [(home, IN_HOME), (runtime, IN_RUNTIME)].into_iter();
    let known =
        places.filter_map(|(directory, sockets)| Some((directory?, sockets))).flat_map(|(directory, sockets)| {
            sockets.iter().map(|(owner, name)| ExistingSocket { owner: *owner, path: directory.join(name) })
        });
    let is_socket = |path: &Path| std::fs::metadata(path).is_ok_and(|found| found.file_type().is_socket());
    known.filter(|socket| is_socket(&socket.path)).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn only_sockets_that_exist_are_found() {
        let directory = tempfile::tempdir().unwrap();
        let (home, runtime) = (directory.path().join("home"), directory.path().join("run"));
        assert_eq!(existing_sockets(Some(&home), Some(&runtime)), []);
        let listen = |path: &Path| {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            UnixListener::bind(path).unwrap()
        };
        let colima = home.join(".colima/default/docker.sock");
        let podman = runtime.join("podman/podman.sock");
        let _listening = [listen(&colima), listen(&podman)];
        std::fs::create_dir_all(home.join(".rd")).unwrap();
        std::fs::write(home.join(".rd/docker.sock"), "a file").unwrap();
        let found = existing_sockets(Some(&home), Some(&runtime));
        assert_eq!(
            found,
            [
                ExistingSocket { owner: SocketOwner::Colima, path: colima },
                ExistingSocket { owner: SocketOwner::Podman, path: podman },
            ]
        );
        assert_eq!(found[0].host(), format!("unix://{}/.colima/default/docker.sock", home.display()));
        assert!(found[0].owner.has_buildkit() && !found[1].owner.has_buildkit());
        assert_eq!(existing_sockets(None, None), []);
    }
}
