//! The result of a job.

use super::slots::Slot;
use crate::engine::BaseImage;
use crate::oci::{Digest, DigestRef, TagRef};
use crate::run::event::{Failure, JobId};
use crate::run::fetch::found::Found;
use crate::run::publish::target::Target;

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
    /// The job lost its engine. Another engine may do the job. If the build was in progress, its slot is still taken.
    EngineLost {
        failure: Failure,
        slot: Option<Slot>,
    },
    Failed(Failure),
    Cancelled,
}

impl JobEnd {
    /// The image of the job for the jobs that build on it, or the reason why no image exists.
    pub(super) fn image(&self, job: &JobId, target: &Target) -> Result<BaseImage, String> {
        match self {
            Self::Confirmed { found, .. } | Self::Imported { found } => {
                Ok(BaseImage::Pushed(target.storage.digest(found.child.manifest().digest().clone())))
            }
            // Dependants use the run's own name, because another run may move the arch tag to its own image.
            Self::Built { own, .. } => Ok(BaseImage::OnEngine(own.clone())),
            Self::Chosen { image } => Ok(BaseImage::Pushed(image.clone())),
            Self::Failed(_) | Self::EngineLost { .. } => Err(format!("{job} failed")),
            Self::Cancelled => Err(format!("{job} was not built")),
        }
    }
}
