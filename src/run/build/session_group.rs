//! The session that several jobs share.

use tokio::sync::OnceCell;

use crate::context::AddedStages;
use crate::engine::{Engine, EngineError, Session, SessionSpec};

/// The jobs that share a session, and the session after it is open.
pub(in crate::run) struct SessionGroup {
    pub(in crate::run) spec: SessionSpec,
    pub(in crate::run) opened: OnceCell<Session>,
}

impl SessionGroup {
    pub(in crate::run) async fn session(&self, engine: &Engine, stages: AddedStages) -> Result<&Session, EngineError> {
        let open = || engine.open_session(SessionSpec { stages, ..self.spec.clone() });
        self.opened.get_or_try_init(open).await
    }
}
