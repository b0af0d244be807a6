//! The address of a BuildKit that answers without a Docker Engine: the addresses of `buildctl --addr` and `BUILDKIT_HOST`
//! (BuildKit, `client/connhelper`), and the builders of buildx.
//!
//! Most parts become arguments of a program. So polyarch accepts only harmless characters, and no part begins with a
//! hyphen.

use std::fmt;
use std::str::FromStr;

use super::host::{EngineHost, EngineHostError};
use super::tls::{EngineTls, TlsHost};
use crate::oci::Platform;

/// The way to a BuildKit without a Docker Engine.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum BuildKitHost {
    /// The address of BuildKit itself. Over ssh, `buildctl dial-stdio` of the other machine is the connection.
    Direct(EngineHost),
    /// A container of docker or podman, through `buildctl dial-stdio` inside of the container.
    Container(ContainerHost),
    /// A pod of Kubernetes, through `buildctl dial-stdio` inside of the pod.
    Pod(PodHost),
    /// The ready pods of Kubernetes with a label. Each pod is an engine.
    Pods(PodsHost),
    /// A builder of buildx, through `docker buildx dial-stdio`.
    Builder(BuilderHost),
}

/// A container with BuildKit.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ContainerHost {
    /// The program that runs the container.
    pub program: ContainerProgram,
    /// The name or the id of the container.
    pub name: Word,
    /// The docker context. Without it, docker decides.
    pub context: Option<Word>,
}

/// A program that runs containers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ContainerProgram {
    /// Docker's client.
    Docker,
    /// Podman.
    Podman,
}

/// The place of pods. kubectl's configuration decides about missing parts.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Cluster {
    /// The context in kubectl's configuration.
    pub context: Option<Word>,
    /// The namespace.
    pub namespace: Option<Word>,
    /// The container in the pod.
    pub container: Option<Word>,
}

/// A pod with BuildKit.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PodHost {
    /// The name of the pod.
    pub name: Word,
    /// The place of the pod.
    pub cluster: Cluster,
}

/// Pods with BuildKit.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PodsHost {
    /// The label selector, as `kubectl get pods --selector` takes it.
    pub selector: Word,
    /// The place of the pods.
    pub cluster: Cluster,
}

/// A builder of buildx, or one of its nodes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct BuilderHost {
    /// The name of the builder.
    pub name: BuilderName,
    /// The platform that chooses the node. Without it, buildx takes the first node.
    pub platform: Option<Platform>,
}

/// The name of a builder.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum BuilderName {
    /// The builder that `BUILDX_BUILDER` or `docker buildx use` chose.
    Current,
    /// A builder by name.
    Named(Word),
}

/// A text of harmless characters that does not begin with a hyphen. No program can take it for an option.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Word(String);

impl Word {
    /// An identifier of a container, a pod, a namespace or a builder.
    pub(crate) fn name(text: &str) -> Option<Self> {
        Self::of(text, "_.-")
    }

    /// The name of a context of kubectl. Amazon's names are ARNs, and other names contain `@` or `/`.
    fn context(text: &str) -> Option<Self> {
        Self::of(text, "_.-:/@")
    }

    /// A label selector: `app=buildkitd,tier!=test`.
    fn selector(text: &str) -> Option<Self> {
        Self::of(text, "_.-/=!,")
    }

