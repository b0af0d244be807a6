//! What `polyarch images` takes.

use clap::Args;

use super::super::repositories::RepositoryArgs;

#[derive(Debug, Args)]
pub(crate) struct ImagesArgs {
    /// Images of the plan, in all of its registries, or repositories
    ///
    /// Images of the plan, in all of its registries, or repositories, as ghcr.io/org/web; all images of the plan if
    /// nothing is named
    #[arg(value_name = "IMAGE|HOST/REPOSITORY")]
    pub(super) what: Vec<String>,
    #[command(flatten)]
    pub(super) repositories: RepositoryArgs,
    /// The form of the list on stdout
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t, help_heading = "Output")]
    pub(super) format: Form,
    /// The same as `--format json`
    #[arg(long, conflicts_with = "format", help_heading = "Output")]
    pub(super) json: bool,
}

/// The form of the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub(crate) enum Form {
    /// A table for each repository, as wide as the terminal.
    #[default]
    Table,
    /// One JSON document, with the keys of `aws ecr describe-images`.
    Json,
}
