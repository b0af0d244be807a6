//! Copies an image, or an index with all its images.

use std::time::Duration;

use futures::FutureExt as _;
use tokio::sync::mpsc;

use super::access::{Access, refused};
use super::record::record;
use crate::oci::{LocatedReference, Platform, Selector};
use crate::registry::Notice;
use crate::run::{self, Copying, Event, Failure, Report, Shutdown, Source, Storage};

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

    /// The logins, certificates and proxies for registries. The default has no logins.
    pub fn access(self, access: Access) -> Self {
        Self { access, ..self }
    }

    /// The signal that stops the run. A registry then has 2 s to answer a request for a tag. By default nothing stops
    /// the run.
    pub fn shutdown(self, shutdown: Shutdown) -> Self {
        Self { shutdown: Some(shutdown), ..self }
    }

    /// Copies. The report has the verified target, or every failure. [`Report::exit_code`] is 0 only if polyarch copied
    /// and verified everything.
    pub async fn run(self) -> Report {
        self.run_with(|_, _| {}).await
    }

    /// Like [`Self::run`]. `on_event` receives each event at once, with the time since the run began. It must not
    /// block.
    pub async fn run_with(self, on_event: impl FnMut(Duration, &Event) + Send) -> Report {
        let shutdown = self.shutdown.clone();
        let prepare = |notices| self.prepare(notices).boxed();
        record(shutdown, on_event, prepare, |run, around, sink| run::copy(run, around, sink).boxed()).await
    }

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
