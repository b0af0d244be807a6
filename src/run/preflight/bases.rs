//! Checks the platforms of base images before a build starts. A base that lacks a platform fails every build of that
//! platform. If a registry does not answer in time, the build finds out.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures::stream::{self, StreamExt as _};
use tokio::time::{Instant, timeout_at};

use crate::context::{Base, BaseQuery, Role, bases, is_dockers_frontend};
use crate::engine::{Excerpt, given_dockerfile};
use crate::oci::{Content, Descriptor, EntryOverride, Platform, PlatformFields, Reference, RegistryHost};
use crate::plan::Plan;
use crate::registry::Visibility;
use crate::run::event::failure::{failure, lines_of};
use crate::run::event::{Failure, Phase};
use crate::run::fetch::walk::AT_ONCE;
use crate::run::preflight::dockerfile;
use crate::run::preflight::request::BuildRun;
use crate::run::schedule::create;
use crate::run::schedule::engines::{Engines, Reached};
use crate::run::schedule::goal::Goal;
use crate::run::schedule::scheduled::{Schedule, ScheduledBuild};
use crate::run::storage::Storage;

/// The time that a run waits for the answers.
const LONGEST: Duration = Duration::from_secs(3);
/// The most images that polyarch asks registries for.
const MOST: usize = 32;
/// The most platforms of an image that a message lists.
const NAMED: usize = 12;

/// The registries of the images that the builds of `plan` read. polyarch reads the Dockerfiles and sends no request.
#[must_use]
pub fn base_hosts(plan: &Plan, engines: &Engines, goal: Goal) -> BTreeSet<RegistryHost> {
    let Ok(schedule) = create::schedule(plan, engines, goal) else { return BTreeSet::new() };
    needs(&schedule, engines).into_iter().map(|need| need.base.image.repository.host().clone()).collect()
}

/// An image that a job reads.
struct Need<'a> {
    job: &'a ScheduledBuild,
    engine: &'a Reached,
    base: Base,
}

/// The content that a registry has under the name of an image.
enum Has {
    /// An index with these platforms. `None` is an entry that may be of any platform.
    Index(Vec<Option<Platform>>),
    /// A single image of this platform, without an index.
    Image(Platform),
}

/// A failure for each image that lacks a platform that its builds need.
pub(in crate::run) async fn refusals(run: &BuildRun, schedule: &Schedule) -> Vec<Failure> {
    let mut needs = needs(schedule, &run.engines);
    // This run may publish the image before the build reads it.
    needs.retain(|need| !is_published(run, &need.base.image));
    let images: BTreeSet<&Reference> = needs.iter().map(|need| &need.base.image).collect();
    let until = Instant::now() + LONGEST;
    let asking = images.into_iter().take(MOST).filter_map(|image| {
        let registry = run.bases.iter().find(|registry| registry.host() == image.repository.host())?;
        let storage = Storage::Repository { registry: registry.clone(), repository: image.repository.clone() };
        Some(async move { Some((image, timeout_at(until, ask(&storage, image)).await.ok()??)) })
    });
    // The futures exist before the stream, because a task may await this function.
    let asking: Vec<_> = asking.collect();
    let answers: BTreeMap<_, _> =
        stream::iter(asking).buffered(AT_ONCE).collect::<Vec<_>>().await.into_iter().flatten().collect();
    let mut lacking: Vec<(&Need<'_>, &Has)> = Vec::new();
    for need in &needs {
        let Some(has) = answers.get(&need.base.image).filter(|has| lacks(need, has)) else { continue };
        if !need.engine.engine.may_have(&need.base.image, &need.base.platform).await {
            lacking.push((need, has));
        }
    }
    failures(&lacking)
}

fn is_published(run: &BuildRun, image: &Reference) -> bool {
    let mut repositories = run.registries.all().flat_map(|registry| {
        run.plan.images.iter().filter_map(|planned| registry.repository(&planned.repository).ok())
    });
    repositories.any(|repository| repository == image.repository)
}

fn needs<'a>(schedule: &'a Schedule, engines: &'a Engines) -> Vec<Need<'a>> {
    let of = |job: &'a ScheduledBuild| {
        let engine = &engines.list()[job.engine];
        // Loopback means a different registry on another machine.
        let is_there =
            |base: &Base| !base.image.repository.host().is_loopback() || engine.spec.host.is_on_this_machine();
        let bases = read(job, engine).unwrap_or_default().into_iter().filter(is_there);
        bases.map(|base| Need { job, engine, base }).collect::<Vec<_>>()
    };
    schedule.builds().flat_map(of).collect()
}

