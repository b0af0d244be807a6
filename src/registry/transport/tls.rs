//! TLS for connections to a registry, and to the hosts that it sends polyarch to.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_name;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::sign::SingleCertAndKey;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use rustls_platform_verifier::Verifier;

use super::certificates::Certificates;
use super::link::Transport;
use crate::registry::error::CA_AS_SERVER;

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
        let trust = Trust::new(certificates.authorities.clone(), provider.clone());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
        let builder = match (trust, transport) {
            // A machine without certificate authorities can still speak plain HTTP to a registry.
            (Err(_), Transport::Http) => builder.with_root_certificates(RootCertStore::empty()),
            (trust, _) => builder.dangerous().with_custom_certificate_verifier(Arc::new(trust?)),
        };
        let mut elsewhere = builder.clone().with_no_client_auth();
        let mut home = match &certificates.client {
            Some(client) => builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(client.clone()))),
            None => elsewhere.clone(),
        };
        for config in [&mut home, &mut elsewhere] {
            config.alpn_protocols = vec!["h2".into(), "http/1.1".into()];
        }
        Ok(Self { home, elsewhere })
    }
}

/// The system's verifier, with one exception. A server may use a certificate that the user named as its own, although
/// the certificate is marked as an authority's. `openssl req -x509` creates such certificates, and docker, crane and
/// skopeo accept them.
#[derive(Debug)]
struct Trust {
    system: Verifier,
    named: Vec<CertificateDer<'static>>,
}

impl Trust {
    fn new(named: Vec<CertificateDer<'static>>, provider: Arc<CryptoProvider>) -> Result<Self, Error> {
        Ok(Self { system: Verifier::new_with_extra_roots(named.clone(), provider)?, named })
    }
}

impl ServerCertVerifier for Trust {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match self.system.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            // webpki checks a certificate's dates before its constraints, so this certificate is valid now.
            Err(error) if is_of_authority(&error) && self.named.contains(end_entity) => {
                verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
                Ok(ServerCertVerified::assertion())
            }
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.system.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.system.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.system.supported_verify_schemes()
    }
}

/// Whether the only fault is that the server uses an authority's certificate as its own.
fn is_of_authority(error: &Error) -> bool {
    let Error::InvalidCertificate(CertificateError::Other(other)) = error else { return false };
    other.to_string().contains(CA_AS_SERVER)
}
