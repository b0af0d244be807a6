//! Connects to the programs behind one engine of the plan: one engine, the pods with a label, or the nodes of a builder.

use futures::future::join_all;

use crate::engine::{Engine, EngineError, pods};
use crate::oci::Platform;
use crate::plan::{BuildKitHost, BuilderHost, Endpoint, EngineSpec, PodHost};

/// The engines behind `spec`. `wanted` are the platforms of the plan.
///
/// # Errors
/// polyarch cannot use the engine. Pods that do not answer are left out, if another pod answers.
pub(in crate::run) async fn reach(spec: &EngineSpec, wanted: &[Platform]) -> Result<Vec<Engine>, EngineError> {
    match &spec.host {
        Endpoint::BuildKit(BuildKitHost::Pods(selected)) => of_pods(spec, pods(&spec.name, selected).await?).await,
        Endpoint::BuildKit(BuildKitHost::Builder(builder)) => of_builder(spec, builder, wanted).await,
        host => Ok(vec![Engine::connect(spec.name.clone(), host.clone()).await?]),
    }
}

async fn of_pods(spec: &EngineSpec, pods: Vec<PodHost>) -> Result<Vec<Engine>, EngineError> {
    let connecting = pods
        .into_iter()
        .map(|pod| Engine::connect(spec.name.part(pod.name.as_str()), Endpoint::BuildKit(BuildKitHost::Pod(pod))));
    let (mut engines, mut failed) = (Vec::new(), None);
    for connected in join_all(connecting).await {
        match connected {
            Ok(engine) => engines.push(engine),
            Err(error) => {
                tracing::warn!("{}", crate::text::chain(&error));
                failed.get_or_insert(error);
            }
        }
    }
    match failed {
        Some(error) if engines.is_empty() => Err(error),
        _ => Ok(engines),
    }
}

/// The builder's first node, and the other nodes that run a wanted platform on their own processor. buildx itself
/// connects to a node for a platform.
async fn of_builder(spec: &EngineSpec, builder: &BuilderHost, wanted: &[Platform]) -> Result<Vec<Engine>, EngineError> {
    let connect = async |name, platform: Option<&Platform>| {
        let builder = BuilderHost { platform: platform.cloned(), ..builder.clone() };
        Engine::connect(name, Endpoint::BuildKit(BuildKitHost::Builder(builder))).await
    };
    let first = connect(spec.name.clone(), None).await?;
    let foreign: Vec<_> = wanted.iter().filter(|platform| !first.facts().is_native(platform)).collect();
    let connecting = foreign.iter().map(|platform| {
        let part = platform.to_string().replace('/', "-");
        connect(spec.name.part(part.trim_start_matches("linux-")), Some(platform))
    });
    // Without such a node, the first node emulates the platform.
    let others = join_all(connecting).await.into_iter().flatten().zip(foreign);
    let mut engines = vec![first];
    for (engine, platform) in others {
        if engine.facts().is_native(platform) && !engines.iter().any(|known| known.facts().is_native(platform)) {
            engines.push(engine);
        }
    }
    Ok(engines)
}
