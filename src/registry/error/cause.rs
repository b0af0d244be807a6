//! The message of the network, TLS or the HTTP client.

use std::error::Error;

use crate::text::{innermost, printable};
use crate::tls::CA_AS_SERVER;

/// The longest cause that polyarch keeps, in characters.
const MAX_CAUSE: usize = 300;
/// rustls's text before the name of an alert from the other end.
const ALERT: &str = "received fatal alert: ";
/// The alerts about the client certificate, or about a missing one (RFC 8446, 6.2).
const CERTIFICATE_ALERTS: [&str; 9] = [
    "CertificateRequired",
    "BadCertificate",
    "UnsupportedCertificate",
    "CertificateRevoked",
    "CertificateExpired",
    "CertificateUnknown",
    "UnknownCA",
    "AccessDenied",
    "DecryptError",
];
/// The HTTP client's text for an HTTP/2 connection that ended before the request. The alert that ended it is lost.
const NOT_READY: &str = "connection was not ready";
/// rustls's text for an answer that is not TLS.
const NO_TLS: &str = "InvalidContentType";
/// The HTTP client's text for a proxy that answers 407 to `CONNECT`.
const PROXY_LOGIN: &str = "proxy authorization required";

/// The message of the network, TLS or the HTTP client: the innermost cause, without any address.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Cause(String);

impl Cause {
    pub(in crate::registry) fn of(error: &(dyn Error + 'static)) -> Self {
        Self(printable(&innermost(error), MAX_CAUSE))
    }

    /// Whether the other end refuses the client certificate, or requires one. A later attempt then fails, too. With
    /// HTTP/2 only the text of the alert arrives, not its value.
    pub(in crate::registry) fn is_of_our_certificate(&self) -> bool {
        self.0.strip_prefix(ALERT).is_some_and(|alert| CERTIFICATE_ALERTS.contains(&alert))
    }

    /// Whether the proxy requires a login.
    pub(super) fn is_of_proxy_login(&self) -> bool {
        self.0.contains(PROXY_LOGIN)
    }

    /// Whether the server uses the certificate of an authority as its own.
    pub(in crate::registry) fn is_of_authority(&self) -> bool {
        self.0.contains(CA_AS_SERVER)
    }

    /// Whether the HTTP/2 connection ended before the request.
    pub(super) fn is_of_ended_connection(&self) -> bool {
        self.0.contains(NOT_READY)
    }

    /// Whether the other end does not speak TLS.
    pub(super) fn is_of_plain_http(&self) -> bool {
        self.0.contains(NO_TLS)
    }
}
