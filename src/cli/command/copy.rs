//! `polyarch copy`

use std::process::ExitCode;

use polyarch::oci::{LocatedReference, Selector};
use polyarch::registry::Notice;
use polyarch::run::{self, Copying, Failure, RunContext, Server, Source, Storage};

use crate::cli::args::command_line::CopyArgs;
use crate::cli::args::platforms;
use crate::cli::args::refusal;
use crate::cli::args::refusal::Refusal;
use crate::cli::input::notices;
use crate::cli::input::plan_file::{self};
use crate::cli::input::reach::{self, Registries};
use crate::cli::input::settings::Settings;
use crate::cli::output::ending;
use crate::cli::output::fanout::EventFanout;
use crate::cli::terminal::signals::Signals;

pub(crate) async fn run(args: &CopyArgs, settings: &Settings) -> Result<ExitCode, Refusal> {
    let limit = plan_file::duration("--timeout", args.timeout.as_deref())?;
    let (signals, shutdown) = Signals::listen(limit, settings.docker_socket()).map_err(plan_file::no_signals)?;
    let (on_notice, notices) = notices::for_run();
    let mut stop = shutdown.clone();
    let (copying, server) = tokio::select! {
        prepared = prepare(args, settings, on_notice) => prepared?,
        reason = stop.stopping() => return Ok(ending::stopped(&reason, signals.code(), settings)),
    };
    let mut fanout = EventFanout::new(&args.output, settings);
    Box::pin(run::copy(copying, RunContext { server, notices, shutdown }, &mut fanout)).await;
    Ok(ending::tell(&fanout.end(signals.code()), &args.output, settings))
}

async fn prepare(
    args: &CopyArgs,
    settings: &Settings,
    on_notice: impl Fn(Notice) + Send + Sync + Clone + 'static,
) -> Result<(Copying, Option<Server>), Refusal> {
    let target = reach::parse(&args.target)?;
    let platform = args.platform.as_deref().map(platforms::one).transpose()?;
    let mut registries = Registries::new(&args.registries, settings, on_notice)?;
    let source = registries.named(&args.source).await?;
    let target = target_of(target, &mut registries).await?;
    Ok((Copying { source, target, platform }, registries.server()?))
}

/// The target of the copy. A layout needs a tag, because a reader finds an image in a layout by its tag.
async fn target_of(
    reference: LocatedReference,
    registries: &mut Registries<'_, impl Fn(Notice) + Send + Sync + Clone + 'static>,
) -> Result<Source, Failure> {
    let LocatedReference { location, selector } = reference;
    let storage = registries.storage(location).await?;
    match (selector, &storage) {
        (Some(selector @ Selector::Tag(_)), _) | (Some(selector), Storage::Repository { .. }) => {
            Ok(Source { storage, selector })
        }
        (_, storage) => Err(refusal::usage(format!("{} has no tag", storage.location()), "write it as oci:DIR:1.0")),
    }
}
