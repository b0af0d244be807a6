//! Decides whether a server is the one that the user named.

use std::sync::Arc;

use rustls::client::WantsClientCert;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::sign::SingleCertAndKey;
use rustls::{
    CertificateError, ClientConfig, ConfigBuilder, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
};
use rustls_platform_verifier::Verifier;

use super::certificates::Certificates;

/// rustls's name for a server that uses the certificate of an authority as its own.
pub(crate) const CA_AS_SERVER: &str = "CaUsedAsEndEntity";

/// A verifier with one exception. A server may use a certificate that the user named as its own, although the
/// certificate is marked as an authority's. `openssl req -x509` creates such certificates, and docker, crane and skopeo
/// accept them.
#[derive(Debug)]
pub(crate) struct Trust {
    verifier: Arc<dyn ServerCertVerifier>,
    named: Vec<CertificateDer<'static>>,
}

impl Trust {
    /// Trusts the system's authorities, and those of `certificates`.
    ///
    /// # Errors
    /// The system has no certificate authorities, and the user named none.
    pub(crate) fn with_system(certificates: &Certificates, provider: Arc<CryptoProvider>) -> Result<Self, Error> {
        let named = certificates.authorities.clone();
        let verifier = Arc::new(Verifier::new_with_extra_roots(named.clone(), provider)?);
        Ok(Self { verifier, named })
    }

    /// Trusts only the authorities of `certificates`.
    ///
    /// # Errors
    /// There are none.
    pub(crate) fn only(certificates: &Certificates, provider: Arc<CryptoProvider>) -> Result<Self, Error> {
        let named = certificates.authorities.clone();
        let mut roots = RootCertStore::empty();
        for authority in &named {
            roots.add(authority.clone())?;
        }
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build();
        Ok(Self { verifier: verifier.map_err(|error| Error::General(error.to_string()))?, named })
    }
}

/// Shows the client certificate of `certificates` to a server that asks for one.
pub(crate) fn show(builder: ConfigBuilder<ClientConfig, WantsClientCert>, certificates: &Certificates) -> ClientConfig {
    match &certificates.client {
        Some(client) => builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(client.clone()))),
        None => builder.with_no_client_auth(),
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
        match self.verifier.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
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
        self.verifier.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifier.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifier.supported_verify_schemes()
    }
}

/// Whether the only fault is that the server uses an authority's certificate as its own.
fn is_of_authority(error: &Error) -> bool {
    let Error::InvalidCertificate(CertificateError::Other(other)) = error else { return false };
    other.to_string().contains(CA_AS_SERVER)
}
