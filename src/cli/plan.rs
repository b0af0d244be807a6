//! `polyarch plan`

use std::process::ExitCode;

use super::args::PlanCommandArgs;
use super::load::{Loaded, Refusal};
use super::matrix::{self, Matrix};
use super::settings::Settings;
use super::{ending, stdout};

pub(crate) async fn run(args: &PlanCommandArgs, settings: &Settings) -> Result<ExitCode, Refusal> {
    if args.schema {
        stdout::lines(polyarch::plan::SCHEMA.lines())?;
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
        None => stdout::json(&plan)?,
    }
    Ok(ExitCode::SUCCESS)
}
