//! polyarch builds container images for several platforms from one plan. It builds all platforms at the same time on
//! Docker Engines and pushes them. Then it joins them into one image index. polyarch publishes the index only if it is
//! complete and correct.
//!
//! # Build the images of a plan
//!
//! A builder does a whole run: [`Build`], [`Join`], [`Copy`](struct@Copy), [`Verify`], [`Inspect`]. The
//! [`run::Report`] has the result or every failure. The folder `examples` has a program for most of them.
//!
//! ```no_run
//! use polyarch::plan::{Environment, Facts, Overrides, SourceText, resolve};
//! use polyarch::{Access, Build, auth::DockerConfig};
//!
//! # async fn build() -> Result<(), Box<dyn std::error::Error>> {
//! let source = SourceText { path: "build.yaml".into(), text: std::fs::read_to_string("build.yaml")? };
//! let plan = resolve(&source, &Environment::new(), &Facts::new(), &Overrides::default())?;
//! let logins = DockerConfig::read("/home/me/.docker/config.json".as_ref(), "/usr/bin".as_ref())?;
//! let access = logins.map_or_else(Access::new, |logins| Access::new().credentials(logins));
//!
//! let report = Build::new(plan).access(access).run().await;
//! for index in report.verified() {
//!     println!("{index}");
//! }
//! # Ok(())
//! # }
//! ```
//!
//! A run needs a tokio runtime with timers and I/O. Its future is `Send`, so a program can spawn it.
//!
//! # The steps
//!
//! Each step has its own type. Only that step can create the type.
//!
//! | step | takes | gives |
//! |---|---|---|
//! | [`plan::resolve`] | the text of `build.yaml` | [`plan::Plan`], or all problems with their places |
//! | [`run::assign`] | the plan, the engines | [`run::Schedule`]: each platform with its engine |
//! | [`engine::Engine::build`] | a context, settings | [`engine::BuiltImage`]: the engine's answer, and the inspected image |
//! | [`engine::Engine::push`] | the image | a claim that the registry must prove |
//! | [`oci::Child::new`] | manifest and config, as the registry returned them | [`oci::Child`] of the planned platform |
//! | [`oci::IndexDraft::new`] | the children | a draft with exactly the planned platforms |
//! | [`oci::IndexDraft::encode`] | the draft | [`oci::EncodedIndex`]: bytes and digest |
//! | [`registry::Client::put_manifest`] | the index, a final tag | the published index; this is the only commit point |
//! | [`run::verify()`] | a reference | [`run::VerifiedIndex`]: polyarch read it back and hashed every byte |
//! | [`run::EventSink`] | the events of the run | [`run::Report`], with the exit code of the run |
//!
//! [`run::build`] does all steps. [`run::join`] begins with the children. Both functions get everything in their
//! arguments, and report progress as [`run::Event`]s. They do not print, do not read the environment, and leave no task
//! behind. The builders call them with defaults.
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
pub mod aws;
pub(crate) mod buildkit;
pub(crate) mod connect;
#[doc(hidden)]
pub mod context;
pub mod ecr;
#[doc(hidden)]
pub mod embedded;
pub mod engine;
#[doc(hidden)]
pub mod facts;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
#[doc(hidden)]
pub mod layout;
pub mod oci;
pub mod plan;
pub(crate) mod random;
pub mod registry;
#[doc(hidden)]
pub mod rootfs;
pub mod run;
pub mod text;

pub use api::{Access, Build, Copy, Inspect, Join, Verify};
