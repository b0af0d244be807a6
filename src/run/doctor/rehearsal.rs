//! Makes the checks of a build, and starts nothing.

use crate::run::event::Failure;
use crate::run::preflight::command;
use crate::run::preflight::request::BuildRun;
use crate::run::publish::target::targets;
use crate::run::schedule::create;
use crate::run::storage::registry::{Server, while_served};

/// Makes all checks of `polyarch build` before its first build. polyarch creates no repository.
///
/// # Errors
/// The failures of the checks.
pub async fn rehearse(run: &BuildRun, server: Option<Server>) -> Result<(), Vec<Failure>> {
    let schedule = create::schedule(&run.plan, &run.engines, run.goal)?;
    let targets = targets(&run.plan, &run.registries).map_err(|failure| vec![failure])?;
    while_served(server, Box::pin(async { command::check(run, &schedule, &targets).await.map(drop) })).await
}
