//! What `polyarch clean` takes.

use clap::Args;
use polyarch::run::clean::Order;

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
    /// How many publications stay, the newest ones: indexes, and images that no index lists under a tag that is no arch
    /// tag. One goes only if so many others are proven to be newer. A version gives way to versions alone, and a tagged
    /// publication to tagged ones. 0 keeps none, but for what moving tags show
    #[arg(long, value_name = "N", help_heading = "Clean")]
    pub(super) keep: usize,
    /// Which of two publications is the newer one
    #[arg(long, value_enum, value_name = "ORDER", default_value_t, help_heading = "Clean")]
    pub(super) order: OrderArg,
    /// What has such a tag stays, too; `*` is any text
    #[arg(long, value_name = "PATTERN", help_heading = "Clean")]
    pub(super) keep_tag: Vec<String>,
    /// Let go what such a moving tag shows, as latest
    ///
    /// Let go what such a moving tag shows; `*` is any text. Else the index of latest, stable, main or 1.2 beside 1.2.3
    /// stays: that of every tag that is no whole version, no commit and no date. An image of a failed run goes whose tags
    /// are all named so
    #[arg(long, value_name = "PATTERN", help_heading = "Clean")]
    pub(super) drop_tag: Vec<String>,
    /// Judge images without a label of polyarch, too: adopted, copied and third-party ones
    #[arg(long, help_heading = "Clean")]
    pub(super) all: bool,
    /// Delete what goes
    #[arg(long, help_heading = "Clean")]
    pub(super) apply: bool,
    /// Print the verdicts as JSON
    #[arg(long, help_heading = "Output")]
    pub(super) json: bool,
    #[command(flatten)]
    pub(super) repositories: RepositoryArgs,
}

/// How publications are ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub(crate) enum OrderArg {
    /// The one that the registry got later, which Amazon ECR says and others do not
    #[default]
    Push,
    /// The one whose tag is the higher version, as 1.10.0 is above 1.9.0
    Version,
}

impl From<OrderArg> for Order {
    fn from(order: OrderArg) -> Self {
        match order {
            OrderArg::Push => Self::Push,
            OrderArg::Version => Self::Version,
        }
    }
}
