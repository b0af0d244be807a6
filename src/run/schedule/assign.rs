//! Assigns jobs to engines: jobs × engines → schedule. This module sends no requests.

use super::candidate::{Candidate, Refused};
use super::scheduled::{Place, Schedule, ScheduledBuild, ScheduledImport, ScheduledJob};
use crate::plan::{Build, EngineName, Image, ImageNumber, Job, Plan, Work};
use crate::random::{Node, rendezvous};
use crate::run::event::{Execution, JobId};

/// The error for a job that no engine may build.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no engine builds {job}: {engines}")]
pub(in crate::run) struct NoEngine {
    /// The job.
    pub(in crate::run) job: JobId,
    /// The engines and the platforms that each builds, as text.
    pub(in crate::run) engines: String,
    /// The reason that is the easiest to remove, and its engine.
    pub(in crate::run) why: Option<(Refused, EngineName)>,
}

/// Whether equal engines share their jobs during the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::run) enum Sharing {
    /// A job may go to any equal engine. It prefers the same engine in every run, because it has the image's cache.
    Free,
    /// Each job has one engine, because nothing is pushed and the images of a job stay on its engine.
    Fixed,
}

/// Assigns engines to every build. The order of preference is:
/// 1. the engine that the build names
/// 2. an engine that supports all features that the build asks for
/// 3. a native engine
/// 4. an engine that lists the platform
///
/// Among equal engines, all may get the build if the run shares its jobs, and the image's name decides which of them is
/// the first. Among the pods of one entry, only the first gets it, unless that pod is lost.
///
/// Otherwise the engine with the fewest jobs for its slots gets the build. If that is equal too, the first engine of the
/// plan gets it.
///
/// # Errors
/// Every job that no engine may build.
pub(in crate::run) fn assign(
    plan: &Plan,
    engines: &[Candidate<'_>],
    sharing: Sharing,
) -> Result<Schedule, Vec<NoEngine>> {
    let mut load = vec![0_u32; engines.len()];
    let mut jobs = Vec::new();
    let mut errors = Vec::new();
    for (number, image) in plan.images.iter().enumerate() {
        for job in &image.jobs {
            let (id, image) = (job_id(image, job), ImageNumber(number));
            let job = match &job.work {
                Work::Build(build) => job.with_work(Build::clone(build)),
                Work::Import(import) => {
                    let job = job.with_work(import.clone());
                    jobs.push(ScheduledJob::Import(ScheduledImport { id, image, job }));
                    continue;
                }
            };
            let able = able(&job, engines);
            let places = match sharing {
                Sharing::Free => in_order(&id.image, &able, engines),
                Sharing::Fixed => fixed(&id.image, &able, engines, &load).into_iter().collect(),
            };
            let Some(&Place { engine, execution, .. }) = places.first() else {
                errors.push(no_engine(id, &job, engines));
                continue;
            };
            load[engine] += 1;
            jobs.push(ScheduledJob::Build(ScheduledBuild { id, image, job, engine, execution, places }));
        }
    }
    if errors.is_empty() { Ok(Schedule { jobs }) } else { Err(errors) }
}

/// The engines that take `job`. If some of them support all features of the job, only these.
fn able(job: &Job<Build>, engines: &[Candidate<'_>]) -> Vec<Place> {
    let entry = |one: &Candidate<'_>| engines.iter().position(|other| other.name == one.name);
    let taking = asked(job, engines)
        .filter_map(|(engine, one)| Some(Place { engine, entry: entry(one)?, execution: one.takes(job).ok()? }));
    let lacks = |place: &Place| !engines[place.engine].facts.lacks(&job.work.spec, job.arch_tags).is_empty();
    let (lacking, able): (Vec<_>, Vec<_>) = taking.partition(lacks);
    if able.is_empty() { lacking } else { able }
}

/// The engines that the plan allows for `job`, with their numbers.
fn asked<'a>(job: &Job<Build>, engines: &'a [Candidate<'a>]) -> impl Iterator<Item = (usize, &'a Candidate<'a>)> {
    let name = job.work.engine.clone();
    engines.iter().enumerate().filter(move |(_, engine)| name.as_ref().is_none_or(|name| name == engine.name))
}

/// `places` in the order in which they should get the jobs of `image`. Native engines come first.
fn in_order(image: &str, places: &[Place], engines: &[Candidate<'_>]) -> Vec<Place> {
    let nodes = places.iter().map(|place| &engines[place.engine]);
    let nodes: Vec<_> = nodes.map(|engine| Node { name: engine.own.as_str(), weight: engine.slots }).collect();
    let mut ordered: Vec<_> = rendezvous(image, &nodes).into_iter().map(|number| places[number]).collect();
    ordered.sort_by_key(|place| place.execution == Execution::Emulated);
    ordered
}

/// The engine with the fewest jobs. Among the engines of one entry of the plan, the image returns to its own one.
fn fixed(image: &str, able: &[Place], engines: &[Candidate<'_>], load: &[u32]) -> Option<Place> {
    let best = able.iter().min_by_key(|place| rank(place, engines, load))?;
    let is_equal =
        |place: &&Place| engines[place.engine].name == engines[best.engine].name && place.execution == best.execution;
    let equal: Vec<_> = able.iter().filter(is_equal).copied().collect();
    in_order(image, &equal, engines).into_iter().next()
}

fn rank(place: &Place, engines: &[Candidate<'_>], load: &[u32]) -> (bool, u32, usize) {
    // Jobs for each slot in 65536ths. Integers are exact enough to compare, and they need no floating point.
    let share = (load[place.engine] << 16) / u32::from(engines[place.engine].slots.max(1));
    (place.execution == Execution::Emulated, share, place.engine)
}

fn no_engine(id: JobId, job: &Job<Build>, engines: &[Candidate<'_>]) -> NoEngine {
    let refused = |engine: &Candidate<'_>| engine.takes(job).err().unwrap_or(Refused::Foreign);
    let lines: Vec<_> = engines.iter().map(|engine| engine.describe(refused(engine))).collect();
    let all = lines.join("; ");
    let described = match &job.work.engine {
        Some(name) => format!("the plan asks for engine {name}; {all}"),
        None => all,
    };
    let why = asked(job, engines).map(|(_, engine)| (refused(engine), engine.name.clone())).min();
    NoEngine { job: id, engines: described, why }
}

pub(super) fn job_id(image: &Image, job: &Job) -> JobId {
    JobId { image: image.name.to_string(), platform: job.platform.clone() }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::candidate::{AllowedPlatforms, Others};
    use super::*;
    use crate::engine::{ApiVersion, EngineFacts, ImageStore};
    use crate::oci::Platform;
    use crate::plan::{self, Emulation, EngineHost, EnginePlatforms, EngineSpec, Facts, Overrides, SourceText};

    fn plan(text: &str) -> Plan {
        let source = SourceText { path: "build.yaml".into(), text: text.into() };
        plan::resolve(&source, &BTreeMap::new(), &Facts::new(), &Overrides::default()).unwrap()
    }

    fn facts(platform: &str) -> EngineFacts {
        let platform: Platform = platform.parse().unwrap();
        let api = ApiVersion { major: 1, minor: 51 };
        EngineFacts {
            version: "28".into(),
            api: Some(api),
            buildkit: api.buildkit(),
            runs: vec![platform.clone()],
            platform,
            store: ImageStore::Containerd,
            runc: None,
        }
    }

    /// The engine of each job by its name. A `~` marks an emulated platform.
    fn assigned(plan: &Plan, facts: &[EngineFacts]) -> Result<Vec<String>, String> {
        places(plan, facts, Sharing::Fixed)
    }

    /// All engines of each job.
    fn places(plan: &Plan, facts: &[EngineFacts], sharing: Sharing) -> Result<Vec<String>, String> {
        let candidates: Vec<_> = plan
            .engines
            .iter()
            .zip(facts)
            .map(|(spec, facts)| Candidate {
                name: &spec.name,
                own: &spec.name,
                facts,
                may: AllowedPlatforms::of(spec, Others::Engines),
                emulation: spec.emulation,
                slots: spec.slots.get(),
            })
            .collect();
        let word = |place: &Place| {
            let mark = if place.execution == Execution::Emulated { "~" } else { "" };
            format!("{mark}{}", candidates[place.engine].name)
        };
        let word = |job: &ScheduledBuild| job.places.iter().map(word).collect::<Vec<_>>().join(" ");
        let schedule = assign(plan, &candidates, sharing);
        schedule
            .map(|schedule| schedule.builds().map(word).collect())
            .map_err(|errors| errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
    }

    const TWO: &str = "
version: 1
engines:
  x86: { host: unix:///x86.sock, platforms: [linux/amd64, linux/arm64], slots: 2 }
  graviton: { host: unix:///graviton.sock }
images:
  web: { tags: [\"1\"], platforms: [linux/arm64, linux/amd64] }
";

    #[test]
    fn native_engine_takes_precedence_over_emulation() {
        let facts = [facts("linux/amd64"), facts("linux/arm64")];
        assert_eq!(assigned(&plan(TWO), &facts).unwrap(), ["graviton", "x86"]);
    }

    #[test]
    fn foreign_platform_is_emulated_if_no_native_engine_exists() {
        let facts = [facts("linux/amd64"), facts("linux/riscv64")];
        assert_eq!(assigned(&plan(TWO), &facts).unwrap(), ["~x86", "x86"]);
    }

    #[test]
    fn unbuildable_platform_error_lists_all_engines() {
        let plan = plan(&TWO.replace("linux/arm64, linux/amd64]", "linux/s390x]"));
        assert_eq!(
            assigned(&plan, &[facts("linux/amd64"), facts("linux/arm64")]).unwrap_err(),
            "no engine builds web linux/s390x: x86 builds linux/amd64, linux/arm64; graviton builds linux/arm64"
        );
    }

    #[test]
    fn platform_list_of_an_engine_implies_its_own_platforms() {
        let one = |platforms: &str, wanted: &str| {
            plan(&format!(
                "version: 1\nengines: {{ e: {{ host: unix:///e.sock{platforms} }} }}\n\
                 images: {{ web: {{ tags: [\"1\"], platforms: [{wanted}] }} }}\n"
            ))
        };
        let x86 = EngineFacts {
            runs: ["linux/amd64", "linux/amd64/v3", "linux/386"].map(|one| one.parse().unwrap()).to_vec(),
            ..facts("linux/amd64")
        };
        let listed = one(", platforms: [linux/arm64]", "linux/amd64, linux/arm64, linux/amd64/v2, linux/386");
        assert_eq!(assigned(&listed, std::slice::from_ref(&x86)).unwrap(), ["e", "~e", "e", "e"]);
        let silent = one("", "linux/amd64/v3, linux/amd64/v2");
        assert_eq!(assigned(&silent, std::slice::from_ref(&x86)).unwrap(), ["e", "e"]);
        for (wanted, engines) in
            [("linux/s390x", "linux/amd64, linux/arm64"), ("linux/amd64/v4", "linux/amd64, linux/arm64")]
        {
            let refused = assigned(&one(", platforms: [linux/arm64]", wanted), std::slice::from_ref(&x86)).unwrap_err();
            assert_eq!(refused, format!("no engine builds web {wanted}: e builds {engines}"));
        }
    }

    #[test]
    fn single_engine_builds_all_unless_it_lists_platforms() {
        let arm = || vec!["linux/arm64".parse().unwrap()];
        let spec = |platforms| EngineSpec {
            platforms,
            ..EngineSpec::new("e".parse().unwrap(), "unix:///e.sock".parse::<EngineHost>().unwrap())
        };
        let (silent, also) = (spec(EnginePlatforms::Own), spec(EnginePlatforms::Also(arm())));
        let only = spec(EnginePlatforms::Only(arm()));
        assert!(matches!(AllowedPlatforms::of(&silent, Others::Nobody), AllowedPlatforms::Everything));
        assert!(matches!(AllowedPlatforms::of(&silent, Others::Engines), AllowedPlatforms::Own([])));
        assert!(matches!(AllowedPlatforms::of(&also, Others::Nobody), AllowedPlatforms::Own([_])));
        assert!(matches!(AllowedPlatforms::of(&only, Others::Nobody), AllowedPlatforms::Only([_])));
    }

    #[test]
    fn refused_platforms_and_emulation_are_named() {
        let plan = |engine: &str, image: &str, platform: &str| {
            plan(&format!(
                "version: 1\nengines: {{ x86: {{ host: unix:///e.sock{engine} }} }}\n\
                 images: {{ web: {{ tags: [\"1\"], platforms: [{platform}]{image} }} }}\n"
            ))
        };
        let arm = ", platforms: [linux/arm64]";
        for (engine, image, platform, said, why) in [
            (", platforms_only: [linux/arm64]", "", "linux/amd64", "x86 builds only linux/arm64", Refused::LeftOut),
            (
                ", platforms: [linux/arm64], emulate: false",
                "",
                "linux/arm64",
                "engine x86 does not emulate (`emulate: false`)",
                Refused::NoEmulation,
            ),
            (
                arm,
                ", emulate: false",
                "linux/arm64",
                "x86 would emulate it (`emulate: false`)",
                Refused::NoEmulationOfImage,
            ),
            (arm, "", "linux/s390x", "x86 builds linux/amd64, linux/arm64", Refused::Foreign),
        ] {
            let plan = plan(engine, image, platform);
            let (name, facts) = (plan.engines[0].name.clone(), facts("linux/amd64"));
            let may = AllowedPlatforms::of(&plan.engines[0], Others::Nobody);
            let emulation = plan.engines[0].emulation;
            let candidate = Candidate { name: &name, own: &name, facts: &facts, may, emulation, slots: 4 };
            let refused = assign(&plan, &[candidate], Sharing::Free).unwrap_err().remove(0);
            assert_eq!(refused.to_string(), format!("no engine builds web {platform}: {said}"));
            assert_eq!(refused.why, Some((why, name.clone())));
        }
    }

    #[test]
    fn image_prefers_the_same_engine_for_all_platforms() {
        let plan = plan(
            "
version: 1
engines: { a: { host: unix:///a.sock }, b: { host: unix:///b.sock }, emulator: { host: unix:///c.sock, platforms: [linux/amd64, linux/386] } }
defaults: { platforms: [linux/amd64, linux/386], tags: [\"1\"] }
images: { web: {}, api: {}, db: {}, named: { engine: a } }
",
        );
        let x86 = || EngineFacts { runs: vec!["linux/386".parse().unwrap()], ..facts("linux/amd64") };
        let all = places(&plan, &[x86(), x86(), facts("linux/arm64")], Sharing::Free).unwrap();
        for image in all.chunks(2) {
            assert_eq!(image[0], image[1]);
        }
        assert!(all[..6].iter().all(|one| ["a b ~emulator", "b a ~emulator"].contains(&one.as_str())), "{all:?}");
        assert!(all[..6].iter().any(|one| one.starts_with('a')) && all[..6].iter().any(|one| one.starts_with('b')));
        assert_eq!(all[6..], ["a", "a"]);
    }

    #[test]
    fn engine_with_the_needed_features_takes_precedence() {
        let plan = plan(
            "
version: 1
engines: { old: { host: unix:///old.sock, platforms: [linux/amd64, linux/arm64] }, new: { host: unix:///new.sock, platforms: [linux/amd64, linux/arm64] } }
images: { web: { tags: [\"1\"], platforms: { linux/amd64: { shm_size: 1g }, linux/arm64: { extra_hosts: { db: 10.0.0.5 } } } } }
",
        );
        let old = ApiVersion { major: 1, minor: 41 };
        let old = EngineFacts { api: Some(old), buildkit: old.buildkit(), ..facts("linux/amd64") };
        assert_eq!(assigned(&plan, &[old, facts("linux/arm64")]).unwrap(), ["~new", "new"]);
    }

    #[test]
    fn default_engine_takes_every_platform() {
        let plan = plan("{version: 1, images: {web: {tags: [\"1\"], platforms: [linux/s390x, linux/amd64]}}}");
        let (name, facts) = ("default".parse().unwrap(), facts("linux/amd64"));
        let (may, emulation) = (AllowedPlatforms::Everything, Emulation::Allowed);
        let candidate = Candidate { name: &name, own: &name, facts: &facts, may, emulation, slots: 4 };
        let schedule = assign(&plan, &[candidate], Sharing::Free).unwrap();
        let executions: Vec<_> = schedule.builds().map(|job| job.execution).collect();
        assert_eq!(executions, [Execution::Emulated, Execution::Native]);
    }

    #[test]
    fn import_needs_no_engine() {
        let plan = plan(
            "{version: 1, images: {go: {from: \"golang:1\", tags: [\"1\"], platforms: [linux/s390x, linux/amd64]}}}",
        );
        let schedule = assign(&plan, &[], Sharing::Free).unwrap();
        let jobs: Vec<_> = schedule.jobs.iter().map(|job| job.id().to_string()).collect();
        assert_eq!(jobs, ["go linux/s390x", "go linux/amd64"]);
        assert_eq!(schedule.builds().count(), 0);
    }

    #[test]
    fn equal_engines_share_jobs_by_their_slots() {
        let plan = plan(
            "
version: 1
engines:
  big: { host: unix:///a.sock, slots: 2 }
  small: { host: unix:///b.sock, slots: 1 }
defaults: { platforms: [linux/amd64], tags: [\"1\"] }
images: { a: {}, b: {}, c: {}, d: {}, e: {}, f: {} }
",
        );
        let facts = [facts("linux/amd64"), facts("linux/amd64")];
        assert_eq!(assigned(&plan, &facts).unwrap(), ["big", "small", "big", "big", "small", "big"]);
    }
}
