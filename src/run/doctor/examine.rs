//! Examines all engines and registries at once.

use std::time::Duration;

use futures::future::{join, join_all};

use super::finding::Observation;
use super::{engine, registry};
use crate::engine::Engine;
use crate::oci::Platform;
use crate::plan::{EngineNeed, EngineSpec, Plan};
use crate::run::storage::Registries;
use crate::run::storage::registry::Registry;

/// The engines to examine, and the plan with its registries, if there is a plan.
#[derive(Debug)]
pub struct Patient<'a> {
    /// The engines.
    pub engines: &'a [EngineSpec],
    /// The plan and its registries.
    pub plan: Option<(&'a Plan, &'a Registries)>,
}

/// Examines the engines and the registries. The findings of an engine or a registry stand together, engines first.
pub async fn checkup(patient: &Patient<'_>) -> Vec<Observation> {
    let wanted = patient.plan.map(|(plan, _)| plan.built_platforms()).unwrap_or_default();
    let connecting = join_all(patient.engines.iter().map(|spec| engine::connect(spec, &wanted)));
    let reaching = async {
        let Some((plan, registries)) = patient.plan else { return Vec::new() };
        join_all(registries.all().map(|registry| registry::reach(registry, plan))).await
    };
    let (connected, mut reached) = Box::pin(join(connecting, reaching)).await;
    let (mut engines, mut unreached): (Vec<(&EngineSpec, Engine, Duration)>, _) = (Vec::new(), Vec::new());
    for (spec, connected) in patient.engines.iter().zip(connected) {
        match connected {
            Ok((connected, took)) => engines.extend(connected.into_iter().map(|engine| (spec, engine, took))),
            Err(failed) => unreached.push((spec, *failed)),
        }
    }
    let is_spared = |spec: &EngineSpec| spec.need == EngineNeed::Optional && !engines.is_empty();
    let unreached = unreached.into_iter();
    let mut found: Vec<_> =
        unreached.map(|(spec, failed)| if is_spared(spec) { failed.left_out() } else { failed }).collect();
    let is_native = |platform: &&Platform| engines.iter().any(|(_, engine, _)| engine.facts().is_native(platform));
    let foreign: Vec<_> = wanted.iter().filter(|platform| !is_native(platform)).collect();
    let examining = engines.iter().map(async |(spec, engine, took)| {
        let condition = engine::condition(spec, engine).await;
        let facts = engine::facts(spec, engine, *took).into_iter();
        facts.chain(engine::emulation(engine, &foreign)).chain(condition).collect::<Vec<_>>()
    });
    let (examined, routes) = Box::pin(join(join_all(examining), routes(patient, &engines))).await;
    found.extend(examined.into_iter().flatten());
    if let Some(first) = reached.first_mut() {
        first.extend(routes);
    }
    found.extend(reached.into_iter().flatten());
    found
}

/// Whether the engines reach the registry that they push to.
async fn routes(patient: &Patient<'_>, engines: &[(&EngineSpec, Engine, Duration)]) -> Vec<Observation> {
    let Some((plan, registries)) = patient.plan else { return Vec::new() };
    let first = &registries.first;
    let repository = plan.images.first().and_then(|image| first.repository(&image.repository).ok());
    let Some(repository) = repository.filter(|_| matches!(first, Registry::Named { .. })) else { return Vec::new() };
    join_all(engines.iter().map(|(spec, engine, _)| registry::route(spec, engine, &repository))).await
}
