//! Arguments of the commands that build and publish nothing.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use clap_complete::Shell;

use super::help;
use super::shared::RepositoryArgs;
use super::values::Format;

#[derive(Debug, Args)]
pub(crate) struct InitArgs {
    /// Write the plan into FILE
    ///
    /// The directory of FILE is the one in which polyarch looks for Dockerfiles. `-` prints the plan on stdout. Without this
    /// option the file is `build.yaml` in the current directory.
    #[arg(short, long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct EnginesArgs {
    /// Read the plan from FILE
    ///
    /// Without this option polyarch reads `build.yaml` in the current directory, or else `polyarch.yaml`, if one of them
    /// exists.
    #[arg(short, long, value_name = "FILE", help_heading = "Plan")]
    pub(crate) file: Option<PathBuf>,
    /// Also ask builders that buildx may have to start
    ///
    /// buildx starts a builder of the drivers `docker-container` and `kubernetes` if the builder does not run. Without
    /// this option polyarch shows only the facts that buildx remembers.
    #[arg(long, help_heading = "Engines")]
    pub(crate) builders: bool,
    /// Set the form of the list on stdout
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t, help_heading = "Output")]
    pub(crate) format: Format,
    /// Print the list as JSON, as --format json does
    #[arg(long, conflicts_with = "format", help_heading = "Output")]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct DoctorArgs {
    #[command(subcommand)]
    pub(crate) only: Option<Doctor>,
    /// Read the plan from FILE
    ///
    /// Without this option polyarch reads `build.yaml` in the current directory, or else `polyarch.yaml`.
    #[arg(short, long, value_name = "FILE", help_heading = "Plan")]
    pub(crate) file: Option<PathBuf>,
    /// Replace the registries of the plan
    ///
    /// REGISTRY is HOST[:PORT][/NAMESPACE], or `local` for the embedded registry. Repeat the option for several
    /// registries.
    #[arg(long, value_name = "REGISTRY", help_heading = "Registry")]
    pub(crate) registry: Vec<String>,
    /// Set the address of an engine, or add an engine
    ///
    /// HOST is `unix:///path/to.sock`, `ssh://user@host` or `tcp://host:port`.
    #[arg(long, value_name = "NAME=HOST", help_heading = "Engines")]
    pub(crate) engine: Vec<String>,
    /// Set the form of the results on stdout
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t, help_heading = "Output")]
    pub(crate) format: Format,
    /// Print the findings as JSON, as --format json does
    #[arg(long, conflicts_with = "format", help_heading = "Output")]
    pub(crate) json: bool,
}

/// The registry that is checked.
#[derive(Debug, Subcommand)]
pub(crate) enum Doctor {
    /// Check your identity, your login and your rights at Amazon ECR
    ///
    /// polyarch checks your region, identity, token, login and repositories. It then checks which tags may move and
    /// whether you may push layers. It creates nothing: it begins an upload and does not continue it. A failed step is
    /// exit code 3.
    #[command(after_long_help = help::DOCTOR_ECR)]
    Ecr(DoctorEcrArgs),
}

#[derive(Debug, Args)]
pub(crate) struct DoctorEcrArgs {
    /// Repositories, or images of your plan [default: all images]
    #[arg(value_name = "IMAGE|HOST/REPOSITORY")]
    pub(crate) what: Vec<String>,
    #[command(flatten)]
    pub(crate) repositories: RepositoryArgs,
    /// Set the form of the results on stdout
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t, help_heading = "Output")]
    pub(crate) format: Format,
    /// Print the findings as JSON, as --format json does
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
    /// The document of `polyarch doctor --json`
    Doctor,
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
