//! TLS for connections to a registry, and to the hosts that it sends polyarch to.

use std::sync::Arc;

use rustls::crypto::ring;
use rustls::{ClientConfig, Error, RootCertStore};

use super::link::Transport;
use crate::tls::{Certificates, Trust, show};

/// The TLS settings for a registry and for other hosts.
pub(in crate::registry) struct Tls {
    /// For the registry's own host: polyarch shows its certificate.
    pub(in crate::registry) home: ClientConfig,
    /// For all other hosts: polyarch shows no certificate.
    pub(in crate::registry) elsewhere: ClientConfig,
}

impl Tls {
    /// # Errors
    /// The system has no certificate authorities, and the user named none.
    pub(in crate::registry) fn new(certificates: &Certificates, transport: Transport) -> Result<Self, Error> {
        let provider = Arc::new(ring::default_provider());
        let trust = Trust::with_system(certificates, provider.clone());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
        let builder = match (trust, transport) {
            // A machine without certificate authorities can still speak plain HTTP to a registry.
            (Err(_), Transport::Http) => builder.with_root_certificates(RootCertStore::empty()),
            (trust, _) => builder.dangerous().with_custom_certificate_verifier(Arc::new(trust?)),
        };
        let mut elsewhere = builder.clone().with_no_client_auth();
        let mut home = show(builder, certificates);
        for config in [&mut home, &mut elsewhere] {
            config.alpn_protocols = vec!["h2".into(), "http/1.1".into()];
        }
        Ok(Self { home, elsewhere })
    }
}
