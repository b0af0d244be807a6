//! The address of an engine: the `host` strings of the docker CLI.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;

use super::ssh::SshHost;

/// The way to an engine.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum EngineHost {
    /// `unix://PATH`: a socket on this machine.
    Unix(PathBuf),
    /// `tcp://HOST:PORT`: plain TCP, no TLS.
    Tcp {
        /// A name or an address; an IPv6 address without its brackets.
        host: String,
        /// The port. The default is 2375, as in the docker CLI.
        port: u16,
    },
    /// `ssh://[USER@]HOST[:PORT][/SOCKET]`: an engine on another machine, through that machine's docker CLI.
    Ssh(SshHost),
    /// A program and its arguments. Its standard input and output are the connection.
    Command(Vec<String>),
}

/// Why a string is not an engine's host.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EngineHostError {
    /// A scheme that the docker CLI knows and polyarch does not support yet.
    #[error("{0}:// engines are not yet supported")]
    NotYet(String),
    /// Not of the form `unix://PATH`, `tcp://HOST:PORT` or `ssh://[USER@]HOST`.
    #[error("an engine's host has the form unix:///path/to.sock, tcp://host:port or ssh://user@host")]
    Form,
    /// `ssh://` with a part that a program or a shell could read as something else.
    #[error(
        "an ssh host has the form ssh://[USER@]HOST[:PORT][/SOCKET], without a password and without other characters"
    )]
    Ssh,
    /// Not an address of BuildKit.
    #[error(
        "an address of BuildKit has the form unix:///path/to.sock, tcp://host:port, ssh://user@host, \
         docker-container://NAME, podman-container://NAME or kube-pod://POD, without other characters in its names"
    )]
    BuildKit,
    /// Not the name of a builder.
    #[error("the name of a builder has only letters, digits, `_`, `.` and `-`, and begins with a letter or a digit")]
    Builder,
}

impl EngineHostError {
    /// The next step.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Ssh => {
                Some("write settings such as a jump host or a key into ~/.ssh/config, under the name of the host")
            }
            Self::NotYet(_) | Self::Form => Some("use unix:///path/to.sock, tcp://host:port or ssh://user@host"),
            Self::BuildKit => {
                Some("write such an address, as in kube-pod://buildkitd-0?namespace=ci; a TCP address needs its port")
            }
            Self::Builder => Some("run `docker buildx ls` to see the names of your builders"),
        }
    }
}

impl EngineHost {
    /// The default port of plain TCP.
    const DEFAULT_PORT: u16 = 2375;

    /// Whether no other machine can read the connection: a socket, ssh, a program, or exactly a loopback name or address.
    /// Over plain TCP to any other host, anyone on the network could control the engine.
    #[must_use]
    pub fn is_private(&self) -> bool {
        match self {
            Self::Unix(_) | Self::Ssh(_) | Self::Command(_) => true,
            Self::Tcp { host, .. } => is_loopback(host),
        }
    }

    /// Whether the engine is surely on this machine, so that both mean the same by a loopback address.
    #[must_use]
    pub fn is_on_this_machine(&self) -> bool {
        match self {
            Self::Unix(_) => true,
            Self::Tcp { host, .. } => is_loopback(host),
            Self::Ssh(_) | Self::Command(_) => false,
        }
    }
}

impl FromStr for EngineHost {
    type Err = EngineHostError;

    fn from_str(text: &str) -> Result<Self, EngineHostError> {
        let (scheme, rest) = text.split_once("://").ok_or(EngineHostError::Form)?;
        match scheme {
            "unix" if rest.starts_with('/') && !rest.contains('\0') => Ok(Self::Unix(rest.into())),
            "tcp" => tcp(rest.strip_suffix('/').unwrap_or(rest)),
            "ssh" => SshHost::read(rest).map(Self::Ssh).ok_or(EngineHostError::Ssh),
            "https" | "http" | "npipe" | "fd" => Err(EngineHostError::NotYet(scheme.to_owned())),
            _ => Err(EngineHostError::Form),
        }
    }
}

fn is_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

fn tcp(authority: &str) -> Result<EngineHost, EngineHostError> {
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !authority.ends_with(']') => (host, Some(port)),
        _ => (authority, None),
    };
    let port = match port {
        Some(port) if port.bytes().all(|b| b.is_ascii_digit()) => port.parse().map_err(|_| EngineHostError::Form)?,
        Some(_) => return Err(EngineHostError::Form),
        None => EngineHost::DEFAULT_PORT,
    };
    let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let valid = match address {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b)),
    };
    if !valid || port == 0 {
        return Err(EngineHostError::Form);
    }
    Ok(EngineHost::Tcp { host: address.unwrap_or(host).to_owned(), port })
}

impl fmt::Display for EngineHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
            Self::Tcp { host, port } if host.contains(':') => write!(f, "tcp://[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "tcp://{host}:{port}"),
            Self::Ssh(host) => host.fmt(f),
            Self::Command(argv) => write!(f, "`{}`", argv.join(" ")),
        }
    }
}

impl serde::Serialize for EngineHost {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn engine_hosts_are_read_as_by_the_docker_cli() {
        for (written, meant, local) in [
            ("unix:///var/run/docker.sock", "unix:///var/run/docker.sock", true),
            ("tcp://127.0.0.1:2375", "tcp://127.0.0.1:2375", true),
            ("tcp://localhost", "tcp://localhost:2375", true),
            ("tcp://[::1]:1", "tcp://[::1]:1", true),
            ("tcp://10.0.0.5:2375/", "tcp://10.0.0.5:2375", false),
            ("tcp://localhost.example.com:2375", "tcp://localhost.example.com:2375", false),
            ("tcp://127.0.0.1.example.com:2375", "tcp://127.0.0.1.example.com:2375", false),
            ("ssh://ec2-user@graviton", "ssh://ec2-user@graviton", true),
        ] {
            let host: EngineHost = written.parse().unwrap();
            assert_eq!((host.to_string().as_str(), host.is_private()), (meant, local));
        }
    }

    #[test]
    fn unsupported_engine_host_schemes_are_named() {
        for scheme in ["http", "https", "npipe", "fd"] {
            let error = format!("{scheme}://host").parse::<EngineHost>().unwrap_err();
            assert_eq!(error, EngineHostError::NotYet(scheme.into()));
            assert!(error.to_string().contains("not yet"));
        }
    }

    #[test]
    fn invalid_engine_host_is_refused() {
        for bad in [
            "",
            "/var/run/docker.sock",
            "unix://",
            "unix://relative",
            "tcp://",
            "tcp://:1",
            "tcp://a:0",
            "tcp://a:99999",
            "tcp://a:+1",
            "tcp://a/b",
            "tcp://u@h:1",
            "tcp://::1:5",
            "ftp://x",
        ] {
            assert_eq!(bad.parse::<EngineHost>(), Err(EngineHostError::Form), "{bad:?}");
        }
    }
}
