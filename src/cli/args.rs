//! What was typed.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use super::output::{Format, Progress};

const EXAMPLES: &str = "\
Examples:
  polyarch build                        everything that build.yaml says
  polyarch build web --platform native  one image, for this engine's platform
  polyarch build --dry-run              show what would be built, and where
  polyarch join                         publish what other runners pushed
  polyarch inspect ghcr.io/org/web:1.0  show an image index

Exit codes:
  0 all verified, 2 usage, plan or context, 3 an engine, a registry or a
  credential cannot be used, 4 a build failed, 5 a push failed, 6 join or
  publish failed, 7 verification or security refusal, 70 internal error,
  124 a timeout, 129, 130, 143 ended by a signal, 1 anything else";

/// Build multi-architecture container images from one plan: every platform at once, joined into one
/// image index that is published only when it is complete and true.
#[derive(Debug, Parser)]
#[command(name = "polyarch", version, propagate_version = true, disable_help_subcommand = true)]
#[command(after_help = EXAMPLES, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Build, push, join and publish the plan's images
    Build(BuildArgs),
    /// Join what is under the plan's arch tags, and publish it
    Join(JoinArgs),
    /// Show an image index
    Inspect(InspectArgs),
    /// Read images back as a stranger would, and prove every byte
    Verify(VerifyArgs),
    /// Check the plan, and print it with everything resolved
    Plan(PlanCommandArgs),
    /// Keep the embedded registry up, so that `docker pull` works
    Serve,
}

/// Which plan, and what is to be different from it.
#[derive(Debug, Default, Args)]
pub(crate) struct PlanArgs {
    /// Images of the plan; all of them if none is named
    #[arg(value_name = "IMAGE")]
    pub(crate) images: Vec<String>,
    /// The plan [default: build.yaml, else polyarch.yaml]
    #[arg(short, long, value_name = "FILE", help_heading = "Plan")]
    pub(crate) file: Option<PathBuf>,
    /// Only these platforms; `native` is what the engines' processors run. What is left out is said, and then
    /// nothing is joined
    #[arg(long, value_name = "PLATFORM", value_delimiter = ',', help_heading = "Plan")]
    pub(crate) platform: Vec<String>,
    /// Final tags in place of the plan's
    #[arg(short, long, value_name = "TAG", help_heading = "Plan")]
    pub(crate) tag: Vec<String>,
    /// Change a value of the plan: IMAGE.KEY=VALUE, `*` for any image
    #[arg(long, value_name = "IMAGE.KEY=VALUE", help_heading = "Plan")]
    pub(crate) set: Vec<String>,
    /// A build argument for every image; without a value it is taken from the environment
    #[arg(long, value_name = "NAME[=VALUE]", help_heading = "Plan")]
    pub(crate) build_arg: Vec<String>,
    /// The registry in place of the plan's: `local` or HOST[:PORT][/NAMESPACE]
    #[arg(long, value_name = "REGISTRY", help_heading = "Registry")]
    pub(crate) registry: Option<String>,
    /// Where an engine of the plan listens, or one more engine
    #[arg(long, value_name = "NAME=HOST", help_heading = "Engines")]
    pub(crate) engine: Vec<String>,
}

/// What is shown and written.
#[derive(Debug, Args)]
pub(crate) struct OutputArgs {
    /// How progress is shown on stderr
    #[arg(long, value_enum, value_name = "MODE", default_value_t, help_heading = "Output")]
    pub(crate) progress: Progress,
    /// The form of the results on stdout
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t, help_heading = "Output")]
    pub(crate) format: Format,
    /// Write everything that happened to FILE, as JSON
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub(crate) report: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag that the user typed")]
pub(crate) struct BuildArgs {
    #[command(flatten)]
    pub(crate) plan: PlanArgs,
    /// Run every step, whatever the cache has
    #[arg(long, help_heading = "Build")]
    pub(crate) no_cache: bool,
    /// Look for newer base images
    #[arg(long, help_heading = "Build")]
    pub(crate) pull: bool,
    /// Build only: nothing leaves the engines
    #[arg(long, help_heading = "Build")]
    pub(crate) no_push: bool,
    /// Build and push the arch tags; no final tag moves
    #[arg(long, help_heading = "Build")]
    pub(crate) no_join: bool,
    /// The first failure of any image ends everything
    #[arg(long, help_heading = "Build")]
    pub(crate) fail_fast: bool,
    /// End the run after this time: 90s, 10m, 1h30m
    #[arg(long, value_name = "DURATION", help_heading = "Build")]
    pub(crate) timeout: Option<String>,
    /// Show what would be built, where, and under which names
    #[arg(long, help_heading = "Build")]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

#[derive(Debug, Args)]
pub(crate) struct JoinArgs {
    #[command(flatten)]
    pub(crate) plan: PlanArgs,
    /// Print the index that would be published, byte for byte
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// End the run after this time: 90s, 10m, 1h30m
    #[arg(long, value_name = "DURATION")]
    pub(crate) timeout: Option<String>,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

#[derive(Debug, Args)]
pub(crate) struct InspectArgs {
    /// A reference: HOST/REPOSITORY[:TAG][@DIGEST]
    #[arg(value_name = "REF")]
    pub(crate) reference: String,
    /// The bytes that the registry has
    #[arg(long, conflicts_with = "json")]
    pub(crate) raw: bool,
    /// The table as JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// Speak plain HTTP to a registry that is not on loopback
    #[arg(long)]
    pub(crate) insecure: bool,
}

#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    /// References, or images of the plan; all of its images if nothing is named
    #[arg(value_name = "REF|IMAGE")]
    pub(crate) what: Vec<String>,
    /// The plan [default: build.yaml, else polyarch.yaml]
    #[arg(short, long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// The registry in place of the plan's
    #[arg(long, value_name = "REGISTRY")]
    pub(crate) registry: Option<String>,
    /// Speak plain HTTP to a registry that is not on loopback
    #[arg(long)]
    pub(crate) insecure: bool,
    /// The form of the results on stdout
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t)]
    pub(crate) format: Format,
}

#[derive(Debug, Args)]
pub(crate) struct PlanCommandArgs {
    #[command(flatten)]
    pub(crate) plan: PlanArgs,
    /// Print the JSON Schema of plans, for editors
    #[arg(long)]
    pub(crate) schema: bool,
}
