//! `polyarch join`: joins images that exist under the plan's arch tags, without a build.

use std::time::Duration;

use futures::future::join_all;
use futures::stream::{FuturesUnordered, StreamExt as _};
use tokio::sync::mpsc;

use super::missing::Missing;
use super::references::References;
use crate::oci::{EncodedIndex, Selector};
use crate::plan::{ArchTags, Image, ImageNumber, Job, Plan};
use crate::registry::Visibility;
use crate::run::event::failure::failure;
use crate::run::event::image_reporter::ImageReporter;
use crate::run::event::shutdown::Shutdown;
use crate::run::event::{Event, EventSink, Failure, Phase, PlannedImage};
use crate::run::fetch::confirm::{self};
use crate::run::fetch::found::Found;
use crate::run::fetch::revisions;
use crate::run::fetch::wait::{Source, Wait, look_for};
use crate::run::join::missing;
use crate::run::listen::{RunContext, attend};
use crate::run::preflight::command as preflight;
use crate::run::publish::atomic::PublishMode;
use crate::run::publish::draft;
use crate::run::publish::options::Gates;
use crate::run::publish::publication::Publication;
use crate::run::publish::publisher::{self, Publisher};
use crate::run::publish::target::{Target, targets};
use crate::run::storage::registry::{Registry, Server, while_served};
use crate::run::storage::{Registries, Storage};

/// The addition to the hint for plans that remove arch tags after the join.
const REMOVED: &str = "; with `arch_tags: remove` a join removes its arch tags, so it cannot run twice";
/// The hint for the embedded registry: another machine cannot have pushed the image.
const EMBEDDED: &str = "build and push it here: `polyarch build --no-join`; `registry: local` exists on this machine only, \
                        so name a shared registry to join images of other machines";

/// The input of `polyarch join`.
pub struct JoinRun {
    /// The images to join.
    pub what: Joining,
    /// The gates that an index must pass.
    pub gates: Gates,
    /// Whether final tags move image by image or all together.
    pub moving: PublishMode,
    /// The time limit for waiting for missing images. `None` to fail at once.
    pub wait: Option<Duration>,
}

/// The source of the images to join.
pub enum Joining {
    /// The images of a plan. Their arch tags are in the first of these registries.
    Plan(Box<Plan>, Registries),
    /// The references that the user named.
    References(References),
}

/// Joins every image and publishes it. The events report the result.
pub async fn join(run: JoinRun, around: RunContext, sink: &mut dyn EventSink) {
    attend(around, sink, async |events, shutdown| match &run.what {
        Joining::Plan(plan, registries) => join_images(plan, (registries, &run), events, &shutdown).await,
        Joining::References(references) => join_references(references, &run, events, &shutdown).await,
    })
    .await;
}

/// The indexes that [`join`] would publish, or the failure of each image.
pub async fn preview(run: JoinRun, server: Option<Server>) -> Vec<(String, Result<EncodedIndex, Failure>)> {
    let work = async {
        let (plan, registries) = match &run.what {
            Joining::Plan(plan, registries) => (plan, registries),
            Joining::References(references) => return vec![(references.name(), references.preview().await)],
        };
        let targets = match targets(plan, registries) {
            Ok(targets) => targets,
            Err(failure) => return vec![(String::new(), Err(failure))],
        };
        let previews = plan.images.iter().zip(targets).map(async |(image, target)| {
            let index = match find_all(&registries.first, image, &target, None).await {
                Ok(found) => draft::index(&target, found),
                Err(failure) => Err(failure),
            };
            (image.name.to_string(), index)
        });
        join_all(previews).await
    };
    while_served(server, Box::pin(work)).await
}

async fn join_references(references: &References, run: &JoinRun, events: mpsc::Sender<Event>, shutdown: &Shutdown) {
    let images = vec![PlannedImage { image: references.name(), tags: references.tags(), copies: Vec::new() }];
    drop(events.send(Event::Started { images, jobs: Vec::new() }).await);
    if let Err(not_moved) = references.join((run.wait, run.gates), &events, shutdown).await {
        ImageReporter { image: &references.name(), events: &events }.emit(not_moved.event()).await;
    }
}

async fn join_images(
    plan: &Plan,
    (registries, run): (&Registries, &JoinRun),
    events: mpsc::Sender<Event>,
    shutdown: &Shutdown,
) {
    let targets = match targets(plan, registries) {
        Ok(targets) => targets,
        Err(failure) => return drop(events.send(Event::Failed(failure)).await),
    };
    let prepared = match preflight::join(plan, &targets, &registries.first).await {
        Ok(prepared) => prepared,
        Err(failures) => {
            for failure in failures {
                drop(events.send(Event::Failed(failure)).await);
            }
            return;
        }
    };
    let images = targets.iter().map(Target::planned).collect();
    drop(events.send(Event::Started { images, jobs: Vec::new() }).await);
    for event in prepared {
        drop(events.send(event).await);
    }
    let names = targets.iter().map(|target| target.image.clone()).collect();
    let mut publisher = Publisher::new(names, (run.moving, run.gates), events.clone(), shutdown.clone());
    let finding = plan.images.iter().zip(targets).enumerate();
    let finding = finding.map(async |(number, (image, target))| {
        (ImageNumber(number), find_image((&registries.first, run), image, target, &events).await)
    });
    let mut finding: FuturesUnordered<_> = finding.collect();
    loop {
        tokio::select! {
            Some((image, found)) = finding.next() => match found {
                Ok(Sought::Found(publication)) => publisher.begin(image, *publication),
                Ok(Sought::LeftOut(reason)) => publisher.leave_out(image, reason).await,
                Err(failure) => publisher.fail(image, failure).await,
            },
            Some(done) = publisher.next() => match done {
                Ok(done) => publisher.take(done).await,
                Err(error) => {
                    if let Some(failure) = publisher::of_panic(&error) {
                        drop(events.send(Event::Failed(failure)).await);
                    }
                }
            },
            else => return,
        }
    }
}

