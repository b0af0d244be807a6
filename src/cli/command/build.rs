//! `polyarch build`

use std::process::ExitCode;
use std::time::Duration;

use polyarch::plan::{CachePolicy, PullPolicy};
use polyarch::run::{self, BuildRun, Event, EventSink as _, Goal, OnFailure, Registry, Report, RunContext, Server};

use super::check;
use crate::cli::args::command_line::{BuildArgs, moving};
use crate::cli::args::refusal::Refusal;
use crate::cli::input::notices;
use crate::cli::input::plan_file::{self, PlanFile};
use crate::cli::input::reach;
use crate::cli::input::settings::Settings;
use crate::cli::output::ending;
use crate::cli::output::fanout::EventFanout;
use crate::cli::terminal::signals::Signals;
use crate::cli::terminal::stderr;
use crate::cli::terminal::typed::as_typed;

pub(crate) async fn run(args: &BuildArgs, settings: &Settings) -> Result<ExitCode, Refusal> {
    let limit = plan_file::duration("--timeout", args.timeout.as_deref())?;
    let (signals, shutdown) = Signals::listen(limit, settings.docker_socket()).map_err(plan_file::no_signals)?;
    let loaded = PlanFile::read(&args.plan)?
        .with_policies(args.no_cache.then_some(CachePolicy::Ignore), args.pull.then_some(PullPolicy::Always));
    let goal = goal(args);
    let (on_notice, notices) = notices::for_run();
    let on_source = on_notice.clone();
    let preflight = async {
        let (plan, engines) = loaded.resolve_with_engines(settings).await?;
        let plan = if plan.reads_standard_input() {
            plan.with_standard_input(&plan_file::standard_input().await?)
        } else {
            plan
        };
        loaded.look(&plan)?;
        let (registries, server) = match goal {
            _ if args.check => (plan_file::registry_in_names(&plan, settings, on_notice)?.into(), None),
            Goal::Load => (plan_file::registry_in_names(&plan, settings, on_notice)?.into(), None),
            Goal::Build | Goal::Push | Goal::Publish => plan_file::registries(&plan, settings, on_notice).await?,
        };
        let (sources, imports_from) = if args.check {
            (Vec::new(), None)
        } else {
            reach::sources(&plan, &registries.first, settings, on_source).await?
        };
        let bases = reach::bases(&plan, &engines, goal, &registries.first, settings);
        let build = BuildRun {
            bases,
            gates: args.gates.gates().of_plan(&plan),
            plan: if goal == Goal::Load { plan.without_own_registry() } else { plan },
            engines,
            registries,
            sources,
            credentials: settings.credentials()?,
            proxies: settings.build_proxies()?,
            environment: settings.environment.clone(),
            goal,
            moving: moving(args.atomic),
            on_failure: if args.fail_fast { OnFailure::EndRun } else { OnFailure::EndImage },
        };
        Ok::<_, Refusal>((build, server.or(imports_from)))
    };
    let mut stop = shutdown.clone();
    let (build, server) = tokio::select! {
        build = preflight => build?,
        // Nothing was started, so nothing is left in a registry or on an engine.
        reason = stop.stopping() => return Ok(ending::stopped(&reason, signals.code(), settings)),
    };
    let warnings: Vec<_> = build.plan.warnings.iter().map(|problem| ending::plan_warning(problem, &loaded)).collect();
    if args.dry_run || args.check {
        let unreached = build.engines.warnings();
        ending::warn(&warnings.iter().cloned().chain(unreached).collect::<Vec<_>>(), settings);
    }
    if args.output.is_for_people() {
        plan_file::name_left_out(&build.plan);
    }
    if args.dry_run {
        return super::dry_run::show(&build);
    }
    if args.check {
        return tokio::select! {
            shown = check::show(&build, &args.output) => shown,
            reason = stop.stopping() => Ok(ending::stopped(&reason, signals.code(), settings)),
        };
    }
    // If another process serves the embedded registry, the registry outlives this run.
    let is_served = matches!((&build.registries.first, &server), (Registry::Embedded { .. }, Some(Server::Holder(_))));
    let mut fanout = EventFanout::new(&args.output, settings);
    for warning in warnings {
        fanout.event(Duration::ZERO, &Event::Warning(warning));
    }
    Box::pin(run::build(build, RunContext { server, notices, shutdown }, &mut fanout)).await;
    let report = fanout.end(signals.code());
    if let Some(line) = later(&report).filter(|_| is_served && args.output.is_for_people()) {
        stderr::line(&*as_typed(&line));
    }
    Ok(ending::tell(&report, &args.output, settings))
}

/// How to use the images after this run, which served the embedded registry, has ended.
fn later(report: &Report) -> Option<String> {
    let published: Vec<_> = report.images.iter().filter(|image| !image.verified.is_empty()).collect();
    let pull = |image: &str| format!("to pull {image}: start `polyarch serve` first");
    match &published[..] {
        [] => None,
        [one] => {
            let run = one.on_engine.first().map(|name| format!("to run {}: `docker run {name}`; ", one.image));
            Some(run.unwrap_or_default() + &pull(&one.image))
        }
        _ => Some(pull("the images")),
    }
}

fn goal(args: &BuildArgs) -> Goal {
    // clap refuses two of these flags, except --no-push with --no-join, where --no-push decides.
    match args {
        BuildArgs { load: true, .. } => Goal::Load,
        BuildArgs { no_push: true, push: false, .. } => Goal::Build,
        BuildArgs { no_join: true, .. } => Goal::Push,
        _ => Goal::Publish,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::output::display::script::{self, failed, success};

    #[test]
    fn ending_names_the_way_to_run_and_pull_published_images() {
        let mut report = script::report(&success(), None);
        report.images[0].on_engine = vec!["hello:1.0".into(), "hello:latest".into()];
        let line = later(&report).unwrap();
        assert_eq!(line, "to run hello: `docker run hello:1.0`; to pull hello: start `polyarch serve` first");
        report.images[0].on_engine.clear();
        assert_eq!(later(&report).unwrap(), "to pull hello: start `polyarch serve` first");
        report.images.push(report.images[0].clone());
        assert_eq!(later(&report).unwrap(), "to pull the images: start `polyarch serve` first");
        assert_eq!(later(&script::report(&failed(), None)), None);
    }
}
