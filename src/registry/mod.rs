//! Registries. Only this room names the HTTP client.
//!
//! A [`Client`] speaks OCI distribution to one registry. It reads and writes raw manifests, and reads image configs by
//! digest. Its folders, from the wire up:
//!
//! - `error` has the reasons of failures, with a hint for each;
//! - `transport` sends one request and reads its answer within limits. It decides where a request may go, through which
//!   proxy, and whom it trusts;
//! - `login` reads the challenge of a registry, gets a token, and keeps it;
//! - `request` joins both into the only `send`. It decides on retries, and limits the requests and their rate;
//! - `operations` are the methods of the client: manifests, tags and blobs. A transfer continues where a connection
//!   broke.

mod client;
mod config;
mod error;
mod known_blobs;
pub(crate) mod login;
mod operations;
mod request;
mod transport;

pub use crate::tls::{CertificateError, CertificateFault, Certificates};
pub use client::Client;
pub use config::ClientConfig;
pub use error::{Answer, Cause, ErrorKind, OciError, RegistryError, TargetError, Waiting};
pub use known_blobs::BlobHead;
pub use operations::manifests::{Head, Visibility};
pub use operations::reading::{BlobSource, Reading};
pub use operations::transfer::BlobOutcome;
pub use request::notice::{Notice, Retry};
pub use request::retry::Backoff;
pub use transport::link::{Link, Transport};
pub use transport::proxy::{Proxies, ProxyError};
pub use transport::timeouts::Timeouts;
