//! What works, and may not be what is wanted.

use std::collections::BTreeSet;

use super::assign::{Schedule, ScheduledJob};
use super::event::{Execution, Warning};
use super::preflight::Engines;
use crate::plan::{BuildCache, CacheExport, Compression};

/// All of them, each said once.
pub(super) fn warnings(schedule: &Schedule, engines: &Engines) -> Vec<Warning> {
    let mut all = emulation_warnings(schedule, engines);
    all.extend(zstd_warnings(schedule));
    all.extend(epoch_warnings(schedule, engines));
    all.extend(cache_warnings(schedule, engines));
    all
}

/// Each foreign platform of an engine, warned of once.
fn emulation_warnings(schedule: &Schedule, engines: &Engines) -> Vec<Warning> {
    let mut seen = Vec::new();
    let mut warnings = Vec::new();
    for scheduled in schedule.jobs.iter().filter(|job| job.execution == Execution::Emulated) {
        let platform = &scheduled.job.platform;
        if seen.contains(&(scheduled.engine, platform)) {
            continue;
        }
        seen.push((scheduled.engine, platform));
        let reached = &engines.list()[scheduled.engine];
        let native = &reached.facts().platform;
        let missing = reached.engine.missing_emulation(platform);
        let message = match missing {
            None => {
                format!("{platform} is emulated on engine {} ({native}): its `RUN` steps are slow", reached.spec.name)
            }
            Some(_) => format!(
                "engine {} ({native}) cannot run {platform} programs: a `RUN` step would fail with `exec format error`",
                reached.spec.name
            ),
        };
        // The message names the platform.
        warnings.push(Warning { image: None, platform: None, message, hint: missing });
    }
    warnings
}

/// Each image that older engines cannot pull.
fn zstd_warnings(schedule: &Schedule) -> Vec<Warning> {
    let zstd = |job: &&ScheduledJob| job.job.build.export.compression == Some(Compression::Zstd);
    let images: BTreeSet<_> = schedule.jobs.iter().filter(zstd).map(|job| job.id.image.clone()).collect();
    let warn = |image| Warning {
        image: Some(image),
        platform: None,
        message: "its layers are zstd: Docker Engine before 23.0 cannot pull them".to_owned(),
        hint: None,
    };
    images.into_iter().map(warn).collect()
}

/// Each engine that does not know the time that it is told.
fn epoch_warnings(schedule: &Schedule, engines: &Engines) -> Vec<Warning> {
    let told = |job: &&ScheduledJob| job.job.build.args.contains_key("SOURCE_DATE_EPOCH");
    let deaf: BTreeSet<_> = schedule.jobs.iter().filter(told).map(|job| job.engine).collect();
    let deaf = deaf.into_iter().map(|place| &engines.list()[place]).filter(|engine| !engine.facts().knows_the_epoch());
    let warn = |engine: &super::preflight::Reached| Warning {
        image: None,
        platform: None,
        message: format!(
            "engine {} ({}) passes over SOURCE_DATE_EPOCH: images have the dates of their builds",
            engine.spec.name,
            engine.facts().version
        ),
        hint: Some("Engine 24.0 or newer knows it".to_owned()),
    };
    deaf.map(warn).collect()
}

/// Each engine that imports caches and finds those in images only.
fn cache_warnings(schedule: &Schedule, engines: &Engines) -> Vec<Warning> {
    let apart = |job: &&ScheduledJob| {
        let BuildCache { from, to } = &job.job.build.cache;
        !from.is_empty() && *to != Some(CacheExport::Inline)
    };
    let importing: BTreeSet<_> = schedule.jobs.iter().filter(apart).map(|job| job.engine).collect();
    let blind = importing.into_iter().map(|place| &engines.list()[place]).filter(|e| !e.facts().finds_caches_apart());
    let warn = |engine: &super::preflight::Reached| Warning {
        image: None,
        platform: None,
        message: format!(
            "engine {} ({}) finds caches in images only, and passes over others",
            engine.spec.name,
            engine.facts().version
        ),
        hint: Some("say `type: inline` where they are exported; Engine 25.0 or newer finds all".to_owned()),
    };
    blind.map(warn).collect()
}
