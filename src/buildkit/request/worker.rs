//! The worker of a BuildKit: the part that runs the steps and has the images.

use crate::oci::Platform;

/// The properties of a worker that change how polyarch asks it for a build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Worker {
    /// The platform of its processor.
    pub(crate) platform: Platform,
    /// The exporter of its images.
    pub(crate) exporter: Exporter,
    /// Whether it knows named contexts, as BuildKit does since 0.10.
    pub(crate) knows_contexts: bool,
}

/// BuildKit's exporters of images. Each worker knows one of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exporter {
    /// Into the graph driver of Docker Engine.
    Moby,
    /// Into containerd's image store.
    Image,
}

impl Exporter {
    /// BuildKit's name of the exporter.
    pub(in crate::buildkit) fn as_str(self) -> &'static str {
        match self {
            Self::Moby => "moby",
            Self::Image => "image",
        }
    }
}
