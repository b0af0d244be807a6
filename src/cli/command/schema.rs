//! Prints the JSON Schemas of `polyarch schema`.

use std::process::ExitCode;

use polyarch::run::REPORT_SCHEMA;

use super::{doctor, engines, verify};
use crate::cli::args::command_line::SchemaArgs;
use crate::cli::args::refusal::Refusal;
use crate::cli::args::tools::Document;
use crate::cli::output;
use crate::cli::terminal::stdout;

impl Document {
    /// The JSON Schema of the document.
    fn schema(self) -> &'static str {
        match self {
            Self::Plan => polyarch::plan::SCHEMA,
            Self::Report => REPORT_SCHEMA,
            Self::Events => output::schema::EVENTS_SCHEMA,
            Self::Results => output::schema::RESULTS_SCHEMA,
            Self::Verify => verify::SCHEMA,
            Self::Engines => engines::SCHEMA,
            Self::Doctor => doctor::SCHEMA,
        }
    }
}

pub(crate) fn run(args: &SchemaArgs) -> Result<ExitCode, Refusal> {
    print(args.document)?;
    Ok(ExitCode::SUCCESS)
}

/// Prints the schema of `document`.
pub(crate) fn print(document: Document) -> Result<(), Refusal> {
    Ok(stdout::lines(document.schema().lines())?)
}
