//! Sends a context once to an engine if several images of a run share it.
//!
//! An engine asks each build for the files that its Dockerfile names. It gets a shared file once for each build. If
//! one of the builds needs the whole directory, polyarch sends the directory once for all. The engine then gets no
//! more data than for that build alone.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::OnceCell;

use super::session_group::SessionGroup;
use crate::auth::BuildSecrets;
use crate::context::{AddedStages, BaseQuery, IgnoreFile, Root, copies_everything, parse_ignore_file};
use crate::engine::{BuildAgents, Engine, EngineError, SessionSpec, SharedContext, given_dockerfile};
use crate::run::schedule::assign::{Schedule, ScheduledBuild};
use crate::run::schedule::engines::{Engines, Reached};

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

/// The context that each build shares with builds of other images, in the schedule's order. `None` for a build that
/// shares no context.
pub(in crate::run) fn keys(schedule: &Schedule, engines: &Engines) -> Vec<Option<CommonKey>> {
    let known: Vec<_> = schedule.builds().map(|job| of(job, &engines.list()[job.engine])).collect();
    let is_common = |key: &CommonKey| {
        let same =
            || known.iter().zip(schedule.builds()).filter(|(one, _)| one.as_ref().is_some_and(|(one, _)| one == key));
        let images: BTreeSet<_> = same().map(|(_, job)| job.image).collect();
        images.len() > 1 && same().any(|(one, _)| one.as_ref().is_some_and(|(_, everything)| *everything))
    };
    known.iter().map(|one| one.as_ref().map(|(key, _)| key.clone()).filter(is_common)).collect()
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

/// The contexts of builds with these keys and sessions, in their order.
pub(in crate::run) fn contexts(
    keys: &[Option<CommonKey>],
    sessions: &[Arc<SessionGroup>],
) -> Vec<Option<Arc<CommonContext>>> {
    let mut opened: BTreeMap<&CommonKey, Arc<CommonContext>> = BTreeMap::new();
    let mut of = Vec::new();
    for (key, session) in keys.iter().zip(sessions) {
        of.push(
            key.as_ref().map(|key| opened.entry(key).or_insert_with(|| Arc::new(key.context(&session.spec))).clone()),
        );
    }
    of
}
