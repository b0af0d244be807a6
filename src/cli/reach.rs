//! References on the command line, and the registry of one.

use polyarch::oci::{Reference, RegistryHost};
use polyarch::plan::{NamedRegistry, Transport};
use polyarch::registry::{Notice, RegistryError};
use polyarch::run::{Failure, Phase, Registry, Server};

use super::diagnostic;
use super::load::usage;
use super::settings::{Settings, client_config};

/// Whether a registry that is not on loopback is spoken to in clear.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Insecure {
    No,
    /// `--insecure`
    Yes,
}

impl Insecure {
    pub(crate) fn from_flag(flag: bool) -> Self {
        if flag { Self::Yes } else { Self::No }
    }
}

/// A bare word is an image of the plan; a reference contains `/`, `:` or `@`.
pub(crate) fn is_reference(word: &str) -> bool {
    word.contains(['/', ':', '@'])
}

pub(crate) fn parse(text: &str) -> Result<Reference, Failure> {
    if !is_reference(text) {
        let message = format!("`{text}` is no reference: it has no `/`, `:` or `@`");
        return Err(usage(message, "as ghcr.io/org/web:1.0; `polyarch verify IMAGE` reads an image of the plan"));
    }
    text.parse().map_err(|error| usage(format!("`{text}` is no reference: {error}"), "as ghcr.io/org/web:1.0"))
}

/// The registry of `reference`: the embedded one, where its address is meant.
pub(crate) async fn registry(
    reference: &Reference,
    insecure: Insecure,
    settings: &Settings,
    on_notice: impl Fn(Notice) + Send + Sync + Clone + 'static,
) -> Result<(Registry, Option<Server>), Failure> {
    let host = reference.repository.host();
    if let Some(embedded) = embedded(host, settings, on_notice.clone()).await {
        return Ok(embedded);
    }
    let clear = host.is_loopback() || insecure == Insecure::Yes;
    let transport = if clear { Transport::InsecureHttp } else { Transport::Https };
    let named = NamedRegistry { host: host.clone(), transport, ca: None };
    Ok((Registry::named(&named, client_config(on_notice), settings.credentials()?)?, None))
}

/// Why what was named could not be read: the registry cannot be used, or what it has, or has not, is the matter.
pub(crate) fn unread(name: &str, error: &RegistryError) -> Failure {
    let answered = error.is_not_found() || error.is_refusal();
    let phase = if answered { Phase::Verify } else { Phase::Preflight };
    let missing = if error.is_not_found() { " is not there" } else { "" };
    Failure { phase, message: format!("{name}{missing}: {}", diagnostic::chain(error)), hint: error.hint() }
}

/// The embedded registry, if there is one and it has this address.
async fn embedded(
    host: &RegistryHost,
    settings: &Settings,
    on_notice: impl Fn(Notice) + Send + Sync + 'static,
) -> Option<(Registry, Option<Server>)> {
    let directory = settings.home().ok()?.join("registry");
    if !host.is_loopback() || !directory.is_dir() {
        return None;
    }
    let (registry, server) = Registry::embedded(&directory, client_config(on_notice)).await.ok()?;
    (registry.host() == host).then_some((registry, Some(server)))
}
