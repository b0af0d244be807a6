//! `polyarch join`

use std::process::ExitCode;

use polyarch::oci::{Reference, Selector};
use polyarch::plan::AttestationPolicy;
use polyarch::registry::Notice;
use polyarch::run::{self, Failure, JoinRun, Joining, References, Server, Surroundings};

use super::args::{Attestations, JoinArgs, PlanArgs};
use super::audience::Audience;
use super::ending;
use super::load::{self, Loaded, Refusal};
use super::reach::{self, Insecure};
use super::settings::Settings;
use super::signals::Signals;
use super::{notices, stdout};

pub(crate) async fn run(args: &JoinArgs, settings: &Settings) -> Result<ExitCode, Refusal> {
    let limit = load::duration("--timeout", args.timeout.as_deref())?;
    let (signals, shutdown) = Signals::listen(limit).map_err(load::no_signals)?;
    let (on_notice, notices) = notices::for_run();
    let mut stop = shutdown.clone();
    let (run, server) = tokio::select! {
        prepared = prepare(args, settings, on_notice) => prepared?,
        reason = stop.stopping() => return Ok(ending::stopped(&reason, signals.code(), settings)),
    };
    if args.dry_run {
        return tokio::select! {
            shown = preview(run, server) => shown,
            reason = stop.stopping() => Ok(ending::stopped(&reason, signals.code(), settings)),
        };
    }
    let mut audience = Audience::new(args.output.progress, settings.terminal);
    Box::pin(run::join(run, Surroundings { server, notices, shutdown }, &mut audience)).await;
    Ok(ending::tell(&audience.end(signals.code()), &args.output, settings))
}

async fn prepare(
    args: &JoinArgs,
    settings: &Settings,
    on_notice: impl Fn(Notice) + Send + Sync + Clone + 'static,
) -> Result<(JoinRun, Option<Server>), Refusal> {
    let gates = args.gates.gates();
    let wait = load::duration("--wait", args.wait.as_deref())?;
    if args.plan.images.iter().any(|word| reach::is_reference(word)) {
        let references = references(args)?;
        let target = Reference { repository: references.repository.clone(), selector: references.sources[0].clone() };
        let insecure = Insecure::from_flag(args.insecure);
        let (registry, server) = reach::registry(&target, insecure, settings, on_notice).await?;
        registry.reach().await?;
        return Ok((JoinRun { what: Joining::References(references), registry, gates, wait }, server));
    }
    if args.insecure {
        return Err(load::usage("--insecure is about references", "say `insecure: true` in the plan").into());
    }
    if args.attestations.is_some() {
        let hint = "say `attestations:` in the plan, or --set '*.attestations=strip'";
        return Err(load::usage("--attestations is about references", hint).into());
    }
    let plan = Loaded::read(&args.plan)?.resolve(settings).await?;
    let (registry, server) = load::registry(&plan, settings, on_notice).await?;
    Ok((JoinRun { what: Joining::Plan(plan), registry, gates, wait }, server))
}

/// `-t TARGET SOURCE…`
fn references(args: &JoinArgs) -> Result<References, Failure> {
    let PlanArgs { images, file, platform, tag, set, build_arg, registry, engine } = &args.plan;
    let of_plans = [platform, set, build_arg, engine].iter().any(|values| !values.is_empty());
    if of_plans || file.is_some() || registry.is_some() {
        let message = "references are joined without a plan: of its options only -t is for them";
        return Err(load::usage(message, "as polyarch join -t HOST/REPO:1.0 HOST/REPO:1.0-amd64 HOST/REPO:1.0-arm64"));
    }
    let sources = images.iter().map(|text| reach::parse(text)).collect::<Result<Vec<_>, _>>()?;
    let targets = tag.iter().map(|text| reach::parse(text)).collect::<Result<Vec<_>, _>>()?;
    let Some(Reference { repository, .. }) = targets.first() else {
        return Err(load::usage("no target is named for the references", "name it with -t HOST/REPO:TAG"));
    };
    if let Some(other) = targets.iter().chain(&sources).find(|reference| reference.repository != *repository) {
        let message = format!("{} is another repository than {repository}", other.repository);
        return Err(load::usage(message, "images are not yet copied: push them to the target's repository"));
    }
    let tag_of = |reference: &Reference| match &reference.selector {
        Selector::Tag(tag) => Ok(tag.clone()),
        Selector::Digest(_) => Err(load::usage(format!("{reference} is no tag"), "name a tag with -t HOST/REPO:TAG")),
    };
    let tags = targets.iter().map(tag_of).collect::<Result<_, _>>()?;
    let sources = sources.into_iter().map(|reference| reference.selector).collect();
    let attestations = match args.attestations {
        None | Some(Attestations::Keep) => AttestationPolicy::Keep,
        Some(Attestations::Strip) => AttestationPolicy::Strip,
    };
    Ok(References { repository: repository.clone(), sources, tags, attestations })
}

/// Prints each index as it would be put: its bytes are the result. Several are told apart by ends of line.
async fn preview(run: JoinRun, server: Option<Server>) -> Result<ExitCode, Refusal> {
    let mut failures = Vec::new();
    let previews = run::preview(run, server).await;
    let alone = previews.len() == 1;
    for (image, index) in previews {
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
