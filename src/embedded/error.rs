//! Why polyarch cannot use the embedded registry.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use super::store::StoreError;

/// polyarch cannot open or serve the embedded registry.
#[derive(Debug, thiserror::Error)]
pub enum EmbeddedError {
    /// polyarch cannot read or write the registry's directory.
    #[error("the embedded registry's storage failed")]
    Storage(#[from] StoreError),
    /// polyarch cannot take or test the registry's lock.
    #[error("cannot lock {}", path.display())]
    Lock {
        /// The lock file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// Another process holds the lock and has not yet written its address.
    #[error("another process is opening the embedded registry in {}", root.display())]
    Opening {
        /// The registry's directory.
        root: PathBuf,
    },
    /// Another process serves the registry.
    #[error("another process serves the embedded registry in {}{}", root.display(), at(*address))]
    Served {
        /// The registry's directory.
        root: PathBuf,
        /// The address of that process, if it has written one.
        address: Option<SocketAddr>,
    },
    /// polyarch cannot listen on any port of 127.0.0.1.
    #[error("the embedded registry cannot listen on 127.0.0.1")]
    Listen(#[source] io::Error),
}

fn at(address: Option<SocketAddr>) -> String {
    address.map(|address| format!(" at {address}")).unwrap_or_default()
}

impl EmbeddedError {
    /// The next step for the user, in one line.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Storage(error) if error.is_full() => Some("free some space, or set POLYARCH_HOME to a larger disk"),
            Self::Storage(_) | Self::Lock { .. } => Some("set POLYARCH_HOME to a directory that you may write"),
            Self::Opening { .. } => Some("run this again in a moment"),
            Self::Served { .. } => Some("run this again when that process has ended; nothing was deleted"),
            Self::Listen(_) => None,
        }
    }

    /// Whether a new attempt may help.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Opening { .. })
    }
}
