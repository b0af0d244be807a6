//! Why the embedded registry cannot be used.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use super::store::StoreError;

/// The embedded registry cannot be opened or served.
#[derive(Debug, thiserror::Error)]
pub enum EmbeddedError {
    /// Its directory cannot be read or written.
    #[error("the embedded registry's storage failed")]
    Storage(#[from] StoreError),
    /// Its lock cannot be taken or asked for.
    #[error("cannot lock {}", path.display())]
    Lock {
        /// The lock file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another process holds it and has not said yet where it listens.
    #[error("another process is just opening the embedded registry in {}", root.display())]
    Opening {
        /// The registry's directory.
        root: PathBuf,
    },
    /// Another process serves the registry.
    #[error("another process serves the embedded registry in {}{}", root.display(), at(*address))]
    Served {
        /// The registry's directory.
        root: PathBuf,
        /// The address on which that process listens, if it has said that.
        address: Option<SocketAddr>,
    },
    /// No port of 127.0.0.1 can be listened on.
    #[error("the embedded registry cannot listen on 127.0.0.1")]
    Listen(#[source] io::Error),
}

fn at(address: Option<SocketAddr>) -> String {
    address.map(|address| format!(" at {address}")).unwrap_or_default()
}

impl EmbeddedError {
    /// What to do next, in one line.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Storage(error) if error.is_full() => Some("free some space, or set POLYARCH_HOME to a larger disk"),
            Self::Storage(_) | Self::Lock { .. } => Some("set POLYARCH_HOME to a directory that you may write"),
            Self::Opening { .. } => Some("try again in a moment"),
            Self::Served { .. } => Some("nothing was deleted; run this again when that process has ended"),
            Self::Listen(_) => None,
        }
    }

    /// Whether trying again may help.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Opening { .. })
    }
}
