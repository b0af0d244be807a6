//! Holds the arguments of every command as clap reads them.

use clap::{Args, Parser, Subcommand};
use polyarch::run::{AllowShrink, ElfCheck, Gates, PublishMode};

use super::clean::CleanArgs;
use super::edit::EditArgs;
use super::help;
use super::images::ImagesArgs;
use super::tools::DoctorArgs;
use super::tools::Document;
use super::tools::EnginesArgs;
use super::tools::Form;
use super::tools::InitArgs;
use super::tools::PruneArgs;
use super::tools::{CompletionsArgs, ManArgs};
use super::verify::VerifyArgs;
use crate::cli::args::shared::{OutputArgs, PlanArgs, RegistryArgs};
use crate::cli::args::values::Matrix;
use crate::cli::args::values::Progress;

/// Build container images for several platforms from one YAML plan
///
/// polyarch builds all platforms at the same time on your Docker Engines. It joins the images of the platforms into one
/// image index. Your tags move only after polyarch has read every platform back from the registry.
#[derive(Debug, Parser)]
#[command(name = "polyarch", version, propagate_version = true, disable_help_subcommand = true)]
#[command(help_template = help::template(&Command::augment_subcommands(clap::Command::new("polyarch"))))]
#[command(after_help = help::TOP, after_long_help = help::whole(), max_term_width = 79)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
    /// Show each request to registries
    ///
    /// A line on stderr has the method, the address, the status and the error codes of a request. polyarch then shows
    /// plain lines in place of the live view. No line has a credential or the query of an address. With `--progress json`
    /// or `--progress quiet` polyarch shows no requests.
    #[arg(short, long, global = true, display_order = 1000)]
    pub(crate) verbose: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Build, push, join and publish the images of your plan
    ///
    /// polyarch builds each platform on an engine that runs it natively, if you have one. It copies images that your
    /// plan imports with `from:`. Each platform is pushed under its own arch tag. polyarch then joins the platforms
    /// into one image index and moves your final tags to that index. It reads every image back before it moves a tag.
    /// The digest of each index is printed on stdout.
    #[command(after_long_help = help::BUILD)]
    Build(BuildArgs),
    /// Join images that are pushed already, and publish the index
    ///
    /// Without references polyarch joins the images of your plan. It finds them by their arch tags, so any runner may
    /// have pushed them. With references you need no plan: `-t` names the target, and the other words are its sources.
    /// An index among the sources stands for its images. polyarch copies an image that the target's repository does not
    /// have. `oci:DIR:TAG` is a reference to an OCI image layout.
    #[command(after_long_help = help::JOIN)]
    Join(JoinArgs),
    /// Copy an image or an index to another registry or directory
    ///
    /// polyarch copies every manifest and blob that the reference leads to. Manifests keep their bytes, so the digest
    /// stays the same. polyarch sends only the blobs that the target does not have. A transfer that breaks continues
    /// where it broke. `oci:DIR:TAG` is a reference to an OCI image layout.
    #[command(after_long_help = help::COPY)]
    Copy(CopyArgs),
    /// Show an image index, or the differences between two
    ///
    /// polyarch shows the platforms, sizes, annotations and attestations of an index or of one image. It marks content
    /// that the registry does not have. With two references it shows each field that differs. The exit code is 0 even
    /// if the two differ.
    #[command(after_long_help = help::INSPECT)]
    Inspect(InspectArgs),
    /// Read images back from a registry, and check every part
    ///
    /// polyarch fetches and hashes every index, manifest and image config. It checks that each image is of the platform
    /// that the index claims. It asks the registry whether every layer exists and how large the layer is. Without
    /// references it compares every final tag with your plan. A finding is exit code 7.
    #[command(after_long_help = help::VERIFY)]
    Verify(VerifyArgs),
    /// Print the digest of a reference
    ///
    /// Only the digest is printed, so a script can use the output. It is the digest that the registry reports.
    #[command(after_long_help = help::DIGEST)]
    Digest(DigestArgs),
    /// List the images of repositories, and the indexes that list them
    ///
    /// The newest image comes first. Amazon ECR reports all images and the time of each push. Other registries report
    /// only tagged images, and polyarch shows the date in each image. This is true for ECR too if your role may not
    /// call `ecr:DescribeImages`.
    #[command(after_long_help = help::IMAGES)]
    Images(ImagesArgs),
    /// List old images that polyarch built; --apply deletes them
    ///
    /// For each image you see whether polyarch keeps or deletes it, and why. polyarch keeps the N newest publications
    /// of a repository. It deletes an older publication together with images that no other index lists. It keeps images
    /// that polyarch did not build, and images that another index lists.
    #[command(after_long_help = help::CLEAN)]
    Clean(CleanArgs),
    /// List the engines of this machine, and their lines for a plan
    ///
    /// polyarch lists the engines of your plan, `DOCKER_HOST`, the docker contexts, the builders of buildx, and sockets
    /// that exist. It asks all of them at once for their platforms, version and image store. `*` marks the engines that
    /// `polyarch build` uses here. If no engine answers within 10 s, the exit code is 3.
    #[command(after_long_help = help::ENGINES)]
    Engines(EnginesArgs),
    /// Check your plan, engines and registries, step by step
    ///
    /// polyarch resolves your plan, and connects to its engines. It compares their clocks, and looks at their emulation and
    /// their disks. It then asks each registry from here and from each engine, and begins an upload to check your login. At
    /// the end it makes all checks of `polyarch build`, and builds nothing. Each step has its time and its remedy. The exit
    /// code is 0 if a build can start, and otherwise the code of that build.
    #[command(after_long_help = help::DOCTOR)]
    Doctor(DoctorArgs),
    /// Write a first plan for your Dockerfiles
    ///
    /// polyarch looks for Dockerfiles in this directory and up to two levels below: `Dockerfile`, `web.Dockerfile` and
    /// `Dockerfile.web`. It skips hidden directories, `node_modules`, `vendor` and the directories in `.dockerignore`. The
    /// registry is the one of your git remote at GitHub or GitLab, or else `local`. polyarch never overwrites a file.
    #[command(after_long_help = help::INIT)]
    Init(InitArgs),
    /// Check the plan, and print it as a table
    #[command(after_long_help = help::PLAN)]
    Plan(PlanCommandArgs),
    /// Print the JSON Schema of plans and of polyarch's own documents
    ///
    /// Each schema is a JSON Schema (draft 2020-12) with every field, its meaning and its unit.
    #[command(after_long_help = help::SCHEMA)]
    Schema(SchemaArgs),
    /// Show unused content of the embedded registry; --apply deletes it
    ///
    /// No tag leads to unused content: later builds replaced those images. polyarch deletes nothing while another
    /// process serves the registry.
    #[command(after_long_help = help::PRUNE)]
    Prune(PruneArgs),
    /// Keep the embedded registry up, so that `docker pull` works
    ///
    /// The embedded registry listens on 127.0.0.1, and always at the same port. polyarch prints the address on stdout.
    /// Ctrl-C ends the registry.
    #[command(after_long_help = help::SERVE)]
    Serve,
    /// Print completions for your shell
    ///
    /// Write the output into a file that your shell reads when it starts.
    #[command(after_long_help = help::COMPLETIONS)]
    Completions(CompletionsArgs),
    /// Write the pages of the manual into a directory
    ///
    /// polyarch writes one page for itself and one for each of its commands.
    #[command(after_long_help = help::MAN)]
    Man(ManArgs),
}

