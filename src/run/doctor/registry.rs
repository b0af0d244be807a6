//! The steps for one registry.

use std::collections::BTreeSet;

use futures::future::join_all;

use super::finding::{Check, Observation, Section, timed};
use crate::engine::Engine;
use crate::oci::Repository;
use crate::plan::{EngineSpec, Plan};
use crate::run::event::Phase;
use crate::run::event::failure::of_registry;
use crate::run::inspect::doctor::What;
use crate::run::preflight::routes::{self, Route};
use crate::run::storage::registry::Registry;

/// The most repositories that polyarch asks for.
const MOST: usize = 20;

/// Whether polyarch reaches the registry, and whether the login may push to the repositories of `plan`.
pub(super) async fn reach(registry: &Registry, plan: &Plan) -> Vec<Observation> {
    let of = |check, what| Observation::new(Section::Registry, registry.host().as_str(), check, what);
    if let Registry::Embedded { .. } = registry {
        let text = "the embedded registry, which polyarch serves during a build";
        return vec![of(Check::Reach, What::Works(text.into()))];
    }
    let (reached, took) = timed(registry.reach()).await;
    let mut found = match reached {
        Ok(()) => vec![of(Check::Reach, What::Works("answers and accepts the login".into())).after(took)],
        Err(failure) => return vec![of(Check::Reach, What::Fails(failure)).after(took)],
    };
    let repositories = plan.images.iter().filter_map(|image| registry.repository(&image.repository).ok());
    let repositories: BTreeSet<_> = repositories.collect();
    // The rehearsal checks whether the repositories of Amazon ECR exist, or whether a build creates them.
    if registry.ecr().is_some() {
        let text = "run `polyarch doctor ecr` for the steps of Amazon ECR";
        found.push(of(Check::Push, What::Unknown("not checked here".into())).remedy(text));
        return found;
    }
    let asking = repositories.iter().take(MOST).map(async |repository| {
        let (may, took) = timed(registry.client().may_push(repository.path())).await;
        let what = match may {
            Ok(()) => What::Works(format!("may begin an upload to {}", repository.path()).into()),
            Err(error) => What::Fails(of_registry(Phase::Push, &format!("push to {}", repository.path()), &error)),
        };
        of(Check::Push, what).after(took)
    });
    found.extend(join_all(asking).await);
    found
}

/// Whether `engine` reaches the registry of `repository`.
pub(super) async fn route(spec: &EngineSpec, engine: &Engine, repository: &Repository) -> Observation {
    let host = repository.host();
    if engine.is_buildkit_alone() {
        let what = What::Unknown(format!("engine {} reports it only at a push", engine.name()).into());
        return Observation::new(Section::Registry, host.as_str(), Check::Route, what);
    }
    let (route, took) = timed(routes::ask(engine, repository)).await;
    let what = match route {
        Route::Open => What::Works(format!("engine {} reaches it", engine.name()).into()),
        Route::Closed(obstacle, why) => What::Fails(routes::closed(spec, host, obstacle, &why)),
        Route::Silent(why) | Route::Unknown(why) => {
            What::Unknown(format!("engine {} may not reach it: {why}", engine.name()).into())
        }
    };
    Observation::new(Section::Registry, host.as_str(), Check::Route, what).after(took)
}
