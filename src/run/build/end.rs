//! The result of a job.

use crate::oci::{Digest, DigestRef, TagRef};
use crate::run::event::Failure;
use crate::run::fetch::found::Found;

/// The result of a job.
#[derive(Debug)]
pub(in crate::run) enum JobEnd {
    /// The registry has the built image. `id` is its id on the engine.
    Confirmed {
        found: Box<Found>,
        id: Digest,
    },
    /// The image `id` is on the engine, under the name that belongs to this run. The run does not push it.
    Built {
        id: Digest,
        own: TagRef,
    },
    /// The registry has the same image as the source.
    Imported {
        found: Box<Found>,
    },
    /// The image is in its source. The run does not copy it.
    Chosen {
        image: DigestRef,
    },
    Failed(Failure),
    Cancelled,
}
