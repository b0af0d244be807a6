//! The observations of a session.

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, OnceLock};

use tokio_util::sync::CancellationToken;

use crate::auth::AuthError;
use crate::context::ContextError;

/// The observations of a session. The services share them.
#[derive(Debug, Clone, Default)]
pub(super) struct Observed {
    /// The bytes of the context's files that the connection took.
    pub(super) sent: Arc<AtomicU64>,
    /// The first error of the context.
    pub(super) context_error: Arc<OnceLock<Arc<ContextError>>>,
    /// The first socket in a context.
    pub(super) socket: Arc<OnceLock<String>>,
    /// The first error of the credentials.
    pub(super) auth_error: Arc<OnceLock<Arc<AuthError>>>,
    /// Signals that the engine read nothing of the context for [`super::UPLOAD_IDLE`].
    pub(super) stalled: CancellationToken,
}
