//! Registries. Only this room names the HTTP client.
//!
//! A [`Client`] speaks OCI distribution to one registry. It reads and writes raw manifests, and reads image configs by
//! digest. Its files, from the wire up:
//!
//! - `link` has the connection settings of a registry, and `certificates` the authorities that `tls` trusts;
//! - `target` decides where a request may go and `proxy` through which proxy; `wire` sends one request and reads its
//!   answer within limits;
//! - `challenge` reads the registry's challenge, `token` gets a token from a token server, and `login` keeps it;
//! - `http` joins these into the only `send`; `retry` decides on retries, `slots` limits concurrent requests, and
//!   `pace` limits their rate;
//! - `manifests`, `tags`, `blobs` and `transfer` are the operations; `reading` reads a blob from a registry, and
//!   `stream` sends one to a registry. Both continue where a connection broke.

mod answer;
mod blobs;
mod certificates;
pub(crate) mod challenge;
mod client;
mod error;
mod heads;
mod http;
mod link;
mod login;
mod manifests;
mod notice;
mod pace;
mod permission;
mod proxy;
mod reading;
mod resolve;
mod retry;
mod retry_after;
mod slots;
mod stream;
mod tags;
mod target;
mod tls;
mod token;
mod transfer;
mod wire;

pub use answer::{Answer, OciError};
pub use blobs::BlobHead;
pub use certificates::{CertificateError, CertificateFault, Certificates};
pub use client::{Client, ClientConfig, Timeouts};
pub use error::{Cause, ErrorKind, RegistryError, Waiting};
pub use link::{Link, Transport};
pub use manifests::{Head, Visibility};
pub use notice::{Notice, Retry};
pub use proxy::{Proxies, ProxyError};
pub use reading::{BlobSource, Reading};
pub use retry::Backoff;
pub use target::TargetError;
pub use transfer::Arrival;
