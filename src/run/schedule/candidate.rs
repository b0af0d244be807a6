//! An engine that may get jobs, and the jobs that it takes.

use crate::engine::EngineFacts;
use crate::oci::Platform;
use crate::plan::{Build, Emulation, EngineName, EnginePlatforms, EngineSpec, Job};
use crate::run::event::Execution;

/// An engine that may get jobs.
#[derive(Debug, Clone)]
pub(in crate::run) struct Candidate<'a> {
    /// The name of the engine in the plan.
    pub(in crate::run) name: &'a EngineName,
    /// The name of the engine itself. Several engines may share an entry of the plan, and its name.
    pub(in crate::run) own: &'a EngineName,
    /// The facts that the engine reported about itself.
    pub(in crate::run) facts: &'a EngineFacts,
    /// The platforms that the engine may build.
    pub(in crate::run) may: AllowedPlatforms<'a>,
    /// Whether the engine may emulate a platform.
    pub(in crate::run) emulation: Emulation,
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
pub(in crate::run) enum AllowedPlatforms<'a> {
    /// Every platform: the run has only this engine, and it lists no platforms.
    Everything,
    /// The platforms of its own processor, and the listed platforms, which it emulates.
    Own(&'a [Platform]),
    /// Only the listed platforms.
    Only(&'a [Platform]),
}

/// Why an engine does not take a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::run) enum Refused {
    /// Its processor runs the platform, and `platforms_only` leaves the platform out.
    LeftOut,
    /// It would emulate the platform, and the plan forbids that for this engine.
    NoEmulation,
    /// It would emulate the platform, and the plan forbids that for this image.
    NoEmulationOfImage,
    /// Its processor does not run the platform, and it does not list the platform.
    Foreign,
}

impl<'a> AllowedPlatforms<'a> {
    /// The platforms that `spec` may build. The plan, `--engine` or `DOCKER_HOST` may name the engine.
    #[must_use]
    pub(in crate::run) fn of(spec: &'a EngineSpec, others: Others) -> Self {
        match (&spec.platforms, others) {
            (EnginePlatforms::Own, Others::Nobody) => Self::Everything,
            (EnginePlatforms::Own, Others::Engines) => Self::Own(&[]),
            (EnginePlatforms::Also(listed), _) => Self::Own(listed),
            (EnginePlatforms::Only(listed), _) => Self::Only(listed),
        }
    }
}

impl Candidate<'_> {
    /// The way in which the engine would do `job`, or the reason why it does not take the job.
    pub(super) fn takes(&self, job: &Job<Build>) -> Result<Execution, Refused> {
        let platform = &job.platform;
        let native = self.facts.is_native(platform);
        let may = match self.may {
            AllowedPlatforms::Everything => true,
            AllowedPlatforms::Own(more) => native || more.contains(platform),
            AllowedPlatforms::Only(listed) => listed.contains(platform),
        };
        match (native, may) {
            (true, true) => Ok(Execution::Native),
            (true, false) => Err(Refused::LeftOut),
            (false, false) => Err(Refused::Foreign),
            (false, true) if self.emulation == Emulation::Refused => Err(Refused::NoEmulation),
            (false, true) if job.work.emulation == Emulation::Refused => Err(Refused::NoEmulationOfImage),
            (false, true) => Ok(Execution::Emulated),
        }
    }

    /// The platforms of the engine, or the reason why it does not emulate the platform of a job.
    pub(super) fn describe(&self, refused: Refused) -> String {
        match refused {
            Refused::NoEmulation => format!("engine {} does not emulate (`emulate: false`)", self.name),
            Refused::NoEmulationOfImage => format!("{} would emulate it (`emulate: false`)", self.name),
            Refused::LeftOut | Refused::Foreign => self.platforms(),
        }
    }

    fn platforms(&self) -> String {
        let (own, more) = match self.may {
            AllowedPlatforms::Everything => return format!("{} builds everything", self.name),
            AllowedPlatforms::Only(only) => return format!("{} builds only {}", self.name, listed(only)),
            AllowedPlatforms::Own(more) => (&self.facts.platform, more),
        };
        let more = more.iter().filter(|platform| *platform != own).cloned();
        let all: Vec<_> = std::iter::once(own.clone()).chain(more).collect();
        format!("{} builds {}", self.name, listed(&all))
    }
}

fn listed(platforms: &[Platform]) -> String {
    platforms.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
