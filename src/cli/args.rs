//! What was typed.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use polyarch::run::{Gates, Moving, Programs, Shrinking};

use super::clean::CleanArgs;
use super::edit::EditArgs;
use super::images::ImagesArgs;
use super::matrix::Matrix;
use super::output::{Format, Progress};
use super::plan::Form;
use super::prune::PruneArgs;
use super::repositories::RepositoryArgs;
use super::schema::Document;
use super::shell::{CompletionsArgs, ManArgs};
use super::verify::VerifyArgs;

const EXAMPLES: &str = "\
Examples:
  polyarch build                        everything that build.yaml says
  polyarch build web --platform native  one image, for this engine's platform
  polyarch build --dry-run              show what would be built, and where
  polyarch join                         publish what other runners pushed
  polyarch copy a.io/web:1 b.io/web:1   take an image to another registry
  polyarch inspect ghcr.io/org/web:1.0  show an image index
  polyarch images web                   what the image's repository has

Exit codes:
  0    all verified
  1    anything that is not below
  2    usage, plan or context
  3    an engine, registry or credential cannot be used: nothing was started
  4    a build failed
  5    a push failed
  6    join or publish failed
  7    verification failed, what was named is not there, or a security refusal
  70   internal error, or a result that could not be written
  124  timed out
  129, 130, 143  ended by a signal";

const ENVIRONMENT: &str = "\
Environment:
  POLYARCH_HOME   where the embedded registry is kept
                  [default: XDG_DATA_HOME/polyarch, ~/.local/share/polyarch]
  DOCKER_HOST, DOCKER_CONTEXT  which engine, where the plan names none
  DOCKER_CONFIG   docker's configuration and logins [default: ~/.docker]
  DOCKER_AUTH_CONFIG, REGISTRY_AUTH_FILE  logins that go before docker's: their
                  JSON, and a file of podman's form
  AWS_PROFILE, AWS_REGION, AWS_ACCESS_KEY_ID and all others of the AWS CLI
                  who we are at Amazon ECR, and where
  HTTPS_PROXY, HTTP_PROXY, ALL_PROXY, NO_PROXY  how registries are reached
  CI              no live view, and never an embedded registry by accident
  GITHUB_OUTPUT, GITHUB_STEP_SUMMARY  what was published is appended to them
  GITHUB_ACTIONS  plain lines are one group of the log
  NO_COLOR        no colour";

/// Build container images for several platforms from one YAML plan
///
/// Build container images for several platforms from one YAML plan: every platform at once, joined into one image
/// index that is published only when it is complete and true.
#[derive(Debug, Parser)]
#[command(name = "polyarch", version, propagate_version = true, disable_help_subcommand = true)]
#[command(after_help = EXAMPLES, after_long_help = format!("{EXAMPLES}\n\n{ENVIRONMENT}"), max_term_width = 79)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
    /// Show each request to registries
    ///
    /// Show each request to registries on stderr, with the status and the codes of the answer. polyarch then shows plain
    /// lines in place of the live view. No credential and no query of a URL is shown. --progress json and --quiet show no
    /// requests.
    #[arg(short, long, global = true, display_order = 1000)]
    pub(crate) verbose: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Build, push, join and publish the plan's images
    Build(BuildArgs),
    /// Join what is under the plan's arch tags, and publish it
    ///
    /// Join what is under the plan's arch tags, and publish it. References in place of images need no plan: `polyarch
    /// join -t HOST/REPO:1.0 HOST/REPO:1.0-amd64 HOST/REPO:1.0-arm64`; an index among them stands for its images (with
    /// --platform for those of these platforms), and what is in another repository than a target is copied there.
    /// `oci:DIR:TAG` is a reference, too: an OCI image layout.
    Join(JoinArgs),
    /// Copy an image, or an index with all that it lists
    ///
    /// Copy an image, or an index with all that it lists, to another repository or registry, or into an OCI image layout
    /// or out of it (oci:DIR:TAG), byte for byte: the digest stays. A registry mounts what another of its repositories
    /// has.
    Copy(CopyArgs),
    /// Show an image index, or what differs between two
    ///
    /// Show an image index, or one image: platforms, sizes, annotations, what is attested of whom; with two references,
    /// what differs between them.
    Inspect(InspectArgs),
    /// Read images back as a stranger would
    ///
    /// Read images back as a stranger would: manifests and configs are fetched and hashed, those of listed indexes and
    /// attestations, too; for every layer the registry is asked whether it has it, and how large it is.
    Verify(VerifyArgs),
    /// Print the digest of a reference
    Digest(DigestArgs),
    /// List the images of repositories, and which index has which
    ///
    /// List the images of repositories, and which index has which. Amazon ECR says what it has; of other registries, and
    /// where the role may not ask (ecr:DescribeImages), it is what tags lead to.
    Images(ImagesArgs),
    /// Delete old images that polyarch built; shows which, unless told to
    ///
    /// Delete old images that polyarch built, and what they alone consist of: of the publications in a repository the N
    /// newest stay. Without --apply it is only shown what would go, what would stay, and why. What polyarch did not
    /// build stays, and what any other index lists.
    Clean(CleanArgs),
    /// Say what works of Amazon ECR, step by step
    #[command(subcommand)]
    Doctor(Doctor),
    /// Check the plan, and print it with everything resolved
    Plan(PlanCommandArgs),
    /// Print the JSON Schema of plans, or of what polyarch writes
    Schema(SchemaArgs),
    /// Make the embedded registry smaller; shows by how much, unless told to
    ///
    /// Delete what the embedded registry has and no tag of it leads to: images that later builds replaced. Without
    /// --apply it is only shown how much that is. Nothing is deleted while another process serves the registry.
    Prune(PruneArgs),
    /// Keep the embedded registry up, so that `docker pull` works
    Serve,
    /// Print completions for your shell
    ///
    /// Print completions for your shell. For bash: `polyarch completions bash >
    /// ~/.local/share/bash-completion/completions/polyarch`
    Completions(CompletionsArgs),
    /// Write the pages of the manual into a directory
    ///
    /// Write the pages of the manual into a directory: one for polyarch, and one for each of its commands. `man -l
    /// DIR/polyarch-build.1` shows a page.
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
            | Self::Doctor(_)
            | Self::Plan(_)
            | Self::Schema(_)
            | Self::Prune(_)
            | Self::Serve
            | Self::Completions(_)
            | Self::Man(_) => None,
        }
    }
}