    fn of(text: &str, others: &str) -> Option<Self> {
        let is_allowed = |c: char| c.is_ascii_alphanumeric() || others.contains(c);
        let is_word = text.starts_with(|c: char| c.is_ascii_alphanumeric()) && text.chars().all(is_allowed);
        is_word.then(|| Self(text.to_owned()))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl BuildKitHost {
    /// Whether an address can only be one of BuildKit, by its scheme.
    #[must_use]
    pub fn has_scheme_of(text: &str) -> bool {
        ["docker-container://", "podman-container://", "kube-pod://"].iter().any(|scheme| text.starts_with(scheme))
    }

    /// The same BuildKit with TLS.
    ///
    /// # Errors
    /// The address is not `tcp://HOST:PORT`.
    pub(in crate::plan) fn with_tls(self, tls: EngineTls) -> Result<Self, EngineHostError> {
        match self {
            Self::Direct(EngineHost::Tcp { host, port }) => {
                Ok(Self::Direct(EngineHost::Tls(TlsHost { host, port, tls })))
            }
            _ => Err(EngineHostError::NoTls),
        }
    }

    /// Whether no other machine can read the connection.
    #[must_use]
    pub fn is_private(&self) -> bool {
        match self {
            Self::Direct(host) => host.is_private(),
            Self::Container(_) | Self::Pod(_) | Self::Pods(_) | Self::Builder(_) => true,
        }
    }

    /// Whether BuildKit is surely on this machine, so that both mean the same by a loopback address. A container has a
    /// network of its own.
    #[must_use]
    pub fn is_on_this_machine(&self) -> bool {
        match self {
            Self::Direct(host) => host.is_on_this_machine(),
            Self::Container(_) | Self::Pod(_) | Self::Pods(_) | Self::Builder(_) => false,
        }
    }
}

impl FromStr for BuildKitHost {
    type Err = EngineHostError;

    fn from_str(text: &str) -> Result<Self, EngineHostError> {
        let (scheme, rest) = text.split_once("://").ok_or(EngineHostError::BuildKit)?;
        let read = match scheme {
            "docker-container" => container(ContainerProgram::Docker, rest).map(Self::Container),
            "podman-container" => container(ContainerProgram::Podman, rest).map(Self::Container),
            "kube-pod" => pods(rest),
            // BuildKit has no usual port.
            "tcp" if !has_port(rest) => None,
            _ => return text.parse().map(Self::Direct),
        };
        read.ok_or(EngineHostError::BuildKit)
    }
}

impl FromStr for BuilderName {
    type Err = EngineHostError;

    fn from_str(text: &str) -> Result<Self, EngineHostError> {
        match text {
            "current" => Ok(Self::Current),
            name => Word::name(name).map(Self::Named).ok_or(EngineHostError::Builder),
        }
    }
}

fn has_port(authority: &str) -> bool {
    let authority = authority.trim_end_matches('/');
    !authority.ends_with(']') && authority.rsplit_once(':').is_some_and(|(_, port)| !port.is_empty())
}

/// Splits `NAME?key=value&…`. Each key may appear once. A value is not decoded, because no accepted character needs that.
fn parts<const N: usize>(text: &str, keys: [&str; N]) -> Option<(String, [Option<String>; N])> {
    let (name, query) = text.split_once('?').unwrap_or((text, ""));
    let mut values = [const { None }; N];
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=')?;
        let at = keys.iter().position(|known| *known == key)?;
        if values[at].replace(value.to_owned()).is_some() {
            return None;
        }
    }
    Some((name.strip_suffix('/').unwrap_or(name).to_owned(), values))
}

/// A part that may be missing. The error means that it is malformed.
fn optional(text: Option<String>, read: impl Fn(&str) -> Option<Word>) -> Result<Option<Word>, ()> {
    text.map(|text| read(&text).ok_or(())).transpose()
}

fn container(program: ContainerProgram, text: &str) -> Option<ContainerHost> {
    let (name, [context]) = parts(text, ["context"])?;
    let context = optional(context, Word::name).ok()?;
    // Podman has connections, and no contexts.
    let is_possible = program == ContainerProgram::Docker || context.is_none();
    is_possible.then_some(())?;
    Some(ContainerHost { program, name: Word::name(&name)?, context })
}

fn pods(text: &str) -> Option<BuildKitHost> {
    let (name, [context, namespace, container, selector]) =
        parts(text, ["context", "namespace", "container", "selector"])?;
    let cluster = Cluster {
        context: optional(context, Word::context).ok()?,
        namespace: optional(namespace, Word::name).ok()?,
        container: optional(container, Word::name).ok()?,
    };
    match (name.as_str(), selector) {
        ("", Some(selector)) => Some(BuildKitHost::Pods(PodsHost { selector: Word::selector(&selector)?, cluster })),
        (name, None) => Some(BuildKitHost::Pod(PodHost { name: Word::name(name)?, cluster })),
        (_, Some(_)) => None,
    }
}

impl fmt::Display for BuildKitHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Direct(host) => host.fmt(f),
            Self::Container(ContainerHost { program, name, context }) => {
                let scheme = match program {
                    ContainerProgram::Docker => "docker-container",
                    ContainerProgram::Podman => "podman-container",
                };
                write!(f, "{scheme}://{name}")?;
                query(f, &[("context", context.as_ref())])
            }
            Self::Pod(PodHost { name, cluster }) => {
                write!(f, "kube-pod://{name}")?;
                query(f, &cluster.named())
            }
            Self::Pods(PodsHost { selector, cluster }) => {
                f.write_str("kube-pod://")?;
                let all: Vec<_> = std::iter::once(("selector", Some(selector))).chain(cluster.named()).collect();
                query(f, &all)
            }
            Self::Builder(BuilderHost { name: BuilderName::Current, .. }) => f.write_str("buildx's current builder"),
            Self::Builder(BuilderHost { name: BuilderName::Named(name), .. }) => write!(f, "buildx's builder {name}"),
        }
    }
}

