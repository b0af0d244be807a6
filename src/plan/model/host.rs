//! The address of an engine: the `host` strings of the docker CLI.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;

/// The address at which an engine listens.
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
}

/// Why a string is not an engine's host.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EngineHostError {
    /// A scheme that the docker CLI knows and polyarch does not support yet.
    #[error("{0}:// engines are not yet supported")]
    NotYet(String),
    /// Not of the form `unix://PATH` or `tcp://HOST:PORT`.
    #[error("an engine's host has the form unix:///path/to.sock or tcp://host:port")]
    Form,
}

impl EngineHostError {
    /// The next step.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::NotYet(scheme) if scheme == "ssh" => Some(
                "forward the socket: ssh -N -L /tmp/engine.sock:/var/run/docker.sock HOST, then use \
                    unix:///tmp/engine.sock",
            ),
            Self::NotYet(_) | Self::Form => Some("use unix:///path/to.sock, or tcp://host:port"),
        }
    }
}

impl EngineHost {
    /// The default port of plain TCP.
    const DEFAULT_PORT: u16 = 2375;

    /// Whether no other machine can read the connection: a socket, or exactly a loopback name or address. Over plain
    /// TCP to any other host, anyone on the network could control the engine.
    #[must_use]
    pub fn is_local(&self) -> bool {
        match self {
            Self::Unix(_) => true,
            Self::Tcp { host, .. } => {
                host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
            }
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
            "ssh" | "https" | "http" | "npipe" | "fd" => Err(EngineHostError::NotYet(scheme.to_owned())),
            _ => Err(EngineHostError::Form),
        }
    }
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
        ] {
            let host: EngineHost = written.parse().unwrap();
            assert_eq!((host.to_string().as_str(), host.is_local()), (meant, local));
        }
    }

    #[test]
    fn unsupported_engine_host_schemes_are_named() {
        for scheme in ["ssh", "http", "https", "npipe", "fd"] {
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
