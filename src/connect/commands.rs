//! The programs that connect to a BuildKit, as BuildKit's own client starts them (BuildKit, `client/connhelper`).

use super::ping::Server;
use crate::oci::Platform;
use crate::plan::{BuilderHost, BuilderName, Cluster, ContainerHost, ContainerProgram, PodHost, PodsHost, SshHost};

/// The program in a container or on another machine whose input and output are a connection to BuildKit.
const BUILDCTL: [&str; 2] = ["buildctl", "dial-stdio"];

/// The words behind the host in a command of ssh (docker/cli, `cli/connhelper`, and BuildKit, `client/connhelper/ssh`).
pub(super) fn over_ssh(host: &SshHost, server: Server) -> Vec<String> {
    let socket = |option: &str| host.socket().map(|socket| format!("{option}=unix://{socket}"));
    match server {
        Server::DockerEngine => {
            words(["docker"]).chain(socket("--host")).chain(words(["system", "dial-stdio"])).collect()
        }
        Server::BuildKit => words(["buildctl"]).chain(socket("--addr")).chain(words(["dial-stdio"])).collect(),
    }
}

pub(super) fn in_container(ContainerHost { program, name, context }: &ContainerHost) -> Vec<String> {
    let program = match program {
        ContainerProgram::Docker => "docker",
        ContainerProgram::Podman => "podman",
    };
    let context = context.as_ref().map(|context| format!("--context={context}"));
    words([program]).chain(context).chain(words(["exec", "-i", name.as_str()])).chain(words(BUILDCTL)).collect()
}

pub(super) fn in_pod(PodHost { name, cluster }: &PodHost) -> Vec<String> {
    let container = cluster.container.as_ref().map(|container| format!("--container={container}"));
    let exec = words(["exec"]).chain(container).chain(words(["-i", name.as_str(), "--"]));
    kubectl(cluster).chain(exec).chain(words(BUILDCTL)).collect()
}

/// Lists pods as JSON.
pub(super) fn list_pods(PodsHost { selector, cluster }: &PodsHost) -> Vec<String> {
    let selector = format!("--selector={selector}");
    kubectl(cluster).chain(words(["get", "pods", selector.as_str(), "--output=json"])).collect()
}

/// The current builder of buildx needs no name. buildx chooses the builder's node by the platform.
pub(super) fn to_builder(BuilderHost { name, platform }: &BuilderHost) -> Vec<String> {
    let builder = match name {
        BuilderName::Current => None,
        BuilderName::Named(name) => Some(format!("--builder={name}")),
    };
    let platform = platform.as_ref().map(|platform: &Platform| format!("--platform={platform}"));
    words(["docker", "buildx", "dial-stdio"]).chain(builder).chain(platform).collect()
}

fn kubectl(cluster: &Cluster) -> impl Iterator<Item = String> {
    let context = cluster.context.as_ref().map(|context| format!("--context={context}"));
    let namespace = cluster.namespace.as_ref().map(|namespace| format!("--namespace={namespace}"));
    words(["kubectl"]).chain(context).chain(namespace)
}

fn words<const N: usize>(words: [&str; N]) -> impl Iterator<Item = String> + use<N> {
    words.map(str::to_owned).into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::BuildKitHost;

    /// The command for an address.
    fn command(address: &str) -> String {
        let words = match address.parse().unwrap() {
            BuildKitHost::Container(host) => in_container(&host),
            BuildKitHost::Pod(host) => in_pod(&host),
            BuildKitHost::Pods(host) => list_pods(&host),
            other => panic!("{other:?}"),
        };
        words.join(" ")
    }

    #[test]
    fn containers_and_pods_are_reached_as_by_buildctl() {
        for (address, expected) in [
            ("docker-container://b", "docker exec -i b buildctl dial-stdio"),
            ("docker-container://b?context=far", "docker --context=far exec -i b buildctl dial-stdio"),
            ("podman-container://b", "podman exec -i b buildctl dial-stdio"),
            ("kube-pod://b-0", "kubectl exec -i b-0 -- buildctl dial-stdio"),
            (
                "kube-pod://b-0?namespace=ci&container=main&context=far",
                "kubectl --context=far --namespace=ci exec --container=main -i b-0 -- buildctl dial-stdio",
            ),
            (
                "kube-pod://?selector=app=b&namespace=ci",
                "kubectl --namespace=ci get pods --selector=app=b --output=json",
            ),
        ] {
            assert_eq!(command(address), expected);
        }
    }

    #[test]
    fn builders_are_reached_through_buildx() {
        let builder = |name: &str| BuilderHost { name: name.parse().unwrap(), platform: None };
        assert_eq!(to_builder(&builder("current")).join(" "), "docker buildx dial-stdio");
        let arm = BuilderHost { platform: Some("linux/arm64".parse().unwrap()), ..builder("ci") };
        assert_eq!(to_builder(&arm).join(" "), "docker buildx dial-stdio --builder=ci --platform=linux/arm64");
    }
}
