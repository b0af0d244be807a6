//! Resolves the plan and prints it in the form that was asked for.

use std::process::ExitCode;

use polyarch::plan::{self, Plan, RegistryChoice};
use serde::Serialize;

use super::text;
use crate::cli::args::command_line::PlanCommandArgs;
use crate::cli::args::refusal::Refusal;
use crate::cli::args::tools;
use crate::cli::args::tools::Form;
use crate::cli::args::values::Matrix;
use crate::cli::command::matrix;
use crate::cli::command::plan::text::{DefaultEngine, Defaults};
use crate::cli::command::schema;
use crate::cli::input::plan_file::PlanFile;
use crate::cli::input::settings::Settings;
use crate::cli::output::ending;
use crate::cli::terminal::stdout;

/// A plan, with the defaults for the keys that it leaves out.
#[derive(Serialize)]
struct Shown<'a> {
    #[serde(flatten)]
    plan: &'a Plan,
    #[serde(rename = "x-defaults", skip_serializing_if = "Defaults::is_empty")]
    defaults: Defaults,
}

impl Defaults {
    /// An engine that docker's configuration does not name is an error only when a build needs the engine.
    fn of(plan: &Plan, settings: &Settings) -> Self {
        let is_embedded = plan.registry == RegistryChoice::Unnamed && !settings.is_ci();
        let found = plan.engines.is_empty().then(|| settings.engine().ok()).flatten();
        let engine = found.map(|(host, named_by)| DefaultEngine { host: host.to_string(), named_by });
        Self { registry: is_embedded.then_some("local"), engine }
    }

    fn is_empty(&self) -> bool {
        self.registry.is_none() && self.engine.is_none()
    }
}

pub(crate) async fn run(args: &PlanCommandArgs, settings: &Settings) -> Result<ExitCode, Refusal> {
    if args.schema {
        schema::print(tools::Document::Plan)?;
        return Ok(ExitCode::SUCCESS);
    }
    let loaded = PlanFile::read(&args.plan)?;
    let plan = loaded.resolve(settings).await?;
    let warnings: Vec<_> = plan.warnings.iter().map(|problem| ending::plan_warning(problem, &loaded)).collect();
    ending::warn(&warnings, settings);
    if let Some(Matrix::Github) = args.matrix {
        let matrix = matrix::github(&plan).map_err(|error| stdout::cannot_write("stdout", &error.into()))?;
        stdout::document_line(&matrix)?;
        return Ok(ExitCode::SUCCESS);
    }
    loaded.look(&plan)?;
    let shown = Shown { defaults: Defaults::of(&plan, settings), plan: &plan };
    match args.format {
        Form::Table => stdout::lines(text::lines(&plan, &shown.defaults, settings.is_ci(), stdout::width()))?,
        Form::Json => stdout::json(&shown)?,
        Form::Yaml => {
            let yaml = plan::to_yaml(&shown).map_err(|error| stdout::cannot_write("stdout", &error))?;
            // JSON is YAML, too, and has an escape for each character that a terminal must not get.
            if stdout::is_printable(&yaml) { stdout::lines(yaml.lines())? } else { stdout::json(&shown)? }
        }
    }
    Ok(ExitCode::SUCCESS)
}
