//! `polyarch join`

use std::process::ExitCode;

use polyarch::oci::{LocatedReference, Location, Selector, Tag};
use polyarch::plan::{AttestationPolicy, Plan};
use polyarch::registry::Notice;
use polyarch::run::{self, Base, Failure, FinalTags, JoinRun, JoinSource, Joining, References, RunContext, Server};

use crate::cli::args::command_line::{Attestations, JoinArgs, moving};
use crate::cli::args::refusal;
use crate::cli::args::refusal::Refusal;
use crate::cli::args::shared::PlanArgs;
use crate::cli::input::notices;
use crate::cli::input::plan_file::{self, PlanFile};
use crate::cli::input::reach::{self, Registries};
use crate::cli::input::settings::Settings;
use crate::cli::output::ending;
use crate::cli::output::fanout::EventFanout;
use crate::cli::terminal::signals::Signals;
use crate::cli::terminal::stdout;

pub(crate) async fn run(args: &JoinArgs, settings: &Settings) -> Result<ExitCode, Refusal> {
    let limit = plan_file::duration("--timeout", args.timeout.as_deref())?;
    let (signals, shutdown) = Signals::listen(limit, settings.docker_socket()).map_err(plan_file::no_signals)?;
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
    let mut fanout = EventFanout::new(&args.output, settings);
    Box::pin(run::join(run, RunContext { server, notices, shutdown }, &mut fanout)).await;
    Ok(ending::tell(&fanout.end(signals.code()), &args.output, settings))
}

async fn prepare(
    args: &JoinArgs,
    settings: &Settings,
    on_notice: impl Fn(Notice) + Send + Sync + Clone + 'static,
) -> Result<(JoinRun, Option<Server>), Refusal> {
    let gates = args.gates.gates();
    let moving = moving(args.atomic);
    let wait = plan_file::duration("--wait", args.wait.as_deref())?;
    let named = args.plan.images.iter().any(|word| reach::is_reference(word));
    if named || args.plan.images.is_empty() && args.edit.asked().is_some() {
        let mut registries = Registries::new(&args.registries, settings, on_notice)?;
        let references = references(args, &mut registries).await?;
        return Ok((JoinRun { what: Joining::References(references), gates, moving, wait }, registries.server()?));
    }
    if let Some(option) = args.edit.asked() {
        let hint = "run `polyarch join -t HOST/REPO:1.0 --append HOST/REPO:1.0-arm64`";
        return Err(refusal::usage(format!("{option} works only with references"), hint).into());
    }
    if args.registries.insecure {
        return Err(refusal::usage(
            "--insecure works only with references, not with a plan",
            "set `insecure: true` in the plan",
        )
        .into());
    }
    if !args.registries.ca.is_empty() {
        return Err(refusal::usage(
            "--ca works only with references, not with a plan",
            "set `registry: { host: …, ca: FILE }` in the plan",
        )
        .into());
    }
    if !args.registries.may_send_to.is_empty() {
        let hint = "set `registry: { host: …, may_send_to: [HOST] }` in the plan";
        return Err(refusal::usage("--may-send-to works only with references, not with a plan", hint).into());
    }
    if args.attestations.is_some() {
        let hint = "set `attestations:` in the plan, or pass --set '*.attestations=strip'";
        return Err(refusal::usage("--attestations works only with references, not with a plan", hint).into());
    }
    let plan = PlanFile::read(&args.plan)?.resolve(settings).await?;
    if args.output.is_for_people() {
        plan_file::name_left_out(&plan);
    }
    incomplete(args, &plan)?;
    let (registries, server) = plan_file::registries(&plan, settings, on_notice).await?;
    let gates = gates.of_plan(&plan);
    Ok((JoinRun { what: Joining::Plan(Box::new(plan), registries), gates, moving, wait }, server))
}

