//! The engines and builders of this machine, as `polyarch engines` found them.

use polyarch::engine::EngineFacts;
use polyarch::facts::{Builder, SocketOwner};
use polyarch::plan::{ClientCertificate, Endpoint, EngineHost, EngineName, TlsHost};
use polyarch::run::Failure;
use serde::Serialize;

/// An engine or a builder that something on this machine names.
#[derive(Debug, Clone)]
pub(crate) struct Candidate {
    /// The name for a plan. It has only characters that a plan allows.
    pub(crate) name: EngineName,
    pub(crate) origin: Origin,
    /// The address to ask, or the reason why polyarch cannot ask.
    pub(crate) address: Result<Endpoint, Unasked>,
    pub(crate) used: Used,
}

/// Whether `polyarch build` uses the engine here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Used {
    Yes,
    No,
}

/// Why polyarch did not ask.
#[derive(Debug, Clone)]
pub(crate) enum Unasked {
    /// polyarch cannot use the address.
    Refused(Failure),
    /// buildx starts a builder of this driver, if the builder does not run.
    MayStart,
}

/// The thing that names the engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    /// `engines:` of the plan.
    Plan,
    /// `DOCKER_HOST`.
    Environment,
    /// `BUILDKIT_HOST`.
    BuildKitHost,
    /// The docker context of this name.
    Context(String),
    /// docker's default socket.
    Default,
    /// A builder of buildx.
    Builder(Builder),
    /// A socket that exists, with the program that usually listens there.
    Socket(SocketOwner),
}

/// The kind of [`Origin`], for programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    Plan,
    Environment,
    BuildkitHost,
    Context,
    Default,
    Builder,
    Socket,
}

impl Origin {
    pub(crate) fn kind(&self) -> Kind {
        match self {
            Self::Plan => Kind::Plan,
            Self::Environment => Kind::Environment,
            Self::BuildKitHost => Kind::BuildkitHost,
            Self::Context(_) => Kind::Context,
            Self::Default => Kind::Default,
            Self::Builder(_) => Kind::Builder,
            Self::Socket(_) => Kind::Socket,
        }
    }

    /// The words for people.
    pub(crate) fn words(&self) -> String {
        match self {
            Self::Plan => "plan".into(),
            Self::Environment => "DOCKER_HOST".into(),
            Self::BuildKitHost => "BUILDKIT_HOST".into(),
            Self::Context(name) => format!("context {name}"),
            Self::Default => "default socket".into(),
            Self::Builder(Builder { driver, is_current: true, .. }) => format!("buildx {driver}, current"),
            Self::Builder(Builder { driver, .. }) => format!("buildx {driver}"),
            Self::Socket(owner) => owner.to_string(),
        }
    }
}

/// The state of a candidate.
#[derive(Debug, Clone)]
pub(crate) enum State {
    Reachable(EngineFacts),
    Unreachable(Failure),
    /// polyarch did not ask.
    Unknown,
}

/// A candidate with its state.
#[derive(Debug, Clone)]
pub(crate) struct Listed {
    pub(crate) candidate: Candidate,
    pub(crate) state: State,
    /// The time until the answer, in seconds.
    pub(crate) seconds: Option<f64>,
}

impl Listed {
    pub(crate) fn is_reachable(&self) -> bool {
        matches!(self.state, State::Reachable(_))
    }

    /// The entry for `engines:` of a plan. `None` for an engine that the plan has, or that polyarch cannot use.
    pub(crate) fn entry(&self) -> Option<String> {
        let Candidate { name, origin, address, .. } = &self.candidate;
        if let State::Unreachable(_) = self.state {
            return None;
        }
        if let Origin::Builder(builder) = origin {
            return Some(format!("{name}: {{ builder: {} }}", builder.name));
        }
        let address = address.as_ref().ok().filter(|_| *origin != Origin::Plan)?;
        if let Origin::Context(context) = origin
            && address.is_private()
        {
            return Some(format!("{name}: {{ context: {context} }}"));
        }
        if let Endpoint::Docker(EngineHost::Tls(host)) = address {
            return Some(format!("{name}: {}", with_tls(host)));
        }
        let key = match address {
            Endpoint::Docker(_) => "host",
            Endpoint::BuildKit(_) => "buildkit",
        };
        let insecure = if address.is_private() { "" } else { ", insecure: true" };
        Some(format!("{name}: {{ {key}: \"{address}\"{insecure} }}"))
    }
}

/// The entry of an engine with TLS.
fn with_tls(host: &TlsHost) -> String {
    let files = host.tls.ca.iter().map(|ca| ("ca", ca));
    let client = host.tls.client.iter().flat_map(|ClientCertificate { cert, key }| [("cert", cert), ("key", key)]);
    let files: Vec<_> = files.chain(client).map(|(name, file)| format!("{name}: \"{}\"", file.display())).collect();
    format!("{{ host: \"{}\", tls: {{ {} }} }}", EngineHost::Tls(host.clone()), files.join(", "))
}
