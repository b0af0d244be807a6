//! The images that an engine can name (`--load`). Some engines keep only one platform under a name.

use std::collections::BTreeMap;

use super::engines::{Engines, Reached};
use super::scheduled::{Schedule, ScheduledBuild};
use crate::engine::EngineFacts;
use crate::oci::Platform;
use crate::plan::ImageNumber;
use crate::run::event::failure::failure;
use crate::run::event::{Failure, Phase};

/// Refuses images that would have no name afterwards. This happens with several foreign platforms on an engine that
/// keeps one platform under a name.
pub(in crate::run) fn refusals(schedule: &Schedule, engines: &Engines) -> Vec<Failure> {
    let mut shared: BTreeMap<(ImageNumber, usize), Vec<&ScheduledBuild>> = BTreeMap::new();
    for job in schedule.builds() {
        shared.entry((job.image, job.engine)).or_default().push(job);
    }
    let refusal = |((_, engine), jobs): ((ImageNumber, usize), Vec<&ScheduledBuild>)| {
        let reached = &engines.list()[engine];
        let platforms: Vec<_> = jobs.iter().map(|job| &job.job.platform).collect();
        if reached.engine.is_buildkit_alone()
            || reached.facts().names_indexes()
            || one_of(&platforms, reached.facts()).is_some()
        {
            return None;
        }
        let message = format!(
            "engine {} ({}) can name only one platform of an image; {} of {} do not include the engine's platform ({})",
            reached.spec.name,
            reached.facts().version,
            listed(&platforms),
            jobs[0].id.image,
            reached.facts().platform
        );
        let hint = format!("choose one of them with --platform, or {}", reached.facts().way_to_indexes());
        Some(failure(Phase::Preflight, &message, Some(hint)))
    };
    shared.into_iter().filter_map(refusal).collect()
}

/// Refuses engines that keep no images.
pub(in crate::run) fn without_images(schedule: &Schedule, engines: &Engines) -> Vec<Failure> {
    let refusal = |(number, reached): (usize, &Reached)| {
        let job = schedule.builds().find(|job| job.engine == number && reached.engine.is_buildkit_alone())?;
        let (name, version) = (reached.engine.name(), &reached.facts().version);
        let message = format!("engine {name} ({version}) cannot load {}: BuildKit alone keeps no images", job.id);
        Some(failure(Phase::Preflight, &message, Some("build with --load on a Docker Engine: `host:`".into())))
    };
    engines.list().iter().enumerate().filter_map(refusal).collect()
}

/// Chooses the platform for the name on an engine that keeps one platform under a name. The first match counts:
/// 1. the engine's own platform
/// 2. the only platform
/// 3. the first platform that the engine's processor runs
pub(in crate::run) fn one_of(platforms: &[&Platform], facts: &EngineFacts) -> Option<usize> {
    let own = platforms.iter().position(|platform| **platform == facts.platform);
    let only = || (platforms.len() == 1).then_some(0);
    own.or_else(only).or_else(|| platforms.iter().position(|platform| facts.is_native(platform)))
}

fn listed(platforms: &[&Platform]) -> String {
    platforms.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
