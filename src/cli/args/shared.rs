//! Arguments that several commands have.

use std::path::PathBuf;

use clap::Args;

use crate::cli::args::values::Format;
use crate::cli::args::values::Progress;

/// The plan, and the connection to registries that no plan describes.
#[derive(Debug, Args)]
pub(crate) struct RepositoryArgs {
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
}

/// The plan, and the changes to it for one run.
#[derive(Debug, Default, Args)]
pub(crate) struct PlanArgs {
    /// Images of your plan [default: all]
    ///
    /// With `polyarch join -t` these are the references to join.
    #[arg(value_name = "IMAGE")]
    pub(crate) images: Vec<String>,
    /// Read the plan from FILE
    ///
    /// Without this option polyarch reads `build.yaml` in the current directory, or else `polyarch.yaml`. `-` stands
    /// for standard input.
    #[arg(short, long, value_name = "FILE", help_heading = "Plan")]
    pub(crate) file: Option<PathBuf>,
    /// Take only these platforms
    ///
    /// Separate platforms by commas: `linux/amd64,linux/arm64`. With `polyarch build`, `native` stands for the
    /// platforms that the engines' own processors run. polyarch prints the platforms of an image that it leaves out. It
    /// does not join such an image: run `polyarch join` after all platforms are pushed.
    #[arg(long, value_name = "PLATFORM", value_delimiter = ',', help_heading = "Plan")]
    pub(crate) platform: Vec<String>,
    /// Set a final tag in place of the plan's tags
    ///
    /// Repeat the option for several tags. The arch tags follow the first tag: with `-t 2.0` polyarch pushes
    /// `2.0-arm64`. With references, `polyarch join -t HOST/REPO:TAG` names a target.
    #[arg(short, long, value_name = "TAG", help_heading = "Plan")]
    pub(crate) tag: Vec<String>,
    /// Change a value of the plan
    ///
    /// IMAGE is an image of the plan, or `*` for every image. KEY may begin with a platform. Examples:
    /// web.target=debug, web.linux/arm64.args.JOBS=2, '*.args.VERSION=1.0'
    #[arg(long, value_name = "IMAGE.KEY=VALUE", help_heading = "Plan")]
    pub(crate) set: Vec<String>,
    /// Set a build argument for every image
    ///
    /// Without `=VALUE` polyarch takes the value from the environment.
    #[arg(long, value_name = "NAME[=VALUE]", help_heading = "Plan")]
    pub(crate) build_arg: Vec<String>,
    /// Replace the registries of the plan
    ///
    /// REGISTRY is HOST[:PORT][/NAMESPACE], or `local` for the embedded registry. If you repeat the option, polyarch
    /// builds to the first registry and copies the images to the others.
    #[arg(long, value_name = "REGISTRY", help_heading = "Registry")]
    pub(crate) registry: Vec<String>,
    /// Set the address of an engine, or add an engine
    ///
    /// HOST is `unix:///path/to.sock`, `ssh://user@host`, `tcp://host:port` or `context:CONTEXT` for a docker context. The
    /// engine that docker would use has the name `default`. TLS of the plan is kept for a `tcp://` address.
    /// Example: default=unix:///run/user/1000/docker.sock
    #[arg(long, value_name = "NAME=HOST", help_heading = "Engines")]
    pub(crate) engine: Vec<String>,
}

/// The display of a run, and the files that it writes.
#[derive(Debug, Args)]
pub(crate) struct OutputArgs {
    /// Set the display on stderr
    ///
    /// `plain`, `tty` or `quiet` in `BUILDKIT_PROGRESS` replaces `auto`, as with buildx.
    #[arg(long, value_enum, value_name = "MODE", default_value_t, help_heading = "Output")]
    pub(crate) progress: Progress,
    /// Set the form of the results on stdout
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t, help_heading = "Output")]
    pub(crate) format: Format,
    /// Write a report of the run to FILE, as JSON
    ///
    /// polyarch writes the report however the run ends. `polyarch schema report` prints the schema.
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub(crate) report: Option<PathBuf>,
    /// Write the published images to FILE, for CI
    ///
    /// FILE gets lines of the form NAME=VALUE, for dotenv reports of GitLab CI. The names begin with the image:
    /// `HELLO_DIGEST`, `HELLO_REPOSITORY` and `HELLO_TAGS`. If your plan has one image, FILE also gets `DIGEST`,
    /// `REPOSITORY` and `TAGS`.
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub(crate) dotenv: Option<PathBuf>,
}

impl OutputArgs {
    /// Whether a person reads the display and the results.
    pub(crate) fn is_for_people(&self) -> bool {
        self.format == Format::Text && !matches!(self.progress, Progress::Quiet | Progress::Json)
    }
}

/// The connection to registries that no plan describes.
#[derive(Debug, Args)]
pub(crate) struct RegistryArgs {
    /// Speak plain HTTP to registries
    ///
    /// The option is for the registries of references. In a plan, set `insecure: true` for the registry. polyarch
    /// always speaks plain HTTP to a registry on loopback, unless you pass --ca.
    #[arg(long, help_heading = "Registry")]
    pub(crate) insecure: bool,
    /// Trust this certificate authority
    ///
    /// FILE has certificates in PEM form. HOST is the registry of a reference; polyarch trusts the authority at no
    /// other registry. Example: localhost:5000=ca.pem
    #[arg(long, value_name = "HOST=FILE", help_heading = "Registry")]
    pub(crate) ca: Vec<String>,
    /// Allow redirects to a private host
    ///
    /// REGISTRY is the registry of a reference. It may send polyarch to HOST[:PORT] for tokens, uploads and downloads,
    /// even if the host is this machine or in a private network. Example: 10.0.0.5:5000=10.0.0.5:8443
    #[arg(long, value_name = "REGISTRY=HOST", help_heading = "Registry")]
    pub(crate) may_send_to: Vec<String>,
}
