//! Copies an image, or an index with all its images.

use tokio::sync::mpsc;

use super::access::{Access, refused};
use super::setters::{runs, setters};
use crate::oci::{LocatedReference, Platform, Selector};
use crate::registry::Notice;
use crate::run::{self, Copying, Failure, Shutdown, Source, Storage};

/// Copies an image, or an index with all its images, to another storage, and reads it back. The bytes do not change.
#[must_use]
pub struct Copy {
    source: LocatedReference,
    target: LocatedReference,
    platform: Option<Platform>,
    access: Access,
    shutdown: Option<Shutdown>,
}

impl Copy {
    /// Copies `source` to `target`. The target names a tag. In a registry it may also name the digest of the source.
    pub fn new(source: LocatedReference, target: LocatedReference) -> Self {
        Self { source, target, platform: None, access: Access::new(), shutdown: None }
    }

    /// Copies only the image of `platform` from an index.
    pub fn platform(self, platform: Platform) -> Self {
        Self { platform: Some(platform), ..self }
    }

    setters!(access, shutdown);
    runs!(run::copy);

    async fn prepare(self, notices: mpsc::UnboundedSender<Notice>) -> Result<Copying, Vec<Failure>> {
        let mut reaching = self.access.reporting(notices);
        let source = reaching.source(self.source).await.map_err(|failure| vec![failure])?;
        let LocatedReference { location, selector } = self.target;
        let storage = reaching.storage(location).map_err(|failure| vec![failure])?;
        let target = match (selector, storage) {
            (Some(selector @ Selector::Tag(_)), storage) | (Some(selector), storage @ Storage::Repository { .. }) => {
                Source { storage, selector }
            }
            (_, storage) => {
                return Err(vec![refused(format!("{} has no tag", storage.location()), "name a tag of the target")]);
            }
        };
        Ok(Copying { source, target, platform: self.platform })
    }
}
