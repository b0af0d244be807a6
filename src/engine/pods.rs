//! The pods behind an engine of the plan.

use super::error::{EngineError, EngineErrorKind};
use super::rest::{ANSWER, within};
use crate::connect::ready_pods;
use crate::plan::{EngineName, PodHost, PodsHost};

/// The ready pods of engine `name`.
///
/// # Errors
/// kubectl cannot list the pods within 10 s, or no pod is ready.
pub(crate) async fn pods(name: &EngineName, selected: &PodsHost) -> Result<Vec<PodHost>, EngineError> {
    let listing = async { ready_pods(selected).await.map_err(EngineErrorKind::Connect) };
    let operation = || format!("list the pods with {}", selected.selector);
    within(ANSWER, listing).await.map_err(|kind| EngineError { engine: name.clone(), operation: operation(), kind })
}