/// Which plan, and what is to be different from it.
#[derive(Debug, Default, Args)]
pub(crate) struct PlanArgs {
    /// Images of the plan; all of them if none is named
    #[arg(value_name = "IMAGE")]
    pub(crate) images: Vec<String>,
    /// The plan, if not build.yaml or polyarch.yaml
    #[arg(short, long, value_name = "FILE", help_heading = "Plan")]
    pub(crate) file: Option<PathBuf>,
    /// Only these platforms; then nothing is joined
    ///
    /// Only these platforms, separated by commas; `native` stands for those that the engines' own processors run.
    /// What is left out is printed, and then nothing is joined: `polyarch join` does that when all are pushed.
    #[arg(long, value_name = "PLATFORM", value_delimiter = ',', help_heading = "Plan")]
    pub(crate) platform: Vec<String>,
    /// Final tags in place of the plan's
    #[arg(short, long, value_name = "TAG", help_heading = "Plan")]
    pub(crate) tag: Vec<String>,
    /// Change a value of the plan; `*`: every image
    ///
    /// Change a value of the plan; `*` is every image: web.target=debug, web.linux/arm64.args.JOBS=2,
    /// '*.args.VERSION=1.0'
    #[arg(long, value_name = "IMAGE.KEY=VALUE", help_heading = "Plan")]
    pub(crate) set: Vec<String>,
    /// A build argument for every image
    ///
    /// A build argument for every image; without a value it is taken from the environment
    #[arg(long, value_name = "NAME[=VALUE]", help_heading = "Plan")]
    pub(crate) build_arg: Vec<String>,
    /// The registry in place of the plan's; more of them get copies
    ///
    /// The registry in place of all of the plan's: HOST[:PORT][/NAMESPACE], or `local`, the embedded one. Of several the
    /// first is built to, and the others get copies.
    #[arg(long, value_name = "REGISTRY", help_heading = "Registry")]
    pub(crate) registry: Vec<String>,
    /// Where an engine listens (of the plan, or one more)
    ///
    /// Where an engine listens, one of the plan or one more: `unix:///path/to.sock` or
    /// `tcp://host:port`
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
    /// Write what was published to FILE, as variables for CI
    ///
    /// Write what was published to FILE as NAME=VALUE lines, for dotenv reports of GitLab CI: `HELLO_DIGEST`,
    /// `HELLO_REPOSITORY` and `HELLO_TAGS` of each image, without its name where there is one image.
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub(crate) dotenv: Option<PathBuf>,
}

