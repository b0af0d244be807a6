//! Verifies references or the plan's images, and lets engines pull them.

use std::process::ExitCode;

use futures::future::join_all;
use polyarch::oci::{LayoutPath, Selector, Tag};
use polyarch::plan::{Image, Job};
use polyarch::run::{self, ElfCheck, Expected, Failure, Registry, Server, Shutdown, Source, Storage, while_served};

use super::engines::Pullers;
use super::finding::{self, Finding};
use super::told;
use crate::cli::args::refusal;
use crate::cli::args::refusal::Refusal;
use crate::cli::args::shared::PlanArgs;
use crate::cli::args::values::Format;
use crate::cli::args::verify::VerifyArgs;
use crate::cli::command::verify::outcome::{Subject, Verified};
use crate::cli::input::notices;
use crate::cli::input::plan_file::{self, PlanFile};
use crate::cli::input::reach::{self, Registries};
use crate::cli::input::settings::Settings;
use crate::cli::output::ending;
use crate::cli::terminal::exit;
use crate::cli::terminal::signals::Signals;

/// Subjects that are verified together, and the engines that pull them.
struct Group {
    server: Option<Server>,
    subjects: Vec<Subject>,
    /// Registries that polyarch cannot ask.
    unreached: Vec<Finding>,
    pullers: Option<Pullers>,
}

pub(crate) async fn run(args: &VerifyArgs, settings: &Settings) -> Result<ExitCode, Refusal> {
    if !args.pull {
        // A command that only reads may end at any time.
        let (_nobody, shutdown) = Shutdown::new();
        return verify(args, settings, &shutdown).await;
    }
    let (signals, shutdown) = Signals::listen(None, settings.docker_socket()).map_err(plan_file::no_signals)?;
    let ended = verify(args, settings, &shutdown).await;
    match signals.code() {
        Some(code) => {
            if let Err(refusal) = ended {
                ending::refuse(&refusal, settings);
            }
            Ok(exit::code(code))
        }
        None => ended,
    }
}

async fn verify(args: &VerifyArgs, settings: &Settings, shutdown: &Shutdown) -> Result<ExitCode, Refusal> {
    let (references, images): (Vec<_>, Vec<_>) = args.what.iter().cloned().partition(|word| reach::is_reference(word));
    let (mut verified, mut findings) = (Vec::new(), Vec::new());
    if !references.is_empty() {
        verified.extend(of_references(args, &references, settings).await?.work(shutdown, &mut findings).await);
    }
    if !images.is_empty() || references.is_empty() {
        verified.extend(of_plan(args, images, settings).await?.work(shutdown, &mut findings).await);
    }
    findings.extend(finding::all(&verified));
    let format = if args.json { Format::Json } else { args.format };
    told::print(&verified, &findings, format, settings)?;
    Ok(exit::code(finding::exit_code(&findings)))
}

impl Group {
    /// Verifies all subjects. Adds the registries that polyarch cannot ask to `findings`.
    async fn work(self, shutdown: &Shutdown, findings: &mut Vec<Finding>) -> Vec<Verified> {
        let Self { server, subjects, unreached, pullers } = self;
        findings.extend(unreached);
        let working = async {
            let mut verified = verify_all(subjects, shutdown).await;
            if let Some(pullers) = &pullers {
                pullers.pull(&mut verified, shutdown).await;
            }
            verified
        };
        while_served(server, Box::pin(working)).await
    }
}

/// Verifies one subject after the other: each sends as many requests at once as a registry should get. A stop leaves
/// out the rest.
async fn verify_all(subjects: Vec<Subject>, shutdown: &Shutdown) -> Vec<Verified> {
    let mut results = Vec::new();
    for subject in subjects {
        let Subject { source: Source { storage, selector }, expected, .. } = &subject;
        let mut stop = shutdown.clone();
        let result = tokio::select! {
            verified = run::verify(storage, selector, expected) => verified,
            _ = stop.stopping() => break,
        };
        results.push(Verified { subject, result, pulled: None, not_pulled: Vec::new() });
    }
    results
}

async fn of_references(args: &VerifyArgs, references: &[String], settings: &Settings) -> Result<Group, Refusal> {
    let mut registries = Registries::new(&args.registries, settings, notices::log)?;
    let mut subjects = Vec::new();
    for name in references {
        let source = registries.source(reach::parse(name)?).await?;
        if let (true, Storage::Layout(path)) = (args.pull, &source.storage) {
            return Err(not_pullable(path).into());
        }
        subjects.push(Subject {
            name: name.clone(),
            image: None,
            source,
            expected: Expected { programs: args.programs(), ..Expected::default() },
        });
    }
    let pullers = if args.pull {
        let engines = plan_file::default_engines(settings).await?;
        Some(Pullers { engines, credentials: settings.credentials()? })
    } else {
        None
    };
    Ok(Group { server: registries.server()?, subjects, unreached: Vec::new(), pullers })
}

fn not_pullable(layout: &LayoutPath) -> Failure {
    let message = format!("--pull: an engine cannot pull from a directory, and {layout} is one");
    refusal::usage(message, "copy it to a registry first: `polyarch copy oci:DIR:TAG HOST/REPO:TAG`")
}

/// Every final tag of the plan's images in every registry. A registry that polyarch cannot ask hides no other one.
async fn of_plan(args: &VerifyArgs, images: Vec<String>, settings: &Settings) -> Result<Group, Refusal> {
    let plan = PlanArgs { images, file: args.file.clone(), registry: args.registry.clone(), ..PlanArgs::default() };
    let plan = PlanFile::read(&plan)?.resolve(settings).await?;
    plan_file::name_left_out(&plan);
    let pullers = if args.pull {
        Some(Pullers { engines: plan_file::engines_of(&plan, settings).await?, credentials: settings.credentials()? })
    } else {
        None
    };
    let (registries, server) = plan_file::unreached(&plan, settings, notices::log).await?;
    let reached = join_all(registries.all().map(Registry::reach)).await;
    let (mut subjects, mut unreached) = (Vec::new(), Vec::new());
    for (registry, reached) in registries.all().zip(reached) {
        if let Err(failure) = reached {
            unreached.push(Finding::of_registry(registry, failure));
            continue;
        }
        for image in &plan.images {
            subjects.extend(of_image(image, registry, args.programs())?);
        }
    }
    Ok(Group { server, subjects, unreached, pullers })
}

fn of_image(image: &Image, registry: &Registry, programs: ElfCheck) -> Result<Vec<Subject>, Failure> {
    let repository = plan_file::repository(image, registry)?;
    let storage = Storage::Repository { registry: registry.clone(), repository };
    let expected = expected(image, programs);
    let subject = |tag: &Tag| {
        let source = Source { storage: storage.clone(), selector: Selector::Tag(tag.clone()) };
        let (name, image) = (source.to_string(), Some(image.name.to_string()));
        Subject { name, image, source, expected: expected.clone() }
    };
    Ok(image.tags.iter().map(subject).collect())
}

fn expected(image: &Image, programs: ElfCheck) -> Expected {
    let platform = |job: &Job| (job.entry.over(&job.platform), job.entry.clone());
    let built = image.jobs.iter().filter(|job| job.build().is_some()).map(|job| job.entry.over(&job.platform));
    Expected { platforms: Some(image.jobs.iter().map(platform).collect()), programs, built: built.collect() }
}
