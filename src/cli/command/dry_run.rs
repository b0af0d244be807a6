//! `polyarch build --dry-run`

use std::process::ExitCode;

use polyarch::oci::Location;
use polyarch::run::{BuildRun, Execution, Goal, JobSource, Registry};

use crate::cli::args::refusal::Refusal;
use crate::cli::terminal::stdout;

/// Shows the builds with their engines and their tags.
pub(crate) fn show(build: &BuildRun) -> Result<ExitCode, Refusal> {
    let outline = polyarch::run::outline(build)?;
    let mut lines = surroundings(build);
    for image in &outline.images {
        lines.push(image.image.clone());
        for job in outline.jobs.iter().filter(|job| job.job.image == image.image) {
            let platform = &job.job.platform;
            let (done, brings) = match &job.by {
                JobSource::Engine { engine, execution: Execution::Native } => {
                    (format!("build  {platform} on {engine} (native)"), "push")
                }
                JobSource::Engine { engine, execution: Execution::Emulated } => {
                    (format!("build  {platform} on {engine} (emulated)"), "push")
                }
                JobSource::Copy { from } => (format!("import {platform} from {from}"), "copy"),
            };
            lines.push(format!("  {done}"));
            lines.extend(job.builds_on.iter().map(|base| format!("  after  {base}")));
            if build.goal != Goal::Load {
                lines.push(format!("  {brings}   {}", job.destination));
            }
        }
        lines.extend(
            image.copies.iter().filter(|_| build.goal == Goal::Publish).map(|copy| format!("  copy   to {copy}")),
        );
        lines.extend(image.tags.iter().map(|tag| match build.goal {
            Goal::Load => format!("  load   {}:{}", short(&tag.repository), tag.tag),
            Goal::Build | Goal::Push | Goal::Publish => format!("  tag    {tag}"),
        }));
    }
    stdout::lines(lines)?;
    Ok(ExitCode::SUCCESS)
}

/// The registries, and the engines with their addresses.
fn surroundings(build: &BuildRun) -> Vec<String> {
    let kind = |registry: &Registry| match registry {
        Registry::Embedded { .. } => " (embedded)",
        Registry::Named { .. } => "",
    };
    let registry = |registry: &Registry| format!("registry  {}{}", registry.host(), kind(registry));
    let registries = build.registries.all().filter(|_| build.goal != Goal::Load).map(registry);
    let engines = build.engines.reached().map(|(spec, facts)| {
        format!("engine    {} at {} ({}, {})", spec.name, spec.host, facts.platform, facts.version)
    });
    registries.chain(engines).collect()
}

/// The name that engines list.
fn short(location: &Location) -> String {
    match location {
        Location::Repository(repository) => repository.path().short().to_owned(),
        Location::Layout(path) => path.to_string(),
    }
}
