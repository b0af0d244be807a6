//! `polyarch join`: the joiner alone, from what is under the plan's arch tags.

use std::time::Duration;

use futures::future::join_all;
use tokio::sync::mpsc;

use super::access::{Registry, Server, while_served};
use super::adopt;
use super::confirm::{self, Found};
use super::event::{Event, EventSink, Failure, ImageEvent, Phase, PlannedImage};
use super::failure::failure;
use super::gates::Gates;
use super::image::Publication;
use super::listen::{Surroundings, attend};
use super::place::Place;
use super::prepare;
use super::publish::{self, Target};
use super::references::{self, References};
use super::revisions;
use super::shutdown::Shutdown;
use super::wait::{Source, Wait, look_for};
use crate::oci::{EncodedIndex, Selector};
use crate::plan::{ArchTags, Image, Job, Plan, Work};
use crate::registry::Visibility;

/// What to do where an arch tag is not there.
const NOT_THERE: &str = "build and push it: `polyarch build --no-join`";

/// What `polyarch join` is to do.
pub struct JoinRun {
    /// Which images.
    pub what: Joining,
    /// What an index must pass.
    pub gates: Gates,
    /// How long what is not there yet is waited for.
    pub wait: Option<Duration>,
}

/// What is to be joined.
pub enum Joining {
    /// Images of a plan, from their arch tags in this registry.
    Plan(Box<Plan>, Registry),
    /// What was named.
    References(References),
}

/// Joins every image and publishes it. What happened is in the events.
pub async fn join(run: JoinRun, around: Surroundings, sink: &mut dyn EventSink) {
    attend(around, sink, async |events, shutdown| match &run.what {
        Joining::Plan(plan, registry) => join_images(plan, (registry, &run), events, &shutdown).await,
        Joining::References(references) => join_references(references, &run, events, &shutdown).await,
    })
    .await;
}

/// The indexes that [`join`] would publish, or what is wrong with each image.
pub async fn preview(run: JoinRun, server: Option<Server>) -> Vec<(String, Result<EncodedIndex, Failure>)> {
    let work = async {
        let (plan, registry) = match &run.what {
            Joining::Plan(plan, registry) => (plan, registry),
            Joining::References(references) => return vec![(references.name(), references.preview().await)],
        };
        let targets = match prepare::targets(plan, registry) {
            Ok(targets) => targets,
            Err(failure) => return vec![(String::new(), Err(failure))],
        };
        let previews = plan.images.iter().zip(targets).map(async |(image, target)| {
            let index = match find_all(registry, image, &target, None).await {
                Ok(found) => publish::join(&target, found),
                Err(failure) => Err(failure),
            };
            (image.name.to_string(), index)
        });
        join_all(previews).await
    };
    while_served(server, work).await
}

async fn join_references(references: &References, run: &JoinRun, events: mpsc::Sender<Event>, shutdown: &Shutdown) {
    let images = vec![PlannedImage { image: references.name(), tags: references.tags() }];
    drop(events.send(Event::Started { images, jobs: Vec::new() }).await);
    if let Err(failure) = references.join(run, &events, shutdown).await {
        let what = ImageEvent::Failed(failure);
        drop(events.send(Event::Image { image: references.name(), what }).await);
    }
}

async fn join_images(
    plan: &Plan,
    (registry, run): (&Registry, &JoinRun),
    events: mpsc::Sender<Event>,
    shutdown: &Shutdown,
) {
    let targets = match prepare::targets(plan, registry) {
        Ok(targets) => targets,
        Err(failure) => return drop(events.send(Event::Failed(failure)).await),
    };
    let images = targets.iter().map(|target| PlannedImage {
        image: target.image.clone(),
        tags: target.tags.iter().map(|tag| target.repository.tag(tag.clone())).collect(),
    });
    drop(events.send(Event::Started { images: images.collect(), jobs: Vec::new() }).await);
    let joining = plan.images.iter().zip(targets).map(async |(image, target)| {
        let what = match join_image((registry, run), image, target, &events, shutdown).await {
            Ok(None) => return,
            Ok(Some(reason)) => ImageEvent::NotJoined { reason },
            Err(failure) => ImageEvent::Failed(failure),
        };
        drop(events.send(Event::Image { image: image.name.to_string(), what }).await);
    });
    join_all(joining).await;
}

/// Joins one image; says why not, where it was not asked for.
async fn join_image(
    (registry, run): (&Registry, &JoinRun),
    image: &Image,
    target: Target,
    events: &mpsc::Sender<Event>,
    shutdown: &Shutdown,
) -> Result<Option<String>, Failure> {
    if !image.is_complete() {
        let left_out: Vec<_> = image.left_out.iter().map(ToString::to_string).collect();
        return Ok(Some(format!("{} was left out", left_out.join(", "))));
    }
    if let Some(job) = image.jobs.iter().find(|job| job.arch_tags == ArchTags::None) {
        let message = format!("{} {} has no arch tag that it could be joined from", image.name, job.platform);
        let hint = "with `arch_tags: none` only `polyarch build` joins; `polyarch join -t TARGET REPOSITORY@DIGEST…` joins what was pushed by digest";
        return Err(failure(Phase::Plan, &message, Some(hint.into())));
    }
    let name = image.name.to_string();
    let wait = run.wait.map(|limit| Wait { image: &name, limit, events });
    if let Some(warning) = wait.as_ref().and_then(|_| revisions::stale(image)) {
        drop(events.send(Event::Warning(warning)).await);
    }
    let found = find_all(registry, image, &target, wait.as_ref()).await?;
    Publication::of_registry(target, found, registry, run.gates).run(events, shutdown).await?;
    Ok(None)
}

fn arch_tag(target: &Target, job: &Job) -> String {
    target.repository.tag(job.arch_tag.clone()).to_string()
}

/// The child of every platform; all that is wrong is told.
async fn find_all(
    registry: &Registry,
    image: &Image,
    target: &Target,
    wait: Option<&Wait<'_>>,
) -> Result<Vec<Found>, Failure> {
    let finding = async |job: &&Job| {
        let selector = Selector::Tag(job.arch_tag.clone());
        let visibility = Visibility::Settled;
        let (client, repository) = (registry.client(), &target.repository);
        let (platform, entry, policy) = (&job.platform, &job.entry, target.attestations);
        let found = match &job.work {
            Work::Build(_) => confirm::find(client, repository, &selector, visibility, platform, entry, policy).await?,
            Work::Adopt(_) => {
                let place = Place { registry: registry.clone(), repository: repository.clone() };
                adopt::find(&place, &selector, platform, entry, policy).await?
            }
        };
        revisions::as_planned(&found, job)?;
        Ok(found)
    };
    let source = |job| Source { name: arch_tag(target, job), what: job };
    let sources: Vec<_> = image.jobs.iter().map(source).collect();
    let (mut found, mut faults) = (Vec::new(), Vec::new());
    let looked = look_for(&sources, wait, finding).await;
    for (source, result) in sources.into_iter().zip(looked) {
        match result {
            Ok(child) => found.push(child),
            Err(error) => faults.push((source.name, error)),
        }
    }
    if faults.is_empty() {
        // Of which commits others make their images is their affair.
        let built = found.iter().zip(&image.jobs).filter(|(_, job)| job.build().is_some());
        revisions::of_one(built.map(|(found, _)| found))?;
    }
    if faults.is_empty() { Ok(found) } else { Err(references::told(&faults, wait, Some(NOT_THERE))) }
}