/// Refuses to join an image if `--platform` leaves out one of its platforms: the run would do nothing.
fn incomplete(args: &JoinArgs, plan: &Plan) -> Result<(), Failure> {
    let Some(image) = plan.images.iter().find(|image| !image.is_complete()) else { return Ok(()) };
    let left_out: Vec<_> = image.left_out.iter().map(ToString::to_string).collect();
    let (wanted, left_out) = (args.plan.platform.join(","), left_out.join(", "));
    let message =
        format!("--platform {wanted} leaves out {left_out} of {}, and polyarch joins only whole images", image.name);
    Err(refusal::usage(
        message,
        "leave --platform out, or join references: `polyarch join -t TARGET SOURCE… --platform PLATFORM`",
    ))
}

/// `-t TARGET SOURCE…`
async fn references(
    args: &JoinArgs,
    registries: &mut Registries<'_, impl Fn(Notice) + Send + Sync + Clone + 'static>,
) -> Result<References, Failure> {
    let PlanArgs { images, file, platform, tag, set, build_arg, registry, engine } = &args.plan;
    let of_plans = [set, build_arg, engine].iter().any(|values| !values.is_empty());
    if of_plans || file.is_some() || !registry.is_empty() {
        let message = "references are joined without a plan: only its options -t and --platform work with references";
        return Err(refusal::usage(
            message,
            "run `polyarch join -t HOST/REPO:1.0 HOST/REPO:1.0-amd64 HOST/REPO:1.0-arm64`",
        ));
    }
    let sources = images.iter().map(|text| reach::parse(text)).collect::<Result<Vec<_>, _>>()?;
    let targets = tag.iter().map(|text| reach::parse(text)).collect::<Result<Vec<_>, _>>()?;
    let edit = args.edit.edit(platform)?;
    if sources.is_empty() && edit.base == Base::Nothing {
        return Err(refusal::usage(
            "there are no references to join",
            "name references, or change the target's index with --append",
        ));
    }
    let entries = args.edit.entries(images)?;
    let mut references = References { sources: Vec::new(), targets: Vec::new(), attestations: policy(args), edit };
    for (location, tags) in by_location(targets)? {
        references.targets.push(FinalTags { storage: registries.storage(location).await?, tags });
    }
    for (source, entry) in sources.into_iter().zip(entries) {
        references.sources.push(JoinSource { source: registries.source(source).await?, entry });
    }
    Ok(references)
}

fn policy(args: &JoinArgs) -> AttestationPolicy {
    match args.attestations {
        None | Some(Attestations::Keep) => AttestationPolicy::Keep,
        Some(Attestations::Strip) => AttestationPolicy::Strip,
    }
}

/// The target tags of each repository or layout, in the order of the command line.
fn by_location(targets: Vec<LocatedReference>) -> Result<Vec<(Location, Vec<Tag>)>, Failure> {
    let mut sorted: Vec<(Location, Vec<Tag>)> = Vec::new();
    for LocatedReference { location, selector } in targets {
        let tag = match selector {
            Some(Selector::Tag(tag)) => tag,
            Some(Selector::Digest(digest)) => {
                let message = format!("{} is not a tag", location.digest(digest));
                return Err(refusal::usage(message, "name a tag with -t HOST/REPO:TAG"));
            }
            None => return Err(refusal::usage(format!("{location} has no tag"), "name a tag with -t oci:DIR:TAG")),
        };
        match sorted.iter_mut().find(|(known, _)| *known == location) {
            Some((_, tags)) => tags.push(tag),
            None => sorted.push((location, vec![tag])),
        }
    }
    if sorted.is_empty() {
        return Err(refusal::usage("the references have no target", "name a target with -t HOST/REPO:TAG"));
    }
    Ok(sorted)
}

/// Prints the bytes of each index that would be pushed. An end of line separates several indexes.
async fn preview(run: JoinRun, server: Option<Server>) -> Result<ExitCode, Refusal> {
    let mut failures = Vec::new();
    let previews = run::preview(run, server).await;
    let alone = previews.len() == 1;
    for (image, index) in previews {
        match index {
            Ok(index) if alone => stdout::exact(index.manifest().bytes())?,
            Ok(index) => stdout::one_of_several(index.manifest().bytes())?,
            Err(mut failure) => {
                failure.message = format!("{image}: {}", failure.message).into();
                failures.push(failure);
            }
        }
    }
    if failures.is_empty() { Ok(ExitCode::SUCCESS) } else { Err(failures.into()) }
}
