//! Assigns jobs to engines: jobs × engines → schedule. This module sends no requests.

use crate::engine::EngineFacts;
use crate::oci::Platform;
use crate::oci::Tag;
use crate::plan::{ArchTags, Build, EngineName, EngineSpec, Image, ImageNumber, Import, Job, Plan, Work};

use super::home::home;
use crate::run::event::{Execution, JobId};

/// Every job of the plan in the plan's order. A build has its engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::run) struct Schedule {
    /// The jobs, image by image.
    pub(in crate::run) jobs: Vec<ScheduledJob>,
}

/// A job, with the engine or the process that does it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "a plan has only one job for each platform")]
pub(in crate::run) enum ScheduledJob {
    /// An engine builds the image.
    Build(ScheduledBuild),
    /// This process imports an image that exists in a registry.
    Import(ScheduledImport),
}

/// A build and its engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::run) struct ScheduledBuild {
    /// The image and the platform of the job.
    pub(in crate::run) id: JobId,
    /// The image of the job.
    pub(in crate::run) image: ImageNumber,
    /// The job, as the plan specifies it.
    pub(in crate::run) job: Job<Build>,
    /// The engine's number in the list of engines, from 0.
    pub(in crate::run) engine: usize,
    /// Whether the engine's processor runs the platform.
    pub(in crate::run) execution: Execution,
}

/// A third-party image that polyarch imports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::run) struct ScheduledImport {
    /// The image and the platform of the job.
    pub(in crate::run) id: JobId,
    /// The image of the job.
    pub(in crate::run) image: ImageNumber,
    /// The job, as the plan specifies it.
    pub(in crate::run) job: Job<Import>,
}

/// The number of a job in [`Schedule::jobs`], from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(in crate::run) struct JobNumber(pub(in crate::run) usize);

impl std::ops::Index<JobNumber> for Schedule {
    type Output = ScheduledJob;

    fn index(&self, JobNumber(number): JobNumber) -> &ScheduledJob {
        &self.jobs[number]
    }
}

impl Schedule {
    /// The jobs with their numbers.
    pub(in crate::run) fn numbered(&self) -> impl Iterator<Item = (JobNumber, &ScheduledJob)> {
        self.jobs.iter().enumerate().map(|(number, job)| (JobNumber(number), job))
    }

    /// The jobs that engines do.
    pub(in crate::run) fn builds(&self) -> impl Iterator<Item = &ScheduledBuild> {
        self.jobs.iter().filter_map(|job| match job {
            ScheduledJob::Build(build) => Some(build),
            ScheduledJob::Import(_) => None,
        })
    }
}

impl ScheduledJob {
    /// The image and the platform of the job.
    #[must_use]
    pub(in crate::run) fn id(&self) -> &JobId {
        match self {
            Self::Build(build) => &build.id,
            Self::Import(import) => &import.id,
        }
    }

    /// The image of the job.
    #[must_use]
    pub(in crate::run) fn image(&self) -> ImageNumber {
        match self {
            Self::Build(build) => build.image,
            Self::Import(import) => import.image,
        }
    }

    /// The arch tag of the job, and whether polyarch pushes it.
    #[must_use]
    pub(in crate::run) fn arch_tag(&self) -> (&Tag, ArchTags) {
        match self {
            Self::Build(build) => (&build.job.arch_tag, build.job.arch_tags),
            Self::Import(import) => (&import.job.arch_tag, import.job.arch_tags),
        }
    }
}

/// The error for a job that no engine may build.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no engine builds {job}: {engines}")]
pub(in crate::run) struct NoEngine {
    /// The job.
    pub(in crate::run) job: JobId,
    /// The engines and the platforms that each builds, as text.
    pub(in crate::run) engines: String,
}

/// An engine that may get jobs.
#[derive(Debug, Clone)]
pub(in crate::run) struct Candidate<'a> {
    /// The name of the engine.
    pub(in crate::run) name: &'a EngineName,
    /// The name of the engine itself. Several engines may share an entry of the plan, and its name.
    pub(in crate::run) own: &'a EngineName,
    /// The facts that the engine reported about itself.
    pub(in crate::run) facts: &'a EngineFacts,
    /// The platforms that the engine may build.
    pub(in crate::run) may: AllowedPlatforms<'a>,
    /// How many builds the engine runs at once.
    pub(in crate::run) slots: u16,
}

/// Whether the run has more than one engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Others {
    /// The run has one engine. It builds every platform unless it lists platforms.
    Nobody,
    /// The run has several engines. Each builds its own platforms and the platforms that it lists.
    Engines,
}

/// The platforms that an engine may build.
#[derive(Debug, Clone, Copy)]
pub enum AllowedPlatforms<'a> {
    /// Every platform: the run has only this engine, and it lists no platforms.
    Everything,
    /// The platforms of its own processor, and the listed platforms, which it emulates.
    Own(&'a [Platform]),
}

impl<'a> AllowedPlatforms<'a> {
    /// The platforms that `spec` may build. The plan, `--engine` or `DOCKER_HOST` may name the engine.
    #[must_use]
    pub fn of(spec: &'a EngineSpec, others: Others) -> Self {
        match (&spec.platforms, others) {
            (None, Others::Nobody) => Self::Everything,
            (listed, _) => Self::Own(listed.as_deref().unwrap_or_default()),
        }
    }
}