impl Command {
    /// How the command shows progress, if it has any.
    pub(crate) fn progress(&self) -> Option<Progress> {
        match self {
            Self::Build(args) => Some(args.output.progress),
            Self::Join(args) => Some(args.output.progress),
            Self::Copy(args) => Some(args.output.progress),
            Self::Inspect(_)
            | Self::Verify(_)
            | Self::Digest(_)
            | Self::Images(_)
            | Self::Clean(_)
            | Self::Engines(_)
            | Self::Doctor(_)
            | Self::Init(_)
            | Self::Plan(_)
            | Self::Schema(_)
            | Self::Prune(_)
            | Self::Serve
            | Self::Completions(_)
            | Self::Man(_) => None,
        }
    }
}

/// The gates that an index passes before a final tag moves to it.
#[derive(Debug, Args)]
pub(crate) struct GateArgs {
    /// Allow final tags to lose platforms
    ///
    /// A final tag may have a platform that the new index lacks. Without this option polyarch does not move such a tag
    /// (exit code 7).
    #[arg(long, help_heading = "Gates")]
    pub(crate) allow_shrink: bool,
    /// Skip the check that programs match their platform
    ///
    /// Without this option polyarch reads the program that an image starts from the layers in the registry. It does not
    /// publish a program for another processor (exit code 7).
    #[arg(long, help_heading = "Gates")]
    pub(crate) no_elf: bool,
}

/// `--atomic`
pub(crate) fn moving(atomic: bool) -> PublishMode {
    if atomic { PublishMode::AllImages } else { PublishMode::EachImage }
}

