//! Gathers the engines that the plan, the environment, docker and buildx name, and the sockets that exist.

use std::collections::BTreeSet;
use std::path::Path;

use polyarch::facts::{Builder, DEFAULT_HOST, FoundEngine, HostSource, contexts, existing_sockets};
use polyarch::plan::{BuildKitHost, BuilderHost, BuilderName, Endpoint, EngineHost, EngineHostError, EngineName, Plan};
use polyarch::run::{Failure, Phase};

use super::listed::{Candidate, Origin, Unasked, Used};
use crate::cli::input::docker;
use crate::cli::input::settings::Settings;
use crate::cli::terminal::diagnostic;

/// Which builders of buildx polyarch asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AskBuilders {
    /// Builders that buildx does not have to start.
    IfTheyRun,
    /// All builders.
    All,
}

/// The drivers of buildx that start a builder (docker/buildx, `driver/docker-container` and `driver/kubernetes`).
const DRIVERS_THAT_START: [&str; 2] = ["docker-container", "kubernetes"];

/// All candidates, in the order of the list. Each address is asked once: the first candidate that names the address
/// stands for it.
pub(crate) fn candidates(plan: Option<&Plan>, builders: AskBuilders, settings: &Settings) -> Vec<Candidate> {
    let mut gathered = Gathered::default();
    for spec in plan.iter().flat_map(|plan| &plan.engines) {
        gathered.names.insert(spec.name.to_string());
        let address = match &spec.host {
            Endpoint::Docker(EngineHost::Context(context)) => {
                settings.engine_of(context).map(Endpoint::from).map_err(Unasked::Refused)
            }
            host => Ok(host.clone()),
        };
        let name = spec.name.clone();
        gathered.list.push(Candidate { name, origin: Origin::Plan, address, used: Used::Yes });
    }
    let mut used = if gathered.list.is_empty() { Used::Yes } else { Used::No };
    if let Some(address) = settings.var("BUILDKIT_HOST") {
        let is_used = !settings.has_docker_variable();
        gathered.add("buildkit", Origin::BuildKitHost, alone(address), if is_used { used } else { Used::No });
        used = if is_used { Used::No } else { used };
    }
    gathered.of_docker(settings, used);
    for socket in sockets(settings) {
        let address = parse(&socket.host());
        let is_known = |known: &Candidate| matches!((&known.address, &address), (Ok(one), Ok(other)) if one == other);
        if !gathered.list.iter().any(is_known) {
            gathered.add(&socket.owner.to_string(), Origin::Socket(socket.owner), address, Used::No);
        }
    }
    for builder in settings.builders() {
        let (name, address) = (builder.name.clone(), of_builder(&builder, builders));
        gathered.add(&name, Origin::Builder(builder), address, Used::No);
    }
    // The engines of a build come first.
    gathered.list.sort_by_key(|candidate| candidate.used == Used::No);
    gathered.list
}

#[derive(Default)]
struct Gathered {
    list: Vec<Candidate>,
    names: BTreeSet<String>,
}

impl Gathered {
    /// The engine that the docker CLI would use, all docker contexts, and the default socket.
    fn of_docker(&mut self, settings: &Settings, used: Used) {
        let chosen = settings.docker_host();
        let in_use = chosen.as_ref().ok().map(|found| &found.source);
        match (&chosen, in_use) {
            (Ok(found), Some(HostSource::DockerHost | HostSource::DefaultWithTls)) => {
                self.add("default", Origin::Environment, located(found), used);
            }
            (Err(failure), _) => {
                self.add("default", Origin::Default, Err(Unasked::Refused(failure.clone())), used);
            }
            _ => {}
        }
        for context in contexts(&settings.docker_config()).into_iter().filter(|context| context.host.is_some()) {
            let is_used = matches!(in_use, Some(HostSource::Context(name)) if *name == context.name);
            let used = if is_used { used } else { Used::No };
            let name = context.name.clone();
            let found = settings.listed_engine_of(&name).map_err(Unasked::Refused);
            self.add(&name, Origin::Context(context.name), found.and_then(|found| located(&found)), used);
        }
        let is_used = matches!(in_use, Some(HostSource::Default));
        if is_used || Path::new(DEFAULT_HOST.trim_start_matches("unix://")).exists() {
            let used = if is_used { used } else { Used::No };
            self.add("default", Origin::Default, parse(DEFAULT_HOST), used);
        }
    }

    /// Adds a candidate under a name that a plan allows and no other candidate has.
    fn add(&mut self, name: &str, origin: Origin, address: Result<Endpoint, Unasked>, used: Used) {
        let valid: String = name
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() || c == '_' { c.to_ascii_lowercase() } else { '-' })
            .collect();
        let valid = valid.trim_matches('-').trim_start_matches('_');
        let base = if valid.is_empty() { "engine" } else { valid };
        let mut numbered = (2..).map(|number| format!("{base}-{number}"));
        let mut free = base.to_owned();
        while self.names.contains(&free) {
            free = numbered.next().unwrap_or_default();
        }
        let Ok(name) = free.parse::<EngineName>() else { return };
        self.names.insert(free);
        self.list.push(Candidate { name, origin, address, used });
    }
}

/// A builder of buildx. polyarch asks a builder that may not run only if the user allows it.
fn of_builder(builder: &Builder, ask: AskBuilders) -> Result<Endpoint, Unasked> {
    if ask == AskBuilders::IfTheyRun && DRIVERS_THAT_START.contains(&builder.driver.as_str()) {
        return Err(Unasked::MayStart);
    }
    let name = builder.name.parse::<BuilderName>().map_err(|error| refused(&builder.name, &error))?;
    Ok(BuildKitHost::Builder(BuilderHost { name, platform: None }).into())
}

/// A BuildKit without a Docker Engine.
fn alone(address: &str) -> Result<Endpoint, Unasked> {
    address.parse::<BuildKitHost>().map(Endpoint::from).map_err(|error| refused(address, &error))
}

fn sockets(settings: &Settings) -> Vec<polyarch::facts::ExistingSocket> {
    existing_sockets(settings.var("HOME").map(Path::new), settings.var("XDG_RUNTIME_DIR").map(Path::new))
}

fn parse(host: &str) -> Result<Endpoint, Unasked> {
    host.parse::<EngineHost>().map(Endpoint::from).map_err(|error| refused(host, &error))
}

fn located(found: &FoundEngine) -> Result<Endpoint, Unasked> {
    docker::address(found).map(Endpoint::from).map_err(|error| refused(&found.host, &error))
}

fn refused(address: &str, error: &EngineHostError) -> Unasked {
    let message = format!("{address}: {}", diagnostic::chain(error));
    Unasked::Refused(Failure::new(Phase::Preflight, message.into(), error.hint().map(Into::into)))
}
