//! TLS for every connection: certificates and keys from files, and the trust in the certificate of a server.

mod certificates;
mod trust;

pub use certificates::{CertificateError, CertificateFault, Certificates};
pub(crate) use trust::{CA_AS_SERVER, Trust, show};