impl GateArgs {
    pub(crate) fn gates(&self) -> Gates {
        Gates {
            shrinking: if self.allow_shrink { AllowShrink::Allow } else { AllowShrink::Refuse },
            programs: if self.no_elf { ElfCheck::Skip } else { ElfCheck::Check },
            ..Gates::default()
        }
    }
}

#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag that the user typed")]
pub(crate) struct BuildArgs {
    #[command(flatten)]
    pub(crate) plan: PlanArgs,
    /// Run every step, even if it is cached
    ///
    /// The build still writes the caches of the plan.
    #[arg(long, help_heading = "Build")]
    pub(crate) no_cache: bool,
    /// Look for newer base images
    ///
    /// The engines ask the registry of each base image, even if they have the image.
    #[arg(long, help_heading = "Build")]
    pub(crate) pull: bool,
    /// Push, as polyarch does anyway: buildx has this option
    #[arg(long, hide = true, conflicts_with_all = ["no_push", "load"])]
    pub(crate) push: bool,
    /// Build only, and push nothing
    ///
    /// Nothing leaves the engines. Excludes --load, --atomic and --check.
    #[arg(long, help_heading = "Build")]
    pub(crate) no_push: bool,
    /// Push the arch tags, and move no final tag
    ///
    /// Run `polyarch join` later to publish the images. Excludes --load, --atomic and --check.
    #[arg(long, help_heading = "Build")]
    pub(crate) no_join: bool,
    /// Leave NAME:TAG on the engines, and push nothing
    ///
    /// The images are then ready for `docker run`. polyarch asks no registry for the plan's images. An engine with the
    /// containerd image store has all its platforms under one name. Another engine has only its own platform under that
    /// name. Excludes --no-push, --no-join, --atomic and --check.
    #[arg(long, conflicts_with_all = ["no_push", "no_join"], help_heading = "Build")]
    pub(crate) load: bool,
    /// End the run at the first failure
    ///
    /// Without this option a failure ends only the other platforms of the same image.
    #[arg(long, help_heading = "Build")]
    pub(crate) fail_fast: bool,
    /// Move final tags only when all images are ready
    ///
    /// If one image fails, polyarch moves the final tags of no image. Excludes --no-push, --no-join, --load and
    /// --check.
    #[arg(long, conflicts_with_all = ["no_push", "no_join", "load"], help_heading = "Build")]
    pub(crate) atomic: bool,
    /// End the run after this time: 90s, 10m, 1h30m
    ///
    /// polyarch stops the builds on the engines and exits with code 124. Without this option there is no limit for the
    /// run.
    #[arg(long, value_name = "DURATION", help_heading = "Build")]
    pub(crate) timeout: Option<String>,
    /// Show the builds and their tags, and build nothing
    ///
    /// polyarch asks the engines for their platforms, so it shows the engine of each build.
    #[arg(long, help_heading = "Build")]
    pub(crate) dry_run: bool,
    /// Check the Dockerfiles, and build nothing
    ///
    /// The engines run BuildKit's checks, as `docker build --check` does. Each finding is an error with its file and
    /// line (exit code 2). You need Engine 27.0 or newer; polyarch refuses an older engine (exit code 3). Excludes
    /// --load, --no-push, --no-join, --dry-run, --atomic and --report.
    #[arg(long, conflicts_with_all = ["load", "no_push", "no_join", "dry_run", "atomic", "report"], help_heading = "Build")]
    pub(crate) check: bool,
    #[command(flatten)]
    pub(crate) gates: GateArgs,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

/// The fate of attestations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Attestations {
    Keep,
    Strip,
}

