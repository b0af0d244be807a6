//! One build job: build → push → confirm.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::common::{CommonContext, SessionGroup};
use crate::auth::{Credential, CredentialSource};
use crate::context::AddedStages;
use crate::engine::{
    BaseImage, BuildRequest, BuiltImage, Engine, EngineError, EngineErrorKind, EngineNames, Lint, Output, PushRequest,
    PushSummary,
};
use crate::oci::{DigestRef, Selector, Tag, TagRef};
use crate::plan::{ArchTags, AttestationPolicy, ImageName};
use crate::registry::Visibility;
use crate::run::build::arch_tag::move_arch_tag;
use crate::run::build::end::JobEnd;
use crate::run::build::slots::Slot;
use crate::run::event::failure::{chain, failure, of_build, of_engine};
use crate::run::event::job_events::{JobReporter, job_events};
use crate::run::event::{Doing, Failure, JobEvent, Phase, Repeated};
use crate::run::fetch::complete::{Complete, Incomplete, complete, named};
use crate::run::fetch::confirm::{self};
use crate::run::fetch::error::ConfirmError;
use crate::run::fetch::found::Found;
use crate::run::preflight::dockerfile;
use crate::run::publish::target::FRESH;
use crate::run::schedule::goal::Goal;
use crate::run::schedule::scheduled::ScheduledBuild;
use crate::run::storage::Storage;
use crate::run::storage::engine_names;
use crate::run::storage::engine_names::CONTENDED;
use crate::run::storage::put_tag::{Comparison, TagToMove, settle};
use crate::run::storage::registry::Registry;

/// The most pushes of a wrong image while the name on the engine shows the built image after each push.
const GIVEN_BACK: u32 = 3;

/// The end of the message if the engine reported no digest for a push, and polyarch cannot confirm the push.
const SILENT: &str = "; the engine reported no digest for the push, and its log may contain the reason";

/// The input of a job.
pub(in crate::run) struct JobRun {
    pub(in crate::run) reporter: JobReporter,
    pub(in crate::run) scheduled: ScheduledBuild,
    pub(in crate::run) engine: Arc<Engine>,
    /// The slot of the engine, until the build ends. A check needs none.
    pub(super) slot: Option<Slot>,
    pub(super) session: Arc<SessionGroup>,
    /// The context of the job, if it shares the context with other images.
    pub(in crate::run) context: Option<Arc<CommonContext>>,
    /// The images of the plan that it builds on.
    pub(in crate::run) bases: BTreeMap<ImageName, BaseImage>,
    /// Its names on the engine. If the job pushes an arch tag, the shared name is that tag.
    pub(in crate::run) names: EngineNames,
    /// The first final tag of the image.
    pub(in crate::run) first_tag: Option<Tag>,
    /// Whether attestations of the image are kept.
    pub(in crate::run) attestations: AttestationPolicy,
    pub(in crate::run) registry: Registry,
    /// The credentials of the push.
    pub(in crate::run) credentials: Arc<dyn CredentialSource>,
    pub(in crate::run) goal: Goal,
    /// Cancels a build. A push in progress is completed.
    pub(in crate::run) cancel: CancellationToken,
}

/// The reason why the push failed.
enum NotPushed {
    /// The registry refused the push, because the tag exists and is immutable.
    Immutable(Failure),
    /// The engine found no image under the name, because another run changed the name at that moment.
    NotThere(Failure),
    Failed(Failure),
}

/// The reason why it is not proven that the registry has the built image.
enum Unproven {
    /// The engine pushed another image. Or the registry has another image, or none, under the tag.
    Other(Failure),
    Failed(Failure),
}

impl Unproven {
    fn into_failure(self) -> Failure {
        match self {
            Self::Other(failure) | Self::Failed(failure) => failure,
        }
    }
}

