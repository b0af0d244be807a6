//! The options of the command line that override the plan.

use crate::oci::Platform;

use super::spec::{CachePolicy, PullPolicy};

/// The options of the command line that override the plan. The default changes nothing and selects everything.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Overrides {
    /// The selected images and platforms.
    pub selection: Selection,
    /// `--set IMAGE[.PLATFORM].KEY=VALUE`, as written and in order. `*` in IMAGE stands for any characters.
    pub set: Vec<String>,
    /// `--tag`: replaces the tags of the selected images. Empty: no replacement.
    pub tags: Vec<String>,
    /// `--registry`: replaces the plan's registries with `local` or `host[:port][/namespace]`. Empty: no replacement.
    pub registries: Vec<String>,
    /// `--engine NAME=HOST`: changes the host of an engine of the plan, or adds an engine.
    pub engines: Vec<String>,
    /// `--build-arg NAME[=VALUE]` for every job, which overrides the plan. Without a value it comes from the
    /// environment.
    pub build_args: Vec<String>,
    /// `--no-cache`.
    pub no_cache: Option<CachePolicy>,
    /// `--pull`.
    pub pull: Option<PullPolicy>,
}

/// The selected images and platforms of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Selection {
    /// Names of images, as written. Empty: all images.
    pub images: Vec<String>,
    /// Platforms (`--platform`). The caller resolves `native`. Empty: all platforms.
    pub platforms: Vec<Platform>,
    /// The platforms that stand for `native` (`--platform native`). They are also in `platforms`.
    pub native: Vec<Platform>,
}

impl Selection {
    /// Whether the image `name` is selected.
    pub fn has_image(&self, name: &str) -> bool {
        self.images.is_empty() || self.images.iter().any(|image| image == name)
    }

    /// Whether `platform` is selected.
    pub fn has_platform(&self, platform: &Platform) -> bool {
        self.platforms.is_empty() || self.platforms.iter().any(|wanted| wanted.covers(platform))
    }
}