impl Cluster {
    fn named(&self) -> [(&'static str, Option<&Word>); 3] {
        [
            ("namespace", self.namespace.as_ref()),
            ("container", self.container.as_ref()),
            ("context", self.context.as_ref()),
        ]
    }
}

fn query(f: &mut fmt::Formatter<'_>, pairs: &[(&str, Option<&Word>)]) -> fmt::Result {
    let said = pairs.iter().filter_map(|(key, value)| Some(format!("{key}={}", (*value)?)));
    let said: Vec<_> = said.collect();
    if said.is_empty() { Ok(()) } else { write!(f, "?{}", said.join("&")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buildkit_addresses_are_read_as_by_buildctl() {
        for address in [
            "unix:///run/buildkit/buildkitd.sock",
            "tcp://127.0.0.1:1234",
            "tcp://[::1]:1234",
            "ssh://ci@builder",
            "docker-container://buildkitd",
            "docker-container://buildx_buildkit_b0?context=far",
            "podman-container://buildkitd",
            "kube-pod://buildkitd-0",
            "kube-pod://buildkitd-0?namespace=ci&container=main&context=arn:aws:eks:eu-central-1:1:cluster/ci",
            "kube-pod://?selector=app=buildkitd&namespace=ci",
            "kube-pod://?selector=app.kubernetes.io/name=buildkitd,tier!=test",
        ] {
            let host: BuildKitHost = address.parse().unwrap();
            assert_eq!(host.to_string(), address);
            assert_eq!(
                BuildKitHost::has_scheme_of(address),
                address.contains("-container:") || address.contains("pod:")
            );
        }
        for (text, shown) in [("current", "buildx's current builder"), ("ci", "buildx's builder ci")] {
            let builder = BuilderHost { name: text.parse().unwrap(), platform: None };
            assert_eq!(BuildKitHost::Builder(builder).to_string(), shown);
        }
    }

    #[test]
    fn buildkit_address_with_an_option_or_shell_text_is_refused() {
        let names = [
            "", "-v", "--rm", "-oX=y", "a b", "a;id", "$(id)", "`id`", "a|b", "a&b", "a\nb", "a\0", "a'b", "a\"b",
            "a\\b", "../a", "a/b", "a>b", "ä", ".a", "_a", "a%20b", "a#b", "a@b",
        ];
        for name in names {
            for scheme in ["docker-container", "podman-container", "kube-pod"] {
                let address = format!("{scheme}://{name}");
                assert_eq!(address.parse::<BuildKitHost>(), Err(EngineHostError::BuildKit), "{address:?}");
            }
            for key in ["namespace", "container", "context"] {
                if key == "context" && ["a/b", "a@b"].contains(&name) {
                    continue;
                }
                let address = format!("kube-pod://p?{key}={name}");
                assert_eq!(address.parse::<BuildKitHost>(), Err(EngineHostError::BuildKit), "{address:?}");
            }
            assert_eq!(name.parse::<BuilderName>(), Err(EngineHostError::Builder), "{name:?}");
        }
        for address in [
            "tcp://builder",
            "tcp://[::1]",
            "kube-pod://p?selector=a=b",
            "kube-pod://?namespace=a",
            "kube-pod://?selector=",
            "kube-pod://?selector=-l",
            "kube-pod://?selector=a=b;id",
            "kube-pod://p?pod=q",
            "kube-pod://p?namespace=a&namespace=b",
            "podman-container://a?context=b",
            "docker-container://a?namespace=b",
            "nerdctl-container://a",
        ] {
            let refused = address.parse::<BuildKitHost>().unwrap_err();
            assert!(matches!(refused, EngineHostError::BuildKit | EngineHostError::Form), "{address}");
        }
    }
}