impl Candidate<'_> {
    fn execution(&self, platform: &Platform) -> Execution {
        if self.facts.is_native(platform) { Execution::Native } else { Execution::Emulated }
    }

    fn builds(&self, platform: &Platform) -> bool {
        match self.may {
            AllowedPlatforms::Everything => true,
            AllowedPlatforms::Own(more) => self.facts.is_native(platform) || more.contains(platform),
        }
    }

    fn describe(&self) -> String {
        let (own, more) = match self.may {
            AllowedPlatforms::Everything => return format!("{} builds everything", self.name),
            AllowedPlatforms::Own(more) => (&self.facts.platform, more),
        };
        let listed = std::iter::once(own).chain(more.iter().filter(|platform| *platform != own));
        let listed: Vec<_> = listed.map(ToString::to_string).collect();
        format!("{} builds {}", self.name, listed.join(", "))
    }
}

/// Assigns an engine to every build. The order of preference is:
/// 1. the engine that the build names
/// 2. an engine that supports all features that the build asks for
/// 3. a native engine
/// 4. an engine that lists the platform
///
/// Among equal engines, the engine with the fewest jobs for its slots gets the build. The pods of one entry are one engine
/// here, and each image returns to its own pod. If that is equal too, the first
/// engine of the plan gets it.
///
/// # Errors
/// Every job that no engine may build.
pub(in crate::run) fn assign(plan: &Plan, engines: &[Candidate<'_>]) -> Result<Schedule, Vec<NoEngine>> {
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
            match choose((&id.image, &job), engines, &load) {
                Some(engine) => {
                    load[engine] += 1;
                    let execution = engines[engine].execution(&job.platform);
                    jobs.push(ScheduledJob::Build(ScheduledBuild { id, image, job, engine, execution }));
                }
                None => errors.push(NoEngine { job: id, engines: describe(&job, engines) }),
            }
        }
    }
    if errors.is_empty() { Ok(Schedule { jobs }) } else { Err(errors) }
}

fn choose((image, job): (&str, &Job<Build>), engines: &[Candidate<'_>], load: &[u32]) -> Option<usize> {
    let named = |candidate: &Candidate<'_>| job.work.engine.as_ref().is_none_or(|name| name == candidate.name);
    let able = engines.iter().enumerate().filter(|(_, e)| named(e) && e.builds(&job.platform));
    let fits = |engine: &Candidate<'_>| {
        let lacks = !engine.facts.lacks(&job.work.spec, job.arch_tags).is_empty();
        (lacks, engine.execution(&job.platform) == Execution::Emulated)
    };
    let rank = |(index, engine): &(usize, &Candidate<'_>)| {
        let (lacks, foreign) = fits(engine);
        // Jobs for each slot in 65536ths. Integers are exact enough to compare, and they need no floating point.
        let share = (load[*index] << 16) / u32::from(engine.slots.max(1));
        (lacks, foreign, share, *index)
    };
    let (index, best) = able.clone().min_by_key(rank)?;
    // Among the engines of one entry, the image returns to its own one.
    let equal = able.filter(|(_, engine)| engine.name == best.name && fits(engine) == fits(best));
    let equal: Vec<_> = equal.collect();
    Some(home(image, equal.iter().map(|(_, engine)| engine.own.as_str())).map_or(index, |own| equal[own].0))
}

fn describe(job: &Job<Build>, engines: &[Candidate<'_>]) -> String {
    let lines: Vec<_> = engines.iter().map(Candidate::describe).collect();
    let all = lines.join("; ");
    job.work.engine.as_ref().map_or_else(|| all.clone(), |name| format!("the plan asks for engine {name}; {all}"))
}

pub(super) fn job_id(image: &Image, job: &Job) -> JobId {
    JobId { image: image.name.to_string(), platform: job.platform.clone() }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::engine::{ApiVersion, ImageStore};
    use crate::plan::{self, EngineHost, Facts, Overrides, SourceText};

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
        let candidates: Vec<_> = plan
            .engines
            .iter()
            .zip(facts)
            .map(|(spec, facts)| Candidate {
                name: &spec.name,
                own: &spec.name,
                facts,
                may: AllowedPlatforms::of(spec, Others::Engines),
                slots: spec.slots.get(),
            })
            .collect();
        let word = |job: &ScheduledBuild| {
            let mark = if job.execution == Execution::Emulated { "~" } else { "" };
            format!("{mark}{}", candidates[job.engine].name)
        };
        let schedule = assign(plan, &candidates);
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
        let spec = |platforms| EngineSpec {
            name: "e".parse().unwrap(),
            host: "unix:///e.sock".parse::<EngineHost>().unwrap().into(),
            platforms,
            slots: EngineSpec::DEFAULT_SLOTS,
        };
        let (silent, listed) = (spec(None), spec(Some(vec!["linux/arm64".parse().unwrap()])));
        assert!(matches!(AllowedPlatforms::of(&silent, Others::Nobody), AllowedPlatforms::Everything));
        assert!(matches!(AllowedPlatforms::of(&silent, Others::Engines), AllowedPlatforms::Own([])));
        assert!(matches!(AllowedPlatforms::of(&listed, Others::Nobody), AllowedPlatforms::Own([_])));
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
        let candidate =
            Candidate { name: &name, own: &name, facts: &facts, may: AllowedPlatforms::Everything, slots: 4 };
        let schedule = assign(&plan, &[candidate]).unwrap();
        let executions: Vec<_> = schedule.builds().map(|job| job.execution).collect();
        assert_eq!(executions, [Execution::Emulated, Execution::Native]);
    }

    #[test]
    fn import_needs_no_engine() {
        let plan = plan(
            "{version: 1, images: {go: {from: \"golang:1\", tags: [\"1\"], platforms: [linux/s390x, linux/amd64]}}}",
        );
        let schedule = assign(&plan, &[]).unwrap();
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
