//! What `polyarch clean` takes.

use clap::Args;

use super::super::repositories::RepositoryArgs;

#[derive(Debug, Args)]
pub(crate) struct CleanArgs {
    /// Images of the plan, in all of its registries, or repositories
    ///
    /// Images of the plan, in all of its registries, or repositories, as ghcr.io/org/web. Of an image of the plan only
    /// what was built under its name goes, and its tags of now stay.
    #[arg(value_name = "IMAGE|HOST/REPOSITORY", required = true)]
    pub(super) what: Vec<String>,
    /// How many publications stay, the newest ones
    ///
    /// How many publications stay, the newest ones, those under tags before those without: indexes of what polyarch
    /// built, and such images that no index lists under a tag that is no arch tag. 0: none
    #[arg(long, value_name = "N", help_heading = "Clean")]
    pub(super) keep: usize,
    /// What has such a tag stays, too; `*` is any text
    #[arg(long, value_name = "PATTERN", help_heading = "Clean")]
    pub(super) keep_tag: Vec<String>,
    /// Delete what goes
    #[arg(long, help_heading = "Clean")]
    pub(super) apply: bool,
    /// Print the verdicts as JSON
    #[arg(long, help_heading = "Output")]
    pub(super) json: bool,
    #[command(flatten)]
    pub(super) repositories: RepositoryArgs,
}
