//! The steps for one engine.

use std::path::Path;
use std::time::{Duration, SystemTime};

use super::finding::{Check, Observation, Section, timed};
use crate::engine::{Engine, EngineFacts, ImageStore};
use crate::oci::Platform;
use crate::plan::EngineSpec;
use crate::run::event::Phase;
use crate::run::event::failure::{chain, of_engine};
use crate::run::inspect::doctor::What;
use crate::run::schedule::reach::reach;

/// The difference between two clocks from which on certificates and logins may fail.
const SKEW: Duration = Duration::from_mins(1);
/// The free space below which a build may fail, in bytes.
const LITTLE: u64 = 2_000_000_000;

/// Connects to an engine of the plan, which may stand for several. Returns the failure if polyarch cannot use it.
pub(super) async fn connect(
    spec: &EngineSpec,
    wanted: &[Platform],
) -> Result<(Vec<Engine>, Duration), Box<Observation>> {
    let (connected, took) = timed(Box::pin(reach(spec, wanted))).await;
    connected.map(|engines| (engines, took)).map_err(|error| {
        let failure = of_engine(Phase::Preflight, &error);
        let failed = Observation::new(Section::Engine, spec.name.as_str(), Check::Connection, What::Fails(failure));
        Box::new(failed.after(took))
    })
}

/// The facts that the engine reported when polyarch connected.
pub(super) fn facts(spec: &EngineSpec, engine: &Engine, took: Duration) -> [Observation; 3] {
    let of = |check, text: String| {
        Observation::new(Section::Engine, engine.name().as_str(), check, What::Works(text.into()))
    };
    let facts = engine.facts();
    [
        of(Check::Connection, spec.host.to_string()).after(took),
        of(Check::Version, version(facts)),
        of(Check::Platforms, platforms(facts)),
    ]
}

fn version(facts: &EngineFacts) -> String {
    let store = match facts.store {
        ImageStore::Containerd => "containerd image store",
        ImageStore::GraphDriver => "graph driver",
        ImageStore::None => "no image store",
    };
    format!("{}, {store}", facts.version)
}

fn platforms(facts: &EngineFacts) -> String {
    let (own, emulated): (Vec<_>, Vec<_>) = facts.runs.iter().partition(|platform| facts.is_native(platform));
    let names = |all: &[&Platform]| all.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    if emulated.is_empty() {
        return names(&own);
    }
    format!("{}; emulates {}", names(&own), names(&emulated))
}

/// Whether the engine emulates `foreign`, the platforms of the plan that no engine runs natively.
pub(super) fn emulation(engine: &Engine, foreign: &[&Platform]) -> Vec<Observation> {
    let of = |what| Observation::new(Section::Engine, engine.name().as_str(), Check::Emulation, what);
    let found = foreign.iter().map(|platform| match engine.missing_emulation(platform) {
        None => of(What::Works(format!("{platform} runs emulated, so its `RUN` steps are slow").into())),
        Some(hint) => {
            of(What::Unknown(format!("cannot run {platform} programs: a `RUN` step would fail").into())).remedy(hint)
        }
    });
    found.collect()
}

/// The clock and the disk of the engine.
pub(super) async fn condition(spec: &EngineSpec, engine: &Engine) -> Vec<Observation> {
    if engine.is_buildkit_alone() {
        return Vec::new();
    }
    let of = |check, what| Observation::new(Section::Engine, engine.name().as_str(), check, what);
    let (asked, took) = timed(engine.condition()).await;
    let condition = match asked {
        Ok(condition) => condition,
        Err(error) => return vec![of(Check::Clock, What::Unknown(chain(&error.kind).into())).after(took)],
    };
    let mut found = Vec::new();
    if let Some(clock) = condition.clock {
        // The engine read its clock somewhere in the middle of the request.
        let here = SystemTime::now() - took / 2;
        let difference = here.duration_since(clock).unwrap_or_else(|error| error.duration());
        found.push(if difference <= SKEW {
            of(Check::Clock, What::Works("agrees with this machine".into())).after(took)
        } else {
            let text = format!("differs from this machine by {} s", difference.as_secs());
            let remedy = "set the clock of the engine's host: logins and certificates may fail";
            of(Check::Clock, What::Unknown(text.into())).after(took).remedy(remedy)
        });
    }
    // The directory of an engine elsewhere may exist here, too.
    let directory = condition.directory.filter(|_| spec.host.is_on_this_machine());
    if let Some(free) = directory.as_deref().and_then(free) {
        let text = format!("{}.{} GB free", free / 1_000_000_000, free / 100_000_000 % 10);
        found.push(if free >= LITTLE {
            of(Check::Disk, What::Works(text.into()))
        } else {
            of(Check::Disk, What::Unknown(text.into()))
                .remedy("free space: `docker system prune` removes unused images")
        });
    }
    found
}

/// The bytes that a program of the engine may still write below `directory`.
fn free(directory: &Path) -> Option<u64> {
    let disk = rustix::fs::statvfs(directory).ok()?;
    disk.f_bavail.checked_mul(disk.f_frsize)
}
