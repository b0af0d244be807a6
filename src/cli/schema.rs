//! Prints the JSON Schemas of `polyarch schema`.

use std::process::ExitCode;

use polyarch::run::REPORT_SCHEMA;

use super::args::SchemaArgs;
use super::load::Refusal;
use super::{output, stdout, verify};

/// A document that polyarch reads or writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub(crate) enum Document {
    /// A plan, for editors and CI
    #[default]
    Plan,
    /// The file of `--report`
    Report,
    /// A line of `--progress json`
    Events,
    /// The document of `--format json`
    Results,
    /// The document of `polyarch verify --json`
    Verify,
}

impl Document {
    /// The JSON Schema of the document.
    fn schema(self) -> &'static str {
        match self {
            Self::Plan => polyarch::plan::SCHEMA,
            Self::Report => REPORT_SCHEMA,
            Self::Events => output::EVENTS_SCHEMA,
            Self::Results => output::RESULTS_SCHEMA,
            Self::Verify => verify::SCHEMA,
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