/// What an index must pass before a final tag moves to it.
#[derive(Debug, Args)]
pub(crate) struct GateArgs {
    /// Let final tags lose platforms that they have now
    ///
    /// Let final tags lose platforms that they have now: without it, an index that lacks platforms of the one that it
    /// would replace is not published.
    #[arg(long, help_heading = "Gates")]
    pub(crate) allow_shrink: bool,
    /// Do not look into layers for which processor programs are
    ///
    /// Do not look into layers for which processor programs are: without it, an image that starts a program for
    /// another processor than that of its platform is not published.
    #[arg(long, help_heading = "Gates")]
    pub(crate) no_elf: bool,
}

/// `--atomic`
pub(crate) fn moving(atomic: bool) -> Moving {
    if atomic { Moving::AllImages } else { Moving::EachImage }
}

impl GateArgs {
    pub(crate) fn gates(&self) -> Gates {
        Gates {
            shrinking: if self.allow_shrink { Shrinking::Allow } else { Shrinking::Refuse },
            programs: if self.no_elf { Programs::Believe } else { Programs::Check },
            ..Gates::default()
        }
    }
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
    /// What it does anyway: as buildx has it
    #[arg(long, hide = true, conflicts_with_all = ["no_push", "load"])]
    pub(crate) push: bool,
    /// Build only: nothing leaves the engines
    #[arg(long, help_heading = "Build")]
    pub(crate) no_push: bool,
    /// Build and push the arch tags; no final tag moves
    #[arg(long, help_heading = "Build")]
    pub(crate) no_join: bool,
    /// Build, and leave NAME:TAG on the engines; nothing is pushed
    ///
    /// Build, and leave NAME:TAG on the engines, for `docker run`; nothing is pushed, and no registry is asked. An
    /// engine with the containerd image store has all that it built under one name, others their own platform.
    #[arg(long, conflicts_with_all = ["no_push", "no_join"], help_heading = "Build")]
    pub(crate) load: bool,
    /// The first failure of any image ends everything
    #[arg(long, help_heading = "Build")]
    pub(crate) fail_fast: bool,
    /// Move final tags only when every image is ready
    ///
    /// Move final tags only when every image is ready: if one of them fails, those of all images stay where they are.
    #[arg(long, conflicts_with_all = ["no_push", "no_join", "load"], help_heading = "Build")]
    pub(crate) atomic: bool,
    /// End the run after this time: 90s, 10m, 1h30m
    #[arg(long, value_name = "DURATION", help_heading = "Build")]
    pub(crate) timeout: Option<String>,
    /// Show what would be built and pushed, and where
    #[arg(long, help_heading = "Build")]
    pub(crate) dry_run: bool,
    /// Check the Dockerfiles, and build nothing
    ///
    /// Check the Dockerfiles with BuildKit's lint, and build nothing: what it finds is an error, with its place. Engine 27
    /// or newer.
    #[arg(long, conflicts_with_all = ["load", "no_push", "no_join", "dry_run", "atomic", "report"], help_heading = "Build")]
    pub(crate) check: bool,
    #[command(flatten)]
    pub(crate) gates: GateArgs,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

/// What becomes of attestations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Attestations {
    Keep,
    Strip,
}

