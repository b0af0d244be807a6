//! Builds, pushes and publishes the images of a plan.

use futures::future::join_all;
use tokio::sync::mpsc;

use super::access::{Access, Reaching, refused};
use super::setters::{runs, setters};
use crate::auth::BuildProxies;
use crate::oci::{ReferenceError, RegistryHost};
use crate::plan::{EngineHost, EngineSpec, Environment, NamedRegistry, Plan, RegistryChoice};
use crate::registry::{Backoff, Notice};
use crate::run::{
    self, BuildRun, Engines, Failure, Gates, Goal, OnFailure, Others, PublishMode, Registries, Registry, Shutdown,
    base_hosts,
};

/// The engine of a machine with docker.
const DEFAULT_ENGINE: &str = "/var/run/docker.sock";

/// Builds every platform of a plan's images, joins them into indexes, publishes the indexes and reads them back.
///
/// The plan must name a registry, unless the [`goal`](Self::goal) needs none. A builder has no embedded registry.
#[must_use]
pub struct Build {
    plan: Plan,
    access: Access,
    engine: EngineHost,
    environment: Environment,
    proxies: BuildProxies,
    goal: Goal,
    gates: Gates,
    moving: PublishMode,
    on_failure: OnFailure,
    shutdown: Option<Shutdown>,
}

impl Build {
    /// Builds the images of `plan`. [`plan::resolve`](crate::plan::resolve) makes a plan from its text.
    pub fn new(plan: Plan) -> Self {
        Self {
            plan,
            access: Access::new(),
            engine: EngineHost::Unix(DEFAULT_ENGINE.into()),
            environment: Environment::new(),
            proxies: BuildProxies::default(),
            goal: Goal::Publish,
            gates: Gates::default(),
            moving: PublishMode::EachImage,
            on_failure: OnFailure::EndImage,
            shutdown: None,
        }
    }

    /// The engine that builds if the plan names no engines. The default is `unix:///var/run/docker.sock`.
    pub fn engine(self, engine: EngineHost) -> Self {
        Self { engine, ..self }
    }

    /// The variables that hold secrets of the plan (`secrets: [{ id, env }]`). By default there are none.
    pub fn environment(self, environment: Environment) -> Self {
        Self { environment, ..self }
    }

    /// The proxies for the steps of builds. By default there are none.
    pub fn build_proxies(self, proxies: BuildProxies) -> Self {
        Self { proxies, ..self }
    }

    /// The last step of the run. The default is [`Goal::Publish`].
    pub fn goal(self, goal: Goal) -> Self {
        Self { goal, ..self }
    }

    /// How much of the run one failure ends. By default other images continue.
    pub fn on_failure(self, on_failure: OnFailure) -> Self {
        Self { on_failure, ..self }
    }

    setters!(access, gates, moving, shutdown);
    runs!(run::build);

    async fn prepare(self, notices: mpsc::UnboundedSender<Notice>) -> Result<BuildRun, Vec<Failure>> {
        let credentials = self.access.source();
        let reaching = self.access.reporting(notices);
        reaching.declare(&self.plan).await.map_err(|failure| vec![failure])?;
        let registries = match self.goal {
            Goal::Build | Goal::Load => for_names(&self.plan, &reaching).map_err(|failure| vec![failure])?.into(),
            Goal::Push | Goal::Publish => of_plan(&self.plan, &reaching).await?,
        };
        let engines = engines(&self.plan, self.engine).await?;
        let sources = sources(&self.plan, &reaching).await.map_err(|failure| vec![failure])?;
        // polyarch does without the answers of these registries.
        let bases = base_hosts(&self.plan, &engines, self.goal).into_iter();
        let bases = bases.filter_map(|host| reaching.open(&settings(&self.plan, &reaching, &host), 1).ok()).collect();
        Ok(BuildRun {
            gates: self.gates.of_plan(&self.plan),
            plan: if self.goal == Goal::Load { self.plan.without_own_registry() } else { self.plan },
            engines,
            registries,
            sources,
            bases,
            credentials,
            proxies: self.proxies,
            environment: self.environment,
            goal: self.goal,
            moving: self.moving,
            on_failure: self.on_failure,
        })
    }
}

/// Connects to the plan's engines, or else to `default`. A plan without builds needs no engine.
async fn engines(plan: &Plan, default: EngineHost) -> Result<Engines, Vec<Failure>> {
    if plan.builds().next().is_none() {
        return Ok(Engines::none());
    }
    if !plan.engines.is_empty() {
        let others = if plan.engines.len() == 1 { Others::Nobody } else { Others::Engines };
        return Engines::reach(&plan.engines, &plan.built_platforms(), others).await;
    }
    let name = "default".parse();
    let name = name.map_err(|error: crate::plan::NameError| vec![refused(error.to_string(), "")])?;
    Engines::reach(&[EngineSpec::new(name, default)], &plan.built_platforms(), Others::Nobody).await
}

/// The plan's registries. All of them answer.
pub(super) async fn of_plan(plan: &Plan, reaching: &Reaching) -> Result<Registries, Vec<Failure>> {
    let RegistryChoice::Named(first) = &plan.registry else {
        let hint = "set `registry:` in the plan, or `Overrides::registries`";
        return Err(vec![refused("the plan names no registry".to_owned(), hint)]);
    };
    let open = |named| reaching.open(named, Backoff::STANDARD.attempts).map_err(|failure| vec![failure]);
    let copies = plan.copies.iter().map(open).collect::<Result<_, _>>()?;
    let registries = Registries { first: open(first)?, copies };
    let reached = join_all(registries.all().map(Registry::reach)).await;
    let failures: Vec<_> = reached.into_iter().filter_map(Result::err).collect();
    if failures.is_empty() { Ok(registries) } else { Err(failures) }
}

/// The plan's registry for the names of images only. Without a registry the names are those of `docker build`.
fn for_names(plan: &Plan, reaching: &Reaching) -> Result<Registry, Failure> {
    let (host, namespace) = match &plan.registry {
        RegistryChoice::Named(named) => (named.host.clone(), named.namespace.clone()),
        RegistryChoice::Unnamed | RegistryChoice::Embedded => {
            let hub = RegistryHost::DOCKER_HUB.parse();
            (hub.map_err(|error: ReferenceError| refused(error.to_string(), ""))?, None)
        }
    };
    reaching.open(&NamedRegistry { namespace, ..host.into() }, Backoff::STANDARD.attempts)
}

/// The settings of the registry at `host`: those of the plan, if it names the registry.
fn settings(plan: &Plan, reaching: &Reaching, host: &RegistryHost) -> NamedRegistry {
    let named = plan.named_registries().find(|named| named.host == *host);
    named.cloned().unwrap_or_else(|| reaching.named(host))
}

/// The registries of the images that the plan imports. All of them answer.
async fn sources(plan: &Plan, reaching: &Reaching) -> Result<Vec<Registry>, Failure> {
    let mut registries: Vec<Registry> = Vec::new();
    for source in plan.sources() {
        let host = source.repository.host();
        if registries.iter().all(|known| known.host() != host) {
            let registry = reaching.open(&settings(plan, reaching, host), Backoff::STANDARD.attempts)?;
            registry.reach().await?;
            registries.push(registry);
        }
    }
    Ok(registries)
}
