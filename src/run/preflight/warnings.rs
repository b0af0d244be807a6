//! Warns of builds that work but may have another result than you expect.

use std::collections::BTreeSet;

use crate::engine::EngineFacts;
use crate::plan::{ArchTags, BuildCache, CacheExport, Compression, Image, Plan};
use crate::run::event::{Execution, Warning};
use crate::run::schedule::engines::{Engines, Reached};
use crate::run::schedule::goal::Goal;
use crate::run::schedule::scheduled::{Schedule, ScheduledBuild};

/// All warnings, each once.
pub(in crate::run) fn warnings(schedule: &Schedule, engines: &Engines) -> Vec<Warning> {
    let mut all = engines.warnings();
    all.extend(emulation_warnings(schedule, engines));
    all.extend(zstd_warnings(schedule));
    all.extend(epoch_warnings(schedule, engines));
    all.extend(cache_warnings(schedule, engines));
    all
}

/// A warning for each image that another run should join but cannot find, because no arch tag names it.
pub(in crate::run) fn without_arch_tags(plan: &Plan, goal: Goal) -> Vec<Warning> {
    let joined_later = plan.images.iter().filter(|image| match goal {
        Goal::Push => true,
        Goal::Publish => !image.is_complete(),
        Goal::Build | Goal::Load => false,
    });
    let warn = |image: &Image| {
        let platforms = image.jobs.iter().filter(|job| job.arch_tags == ArchTags::None);
        let platforms: Vec<_> = platforms.map(|job| job.platform.to_string()).collect();
        let message = format!("`polyarch join` cannot find {}: the plan has `arch_tags: none`", platforms.join(", "));
        (!platforms.is_empty()).then(|| Warning {
            image: Some(image.name.to_string()),
            platform: None,
            message: message.into(),
            hint: Some(
                "set `arch_tags: remove`, or join by digest: `polyarch join -t TARGET REPOSITORY@DIGEST…`".into(),
            ),
        })
    };
    joined_later.filter_map(warn).collect()
}

/// A warning for each foreign platform of an engine.
fn emulation_warnings(schedule: &Schedule, engines: &Engines) -> Vec<Warning> {
    let mut seen = Vec::new();
    let mut warnings = Vec::new();
    for scheduled in schedule.builds_at_equal_places().filter(|job| job.execution == Execution::Emulated) {
        let platform = scheduled.job.platform;
        if seen.contains(&(scheduled.engine, platform.clone())) {
            continue;
        }
        seen.push((scheduled.engine, platform.clone()));
        let reached = &engines.list()[scheduled.engine];
        let native = &reached.facts().platform;
        let missing = reached.engine.missing_emulation(&platform);
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

/// A warning for each image that older engines cannot pull.
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

/// A warning for each engine that ignores `SOURCE_DATE_EPOCH`.
fn epoch_warnings(schedule: &Schedule, engines: &Engines) -> Vec<Warning> {
    let sets_epoch = |job: &ScheduledBuild| job.job.work.spec.args.contains_key("SOURCE_DATE_EPOCH");
    let deaf = engines_without(schedule, engines, sets_epoch, EngineFacts::knows_the_epoch);
    let fault = "ignores SOURCE_DATE_EPOCH: images get the dates of their builds";
    let hint = |engine: &Reached| format!("use {} for SOURCE_DATE_EPOCH", engine.facts().newer_for_the_epoch());
    deaf.map(|engine| of_engine(engine, fault, hint(engine))).collect()
}

/// A warning for each engine that has to import caches but finds them only in images.
fn cache_warnings(schedule: &Schedule, engines: &Engines) -> Vec<Warning> {
    let apart = |job: &ScheduledBuild| {
        let BuildCache { from, to } = &job.job.work.spec.cache;
        !from.is_empty() && *to != Some(CacheExport::Inline)
    };
    let blind = engines_without(schedule, engines, apart, EngineFacts::finds_caches_apart);
    let fault = "finds caches only in images, and ignores other caches";
    let hint =
        |engine: &Reached| format!("export caches with `type: inline`, or use {}", engine.facts().newer_for_caches());
    blind.map(|engine| of_engine(engine, fault, hint(engine))).collect()
}

/// The engines with a job that asks for more than the engine can do.
fn engines_without<'a>(
    schedule: &Schedule,
    engines: &'a Engines,
    asks: impl Fn(&ScheduledBuild) -> bool,
    can: impl Fn(&EngineFacts) -> bool,
) -> impl Iterator<Item = &'a Reached> {
    let asking: BTreeSet<_> = schedule.builds_at_equal_places().filter(|job| asks(job)).map(|job| job.engine).collect();
    asking.into_iter().map(|engine| &engines.list()[engine]).filter(move |engine| !can(engine.facts()))
}

fn of_engine(engine: &Reached, fault: &str, hint: String) -> Warning {
    let message = format!("engine {} ({}) {fault}", engine.spec.name, engine.facts().version);
    Warning { image: None, platform: None, message: message.into(), hint: Some(hint.into()) }
}
