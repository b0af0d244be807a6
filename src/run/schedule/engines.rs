//! Connects to every engine and finds an engine for each job before anything starts.

use std::sync::Arc;

use futures::future::join_all;

use super::candidate::{AllowedPlatforms, Candidate, Others};
use super::reach::reach;
use crate::engine::{Engine, EngineFacts};
use crate::oci::Platform;
use crate::plan::{EngineName, EngineNeed, EngineSpec, Plan};
use crate::run::event::failure::of_engine;
use crate::run::event::{Failure, Phase, Warning};

/// The engines of a run, connected.
#[derive(Debug, Clone)]
pub struct Engines {
    list: Vec<Reached>,
    /// A builder of buildx that can do more than a Docker Engine: the value of `builder:` in a plan.
    builder: Option<String>,
    unreached: Vec<Unreached>,
}

/// An engine that polyarch could not reach. The run begins without it.
#[derive(Debug, Clone)]
pub(in crate::run) struct Unreached {
    name: EngineName,
    pub(in crate::run) failure: Failure,
}

#[derive(Debug, Clone)]
pub(in crate::run) struct Reached {
    pub(in crate::run) spec: EngineSpec,
    pub(in crate::run) engine: Arc<Engine>,
    others: Others,
}

impl Engines {
    /// Connects to all engines at once. `wanted` are the platforms of the plan. `others` specifies whether other engines
    /// exist beside each of them. An engine that polyarch cannot use is left out.
    ///
    /// # Errors
    /// polyarch can use none of the engines, or not one that the plan requires.
    pub async fn reach(specs: &[EngineSpec], wanted: &[Platform], others: Others) -> Result<Self, Vec<Failure>> {
        let reaching = specs.iter().map(|spec| reach(spec, wanted));
        let (mut list, mut unreached) = (Vec::new(), Vec::new());
        let mut is_complete = true;
        for (spec, reached) in specs.iter().zip(join_all(reaching).await) {
            match reached {
                Ok(engines) => {
                    // An entry of the plan may stand for several engines, which share its settings.
                    let reached = |engine| Reached { spec: spec.clone(), engine: Arc::new(engine), others };
                    list.extend(engines.into_iter().map(reached));
                }
                Err(error) => {
                    is_complete &= spec.need == EngineNeed::Optional;
                    let failure = of_engine(Phase::Preflight, &error);
                    unreached.push(Unreached { name: spec.name.clone(), failure });
                }
            }
        }
        let engines = Self { list, unreached, builder: None };
        if is_complete && !engines.list.is_empty() { Ok(engines) } else { engines.whole() }
    }

    /// The engines, if polyarch reached all of them.
    ///
    /// # Errors
    /// Fails for every engine that polyarch cannot use.
    pub fn whole(self) -> Result<Self, Vec<Failure>> {
        if self.unreached.is_empty() {
            return Ok(self);
        }
        Err(self.unreached.into_iter().map(|unreached| unreached.failure).collect())
    }

    /// The engines, with other failures of those that polyarch could not reach.
    #[must_use]
    pub fn map_unreached(mut self, map: impl Fn(Failure) -> Failure) -> Self {
        let map = |Unreached { name, failure }| Unreached { name, failure: map(failure) };
        self.unreached = self.unreached.into_iter().map(map).collect();
        self
    }

    /// A warning for each engine that polyarch could not reach.
    #[must_use]
    pub fn warnings(&self) -> Vec<Warning> {
        let warning = |Unreached { name, failure }: &Unreached| Warning {
            image: None,
            platform: None,
            message: format!("{}; the run continues without engine {name}", failure.message).into(),
            hint: failure.hint.clone(),
        };
        self.unreached.iter().map(warning).collect()
    }

    /// No engines, for a plan that builds nothing.
    #[must_use]
    pub fn none() -> Self {
        Self { list: Vec::new(), unreached: Vec::new(), builder: None }
    }

    /// The same engines. Hints name `builder`, which exists on this machine.
    #[must_use]
    pub fn beside(self, builder: Option<String>) -> Self {
        Self { builder, ..self }
    }

    /// The builder of buildx that a hint may name.
    pub(in crate::run) fn builder(&self) -> Option<&str> {
        self.builder.as_deref()
    }

    pub(in crate::run) fn unreached(&self) -> &[Unreached] {
        &self.unreached
    }

    /// The platforms that `--platform native` selects: the platforms of `plan` that the engines' processors run. If
    /// there are none, the platforms of these processors.
    #[must_use]
    pub fn native(&self, plan: &Plan) -> Vec<Platform> {
        let runs = |platform: &Platform| self.list.iter().any(|reached| reached.facts().is_native(platform));
        let planned = plan.images.iter().flat_map(|image| &image.jobs).map(|job| &job.platform);
        let mut platforms: Vec<_> = planned.filter(|platform| runs(platform)).cloned().collect();
        if platforms.is_empty() {
            platforms = self.list.iter().map(|reached| reached.facts().platform.clone()).collect();
        }
        platforms.sort();
        platforms.dedup();
        platforms
    }

    pub(in crate::run) fn candidates(&self) -> Vec<Candidate<'_>> {
        self.list.iter().map(Reached::candidate).collect()
    }

    /// The engines, and the facts that each reports about itself.
    pub fn reached(&self) -> impl Iterator<Item = (&EngineSpec, &EngineFacts)> {
        self.list.iter().map(|reached| (&reached.spec, reached.facts()))
    }

    pub(in crate::run) fn list(&self) -> &[Reached] {
        &self.list
    }
}

impl Reached {
    pub(in crate::run) fn facts(&self) -> &EngineFacts {
        self.engine.facts()
    }

    fn candidate(&self) -> Candidate<'_> {
        let may = AllowedPlatforms::of(&self.spec, self.others);
        Candidate {
            name: &self.spec.name,
            own: self.engine.name(),
            facts: self.facts(),
            may,
            emulation: self.spec.emulation,
            slots: self.spec.slots.get(),
        }
    }
}
