//! Holds the arguments of `polyarch images`.

use clap::Args;

use super::shared::RepositoryArgs;

#[derive(Debug, Args)]
pub(crate) struct ImagesArgs {
    /// Repositories, or images of your plan [default: all images]
    ///
    /// A repository has the form ghcr.io/acme/web. polyarch lists an image of your plan in all its registries.
    #[arg(value_name = "IMAGE|HOST/REPOSITORY")]
    pub(crate) what: Vec<String>,
    #[command(flatten)]
    pub(crate) repositories: RepositoryArgs,
    /// Set the form of the list on stdout
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t, help_heading = "Output")]
    pub(crate) format: Form,
    /// Print the list as JSON, as --format json does
    #[arg(long, conflicts_with = "format", help_heading = "Output")]
    pub(crate) json: bool,
}

/// The form of the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub(crate) enum Form {
    /// A table for each repository, as wide as the terminal
    #[default]
    Table,
    /// One JSON document with the keys of `aws ecr describe-images`
    Json,
}
