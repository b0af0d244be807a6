//! polyarch builds container images for several platforms from one plan. It builds all platforms at the same time on
//! Docker Engines and pushes them. Then it joins them into one image index. polyarch publishes the index only if it is
//! complete and correct.
//!
//! # Build the images of a plan
//!
//! ```no_run
//! use polyarch::auth::DockerConfig;
//! use polyarch::plan::{Environment, Facts, Overrides, SourceText, resolve};
//! use polyarch::{Access, Build, Reason};
//!
//! #[tokio::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let source = SourceText { path: "build.yaml".into(), text: std::fs::read_to_string("build.yaml")? };
//!     let plan = resolve(&source, &Environment::new(), &Facts::new(), &Overrides::default())?;
//!     let logins = DockerConfig::read("/home/me/.docker/config.json".as_ref(), "/usr/bin".as_ref())?;
//!     let access = logins.map_or_else(Access::new, |logins| Access::new().credentials(logins));
//!
//!     let build = Build::new(plan).access(access);
//!     let report = build.run_with(|at, event| eprintln!("{at:?} {event:?}")).await;
//!     for index in report.verified() {
//!         println!("{index}");
//!     }
//!     for failure in report.failures() {
//!         match failure.cause.reason() {
//!             Some(Reason::Unreachable | Reason::Throttled) => eprintln!("try again later: {failure}"),
//!             Some(Reason::Immutable) => eprintln!("choose another tag: {failure}"),
//!             _ => eprintln!("{failure}"),
//!         }
//!     }
//!     Ok(())
//! }
//! ```
//!
//! A run needs a tokio runtime with timers and I/O. Its future is `Send`, so a program can spawn it. A run prints
//! nothing, and leaves no task behind. Only the AWS SDK reads the environment, if the program uses [`ecr`].
//!
//! # The names
//!
//! | you want to | you need |
//! |---|---|
//! | read a plan | [`plan::resolve`], [`plan::SourceText`], [`plan::Overrides`]; the result is a [`plan::Plan`] |
//! | build, push and publish it | [`Build`], with a [`Goal`], [`Gates`] and [`OnFailure`] |
//! | join, copy, verify or read images | [`Join`], [`Copy`](struct@Copy), [`Verify`], [`Inspect`] |
//! | name an image | [`oci::LocatedReference`], [`oci::Tag`], [`oci::Digest`], [`oci::Platform`] |
//! | log in | [`Access`], with [`auth::DockerConfig`], [`ecr::EcrLogins`] or an [`auth::CredentialSource`] |
//! | show the progress | [`event::Event`] |
//! | use the result | [`report::Report`] |
//! | handle a failure | [`Failure`], with its [`Phase`], its [`Cause`] and a [`Reason`] |
//! | stop a run | [`Shutdown`] |
//!
//! The enums may grow: match them with an arm for the rest. The folder `examples` has a program for most builders.
//!
//! # A plan, without an engine
//!
//! ```
//! use polyarch::plan::{Environment, Facts, Overrides, SourceText, resolve};
//!
//! let text = r#"
//! version: 1
//! images:
//!   hello:
//!     tags: ["1.0", latest]
//!     platforms: [linux/amd64, linux/arm64]
//! "#;
//! let source = SourceText { path: "build.yaml".into(), text: text.into() };
//! let plan = resolve(&source, &Environment::new(), &Facts::new(), &Overrides::default())?;
//! let arch_tags: Vec<_> = plan.images[0].jobs.iter().map(|job| job.arch_tag.to_string()).collect();
//! assert_eq!(arch_tags, ["1.0-amd64", "1.0-arm64"]);
//! # Ok::<(), polyarch::plan::PlanErrors>(())
//! ```

mod api;
pub mod auth;
pub mod ecr;
pub mod oci;
pub mod plan;

// The rooms behind the names below. The program and the tests use them, and they change without notice.
#[doc(hidden)]
pub mod aws;
pub(crate) mod buildkit;
pub(crate) mod connect;
#[doc(hidden)]
pub mod context;
#[doc(hidden)]
pub mod embedded;
#[doc(hidden)]
pub mod engine;
#[doc(hidden)]
pub mod facts;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
#[doc(hidden)]
pub mod layout;
pub(crate) mod random;
#[doc(hidden)]
pub mod registry;
#[doc(hidden)]
pub mod rootfs;
#[doc(hidden)]
pub mod run;
#[doc(hidden)]
pub mod text;
pub(crate) mod tls;

pub use api::{Access, Build, Copy, Inspect, Join, Verify, event, report};
pub use registry::{Proxies, ProxyError};
pub use run::{
    AllowShrink, Cause, Checked, CheckedBlob, ElfCheck, FailedLines, Failure, Gates, Goal, Inspected, LostAnnotations,
    OnFailure, Phase, PublishMode, Reason, Shutdown, Stopper, VerifiedEntry, VerifiedIndex,
};
pub use text::Text;
