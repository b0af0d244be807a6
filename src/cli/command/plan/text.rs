//! The plan as a table: a row a platform, under its image's name.

use polyarch::plan::{ArchTags, Build, Context, Dockerfile, Emulation, EngineNeed, EnginePlatforms, EngineSpec, Image};
use polyarch::plan::{Import, Job, Work};
use polyarch::plan::{Plan, RegistryChoice};
use serde::Serialize;

use crate::cli::terminal::grid::{Align, Column, Grid};
use crate::cli::terminal::typed::as_typed;

const COLUMNS: [Column; 4] = [
    Column { heading: "platform", align: Align::Left, rank: 0 },
    Column { heading: "from", align: Align::Left, rank: 1 },
    Column { heading: "engine", align: Align::Left, rank: 3 },
    Column { heading: "arch tag", align: Align::Left, rank: 2 },
];

/// The lines of the table. Columns that do not fit into `width` are left out.
pub(crate) fn lines(plan: &Plan, defaults: &Defaults, is_ci: bool, width: Option<usize>) -> Vec<String> {
    let mut lines = surroundings(plan, defaults, is_ci);
    let rows: Vec<_> = plan.images.iter().flat_map(|image| &image.jobs).map(cells).collect();
    let grid = Grid::fitting(&COLUMNS, &rows, width);
    lines.extend([String::new(), grid.heading()]);
    let mut rows = rows.iter();
    for image in &plan.images {
        lines.push(format!("{} → {}", image.name, names(plan, image)));
        lines.extend(rows.by_ref().take(image.jobs.len()).map(|cells| grid.row(cells)));
        if !image.left_out.is_empty() {
            lines.push(format!("  left out: {}", listed(&image.left_out)));
        }
    }
    if !plan.left_out.is_empty() {
        lines.push(format!("left out: {}", listed(&plan.left_out)));
    }
    lines.extend(plan.notes.iter().cloned());
    lines.extend([String::new(), as_typed("`polyarch plan --format yaml` prints every setting.").into_owned()]);
    lines
}

/// The registries and the engines, one a line.
fn surroundings(plan: &Plan, defaults: &Defaults, is_ci: bool) -> Vec<String> {
    let registry = match &plan.registry {
        RegistryChoice::Named(named) => named.to_string(),
        RegistryChoice::Embedded => "local, the embedded registry".to_owned(),
        RegistryChoice::Unnamed if is_ci => "none: name one in the plan, or pass --registry".to_owned(),
        RegistryChoice::Unnamed => "local, the embedded registry, because the plan names none".to_owned(),
    };
    let mut lines = vec![format!("registry  {registry}")];
    lines.extend(plan.copies.iter().map(|copy| format!("copy to   {copy}")));
    lines.extend(plan.engines.iter().map(engine));
    lines.extend(defaults.engine.as_ref().map(|found| format!("engine    {} ({})", found.host, found.named_by)));
    lines
}

fn engine(spec: &EngineSpec) -> String {
    let EngineSpec { name, host, platforms, slots, emulation, need } = spec;
    let mut line = format!("engine    {name}: {host}; builds at once: {slots}");
    match platforms {
        EnginePlatforms::Own => {}
        EnginePlatforms::Also(platforms) => line = format!("{line}; also {}", listed(platforms)),
        EnginePlatforms::Only(platforms) => line = format!("{line}; only {}", listed(platforms)),
    }
    if *emulation == Emulation::Refused {
        line.push_str("; no emulation");
    }
    if *need == EngineNeed::Required {
        line.push_str("; required");
    }
    line
}

/// The final names of an image in the first registry.
fn names(plan: &Plan, image: &Image) -> String {
    let repository = match &plan.registry {
        RegistryChoice::Named(named) => format!("{named}/{}", image.repository),
        RegistryChoice::Embedded | RegistryChoice::Unnamed => image.repository.to_string(),
    };
    format!("{repository}:{}", listed(&image.tags))
}

/// The cells of a job's row, one for each of the columns.
fn cells(job: &Job) -> Vec<String> {
    let engine = match &job.work {
        Work::Build(build) => build.engine.as_ref().map_or_else(|| "any".to_owned(), ToString::to_string),
        Work::Import(_) => String::new(),
    };
    let tag = match job.arch_tags {
        ArchTags::Keep => job.arch_tag.to_string(),
        ArchTags::Remove => format!("{}, then removed", job.arch_tag),
        ArchTags::None => "none, by digest".to_owned(),
    };
    vec![job.platform.to_string(), source(&job.work), engine, tag]
}

/// The context and the Dockerfile unless it has the usual name, or the third-party image.
fn source(work: &Work) -> String {
    let Build { spec, .. } = match work {
        Work::Build(build) => &**build,
        Work::Import(Import { from }) => return format!("import {from}"),
    };
    let context = match &spec.context {
        Context::Directory(path) if path.as_os_str().is_empty() => ".".to_owned(),
        Context::Directory(path) => path.display().to_string(),
        Context::Remote(remote) => remote.to_string(),
    };
    let file = match (&spec.dockerfile, &spec.context) {
        (Dockerfile::File(file), Context::Directory(directory)) => {
            Some(file.strip_prefix(directory).unwrap_or(file).display().to_string())
        }
        (Dockerfile::File(file), Context::Remote(_)) => Some(file.display().to_string()),
        (Dockerfile::InContext(inside), _) => Some(inside.clone()),
        (Dockerfile::Inline(_), _) => Some("Dockerfile in the plan".to_owned()),
        (Dockerfile::StandardInput, _) => Some("Dockerfile on stdin".to_owned()),
    };
    let file = file.filter(|file| file != "Dockerfile").map(|file| format!(", {file}")).unwrap_or_default();
    let target = spec.target.as_ref().map(|target| format!(", stage {target}")).unwrap_or_default();
    format!("{context}{file}{target}")
}

fn listed(names: &[impl ToString]) -> String {
    names.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// The registry and the engine that polyarch uses because the plan names none. In CI there is no default registry.
#[derive(Serialize)]
pub(crate) struct Defaults {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) registry: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) engine: Option<DefaultEngine>,
}

#[derive(Serialize)]
pub(crate) struct DefaultEngine {
    pub(crate) host: String,
    pub(crate) named_by: String,
}
