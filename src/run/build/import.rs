//! Imports of `from:`: polyarch copies a third-party image unchanged. No engine takes part.

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::end::JobEnd;
use crate::oci::{Attestation, Child, IndexDraft, IndexFormat, RawManifest, Repository, Selector, Tag};
use crate::plan::{Import, Job};
use crate::run::event::failure::{chain, failure};
use crate::run::event::job_events::JobReporter;
use crate::run::event::{Doing, Failure, JobEvent, Phase};
use crate::run::fetch::confirm::config_of;
use crate::run::fetch::error::ConfirmError;
use crate::run::fetch::found::Found;
use crate::run::preflight::sources::Chosen;
use crate::run::publish::target::FRESH;
use crate::run::schedule::goal::Goal;
use crate::run::storage::Storage;
use crate::run::storage::error::of_storage;
use crate::run::storage::put_tag::{NotPut, TagToMove, put_tag};
use crate::run::storage::transfer::{self, ManifestSet, Progress, Transferred};

/// The input for copying one platform.
pub(in crate::run) struct ImportRun {
    pub(in crate::run) reporter: JobReporter,
    pub(in crate::run) job: Job<Import>,
    pub(in crate::run) chosen: Chosen,
    pub(in crate::run) to: Storage,
    /// The repository of the target.
    pub(in crate::run) repository: Repository,
    /// The first final tag of the image.
    pub(in crate::run) first_tag: Option<Tag>,
    pub(in crate::run) goal: Goal,
    /// Stops the copy.
    pub(in crate::run) cancel: CancellationToken,
}

impl ImportRun {
    /// Copies the image, and reports a failure or a cancellation.
    pub(in crate::run) async fn run(self) -> JobEnd {
        let end = tokio::select! {
            biased;
            () = self.cancel.cancelled() => JobEnd::Cancelled,
            end = self.steps() => end.unwrap_or_else(JobEnd::Failed),
        };
        match &end {
            JobEnd::Failed(failure) => self.reporter.emit(JobEvent::Failed(failure.clone())).await,
            JobEnd::Cancelled => self.reporter.emit(JobEvent::Cancelled).await,
            JobEnd::EngineLost { .. }
            | JobEnd::Confirmed { .. }
            | JobEnd::Built { .. }
            | JobEnd::Imported { .. }
            | JobEnd::Chosen { .. } => {}
        }
        end
    }

    async fn steps(&self) -> Result<JobEnd, Failure> {
        let child = self.child();
        let (digest, bytes) = (child.manifest().digest(), child.image_bytes());
        let image = self.chosen.repository.digest(digest.clone());
        self.reporter.emit(JobEvent::Chosen { image: image.clone(), bytes }).await;
        if !self.goal.pushes() {
            return Ok(JobEnd::Chosen { image });
        }
        let top = self.top()?;
        self.reporter.emit(JobEvent::CopyStarted { to: self.repository.clone() }).await;
        let started = Instant::now();
        let Transferred { copied, mut present } = self.reporter.while_silent(Doing::Copying, self.copy(&top)).await?;
        self.reporter.emit(JobEvent::Copied { seconds: started.elapsed().as_secs_f64(), copied }).await;
        self.reporter.while_silent(Doing::Confirming, self.confirm(&top)).await?;
        present.insert(child.config().clone());
        let image = self.repository.digest(digest.clone());
        self.reporter.emit(JobEvent::Confirmed { image, bytes }).await;
        let found = Found { top: top.digest().clone(), there: present, ..self.chosen.found.clone() };
        Ok(JobEnd::Imported { found: Box::new(found) })
    }

    fn child(&self) -> &Child {
        &self.chosen.found.child
    }

    /// The manifests that polyarch copies: the image and its attestations.
    fn manifests(&self) -> impl Iterator<Item = &RawManifest> {
        let child = self.child();
        std::iter::once(child.manifest()).chain(child.attestations().iter().map(Attestation::manifest))
    }

    /// The manifest that the arch tag names. It is the image itself, if the image has no attestations and its entry
    /// adds nothing to its config. Otherwise it is an index of this one image with its attestations.
    fn top(&self) -> Result<RawManifest, Failure> {
        let child = self.child();
        if child.attestations().is_empty() && child.says_all_itself() {
            return Ok(child.manifest().clone());
        }
        let refused = |error: &dyn std::error::Error| failure(Phase::Verify, &chain(error), None);
        let draft = IndexDraft::new(std::slice::from_ref(child.platform()), vec![child.clone()]);
        let index =
            draft.map_err(|error| refused(&error))?.encode(IndexFormat::Auto).map_err(|error| refused(&error))?;
        Ok(index.manifest().clone())
    }

    async fn copy(&self, top: &RawManifest) -> Result<Transferred, Failure> {
        let set = ManifestSet { from: &self.chosen.from, manifests: self.manifests().collect() };
        let copied = transfer::copy(&[set], &self.to, Progress::Job(&self.reporter)).await;
        // Copies for a publication fail with the phase `Publish`. An import fails with `Push`.
        let copied = copied.map_err(|failure| match failure.phase {
            Phase::Publish => Failure { phase: Phase::Push, ..failure },
            _ => failure,
        })?;
        if self.job.arch_tags.are_pushed() {
            self.tag(top).await?;
        }
        Ok(copied)
    }

    /// Moves the arch tag, unless the arch tag names `top` already.
    async fn tag(&self, top: &RawManifest) -> Result<(), Failure> {
        let tag = self.repository.tag(self.job.arch_tag.clone());
        let head = self.to.head(&Selector::Tag(tag.tag.clone())).await;
        let head = head.map_err(|error| of_storage(Phase::Push, &format!("ask for {tag}"), &error))?;
        if head.flatten().as_ref() == Some(top.digest()) {
            return Ok(());
        }
        // Another run may move the arch tag to the same manifest at the same time.
        let moved = put_tag(&self.to, TagToMove::Arch { name: &tag, first: self.first_tag.as_ref() }, top).await;
        moved.map(drop).map_err(|not_put| match not_put {
            NotPut::Immutable(failure) => failure,
            NotPut::Failed(error) => of_storage(Phase::Push, &format!("move {tag}"), &error),
        })
    }

    /// Reads the copied content back. The hash covers every byte of the manifests and the config.
    async fn confirm(&self, top: &RawManifest) -> Result<(), Failure> {
        let tagged = self.job.arch_tags.are_pushed().then_some(top);
        let read = async {
            for manifest in self.manifests().chain(tagged) {
                let selector = Selector::Digest(manifest.digest().clone());
                self.to.manifest(&selector, FRESH).await?;
            }
            config_of(&self.to, self.child().manifest()).await
        };
        read.await.map(drop).map_err(|error: ConfirmError| {
            let phase = if error.is_refusal() { Phase::Verify } else { Phase::Push };
            let image = self.repository.digest(self.child().manifest().digest().clone());
            failure(phase, &format!("confirm {image}: {}", chain(&error)), error.hint())
        })
    }
}
