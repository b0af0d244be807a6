//! How one registry is spoken to.

use reqwest::Url;

use super::certificates::Certificates;
use crate::oci::RegistryHost;

/// Whether a registry is spoken to with encryption.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// Encrypted; the certificate is checked against the system's authorities and those that were given.
    Https,
    /// In clear, credentials too: loopback, or what the user named insecure.
    Http,
}

/// How one registry is spoken to.
#[derive(Debug, Clone)]
pub struct Link {
    /// With encryption or without.
    pub transport: Transport,
    /// Whom polyarch trusts, and which certificate it shows.
    pub certificates: Certificates,
    /// Hosts of this machine or of a private network to which the registry may send polyarch, for tokens, uploads and
    /// downloads. One without a port is meant with all of its ports. Public hosts need not be named.
    pub neighbours: Vec<RegistryHost>,
}

impl From<Transport> for Link {
    fn from(transport: Transport) -> Self {
        Self { transport, certificates: Certificates::default(), neighbours: Vec::new() }
    }
}

/// Whether the user allows that a registry sends polyarch to a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Leave {
    /// Nothing was said of this host.
    Unsaid,
    /// The host was named with other ports only.
    OtherPort,
    /// The host was named.
    Given,
}

/// The hosts to which the registry may send polyarch although they are not public.
#[derive(Debug, Clone, Default)]
pub(super) struct Neighbours(Vec<(String, Option<u16>)>);

impl Neighbours {
    pub(super) fn of(hosts: &[RegistryHost]) -> Self {
        // The scheme has no part in it; the URL parser gives every spelling of an address the same form.
        let parse = |host: &RegistryHost| {
            let url = Url::parse(&format!("polyarch://{host}/")).ok()?;
            let plain = Url::parse(&format!("http://{}/", url.host_str()?)).ok()?;
            Some((plain.host_str()?.to_owned(), url.port()))
        };
        Self(hosts.iter().filter_map(parse).collect())
    }

    pub(super) fn leave(&self, url: &Url) -> Leave {
        let named = |host: &String| url.host_str() == Some(host);
        let mut ports = self.0.iter().filter(|(host, _)| named(host)).map(|(_, port)| *port).peekable();
        if ports.peek().is_none() {
            return Leave::Unsaid;
        }
        let met = ports.any(|port| port.is_none() || port == url.port_or_known_default());
        if met { Leave::Given } else { Leave::OtherPort }
    }

    /// Whether a host was named, with whatever port.
    pub(super) fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(host, _)| host == name)
    }
}
