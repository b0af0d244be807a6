//! Sends a context once to an engine if several images of a run share it.
//!
//! An engine asks each build for the files that its Dockerfile names. It gets a shared file once for each build. If
//! one of the builds needs the whole directory, polyarch sends the directory once for all. The engine then gets no
//! more data than for that build alone.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use tokio::sync::OnceCell;

use crate::auth::BuildSecrets;
use crate::context::{AddedStages, BaseQuery, IgnoreFile, Root, copies_everything, parse_ignore_file};
use crate::engine::{BuildAgents, Engine, EngineError, Session, SessionSpec, SharedContext, given_dockerfile};
use crate::plan::ImageNumber;
use crate::run::schedule::engines::{Engines, Reached};
use crate::run::schedule::scheduled::{Schedule, ScheduledBuild};

/// The jobs that share a session, and the session after it is open.
pub(in crate::run) struct SessionGroup {
    pub(in crate::run) spec: SessionSpec,
    pub(in crate::run) opened: OnceCell<Session>,
}

impl SessionGroup {
    pub(in crate::run) async fn session(&self, engine: &Engine, stages: AddedStages) -> Result<&Session, EngineError> {
        let open = || engine.open_session(SessionSpec { stages, ..self.spec.clone() });
        self.opened.get_or_try_init(open).await
    }
}

/// A context that several images share on one engine.
pub(in crate::run) struct CommonContext {
    group: SessionGroup,
    excludes: Vec<String>,
}

impl CommonContext {
    /// The context for a build. The first build opens the session.
    pub(in crate::run) async fn open(&self, engine: &Engine) -> Result<SharedContext<'_>, EngineError> {
        let session = self.group.session(engine, AddedStages::new()).await?;
        Ok(SharedContext { session, excludes: &self.excludes })
    }
}

/// The key of a context. Builds with equal keys may share the context.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct CommonKey {
    engine: usize,
    directory: PathBuf,
    excludes: Vec<String>,
}

impl CommonKey {
    /// The key of the session. It is the same in every run from the same directory.
    pub(super) fn shared_key(&self) -> String {
        let directory = std::path::absolute(&self.directory).unwrap_or_else(|_| self.directory.clone());
        format!("{}\n{}", directory.display(), self.excludes.join("\n"))
    }

    /// Creates the context with the settings of `spec`.
    pub(in crate::run) fn context(&self, spec: &SessionSpec) -> CommonContext {
        let spec = SessionSpec {
            context: Some(self.directory.clone()),
            dockerfile: None,
            directories: BTreeMap::new(),
            caches: BTreeSet::new(),
            // Secrets and agents belong to one build. They are not shared.
            secrets: BuildSecrets::default(),
            agents: BuildAgents::default(),
            ..spec.clone()
        };
        let group = SessionGroup { spec, opened: OnceCell::new() };
        CommonContext { group, excludes: self.excludes.clone() }
    }
}

/// The contexts that builds of several images share. The engines that polyarch prefers decide, although a build may go to
/// another engine.
pub(super) fn keys(schedule: &Schedule, engines: &Engines) -> BTreeSet<CommonKey> {
    let mut known: BTreeMap<CommonKey, (BTreeSet<ImageNumber>, bool)> = BTreeMap::new();
    for job in schedule.builds() {
        if let Some((key, everything)) = of(job, &engines.list()[job.engine]) {
            let (images, some) = known.entry(key).or_default();
            images.insert(job.image);
            *some |= everything;
        }
    }
    let is_common =
        |(_, (images, everything)): &(CommonKey, (BTreeSet<ImageNumber>, bool))| images.len() > 1 && *everything;
    known.into_iter().filter(is_common).map(|(key, _)| key).collect()
}

/// The context that a build may share on its engine.
pub(super) fn key(job: &ScheduledBuild, engine: &Reached) -> Option<CommonKey> {
    of(job, engine).map(|(key, _)| key)
}

/// The context that a build may share, and whether the build needs the whole directory. `None` for builds with rules
/// of their own: a foreign frontend, an ignore file of the Dockerfile, or a named context `context`.
fn of(job: &ScheduledBuild, engine: &Reached) -> Option<(CommonKey, bool)> {
    let build = &job.job.work.spec;
    let directory = build.context.directory()?;
    let dockerfile = given_dockerfile(&build.dockerfile)?;
    let contexts: BTreeSet<_> = build.contexts.keys().map(ToString::to_string).collect();
    let is_plain = dockerfile.frontend().ok()?.is_none()
        && !build.args.contains_key("BUILDKIT_SYNTAX")
        && dockerfile.check_ignore_file().ok()? == IgnoreFile::Absent
        && !contexts.contains("context");
    if !is_plain {
        return None;
    }
    let ignored = Root::open(directory).and_then(|root| root.read_ignore_file(".dockerignore")).ok()?;
    let excludes = parse_ignore_file(&ignored.unwrap_or_default()).ok()?;
    let query = BaseQuery {
        target: build.target.as_deref(),
        args: &build.args,
        platform: &job.id.platform,
        build_platform: &engine.facts().platform,
        contexts: &contexts,
    };
    let everything = copies_everything(&dockerfile.read().ok()?, &query);
    Some((CommonKey { engine: job.engine, directory: directory.to_owned(), excludes }, everything))
}
