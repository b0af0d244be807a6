//! Asks engines who they are, to list them. No build needs the answers.

use std::time::{Duration, Instant};

use futures::future::join_all;

use crate::engine::{Engine, EngineFacts};
use crate::plan::{BuildKitHost, Endpoint, EngineName};
use crate::run::event::failure::{failure, of_engine};
use crate::run::event::{Failure, Phase};

/// How long an engine may take to answer.
const LONGEST: Duration = Duration::from_secs(10);
/// How long a builder of buildx may take to answer: buildx may have to start it.
const BUILDER: Duration = Duration::from_secs(30);

/// The answer of an engine.
#[derive(Debug, Clone)]
pub struct Probed {
    /// The facts that the engine reports, or the reason why polyarch cannot use the engine.
    pub found: Result<EngineFacts, Failure>,
    /// The time until the answer.
    pub took: Duration,
}

/// Connects to all engines at once, and disconnects. The answers have the order of `engines`.
pub async fn probe(engines: &[(EngineName, Endpoint)]) -> Vec<Probed> {
    join_all(engines.iter().map(async |(name, host)| {
        let began = Instant::now();
        let connecting = Box::pin(Engine::connect(name.clone(), host.clone()));
        let found = match tokio::time::timeout(limit(host), connecting).await {
            Ok(Ok(engine)) => Ok(engine.facts().clone()),
            Ok(Err(error)) => Err(of_engine(Phase::Preflight, &error)),
            Err(_) => Err(silent(name, host)),
        };
        Probed { found, took: began.elapsed() }
    }))
    .await
}

fn limit(host: &Endpoint) -> Duration {
    if matches!(host, Endpoint::BuildKit(BuildKitHost::Builder(_))) { BUILDER } else { LONGEST }
}

fn silent(name: &EngineName, host: &Endpoint) -> Failure {
    let message = format!("engine {name}: {host} did not answer within {} s", limit(host).as_secs());
    failure(Phase::Preflight, &message, Some("check that the engine runs, and the network to it".into()))
}