impl From<EngineError> for NotPushed {
    fn from(error: EngineError) -> Self {
        let failure = of_engine(Phase::Push, &error);
        match error {
            error if error.is_immutable() => Self::Immutable(failure),
            error if error.is_of_another_naming() => Self::NotThere(failure),
            _ => Self::Failed(failure),
        }
    }
}

impl JobRun {
    /// Runs the job to its end, and reports a failure or a cancellation. The caller reports a lost engine.
    pub(in crate::run) async fn run(mut self) -> JobEnd {
        let end = match self.steps().await {
            JobEnd::Failed(failure) if failure.is_of_lost_engine() => {
                JobEnd::EngineLost { failure, slot: self.slot.take() }
            }
            end => end,
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

    async fn steps(&mut self) -> JobEnd {
        let built = tokio::select! {
            biased;
            () = self.cancel.cancelled() => return JobEnd::Cancelled,
            built = self.build_in_time() => built,
        };
        let built = match built {
            Ok(built) => built,
            Err(failure) => return JobEnd::Failed(failure),
        };
        // The push needs no slot.
        self.slot = None;
        if !self.goal.pushes() {
            return JobEnd::Built { id: built.id, own: self.names.own.clone() };
        }
        let confirmed = match self.to() {
            Output::Engine(_) => self.bring_to_registry(&built).await,
            Output::Registry(_) | Output::Nowhere(_) => self.confirm_pushed(&built).await,
        };
        let found = match confirmed {
            Ok(found) => found,
            Err(failure) => return JobEnd::Failed(failure),
        };
        let image: DigestRef = self.names.shared.repository.digest(found.child.manifest().digest().clone());
        self.reporter.emit(JobEvent::Confirmed { image, bytes: found.child.image_bytes() }).await;
        JobEnd::Confirmed { found: Box::new(found), id: built.id }
    }

    /// The destination of the build: names on the engine, the registry directly, or nothing but the cache.
    fn to(&self) -> Output<'_> {
        let repository = &self.names.shared.repository;
        match (self.engine.is_buildkit_alone(), self.scheduled.job.arch_tags) {
            (true, _) | (false, ArchTags::None) if self.goal.pushes() => Output::Registry(repository),
            (true, _) => Output::Nowhere(repository),
            (false, _) => Output::Engine(&self.names),
        }
    }

    /// Proves the image that BuildKit pushed by digest. BuildKit alone pushes no arch tag, so polyarch itself moves the tag
    /// to the proven image.
    async fn confirm_pushed(&self, built: &BuiltImage) -> Result<Found, Failure> {
        let by_digest = Selector::Digest(built.id.clone());
        let found = self.confirm(built, &by_digest).await.map_err(Unproven::into_failure)?;
        if self.scheduled.job.arch_tags.are_pushed() {
            let (storage, name) = (self.storage(), &self.names.shared);
            move_arch_tag(&storage, self.arch_tag(), name, &built.id).await?;
        }
        Ok(found)
    }

    /// The name on the engine that belongs to this run, if the build sets one.
    pub(super) fn own_name(&self) -> Option<&TagRef> {
        match self.to() {
            Output::Engine(names) => Some(&names.own),
            Output::Registry(_) | Output::Nowhere(_) => None,
        }
    }

    /// Pushes the built image and proves it. If the arch tag already names the image, polyarch pushes nothing.
    async fn bring_to_registry(&self, built: &BuiltImage) -> Result<Found, Failure> {
        let (tag, job) = (Selector::Tag(self.names.shared.tag.clone()), &self.scheduled.job);
        // A failure here decides nothing. The push that follows has a clear error of its own.
        match confirm::find_current(&self.storage(), &tag, &job.platform, &job.entry, self.attestations, built).await {
            Ok(found) if found.is_all_of(built) => match self.complete(found).await {
                Ok(found) => return Ok(found),
                Err(Incomplete { faults, .. }) => {
                    let message = format!("{}: {faults}; the engine pushes the image again", self.names.shared);
                    self.reporter.warn(message, None).await;
                }
            },
            // If the tag is known to be immutable, the registry would refuse the push. polyarch does not send it.
            Err(ConfirmError::Other { built: ours, found, named }) if self.registry.fixes(&self.names.shared) => {
                return Err(self.arch_tag().refused_image(built.store, &ours, &found, &named));
            }
            Ok(_) | Err(_) => {}
        }
        let mut attempt = 1;
        loop {
            let failure = match self.push_and_confirm(built, &tag).await {
                Ok(found) => return Ok(found),
                Err(Unproven::Failed(failure)) => return Err(failure),
                Err(Unproven::Other(failure)) => failure,
            };
            let Some(wait) = self.named_again_after(attempt, built).await else { return Err(failure) };
            let (seconds, error) = (wait.as_secs_f64(), failure.message.clone());
            self.reporter.emit(JobEvent::Retried { doing: Repeated::Push, attempt, wait: seconds, error }).await;
            tokio::time::sleep(wait).await;
            let TagRef { repository, tag } = &self.names.shared;
            let named = engine_names::name_image(&self.engine, &built.id, &repository.familiar(), tag).await;
            named.map_err(|error| of_engine(Phase::Push, &error))?;
            attempt += 1;
        }
    }

    /// The failure of a build, with the failed lines of the Dockerfile.
    fn not_built(&self, error: &EngineError) -> Failure {
        let read = || self.session.spec.dockerfile.as_ref()?.read().ok();
        of_build(dockerfile::name(&self.scheduled), read, error)
    }

    async fn push_and_confirm(&self, built: &BuiltImage, tag: &Selector) -> Result<Found, Unproven> {
        match self.push(tag.clone()).await {
            Ok(selector) => self.confirm(built, &selector).await,
            Err(NotPushed::Immutable(refused)) => {
                self.find_immutable(built, tag, refused).await.map_err(Unproven::Failed)
            }
            Err(NotPushed::NotThere(failure)) => Err(Unproven::Other(failure)),
            Err(NotPushed::Failed(failure)) => Err(Unproven::Failed(failure)),
        }
    }

    /// Returns `found` if the registry has all of its blobs. Each blob is asked for here, and not again later.
    async fn complete(&self, mut found: Found) -> Result<Found, Incomplete> {
        let manifests = named(std::slice::from_ref(&found.child));
        let Complete { there, .. } = complete(&self.storage(), &manifests, &found.there).await?;
        found.there.extend(there);
        Ok(found)
    }

    /// The wait before polyarch names the image again and repeats the push. `None` means that polyarch gives up. Push
    /// number `attempt` (from 1) pushed another image: another run gave its own image the name on the engine.
    ///
    /// If the name shows the built image again, polyarch gives up after fewer attempts. In that case either the other
    /// run gave the name back, or the engine pushes a wrong image.
    async fn named_again_after(&self, attempt: u32, built: &BuiltImage) -> Option<Duration> {
        let shown = self.engine.named(&self.names.shared.to_string()).await;
        let moved = shown.is_ok_and(|shown| shown.as_ref() != Some(&built.id));
        CONTENDED.wait(attempt).filter(|_| moved || attempt < GIVEN_BACK)
    }

    /// Checks the image under an immutable arch tag. Another run may have pushed the built image there. Otherwise the
    /// result is the reason for the refusal.
    async fn find_immutable(&self, built: &BuiltImage, tag: &Selector, refused: Failure) -> Result<Found, Failure> {
        let compared = match self.find_built(built, tag, Visibility::Settled).await {
            Ok(found) if found.is_all_of(built) => Comparison::Same(found),
            Err(ConfirmError::Other { built: ours, found, named }) => {
                Comparison::Other(self.arch_tag().refused_image(built.store, &ours, &found, &named))
            }
            Ok(_) | Err(_) => Comparison::Unknown,
        };
        let refused = Failure { hint: Some(self.arch_tag().hint().into()), ..refused };
        settle(compared, |failure| failure, refused)
    }

    fn arch_tag(&self) -> TagToMove<'_> {
        TagToMove::Arch { name: &self.names.shared, first: self.first_tag.as_ref() }
    }

