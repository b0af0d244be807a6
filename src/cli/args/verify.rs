//! Holds the arguments of `polyarch verify`.

use std::path::PathBuf;

use clap::Args;
use polyarch::run::ElfCheck;

use super::shared::RegistryArgs;
use crate::cli::args::values::Format;

#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    /// References, or images of your plan [default: all images]
    ///
    /// A reference contains `/`, `:` or `@`. polyarch checks every final tag of an image in each registry of your plan.
    #[arg(value_name = "REF|IMAGE")]
    pub(crate) what: Vec<String>,
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
    #[command(flatten)]
    pub(crate) registries: RegistryArgs,
    /// Let engines pull the images, and compare the result
    ///
    /// For images of your plan these are the engines of the plan; for references it is the engine that docker would
    /// use. An engine pulls its own platform, or the platforms that the plan lists for it. polyarch removes the image
    /// again if the engine did not have it before.
    #[arg(long, help_heading = "Engines")]
    pub(crate) pull: bool,
    /// Skip the check that programs match their platform
    ///
    /// Without this option polyarch reads the program that an image starts from the layers in the registry. It reports
    /// a program for another processor (exit code 7).
    #[arg(long, help_heading = "Gates")]
    pub(crate) no_elf: bool,
    /// Set the form of the results on stdout
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t, help_heading = "Output")]
    pub(crate) format: Format,
    /// Print everything that was checked as JSON
    #[arg(long, conflicts_with = "format", help_heading = "Output")]
    pub(crate) json: bool,
}

impl VerifyArgs {
    pub(crate) fn programs(&self) -> ElfCheck {
        if self.no_elf { ElfCheck::Skip } else { ElfCheck::Check }
    }
}
