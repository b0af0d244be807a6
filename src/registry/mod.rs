//! Registries. The only room that names the HTTP client.
//!
//! A [`Client`] speaks OCI distribution to one registry: raw manifests in, raw manifests out, image configs by
//! digest. Inside, from the wire up:
//!
//! - `link` says how a registry is spoken to, `certificates` whom `tls` trusts;
//! - `target` says where a request may go, `proxy` through what, `wire` sends one and reads its answer within bounds;
//! - `challenge` reads what a registry asks for, `token` gets it from a token server, `login` keeps it;
//! - `http` joins the two into the one `send`, `retry` decides what is tried again, `slots`
//!   how much is asked at once, `pace` how often;
//! - `manifests`, `tags`, `blobs` and `transfer` are the operations; `reading` is a blob on its way from a registry, `stream`
//!   one on its way to another, and both go on where they broke.

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
