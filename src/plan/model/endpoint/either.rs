//! The program that builds: Docker Engine, or BuildKit alone.

use std::fmt;

use super::buildkit::BuildKitHost;
use super::host::EngineHost;

/// The way to the program that builds.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// A Docker Engine.
    Docker(EngineHost),
    /// A BuildKit without a Docker Engine.
    BuildKit(BuildKitHost),
}

impl Endpoint {
    /// Whether no other machine can read the connection. Over plain TCP to any other host, anyone on the network could
    /// control the engine.
    #[must_use]
    pub fn is_private(&self) -> bool {
        match self {
            Self::Docker(host) => host.is_private(),
            Self::BuildKit(host) => host.is_private(),
        }
    }

    /// Whether the engine is surely on this machine, so that both mean the same by a loopback address.
    #[must_use]
    pub fn is_on_this_machine(&self) -> bool {
        match self {
            Self::Docker(host) => host.is_on_this_machine(),
            Self::BuildKit(host) => host.is_on_this_machine(),
        }
    }
}

impl From<EngineHost> for Endpoint {
    fn from(host: EngineHost) -> Self {
        Self::Docker(host)
    }
}

impl From<BuildKitHost> for Endpoint {
    fn from(host: BuildKitHost) -> Self {
        Self::BuildKit(host)
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Docker(host) => host.fmt(f),
            Self::BuildKit(host) => host.fmt(f),
        }
    }
}

impl serde::Serialize for Endpoint {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
