//! The pods of Kubernetes that can build: `kubectl get pods --selector=…`.

use std::io;

use serde::Deserialize;

use super::commands;
use super::error::ConnectError;
use super::program::ProgramStream;
use crate::plan::{PodHost, PodsHost, Word};

/// The longest list of pods, in bytes. kubectl prints some kilobytes for each pod.
const MAX_LIST: u64 = 16 << 20;

/// kubectl's list, with the fields that decide (Kubernetes API, `PodList`).
#[derive(Deserialize)]
struct PodList {
    items: Vec<Pod>,
}

#[derive(Deserialize)]
struct Pod {
    metadata: Metadata,
    #[serde(default)]
    status: Status,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    name: String,
    /// Kubernetes ends the pod.
    deletion_timestamp: Option<String>,
}

#[derive(Deserialize, Default)]
struct Status {
    #[serde(default)]
    conditions: Vec<Condition>,
}

#[derive(Deserialize)]
struct Condition {
    r#type: String,
    status: String,
}

/// The ready pods, sorted by name.
///
/// # Errors
/// kubectl cannot list the pods, or no pod is ready.
pub(crate) async fn ready_pods(pods: &PodsHost) -> io::Result<Vec<PodHost>> {
    let list = ProgramStream::start(&commands::list_pods(pods))?.read_all(MAX_LIST).await?;
    let ready = ready(&list)?;
    if ready.is_empty() {
        return Err(ConnectError::no_pod(pods.selector.as_str()));
    }
    Ok(ready.into_iter().map(|name| PodHost { name, cluster: pods.cluster.clone() }).collect())
}

fn ready(list: &[u8]) -> io::Result<Vec<Word>> {
    let list: PodList = serde_json::from_slice(list).map_err(io::Error::other)?;
    let is_ready = |pod: &Pod| {
        let is_ready = |condition: &Condition| condition.r#type == "Ready" && condition.status == "True";
        pod.metadata.deletion_timestamp.is_none() && pod.status.conditions.iter().any(is_ready)
    };
    let mut names: Vec<_> =
        list.items.iter().filter(|pod| is_ready(pod)).filter_map(|pod| Word::name(&pod.metadata.name)).collect();
    names.sort();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_ready_pods_that_stay_are_taken() {
        let pod = |name: &str, ready: &str, ends: Option<&str>| {
            serde_json::json!({
                "metadata": { "name": name, "deletionTimestamp": ends },
                "status": { "phase": "Running", "conditions": [
                    { "type": "Initialized", "status": "True" }, { "type": "Ready", "status": ready },
                ] },
            })
        };
        let list = serde_json::json!({ "kind": "List", "items": [
            pod("b-1", "True", None),
            pod("b-2", "False", None),
            pod("b-3", "True", Some("2026-11-30T12:00:00Z")),
            pod("--rm", "True", None),
            { "metadata": { "name": "b-4" } },
            pod("b-0", "True", None),
        ] });
        let names: Vec<_> = ready(list.to_string().as_bytes()).unwrap().iter().map(ToString::to_string).collect();
        assert_eq!(names, ["b-0", "b-1"]);
        assert!(ready(b"error").is_err());
    }
}
