//! `polyarch plan`

use std::process::ExitCode;

use polyarch::plan::{Plan, RegistryChoice};
use serde::Serialize;

use super::args::PlanCommandArgs;
use super::load::{Loaded, Refusal};
use super::matrix::{self, Matrix};
use super::settings::Settings;
use super::{ending, schema, stdout};

/// A plan, and what is used where it says nothing.
#[derive(Serialize)]
struct Shown<'a> {
    #[serde(flatten)]
    plan: &'a Plan,
    #[serde(rename = "x-defaults", skip_serializing_if = "Option::is_none")]
    defaults: Option<Defaults>,
}

#[derive(Serialize)]
struct Defaults {
    #[serde(skip_serializing_if = "Option::is_none")]
    registry: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    engine: Option<DefaultEngine>,
}

#[derive(Serialize)]
struct DefaultEngine {
    host: String,
    named_by: String,
}

impl Defaults {
    /// The registry and the engine that the plan does not name. In CI there is no registry then. An engine that docker's
    /// configuration does not tell is told of when one is needed.
    fn of(plan: &Plan, settings: &Settings) -> Option<Self> {
        let is_embedded = plan.registry == RegistryChoice::Unnamed && !settings.is_ci();
        let found = plan.engines.is_empty().then(|| settings.default_engine().ok()).flatten();
        let engine = found.map(|(host, source)| DefaultEngine { host: host.to_string(), named_by: source.to_string() });
        let registry = is_embedded.then_some("local");
        (registry.is_some() || engine.is_some()).then_some(Self { registry, engine })
    }
}

pub(crate) async fn run(args: &PlanCommandArgs, settings: &Settings) -> Result<ExitCode, Refusal> {
    if args.schema {
        schema::print(schema::Document::Plan)?;
        return Ok(ExitCode::SUCCESS);
    }
    let loaded = Loaded::read(&args.plan)?;
    let plan = loaded.resolve(settings).await?;
    let warnings: Vec<_> = plan.warnings.iter().map(|problem| ending::plan_warning(problem, &loaded)).collect();
    ending::warn(&warnings, settings);
    match args.matrix {
        Some(Matrix::Github) => stdout::document_line(
            &matrix::github(&plan).map_err(|error| stdout::cannot_write("stdout", &error.into()))?,
        )?,
        None => {
            loaded.look(&plan)?;
            stdout::json(&Shown { defaults: Defaults::of(&plan, settings), plan: &plan })?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
