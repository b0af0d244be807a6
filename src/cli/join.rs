//! `polyarch join`

use std::process::ExitCode;

use polyarch::run::{self, JoinRun, Server, Surroundings};

use super::args::JoinArgs;
use super::audience::Audience;
use super::ending;
use super::load::{self, Loaded, Refusal};
use super::settings::Settings;
use super::signals::Signals;
use super::{notices, stdout};

pub(crate) async fn run(args: &JoinArgs, settings: &Settings) -> Result<ExitCode, Refusal> {
    let limit = load::limit(args.timeout.as_deref())?;
    let (signals, shutdown) = Signals::listen(limit).map_err(load::no_signals)?;
    let plan = Loaded::read(&args.plan)?.resolve(settings).await?;
    let (on_notice, notices) = notices::for_run();
    let mut stop = shutdown.clone();
    let (registry, server) = tokio::select! {
        reached = load::registry(&plan, settings, on_notice) => reached?,
        reason = stop.stopping() => return Ok(ending::stopped(&reason, signals.code(), settings)),
    };
    let run = JoinRun { plan, registry };
    if args.dry_run {
        return tokio::select! {
            shown = preview(run, server) => shown,
            reason = stop.stopping() => Ok(ending::stopped(&reason, signals.code(), settings)),
        };
    }
    let mut audience = Audience::new(args.output.progress, settings.terminal);
    run::join(run, Surroundings { server, notices, shutdown }, &mut audience).await;
    Ok(ending::tell(&audience.end(signals.code()), &args.output, settings))
}

/// Prints each index as it would be put: its bytes are the result. Several are told apart by ends of line.
async fn preview(run: JoinRun, server: Option<Server>) -> Result<ExitCode, Refusal> {
    let mut failures = Vec::new();
    let alone = run.plan.images.len() == 1;
    for (image, index) in run::preview(run, server).await {
        match index {
            Ok(index) if alone => stdout::exact(index.manifest().bytes())?,
            Ok(index) => stdout::bytes(index.manifest().bytes())?,
            Err(mut failure) => {
                failure.message = format!("{image}: {}", failure.message);
                failures.push(failure);
            }
        }
    }
    if failures.is_empty() { Ok(ExitCode::SUCCESS) } else { Err(failures.into()) }
}
