//! Examines the plan, its engines and its registries, and makes the checks of a build.

use std::process::ExitCode;
use std::time::Instant;

use polyarch::plan::{EngineSpec, Plan};
use polyarch::run::{
    self, BuildRun, Check, Failure, Gates, Goal, Observation, OnFailure, Patient, Phase, PublishMode, Registries,
    Section, Server, What,
};
use serde_json::json;

use super::text;
use crate::cli::args::refusal::Refusal;
use crate::cli::args::shared::PlanArgs;
use crate::cli::args::tools::DoctorArgs;
use crate::cli::args::values::Format;
use crate::cli::input::plan_file::{self, PlanFile};
use crate::cli::input::settings::Settings;
use crate::cli::input::{notices, reach};
use crate::cli::output::ending;
use crate::cli::terminal::{exit, stdout};

pub(crate) async fn run(args: &DoctorArgs, settings: &Settings) -> Result<ExitCode, Refusal> {
    let found = Box::pin(examine(args, settings)).await;
    let code = found.iter().filter_map(Observation::failure).map(|failure| failure.phase).min();
    let code = code.map_or(exit::OK, Phase::exit_code);
    match if args.json { Format::Json } else { args.format } {
        Format::Json => stdout::json(&json!({ "version": 1, "exit_code": code, "findings": found }))?,
        Format::Text => stdout::lines(text::lines(&found))?,
    }
    Ok(exit::code(code))
}

/// A plan that resolves, with the file that it comes from.
struct Loaded {
    file: PlanFile,
    plan: Plan,
}

async fn examine(args: &DoctorArgs, settings: &Settings) -> Vec<Observation> {
    let (loaded, mut found) = load(args, settings).await;
    let specs = match engines(loaded.as_ref(), settings) {
        Ok(specs) => specs,
        Err(failure) => {
            found.push(of("default", Section::Engine, Check::Connection, What::Fails(failure)));
            Vec::new()
        }
    };
    let registries = match &loaded {
        Some(Loaded { plan, .. }) => Some(plan_file::unreached(plan, settings, notices::log).await),
        None => None,
    };
    let (registries, server) = match registries {
        Some(Ok((registries, server))) => (Some(registries), server),
        Some(Err(failure)) => {
            found.push(of("registry", Section::Registry, Check::Reach, What::Fails(failure)));
            (None, None)
        }
        None => (None, None),
    };
    let plan = loaded.as_ref().zip(registries.as_ref()).map(|(loaded, registries)| (&loaded.plan, registries));
    found.extend(run::checkup(&Patient { engines: &specs, plan }).await);
    let (Some(loaded), Some(registries)) = (loaded, registries) else { return found };
    // A failed step would fail the checks of a build again.
    if found.iter().all(|one| one.failure().is_none()) {
        found.extend(Box::pin(start(loaded, (registries, server), settings)).await);
    }
    found
}

/// Reads and resolves the plan, and looks for its files.
async fn load(args: &DoctorArgs, settings: &Settings) -> (Option<Loaded>, Vec<Observation>) {
    let began = Instant::now();
    let plan_args = PlanArgs {
        file: args.file.clone(),
        registry: args.registry.clone(),
        engine: args.engine.clone(),
        ..PlanArgs::default()
    };
    let mut name = "plan".to_owned();
    let loading = async {
        let file = PlanFile::read(&plan_args)?;
        name = file.path().display().to_string();
        let plan = file.resolve(settings).await?;
        file.look(&plan)?;
        Ok::<_, Refusal>(Loaded { file, plan })
    };
    let loaded = loading.await;
    let finding = |what| of(&name, Section::Plan, Check::Plan, what).after(began.elapsed());
    match loaded {
        Ok(loaded) => {
            let found = vec![finding(What::Works(size(&loaded.plan).into()))];
            (Some(loaded), found)
        }
        Err(refusal) => {
            let failures = ending::failures(&refusal);
            (None, failures.into_iter().map(|failure| finding(What::Fails(failure))).collect())
        }
    }
}

fn size(plan: &Plan) -> String {
    let (images, jobs) = (plan.images.len(), plan.images.iter().map(|image| image.jobs.len()).sum::<usize>());
    let plural = |number: usize, word: &str| format!("{number} {word}{}", if number == 1 { "" } else { "s" });
    format!("valid: {}, {}", plural(images, "image"), plural(jobs, "job"))
}

/// The engines of the plan, or else the engine that docker would use.
fn engines(loaded: Option<&Loaded>, settings: &Settings) -> Result<Vec<EngineSpec>, Failure> {
    match loaded {
        Some(Loaded { plan, .. }) if plan.builds().next().is_none() => Ok(Vec::new()),
        Some(Loaded { plan, .. }) => plan_file::engine_specs(plan, settings),
        None => plan_file::default_specs(settings),
    }
}

/// Makes the checks of `polyarch build`, with the engines and the registries as a build gets them.
async fn start(
    Loaded { file, .. }: Loaded,
    (registries, server): (Registries, Option<Server>),
    settings: &Settings,
) -> Vec<Observation> {
    let began = Instant::now();
    let preparing = async {
        let (plan, engines) = file.resolve_with_engines(settings).await?;
        let (sources, imports_from) = reach::sources(&plan, &registries.first, settings, notices::log).await?;
        let bases = reach::bases(&plan, &engines, Goal::Publish, &registries.first, settings);
        let build = BuildRun {
            bases,
            gates: Gates::default().of_plan(&plan),
            plan,
            engines,
            registries,
            sources,
            credentials: settings.credentials()?,
            proxies: settings.build_proxies()?,
            environment: settings.environment.clone(),
            goal: Goal::Publish,
            moving: PublishMode::EachImage,
            on_failure: OnFailure::EndImage,
        };
        Ok::<_, Refusal>((build, server.or(imports_from)))
    };
    let checked = match preparing.await {
        Ok((build, server)) => Box::pin(run::rehearse(&build, server)).await,
        Err(refusal) => Err(ending::failures(&refusal)),
    };
    let finding = |what| of("build", Section::Build, Check::Start, what).after(began.elapsed());
    match checked {
        Ok(()) => vec![finding(What::Works("`polyarch build` can start".into()))],
        Err(failures) => failures.into_iter().map(|failure| finding(What::Fails(failure))).collect(),
    }
}

fn of(subject: &str, section: Section, check: Check, what: What) -> Observation {
    Observation::new(section, subject, check, what)
}
