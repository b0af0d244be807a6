//! polyarch builds container images for several platforms from one plan: every platform at once on Docker Engines,
//! pushed, and joined into one image index that is published only when it is complete and true.
//!
//! # The straight line
//!
//! One type a step; each is made by its step alone.
//!
//! | step | takes | gives |
//! |---|---|---|
//! | [`plan::resolve`] | the text of `build.yaml` | [`plan::Plan`], or every problem with its place |
//! | [`run::assign`] | the plan, the engines | [`run::Schedule`]: each platform with its engine |
//! | [`engine::Engine::build`] | a context, settings | [`engine::BuiltImage`]: what the engine answered and inspecting showed |
//! | [`engine::Engine::push`] | the image | a claim, which the registry has to prove |
//! | [`oci::Child::new`] | manifest and config, as the registry returned them | [`oci::Child`] of the planned platform |
//! | [`oci::IndexDraft::new`] | the children | a draft of exactly the planned platforms |
//! | [`oci::IndexDraft::encode`] | the draft | [`oci::EncodedIndex`]: bytes and digest |
//! | [`registry::Client::put_manifest`] | the index, a final tag | the only commit point |
//! | [`run::verify()`] | a reference | [`run::VerifiedIndex`]: read back, every byte hashed |
//! | [`run::EventSink`] | what happens meanwhile | [`run::Report`], whose exit code is the run's |
//!
//! [`run::build`] goes all of it; [`run::join`] begins at the children. Neither prints, reads the environment, or leaves a
//! task behind: what they need is in their arguments, what happens is in [`run::Event`]s.
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

pub mod auth;
pub mod context;
pub mod ecr;
pub mod embedded;
pub mod engine;
pub mod facts;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
pub mod layout;
pub mod oci;
pub mod plan;
pub mod registry;
pub mod rootfs;
pub mod run;
pub mod text;
