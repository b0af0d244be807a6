//! Who we are at a registry: docker's configuration, credential helpers, secrets.
//!
//! Nothing here talks to a registry. A [`CredentialSource`] answers for one host at a time, and what it
//! answers is a [`Credential`] that cannot be printed.

mod docker_config;
mod error;
mod helper;
mod secret;
mod source;

pub use docker_config::DockerConfig;
pub use error::AuthError;
pub use secret::Secret;
pub use source::{Anonymous, Credential, CredentialSource};
