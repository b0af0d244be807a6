//! Arguments of the commands that build and publish nothing.

use std::path::PathBuf;

use clap::Args;
use clap::ValueEnum;
use clap_complete::Shell;

use super::values::Format;

#[derive(Debug, Args)]
pub(crate) struct EnginesArgs {
    /// Read the plan from FILE
    ///
    /// Without this option polyarch reads `build.yaml` in the current directory, or else `polyarch.yaml`, if one of them
    /// exists.
    #[arg(short, long, value_name = "FILE", help_heading = "Plan")]
    pub(crate) file: Option<PathBuf>,
    /// Set the form of the list on stdout
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t, help_heading = "Output")]
    pub(crate) format: Format,
    /// Print the list as JSON, as --format json does
    #[arg(long, conflicts_with = "format", help_heading = "Output")]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct PruneArgs {
    /// Delete the unused content
    ///
    /// Without this option polyarch only shows its size.
    #[arg(long)]
    pub(crate) apply: bool,
}

/// How the plan is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Form {
    /// A table for people
    Table,
    /// The whole plan, every setting resolved, as JSON
    Json,
    /// The same as YAML, which polyarch reads as a plan again
    Yaml,
}

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
    /// The document of `polyarch engines --json`
    Engines,
}

#[derive(Debug, Args)]
pub(crate) struct CompletionsArgs {
    /// Shell that reads the completions
    #[arg(value_enum, value_name = "SHELL")]
    pub(crate) shell: Shell,
}

#[derive(Debug, Args)]
pub(crate) struct ManArgs {
    /// Directory for the pages; polyarch creates it
    #[arg(value_name = "DIR")]
    pub(crate) directory: PathBuf,
}