#[derive(Debug, Args)]
pub(crate) struct JoinArgs {
    #[command(flatten)]
    pub(crate) plan: PlanArgs,
    #[command(flatten)]
    pub(crate) registries: RegistryArgs,
    /// Keep or strip the references' attestations
    ///
    /// polyarch keeps them by default. For the images of a plan, set `attestations:` in the plan.
    #[arg(long, value_enum, value_name = "POLICY", help_heading = "Join")]
    pub(crate) attestations: Option<Attestations>,
    #[command(flatten)]
    pub(crate) edit: EditArgs,
    /// Wait this long for missing images
    ///
    /// DURATION has the form 90s, 30m or 1h. polyarch reports the missing images at once and every 30 s. If one is
    /// missing at the end of the time, the run fails (exit code 124). Excludes --dry-run.
    #[arg(long, value_name = "DURATION", conflicts_with = "dry_run", help_heading = "Join")]
    pub(crate) wait: Option<String>,
    /// Print the index, and publish nothing
    ///
    /// The manifest is printed byte for byte on stdout. polyarch checks no gate.
    #[arg(long, help_heading = "Join")]
    pub(crate) dry_run: bool,
    /// Move final tags only when all images are ready
    ///
    /// If one image fails, polyarch moves the final tags of no image.
    #[arg(long, help_heading = "Join")]
    pub(crate) atomic: bool,
    /// End the run after this time: 90s, 10m, 1h30m
    ///
    /// The exit code is then 124. Without this option there is no limit for the run.
    #[arg(long, value_name = "DURATION", help_heading = "Join")]
    pub(crate) timeout: Option<String>,
    #[command(flatten)]
    pub(crate) gates: GateArgs,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

#[derive(Debug, Args)]
pub(crate) struct CopyArgs {
    /// Image or index to copy: HOST/REPOSITORY[:TAG] or oci:DIR[:TAG]
    ///
    /// `@DIGEST` may follow. `oci:DIR` is an OCI image layout; it needs no tag if it has one image. The name of an
    /// image of your plan stands for its first tag.
    #[arg(value_name = "SOURCE")]
    pub(crate) source: String,
    /// Reference of the copy: HOST/REPOSITORY[:TAG] or oci:DIR:TAG
    ///
    /// The tag of a repository is `latest` if you name none. polyarch creates the directory of a layout.
    #[arg(value_name = "TARGET")]
    pub(crate) target: String,
    /// Copy only this platform's image, without the index
    ///
    /// The copy then has the digest of that image. Example: linux/arm64
    #[arg(long, value_name = "PLATFORM", help_heading = "Copy")]
    pub(crate) platform: Option<String>,
    /// End the run after this time: 90s, 10m, 1h30m
    ///
    /// The exit code is then 124. Without this option there is no limit for the run.
    #[arg(long, value_name = "DURATION", help_heading = "Copy")]
    pub(crate) timeout: Option<String>,
    #[command(flatten)]
    pub(crate) registries: RegistryArgs,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

#[derive(Debug, Args)]
pub(crate) struct InspectArgs {
    /// Reference: HOST/REPOSITORY[:TAG][@DIGEST] or oci:DIR[:TAG]
    ///
    /// The name of an image of your plan stands for its first tag.
    #[arg(value_name = "REF")]
    pub(crate) reference: String,
    /// Second reference, to compare with the first
    #[arg(value_name = "REF")]
    pub(crate) other: Option<String>,
    /// Print the manifest byte for byte
    ///
    /// Excludes --json and a second reference.
    #[arg(long, conflicts_with_all = ["json", "other"])]
    pub(crate) raw: bool,
    /// Print everything that was read, as JSON
    ///
    /// With two references the field `same` is true if the two have one digest.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) registries: RegistryArgs,
}

#[derive(Debug, Args)]
pub(crate) struct DigestArgs {
    /// Reference: HOST/REPOSITORY[:TAG][@DIGEST] or oci:DIR[:TAG]
    ///
    /// The name of an image of your plan stands for its first tag.
    #[arg(value_name = "REF")]
    pub(crate) reference: String,
    /// Print the digest of this platform's image
    ///
    /// Without this option polyarch prints the digest of the index. Example: linux/arm64
    #[arg(long, value_name = "PLATFORM")]
    pub(crate) platform: Option<String>,
    #[command(flatten)]
    pub(crate) registries: RegistryArgs,
}

#[derive(Debug, Args)]
pub(crate) struct SchemaArgs {
    /// Document that the schema describes
    #[arg(value_enum, value_name = "DOCUMENT", default_value_t)]
    pub(crate) document: Document,
}

#[derive(Debug, Args)]
pub(crate) struct PlanCommandArgs {
    #[command(flatten)]
    pub(crate) plan: PlanArgs,
    /// Print the JSON Schema of plans, for editors
    #[arg(long)]
    pub(crate) schema: bool,
    /// Print a job for every platform, as JSON for CI
    ///
    /// Each job has its `platform`, a `runner` and its `images`. Use the output as `strategy: matrix:` of GitHub
    /// Actions.
    #[arg(long, value_enum, value_name = "CI", conflicts_with = "schema")]
    pub(crate) matrix: Option<Matrix>,
    /// Print a table, or the whole plan as JSON or YAML
    #[arg(long, value_enum, value_name = "FORMAT", default_value = "table", conflicts_with_all = ["schema", "matrix"])]
    pub(crate) format: Form,
}