/// The images that the Dockerfile of `job` names. `None` for a foreign frontend, which may read the file in its own
/// way.
fn read(job: &ScheduledBuild, engine: &Reached) -> Option<Vec<Base>> {
    let build = &job.job.work.spec;
    let dockerfile = given_dockerfile(&build.dockerfile)?;
    let frontend = build.args.get("BUILDKIT_SYNTAX").cloned().or(dockerfile.frontend().ok()?);
    if frontend.is_some_and(|frontend| !is_dockers_frontend(&frontend)) {
        return None;
    }
    let query = BaseQuery {
        target: build.target.as_deref(),
        args: &build.args,
        platform: &job.id.platform,
        build_platform: &engine.facts().platform,
        contexts: &build.contexts.keys().map(ToString::to_string).collect(),
    };
    Some(bases(&dockerfile.read().ok()?, &query))
}

/// The content of the image in the registry. `None` if the registry gives no usable answer.
async fn ask(storage: &Storage, image: &Reference) -> Option<Has> {
    let manifest = storage.manifest(&image.selector, Visibility::Settled).await.ok()?;
    match manifest.content().ok()? {
        Content::Index(index) => {
            let images = index.manifests.iter().filter(|entry| !entry.is_attestation());
            let platforms = images.map(Descriptor::platform);
            Some(Has::Index(platforms.collect()))
        }
        Content::Image(image) => {
            let config = storage.config(&image.config).await.ok()?;
            Some(Has::Image(PlatformFields::of_config(&config).ok()??.platform().ok()?))
        }
    }
}

/// Whether the build fails because this image lacks the platform. BuildKit accepts a single image of any platform. A
/// wrong platform matters only for the base of the result. It is fine there too if the plan overrides the entry.
fn lacks(need: &Need<'_>, has: &Has) -> bool {
    let wanted = &need.base.platform;
    match has {
        Has::Index(platforms) => !platforms.iter().any(|one| one.as_ref().is_none_or(|one| wanted.takes(one))),
        Has::Image(platform) => {
            need.base.role == Role::Result && need.job.job.entry == EntryOverride::default() && !wanted.takes(platform)
        }
    }
}

/// One failure for each image at each place of a Dockerfile. The failure lists all platforms that the image lacks
/// there.
fn failures(lacking: &[(&Need<'_>, &Has)]) -> Vec<Failure> {
    let mut groups: Vec<Vec<&(&Need<'_>, &Has)>> = Vec::new();
    for one in lacking {
        let key = |(need, _): &(&Need<'_>, &Has)| {
            (
                need.job.id.image.clone(),
                need.base.lines,
                need.base.image.to_string(),
                dockerfile::name(need.job).to_string(),
            )
        };
        match groups.iter_mut().find(|group| key(group[0]) == key(one)) {
            Some(group) => group.push(one),
            None => groups.push(vec![one]),
        }
    }
    groups.iter().filter_map(|group| group.first().map(|(need, has)| of_group(need, has, group))).collect()
}

fn of_group(need: &Need<'_>, has: &Has, group: &[&(&Need<'_>, &Has)]) -> Failure {
    let mut wanted: Vec<_> = group.iter().map(|(need, _)| need.base.platform.to_string()).collect();
    wanted.dedup();
    let (wanted, image, of) = (wanted.join(", "), &need.base.image, &need.job.id.image);
    let has = match has {
        Has::Index(platforms) => format!("it has {}", listed(platforms)),
        Has::Image(platform) => format!("it is a single image for {platform}"),
    };
    let hint = match need.base.role {
        Role::Result => format!("leave {wanted} out of `platforms`, or take a base image that has it"),
        Role::Files => format!(
            "leave {wanted} out of `platforms`, take an image that has it, or run that stage on the engine's own \
             platform: `FROM --platform=$BUILDPLATFORM`"
        ),
    };
    let refused = failure(Phase::Plan, &format!("{of}: {image} has no {wanted}: {has}"), Some(hint));
    let text = given_dockerfile(&need.job.job.work.spec.dockerfile).and_then(|file| file.read().ok());
    let excerpt = text.and_then(|text| Excerpt::of_lines(&text, need.base.lines.0, need.base.lines.1));
    Failure { source: excerpt.map(|excerpt| Box::new(lines_of(dockerfile::name(need.job), &excerpt))), ..refused }
}

fn listed(platforms: &[Option<Platform>]) -> String {
    let mut names: Vec<_> = platforms.iter().flatten().map(ToString::to_string).collect();
    names.dedup();
    let more = names.len().saturating_sub(NAMED);
    names.truncate(NAMED);
    if names.is_empty() {
        return "no image".into();
    }
    if more > 0 { format!("{} and {more} more", names.join(", ")) } else { names.join(", ") }
}
