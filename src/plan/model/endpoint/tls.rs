//! The TLS of an engine: `tls: { ca, cert, key, servername }`.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;

/// An engine that listens with TLS.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TlsHost {
    /// A name or an address; an IPv6 address without its brackets.
    pub host: String,
    /// The port.
    pub port: u16,
    /// The certificates.
    pub tls: EngineTls,
}

impl TlsHost {
    /// The port that is registered for Docker with TLS.
    pub(super) const DEFAULT_PORT: u16 = 2376;

    /// The name that the certificate of the engine must have.
    #[must_use]
    pub fn server_name(&self) -> &str {
        self.tls.server_name.as_ref().map_or(&self.host, |name| &name.0)
    }
}

/// The certificates of a connection to an engine. polyarch reads the files when it connects.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct EngineTls {
    /// The file with the only authorities that polyarch trusts for this engine. `None`: the authorities of the system.
    pub ca: Option<PathBuf>,
    /// The certificate that polyarch shows to the engine.
    pub client: Option<ClientCertificate>,
    /// The name in the certificate of the engine. `None`: the host of the address.
    pub server_name: Option<ServerName>,
}

/// A client certificate and its key, both in PEM files.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ClientCertificate {
    /// The certificate and its chain.
    pub cert: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

/// A DNS name or an IP address that a certificate may have.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ServerName(String);

/// Why a string is not the name of a server.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the name of a server is a DNS name or an IP address, without a port")]
pub struct ServerNameError;

impl FromStr for ServerName {
    type Err = ServerNameError;

    fn from_str(text: &str) -> Result<Self, ServerNameError> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
        let label =
            |label: &str| !label.is_empty() && label.len() < 64 && !label.starts_with('-') && !label.ends_with('-');
        let is_name = text.len() < 254 && text.bytes().all(allowed) && text.split('.').all(label);
        let is_valid = is_name || text.parse::<IpAddr>().is_ok();
        if is_valid { Ok(Self(text.to_owned())) } else { Err(ServerNameError) }
    }
}

impl fmt::Display for ServerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn server_name_is_a_dns_name_or_an_address() {
        for good in ["builder", "builder.example.com", "10.0.0.7", "fd00::7"] {
            assert_eq!(good.parse::<ServerName>().unwrap().to_string(), good);
        }
        for bad in ["", "a:1", "https://a", "a/b", "-a", "a..b", "[::1]", "ö"] {
            assert_eq!(bad.parse::<ServerName>(), Err(ServerNameError), "{bad}");
        }
    }
}
