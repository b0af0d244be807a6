//! What works, and may not be what is wanted.

use std::collections::BTreeSet;

use super::assign::{Schedule, ScheduledBuild};
use super::event::{Execution, Warning};
use super::preflight::{Engines, Reached};
use crate::engine::EngineFacts;
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
    for scheduled in schedule.builds().filter(|job| job.execution == Execution::Emulated) {
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
        warnings.push(Warning { image: None, platform: None, message: message.into(), hint: missing.map(Into::into) });
    }
    warnings
}

/// Each image that older engines cannot pull.
fn zstd_warnings(schedule: &Schedule) -> Vec<Warning> {
    let zstd = |job: &&ScheduledBuild| job.job.work.spec.export.compression == Some(Compression::Zstd);
    let images: BTreeSet<_> = schedule.builds().filter(zstd).map(|job| job.id.image.clone()).collect();
    let warn = |image| Warning {
        image: Some(image),
        platform: None,
        message: "its layers are zstd: Docker Engine before 23.0 cannot pull them".into(),
        hint: None,
    };
    images.into_iter().map(warn).collect()
}

/// Each engine that does not know the time that it is told.
fn epoch_warnings(schedule: &Schedule, engines: &Engines) -> Vec<Warning> {
    let told = |job: &ScheduledBuild| job.job.work.spec.args.contains_key("SOURCE_DATE_EPOCH");
    let deaf = asked_in_vain(schedule, engines, told, EngineFacts::knows_the_epoch);
    let what = "passes over SOURCE_DATE_EPOCH: images have the dates of their builds";
    deaf.map(|engine| of_engine(engine, what, "Engine 24.0 or newer knows it")).collect()
}

/// Each engine that imports caches and finds those in images only.
fn cache_warnings(schedule: &Schedule, engines: &Engines) -> Vec<Warning> {
    let apart = |job: &ScheduledBuild| {
        let BuildCache { from, to } = &job.job.work.spec.cache;
        !from.is_empty() && *to != Some(CacheExport::Inline)
    };
    let blind = asked_in_vain(schedule, engines, apart, EngineFacts::finds_caches_apart);
    let what = "finds caches in images only, and passes over others";
    let hint = "say `type: inline` where they are exported; Engine 25.0 or newer finds all";
    blind.map(|engine| of_engine(engine, what, hint)).collect()
}

/// The engines with a job that asks for what they cannot.
fn asked_in_vain<'a>(
    schedule: &Schedule,
    engines: &'a Engines,
    asks: impl Fn(&ScheduledBuild) -> bool,
    can: impl Fn(&EngineFacts) -> bool,
) -> impl Iterator<Item = &'a Reached> {
    let asked: BTreeSet<_> = schedule.builds().filter(|job| asks(job)).map(|job| job.engine).collect();
    asked.into_iter().map(|place| &engines.list()[place]).filter(move |engine| !can(engine.facts()))
}

fn of_engine(engine: &Reached, what: &str, hint: &str) -> Warning {
    let message = format!("engine {} ({}) {what}", engine.spec.name, engine.facts().version);
    Warning { image: None, platform: None, message: message.into(), hint: Some(hint.into()) }
}
