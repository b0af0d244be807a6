//! The address of an engine: the `host` strings of the docker CLI.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;

use super::docker_context::DockerContext;
use super::ssh::SshHost;
use super::tls::{EngineTls, TlsHost};

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
    /// `tcp://HOST:PORT` with TLS.
    #[doc(hidden)]
    Tls(TlsHost),
    /// `ssh://[USER@]HOST[:PORT][/SOCKET]`: an engine on another machine, through that machine's docker CLI.
    Ssh(SshHost),
    /// A program and its arguments. Its standard input and output are the connection.
    Command(Vec<String>),
    /// The engine of a docker context. The program replaces it by the address in the context before it connects.
    #[doc(hidden)]
    Context(DockerContext),
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
    /// TLS for another address than `tcp://HOST[:PORT]`.
    #[error("TLS is only for an engine at tcp://HOST[:PORT]")]
    NoTls,
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
            Self::NoTls => Some("remove `tls`: a socket, ssh or a program protects the connection itself"),
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

    /// The engine at `tcp://HOST[:PORT]` with TLS. The default port is 2376, as it is registered for Docker.
    ///
    /// # Errors
    /// The text is another address.
    #[doc(hidden)]
    pub fn with_tls(text: &str, tls: EngineTls) -> Result<Self, EngineHostError> {
        match text.strip_prefix("tcp://") {
            Some(authority) => {
                let (host, port) = authority_of(authority)?;
                Ok(Self::Tls(TlsHost { host, port: port.unwrap_or(TlsHost::DEFAULT_PORT), tls }))
            }
            // An address with an error of its own gets its own message.
            None => text.parse::<Self>().and(Err(EngineHostError::NoTls)),
        }
    }

    /// Whether no other machine can read the connection: a socket, TLS, ssh, a program, or exactly a loopback name or
    /// address. Over plain TCP to any other host, anyone on the network could control the engine.
    #[must_use]
    pub fn is_private(&self) -> bool {
        match self {
            Self::Unix(_) | Self::Tls(_) | Self::Ssh(_) | Self::Command(_) | Self::Context(_) => true,
            Self::Tcp { host, .. } => is_loopback(host),
        }
    }

    /// Whether the engine is surely on this machine, so that both mean the same by a loopback address.
    #[must_use]
    pub fn is_on_this_machine(&self) -> bool {
        match self {
            Self::Unix(_) => true,
            Self::Tcp { host, .. } | Self::Tls(TlsHost { host, .. }) => is_loopback(host),
            Self::Ssh(_) | Self::Command(_) | Self::Context(_) => false,
        }
    }
}

impl FromStr for EngineHost {
    type Err = EngineHostError;

    fn from_str(text: &str) -> Result<Self, EngineHostError> {
        let (scheme, rest) = text.split_once("://").ok_or(EngineHostError::Form)?;
        match scheme {
            "unix" if rest.starts_with('/') && !rest.contains('\0') => Ok(Self::Unix(rest.into())),
            "tcp" => {
                let (host, port) = authority_of(rest)?;
                Ok(Self::Tcp { host, port: port.unwrap_or(Self::DEFAULT_PORT) })
            }
            "ssh" => SshHost::read(rest).map(Self::Ssh).ok_or(EngineHostError::Ssh),
            "https" | "http" | "npipe" | "fd" => Err(EngineHostError::NotYet(scheme.to_owned())),
            _ => Err(EngineHostError::Form),
        }
    }
}

fn is_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// Reads `HOST[:PORT][/]`.
fn authority_of(text: &str) -> Result<(String, Option<u16>), EngineHostError> {
    let authority = text.strip_suffix('/').unwrap_or(text);
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !authority.ends_with(']') => (host, Some(port)),
        _ => (authority, None),
    };
    let port = match port {
        Some(port) if port.bytes().all(|b| b.is_ascii_digit()) => {
            Some(port.parse().map_err(|_| EngineHostError::Form)?)
        }
        Some(_) => return Err(EngineHostError::Form),
        None => None,
    };
    let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let valid = match address {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b)),
    };
    if !valid || port == Some(0) {
        return Err(EngineHostError::Form);
    }
    Ok((address.unwrap_or(host).to_owned(), port))
}

impl fmt::Display for EngineHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
            Self::Tcp { host, port } | Self::Tls(TlsHost { host, port, .. }) if host.contains(':') => {
                write!(f, "tcp://[{host}]:{port}")
            }
            Self::Tcp { host, port } | Self::Tls(TlsHost { host, port, .. }) => write!(f, "tcp://{host}:{port}"),
            Self::Ssh(host) => host.fmt(f),
            Self::Command(argv) => write!(f, "`{}`", argv.join(" ")),
            Self::Context(name) => write!(f, "docker context {name}"),
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
    fn tls_is_only_for_tcp_and_has_its_own_port() {
        let read = |text: &str| EngineHost::with_tls(text, EngineTls::default());
        for (written, meant) in [
            ("tcp://10.0.0.5", "tcp://10.0.0.5:2376"),
            ("tcp://builder.example:1/", "tcp://builder.example:1"),
            ("tcp://[::1]", "tcp://[::1]:2376"),
        ] {
            let host = read(written).unwrap();
            assert_eq!((host.to_string().as_str(), host.is_private()), (meant, true));
        }
        assert_eq!(read("unix:///run/docker.sock"), Err(EngineHostError::NoTls));
        assert_eq!(read("ssh://h"), Err(EngineHostError::NoTls));
        assert_eq!(read("tcp://a:0"), Err(EngineHostError::Form));
        assert_eq!(read("ssh://-h"), Err(EngineHostError::Ssh));
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
