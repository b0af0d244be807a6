//! Holds the arguments of `polyarch clean`.

use clap::Args;
use polyarch::run::clean::Order;

use super::shared::RepositoryArgs;

#[derive(Debug, Args)]
pub(crate) struct CleanArgs {
    /// Images of your plan, or repositories such as ghcr.io/acme/web
    ///
    /// polyarch cleans an image of your plan in all its registries. There it deletes only images that were built under
    /// that name, and keeps the tags of the plan.
    #[arg(value_name = "IMAGE|HOST/REPOSITORY", required = true)]
    pub(crate) what: Vec<String>,
    /// Keep the N newest publications of a repository
    ///
    /// A publication is an index. It is also a tagged image that no index lists and whose tag is not an arch tag.
    /// polyarch deletes a publication only if N others are proven to be newer. Only versions outdate a version, and
    /// only tagged publications outdate a tagged one. With 0 polyarch keeps only the publications that moving tags
    /// show.
    #[arg(long, value_name = "N", help_heading = "Clean")]
    pub(crate) keep: usize,
    /// Set how polyarch finds the newer publication
    #[arg(long, value_enum, value_name = "ORDER", default_value_t, help_heading = "Clean")]
    pub(crate) order: OrderArg,
    /// Keep images with such a tag
    ///
    /// `*` stands for any text. Repeat the option for several patterns. Example: --keep-tag 'v*'
    #[arg(long, value_name = "PATTERN", help_heading = "Clean")]
    pub(crate) keep_tag: Vec<String>,
    /// Do not keep images because of such a moving tag
    ///
    /// `*` stands for any text. Without this option polyarch keeps the image of each moving tag. `latest`, `stable`,
    /// `main` and `1.2` beside `1.2.3` move; a whole version, a commit and a date do not. polyarch also deletes an
    /// image of a failed run if the patterns match all its tags.
    #[arg(long, value_name = "PATTERN", help_heading = "Clean")]
    pub(crate) drop_tag: Vec<String>,
    /// Include images that polyarch did not build
    ///
    /// These are imported, copied and third-party images. polyarch keeps signatures, artifacts and incomplete indexes
    /// even with this option.
    #[arg(long, help_heading = "Clean")]
    pub(crate) all: bool,
    /// Delete the old images
    ///
    /// Without this option polyarch only lists them. A registry that does not delete is an error (exit code 3).
    #[arg(long, help_heading = "Clean")]
    pub(crate) apply: bool,
    /// Print the list as JSON
    #[arg(long, help_heading = "Output")]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) repositories: RepositoryArgs,
}

/// The order of publications.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub(crate) enum OrderArg {
    /// The later push is newer; only Amazon ECR reports the time of a push
    #[default]
    Push,
    /// The higher version is newer: 1.10.0 is above 1.9.0
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
