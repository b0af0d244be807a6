//! The arguments of `polyarch verify`.

use std::path::PathBuf;

use clap::Args;
use polyarch::run::Programs;

use crate::cli::args::RegistryArgs;
use crate::cli::output::Format;

#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    /// References, or images of the plan; all of its images if none is named
    #[arg(value_name = "REF|IMAGE")]
    pub(crate) what: Vec<String>,
    /// The plan, if not build.yaml or polyarch.yaml
    #[arg(short, long, value_name = "FILE", help_heading = "Plan")]
    pub(crate) file: Option<PathBuf>,
    /// The registry in place of all of the plan's; may be repeated
    #[arg(long, value_name = "REGISTRY", help_heading = "Registry")]
    pub(crate) registry: Vec<String>,
    #[command(flatten)]
    pub(crate) registries: RegistryArgs,
    /// Let engines pull their platforms, and compare what they get
    ///
    /// Let engines pull what was verified, by digest, and compare what they have then: each engine of the plan, or the
    /// one that docker would use for references, its own platform, or those that the plan lists for it. What it did
    /// not have before is removed again.
    #[arg(long, help_heading = "Engines")]
    pub(crate) pull: bool,
    /// Do not look into layers for which processor programs are
    ///
    /// Do not look into layers for which processor programs are: without it, an image that starts a program for
    /// another processor than that of its platform is reported.
    #[arg(long, help_heading = "Gates")]
    pub(crate) no_elf: bool,
    /// The form of the results on stdout
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t, help_heading = "Output")]
    pub(crate) format: Format,
    /// The same as `--format json`: everything that was checked
    #[arg(long, conflicts_with = "format", help_heading = "Output")]
    pub(crate) json: bool,
}

impl VerifyArgs {
    pub(super) fn programs(&self) -> Programs {
        if self.no_elf { Programs::Believe } else { Programs::Check }
    }
}
