//! The connection settings of one registry.

use reqwest::Url;

use crate::oci::RegistryHost;
use crate::tls::Certificates;

/// Whether the connection to a registry is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// Encrypted. polyarch checks the certificate with the system's authorities and the configured ones.
    Https,
    /// Unencrypted, including credentials. Only for loopback and for registries that the user marked as insecure.
    Http,
}

/// The connection settings of one registry.
#[derive(Debug, Clone)]
pub struct Link {
    /// Whether the connection is encrypted.
    pub transport: Transport,
    /// The authorities that polyarch trusts, and the certificate that it shows.
    pub certificates: Certificates,
    /// Hosts of this machine or of a private network that the registry may send polyarch to, for tokens, uploads and
    /// downloads. A host without a port includes all of its ports. Public hosts need no entry.
    pub allowed_hosts: Vec<RegistryHost>,
}

impl From<Transport> for Link {
    fn from(transport: Transport) -> Self {
        Self { transport, certificates: Certificates::default(), allowed_hosts: Vec::new() }
    }
}

/// Whether the user allows that a registry sends polyarch to a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HostRule {
    /// The user did not list the host.
    NotListed,
    /// The user listed the host only with other ports.
    OtherPort,
    /// The user listed the host.
    Listed,
}

/// The hosts that the registry may send polyarch to although they are not public.
#[derive(Debug, Clone, Default)]
pub(in crate::registry) struct AllowedHosts(Vec<(String, Option<u16>)>);

impl AllowedHosts {
    pub(in crate::registry) fn of(hosts: &[RegistryHost]) -> Self {
        // The scheme does not matter. The URL parser gives every spelling of an address the same form.
        let parse = |host: &RegistryHost| {
            let url = Url::parse(&format!("polyarch://{host}/")).ok()?;
            let plain = Url::parse(&format!("http://{}/", url.host_str()?)).ok()?;
            Some((plain.host_str()?.to_owned(), url.port()))
        };
        Self(hosts.iter().filter_map(parse).collect())
    }

    pub(super) fn rule(&self, url: &Url) -> HostRule {
        let named = |host: &String| url.host_str() == Some(host);
        let mut ports = self.0.iter().filter(|(host, _)| named(host)).map(|(_, port)| *port).peekable();
        if ports.peek().is_none() {
            return HostRule::NotListed;
        }
        let met = ports.any(|port| port.is_none() || port == url.port_or_known_default());
        if met { HostRule::Listed } else { HostRule::OtherPort }
    }

    /// Whether the user listed a host, with any port.
    pub(in crate::registry) fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(host, _)| host == name)
    }
}