/// How registries that no plan describes are spoken to.
#[derive(Debug, Args)]
pub(crate) struct RegistryArgs {
    /// Speak plain HTTP to the references' registries
    #[arg(long, help_heading = "Registry")]
    pub(crate) insecure: bool,
    /// Trust the authority in FILE (PEM) at this registry
    ///
    /// Trust the certificate authority in FILE (PEM) at this registry of the references, which then is spoken to with
    /// TLS, on loopback too
    #[arg(long, value_name = "HOST=FILE", help_heading = "Registry")]
    pub(crate) ca: Vec<String>,
    /// Let this registry send polyarch to a private host
    ///
    /// Let this registry of the references send polyarch to HOST[:PORT] of this machine or of a private network, for tokens,
    /// uploads and downloads
    #[arg(long, value_name = "REGISTRY=HOST", help_heading = "Registry")]
    pub(crate) may_send_to: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct JoinArgs {
    #[command(flatten)]
    pub(crate) plan: PlanArgs,
    #[command(flatten)]
    pub(crate) registries: RegistryArgs,
    /// What becomes of the references' attestations
    ///
    /// What becomes of the references' attestations: `keep`, the default, or `strip`; a plan says it itself
    #[arg(long, value_enum, value_name = "WHAT", help_heading = "Join")]
    pub(crate) attestations: Option<Attestations>,
    #[command(flatten)]
    pub(crate) edit: EditArgs,
    /// Wait this long for what others still push: 30m
    ///
    /// Wait this long for what others still push: 90s, 30m, 1h. Who is missing is said at once and every 30 s; at the
    /// end of the time the run fails (exit code 124).
    #[arg(long, value_name = "DURATION", conflicts_with = "dry_run", help_heading = "Join")]
    pub(crate) wait: Option<String>,
    /// Print the index that would be published
    #[arg(long, help_heading = "Join")]
    pub(crate) dry_run: bool,
    /// Move final tags only when every image is ready
    ///
    /// Move final tags only when every image is ready: if one of them fails, those of all images stay where they are.
    #[arg(long, help_heading = "Join")]
    pub(crate) atomic: bool,
    /// End the run after this time: 90s, 10m, 1h30m
    #[arg(long, value_name = "DURATION", help_heading = "Join")]
    pub(crate) timeout: Option<String>,
    #[command(flatten)]
    pub(crate) gates: GateArgs,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

#[derive(Debug, Args)]
pub(crate) struct CopyArgs {
    /// What is copied: HOST/REPOSITORY[:TAG][@DIGEST] or oci:DIR[:TAG][@DIGEST]
    ///
    /// What is copied: HOST/REPOSITORY[:TAG][@DIGEST], or oci:DIR[:TAG][@DIGEST], an OCI image layout; one image alone
    /// in a layout needs no tag
    #[arg(value_name = "SOURCE")]
    pub(crate) source: String,
    /// Where to: HOST/REPOSITORY[:TAG] or oci:DIR:TAG
    #[arg(value_name = "TARGET")]
    pub(crate) target: String,
    /// Of an index only this platform's image, without the index
    #[arg(long, value_name = "PLATFORM", help_heading = "Copy")]
    pub(crate) platform: Option<String>,
    /// End the run after this time: 90s, 10m, 1h30m
    #[arg(long, value_name = "DURATION", help_heading = "Copy")]
    pub(crate) timeout: Option<String>,
    #[command(flatten)]
    pub(crate) registries: RegistryArgs,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

#[derive(Debug, Args)]
pub(crate) struct InspectArgs {
    /// A reference: HOST/REPOSITORY[:TAG][@DIGEST] or oci:DIR[:TAG]
    #[arg(value_name = "REF")]
    pub(crate) reference: String,
    /// Another one: what differs between the two is shown
    #[arg(value_name = "REF")]
    pub(crate) other: Option<String>,
    /// Print the manifest as the registry has it, byte for byte
    #[arg(long, conflicts_with_all = ["json", "other"])]
    pub(crate) raw: bool,
    /// Print what is shown as JSON, with all that was read
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) registries: RegistryArgs,
}

#[derive(Debug, Args)]
pub(crate) struct DigestArgs {
    /// A reference: HOST/REPOSITORY[:TAG][@DIGEST] or oci:DIR[:TAG]
    #[arg(value_name = "REF")]
    pub(crate) reference: String,
    /// Of an index, the digest of this platform's image
    #[arg(long, value_name = "PLATFORM")]
    pub(crate) platform: Option<String>,
    #[command(flatten)]
    pub(crate) registries: RegistryArgs,
}

/// What is looked at.
#[derive(Debug, Subcommand)]
pub(crate) enum Doctor {
    /// Say who AWS takes us for, and what may be done in its registries
    ///
    /// Say who AWS takes us for, and what may be done in its registries: region, identity, token, login, the repositories,
    /// which of their tags may move, and whether layers may be pushed there. Nothing is created; an upload is begun,
    /// and nobody goes on with it. Exit code 3 if anything fails.
    Ecr(DoctorEcrArgs),
}

#[derive(Debug, Args)]
pub(crate) struct DoctorEcrArgs {
    /// Repositories, or images of the plan; all of its images if nothing is named
    #[arg(value_name = "IMAGE|HOST/REPOSITORY")]
    pub(crate) what: Vec<String>,
    #[command(flatten)]
    pub(crate) repositories: RepositoryArgs,
    /// The form of the results on stdout
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t, help_heading = "Output")]
    pub(crate) format: Format,
    /// The same as `--format json`
    #[arg(long, conflicts_with = "format", help_heading = "Output")]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct SchemaArgs {
    /// The document that the schema describes
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
    /// Print a job for every platform, as JSON for `strategy: matrix:` of GitHub Actions: its `platform`, a `runner`,
    /// its `images`.
    #[arg(long, value_enum, value_name = "CI", conflicts_with = "schema")]
    pub(crate) matrix: Option<Matrix>,
    /// Print a table, or the whole plan as JSON or YAML
    #[arg(long, value_enum, value_name = "FORMAT", default_value = "table", conflicts_with_all = ["schema", "matrix"])]
    pub(crate) format: Form,
}