/// The result of looking for the platforms of an image.
enum Sought {
    /// All platforms exist.
    Found(Box<Publication>),
    /// The run does not join the image, for this reason.
    LeftOut(String),
}

/// Finds all platforms of one image.
async fn find_image(
    (registry, run): (&Registry, &JoinRun),
    image: &Image,
    target: Target,
    events: &mpsc::Sender<Event>,
) -> Result<Sought, Failure> {
    if !image.is_complete() {
        let left_out: Vec<_> = image.left_out.iter().map(ToString::to_string).collect();
        return Ok(Sought::LeftOut(format!("{} was left out", left_out.join(", "))));
    }
    if let Some(job) = image.jobs.iter().find(|job| job.arch_tags == ArchTags::None) {
        let message = format!("{} {} has no arch tag to join from", image.name, job.platform);
        let hint = "run `polyarch build`, which joins without arch tags; or join by digest: \
                    `polyarch join -t TARGET REPOSITORY@DIGEST…`";
        return Err(failure(Phase::Plan, &message, Some(hint.into())));
    }
    let name = image.name.to_string();
    let wait = run.wait.map(|limit| Wait { image: &name, limit, events });
    // A run that waits prints the warning before the search: if an image exists under the arch tag, polyarch does not
    // wait for a newer one.
    if let Some(warning) = wait.as_ref().and_then(|_| revisions::stale(image, None)) {
        drop(events.send(Event::Warning(warning)).await);
    }
    let found = find_all(registry, image, &target, wait.as_ref()).await?;
    if let Some(warning) = revisions::stale(image, Some(&found)).filter(|_| wait.is_none()) {
        drop(events.send(Event::Warning(warning)).await);
    }
    Ok(Sought::Found(Box::new(Publication::new(target, found, registry))))
}

fn arch_tag(target: &Target, job: &Job) -> String {
    target.storage.tag(job.arch_tag.clone()).to_string()
}

/// Finds the child manifest of every platform. The failure lists all faults.
async fn find_all(
    registry: &Registry,
    image: &Image,
    target: &Target,
    wait: Option<&Wait<'_>>,
) -> Result<Vec<Found>, Failure> {
    let storage = Storage::Repository { registry: registry.clone(), repository: target.storage.clone() };
    let finding = async |job: &&Job| {
        let selector = Selector::Tag(job.arch_tag.clone());
        let visibility = Visibility::Settled;
        let (platform, entry, policy) = (&job.platform, &job.entry, target.attestations);
        let found = confirm::find(&storage, &selector, visibility, platform, entry, policy).await?;
        revisions::as_planned(&found, job)?;
        Ok(found)
    };
    let source = |job| Source { name: arch_tag(target, job), what: job };
    let sources: Vec<_> = image.jobs.iter().map(source).collect();
    let (mut found, mut faults, mut missing) = (Vec::new(), Vec::new(), Vec::new());
    let looked = look_for(&sources, wait, finding).await;
    for (source, result) in sources.into_iter().zip(looked) {
        match result {
            Ok(mut child) => {
                child.leave_out_what_is_refused(std::iter::once(&storage).chain(&target.copies));
                found.push(child);
            }
            Err(error) => {
                missing.extend(error.is_missing().then(|| source.what.platform.to_string()));
                faults.push((source.name, error));
            }
        }
    }
    if faults.is_empty() {
        // The check is for built images only: third-party images may be of any commit.
        let built = found.iter().zip(&image.jobs).filter(|(_, job)| job.build().is_some());
        revisions::of_one(built.map(|(found, _)| found))?;
    }
    let hint = match registry {
        Registry::Embedded { .. } if !removes_arch_tags(image) => EMBEDDED.to_owned(),
        Registry::Embedded { .. } | Registry::Named { .. } => not_pushed(image, &missing),
    };
    if faults.is_empty() { Ok(found) } else { Err(missing::as_failure(&faults, wait, Missing::Expected(Some(&hint)))) }
}

fn removes_arch_tags(image: &Image) -> bool {
    image.jobs.iter().any(|job| job.arch_tags == ArchTags::Remove)
}

/// The hint if no image exists under the arch tags of these `platforms`.
fn not_pushed(image: &Image, platforms: &[String]) -> String {
    let (named, passed) = (platforms.join(", "), platforms.join(","));
    let removed = if removes_arch_tags(image) { REMOVED } else { "" };
    format!("check your jobs for {named}, or push the images: `polyarch build --no-join --platform {passed}`{removed}")
}
