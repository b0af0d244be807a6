//! What the command line says over the plan.

use crate::oci::Platform;

use super::spec::{CachePolicy, PullPolicy};

/// What the command line says over the plan. The empty value changes nothing and selects everything.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Overrides {
    /// Which images and platforms are wanted.
    pub selection: Selection,
    /// `--set IMAGE[.PLATFORM].KEY=VALUE`, as written and in order. `*` in IMAGE stands for any letters.
    pub set: Vec<String>,
    /// `--tag`: replaces the tags of the selected images, unless empty.
    pub tags: Vec<String>,
    /// `--registry`: replaces the plan's registries, unless empty; `local` or `host[:port][/namespace]`.
    pub registries: Vec<String>,
    /// `--engine NAME=HOST`: changes where an engine of the plan listens, or adds one.
    pub engines: Vec<String>,
    /// `--build-arg NAME[=VALUE]`, for every job, over whatever the plan says. Without a value it is taken from
    /// the environment.
    pub build_args: Vec<String>,
    /// `--no-cache`.
    pub no_cache: Option<CachePolicy>,
    /// `--pull`.
    pub pull: Option<PullPolicy>,
}

/// Which images and platforms of a plan are wanted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Selection {
    /// Names of images, as written; empty selects all.
    pub images: Vec<String>,
    /// Platforms (`--platform`, with `native` resolved by the caller); empty selects all.
    pub platforms: Vec<Platform>,
}

impl Selection {
    /// Whether the image `name` is wanted.
    pub fn has_image(&self, name: &str) -> bool {
        self.images.is_empty() || self.images.iter().any(|image| image == name)
    }

    /// Whether `platform` is wanted.
    pub fn has_platform(&self, platform: &Platform) -> bool {
        self.platforms.is_empty() || self.platforms.iter().any(|wanted| wanted.covers(platform))
    }
}