    async fn build_in_time(&self) -> Result<BuiltImage, Failure> {
        let (engine, execution) = (self.engine.name().to_string().into(), self.scheduled.execution);
        self.reporter.emit(JobEvent::BuildStarted { engine, execution }).await;
        let Some(limit) = self.scheduled.job.work.timeout else { return self.build().await };
        tokio::time::timeout(limit, self.build()).await.unwrap_or_else(|_| {
            let message = format!("the build took longer than its timeout of {limit:?}");
            Err(failure(Phase::Timeout, &message, Some("raise `timeout:` in the plan".into())))
        })
    }

    /// Checks the Dockerfile without building it.
    pub(in crate::run) async fn check(&self) -> Result<Lint, Failure> {
        let checking = async {
            let session = self.session.session(&self.engine, AddedStages::new()).await?;
            self.engine.check(&self.request(), session).await
        };
        checking.await.map_err(|error| of_engine(Phase::Build, &error))
    }

    fn request(&self) -> BuildRequest<'_> {
        let job = &self.scheduled.job;
        BuildRequest {
            to: self.to(),
            platform: &job.platform,
            build: &job.work.spec,
            bases: &self.bases,
            plain_http: self.registry.plain_http().filter(|_| self.engine.is_buildkit_alone()),
            context: None,
        }
    }

    /// Builds the image. Builds again if other runs create the same name on the engine: that build is cached, so only
    /// the naming is repeated.
    async fn build(&self) -> Result<BuiltImage, Failure> {
        let mut attempt = 1;
        let built = loop {
            let error = match self.build_once().await {
                Ok(built) => break built,
                Err(error) => error,
            };
            let wait = CONTENDED.wait(attempt).filter(|_| matches!(error.kind, EngineErrorKind::NameTaken(_)));
            let Some(wait) = wait else { return Err(self.not_built(&error)) };
            let (seconds, error) = (wait.as_secs_f64(), chain(&error));
            self.reporter
                .emit(JobEvent::Retried { doing: Repeated::Build, attempt, wait: seconds, error: error.into() })
                .await;
            tokio::time::sleep(wait).await;
            attempt += 1;
        };
        self.reporter
            .emit(JobEvent::Built {
                id: built.id.clone(),
                seconds: built.took.as_secs_f64(),
                cached_steps: built.summary.cached_steps,
                steps: built.summary.steps,
                context_bytes: built.context_bytes,
            })
            .await;
        Ok(built)
    }

    async fn build_once(&self) -> Result<BuiltImage, EngineError> {
        let (job, (sender, events)) = (&self.scheduled.job, mpsc::channel(256));
        let building = async {
            let context = match &self.context {
                Some(common) => Some(common.open(&self.engine).await?),
                None => None,
            };
            let request = BuildRequest { context, ..self.request() };
            let stages = self.engine.facts().stages(&job.work.spec, &self.bases);
            let session = self.session.session(&self.engine, stages).await?;
            self.engine.build(&request, session, sender).await
        };
        let (built, ()) = tokio::join!(building, job_events(self.reporter.clone(), events));
        built
    }

    /// Pushes, and returns the selector with which polyarch looks for the image.
    async fn push(&self, by_tag: Selector) -> Result<Selector, NotPushed> {
        let credential = self.credential().await?;
        self.reporter.emit(JobEvent::PushStarted { to: self.names.shared.clone() }).await;
        let pushed = self.reporter.while_silent(Doing::Pushing, self.push_logged_in(credential)).await?;
        self.reporter
            .emit(JobEvent::Pushed { seconds: pushed.took.as_secs_f64(), layers_pushed: pushed.layers_pushed })
            .await;
        // The digest is safer than the tag, because another run may push to the tag at the same time.
        Ok(pushed.digest.map_or(by_tag, Selector::Digest))
    }

    /// The current credentials of the push.
    async fn credential(&self) -> Result<Credential, NotPushed> {
        let (host, path) = (self.names.shared.repository.host(), self.names.shared.repository.path());
        self.credentials.credential(host, Some(path)).await.map_err(|error| {
            let hint = Some(error.hint());
            NotPushed::Failed(failure(Phase::Push, &format!("cannot log in to {host}: {}", chain(&error)), hint))
        })
    }

    /// Pushes. Pushes again with a new login if `credential` has expired: the registry keeps the layers that it
    /// received.
    async fn push_logged_in(&self, credential: Credential) -> Result<PushSummary, NotPushed> {
        let error = match self.push_until_heard(&credential).await {
            Ok(pushed) => return Ok(pushed),
            Err(error) => error,
        };
        if !error.may_be_expired_login() || matches!(credential, Credential::Anonymous) {
            return Err(error.into());
        }
        self.credentials.refused(self.names.shared.repository.host(), &credential);
        let error = chain(&error);
        self.reporter
            .emit(JobEvent::Retried { doing: Repeated::Push, attempt: 1, wait: 0.0, error: error.into() })
            .await;
        let credential = self.credential().await?;
        Ok(self.push_until_heard(&credential).await?)
    }

    /// Repeats the push while the embedded registry changes hands, or while the registry is too busy.
    async fn push_until_heard(&self, credential: &Credential) -> Result<PushSummary, EngineError> {
        let job = &self.scheduled.job;
        let platform = job.work.spec.attest.is_nothing().then_some(&job.platform);
        let request =
            PushRequest { to: &self.names.shared, platform, provider: self.registry.client().provider(), credential };
        let mut attempt = 1;
        loop {
            let error = match self.engine.push(&request).await {
                Ok(pushed) => return Ok(pushed),
                Err(error) => error,
            };
            let Some(wait) = self.registry.again_after(attempt, &error) else { return Err(error) };
            let (seconds, error) = (wait.as_secs_f64(), chain(&error));
            self.reporter
                .emit(JobEvent::Retried { doing: Repeated::Push, attempt, wait: seconds, error: error.into() })
                .await;
            tokio::time::sleep(wait).await;
            attempt += 1;
        }
    }

    async fn confirm(&self, built: &BuiltImage, selector: &Selector) -> Result<Found, Unproven> {
        let found = self.reporter.while_silent(Doing::Confirming, self.find_built(built, selector, FRESH)).await;
        found.map_err(|error| {
            let phase = if error.is_refusal() { Phase::Verify } else { Phase::Push };
            let name = match self.to() {
                Output::Engine(names) => names.shared.to_string(),
                Output::Registry(repository) | Output::Nowhere(repository) => {
                    repository.digest(built.id.clone()).to_string()
                }
            };
            // An engine that succeeds reports a digest. bollard 0.21 drops an error without details, so a missing
            // digest may hide a failure.
            let silent = if matches!(selector, Selector::Tag(_)) { SILENT } else { "" };
            let failure = failure(phase, &format!("confirm {name}: {}{silent}", chain(&error)), error.hint());
            match (error, self.to()) {
                (ConfirmError::Other { .. }, Output::Engine(_)) => Unproven::Other(failure),
                _ => Unproven::Failed(failure),
            }
        })
    }

    fn storage(&self) -> Storage {
        let (registry, repository) = (self.registry.clone(), self.names.shared.repository.clone());
        Storage::Repository { registry, repository }
    }

    async fn find_built(
        &self,
        built: &BuiltImage,
        selector: &Selector,
        visibility: Visibility,
    ) -> Result<Found, ConfirmError> {
        let storage = self.storage();
        let (platform, entry) = (&self.scheduled.job.platform, &self.scheduled.job.entry);
        let found = confirm::find(&storage, selector, visibility, platform, entry, self.attestations).await?;
        confirm::prove(&found, built)?;
        Ok(found)
    }
}
