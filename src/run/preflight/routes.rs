//! Checks that each engine that pushes has a route to the registry. Without the check, a long build would end at its
//! push.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::future::join_all;
use tokio::time::timeout;

use super::request::BuildRun;
use crate::engine::{Engine, EngineError, EngineErrorKind};
use crate::oci::{RegistryHost, Repository, Tag};
use crate::plan::{Endpoint, EngineSpec};
use crate::run::event::failure::failure;
use crate::run::event::{Failure, Phase, Warning};
use crate::run::publish::target::Target;
use crate::run::schedule::engines::Reached;
use crate::run::schedule::scheduled::Schedule;
use crate::run::storage::registry::Registry;

/// A tag that no image has. A registry such as Docker Hub counts a request for an existing tag as a pull.
const PROBE: &str = "polyarch-route";
/// The wait before polyarch asks again, so that one lost packet does not fail a run.
const AGAIN: Duration = Duration::from_millis(500);
/// The limit for the second question.
const LONGEST: Duration = Duration::from_secs(5);

/// The answer of an engine to the question whether it reaches a registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::run) enum Route {
    /// The registry answered the engine. A refusal is an answer, too.
    Open,
    /// The engine does not reach the registry.
    Closed(Obstacle, String),
    /// The engine did not answer in time.
    Silent(String),
    /// The engine's answer does not show it.
    Unknown(String),
}

/// The obstacle between an engine and a registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::run) enum Obstacle {
    /// The engine does not find the host, or nothing at the host answers.
    Network,
    /// The engine does not trust the registry's certificate.
    Certificate,
    /// The engine expects TLS, and the registry speaks plain HTTP.
    PlainHttp,
}

/// The results for all engines of a run.
#[derive(Debug, Default)]
pub(in crate::run) struct Routes {
    pub(in crate::run) failures: Vec<Failure>,
    pub(in crate::run) warnings: Vec<Warning>,
}

/// Asks each engine that pushes whether it reaches the registry: one request for each engine, all at once. polyarch
/// proves the way to the embedded registry in another check.
pub(in crate::run) async fn check(run: &BuildRun, schedule: &Schedule, targets: &[Target]) -> Routes {
    let first = &run.registries.first;
    if !run.goal.pushes() || matches!(first, Registry::Embedded { .. }) {
        return Routes::default();
    }
    let wanted: BTreeMap<usize, &Repository> =
        schedule.builds_at_equal_places().map(|build| (build.engine, &targets[build.image.0].storage)).collect();
    let asking = wanted.into_iter().map(async |(engine, repository)| {
        let reached = &run.engines.list()[engine];
        (reached, ask(&reached.engine, repository).await)
    });
    let mut routes = Routes::default();
    for (Reached { spec, .. }, route) in join_all(asking).await {
        match route {
            Route::Open | Route::Unknown(_) => {}
            Route::Closed(obstacle, why) => {
                routes.failures.push(closed(spec, first.host(), obstacle, &why));
            }
            Route::Silent(why) => {
                let message = format!("engine {} may not reach registry {}: {why}", spec.name, first.host());
                let hint = "check the firewall between the two; polyarch builds, and the push may fail";
                let (message, hint) = (message.into(), Some(hint.into()));
                routes.warnings.push(Warning { image: None, platform: None, message, hint });
            }
        }
    }
    routes
}

/// The failure of an engine that does not reach the registry.
pub(in crate::run) fn closed(spec: &EngineSpec, registry: &RegistryHost, obstacle: Obstacle, why: &str) -> Failure {
    let message = format!("engine {} cannot reach registry {registry}: {why}", spec.name);
    failure(Phase::Preflight, &message, Some(obstacle.hint(registry, &spec.host)))
}

/// Asks `engine` whether it reaches the registry of `repository`.
pub(in crate::run) async fn ask(engine: &Engine, repository: &Repository) -> Route {
    let route = ask_once(engine, repository).await;
    if !matches!(route, Route::Closed(..)) {
        return route;
    }
    tokio::time::sleep(AGAIN).await;
    timeout(LONGEST, ask_once(engine, repository)).await.unwrap_or(route)
}

async fn ask_once(engine: &Engine, repository: &Repository) -> Route {
    let Ok(tag) = PROBE.parse::<Tag>() else { return Route::Unknown(format!("{PROBE} is not a tag")) };
    match engine.digest_in_registry(&repository.tag(tag)).await {
        Ok(_) => Route::Open,
        Err(EngineError { kind, .. }) => read(&kind),
    }
}

/// The meaning of an engine's error. An engine passes on the error of Go's net, crypto/x509 and net/http (moby,
/// `registry/auth.go` and `api/server/router/distribution`).
fn read(error: &EngineErrorKind) -> Route {
    let (status, message) = match error {
        EngineErrorKind::Refused { status, message } => (*status, message),
        EngineErrorKind::Timeout(seconds) => {
            return Route::Silent(format!("the registry did not answer the engine within {seconds} s"));
        }
        other => return Route::Unknown(other.to_string()),
    };
    // The registry itself refused, or it does not have the tag.
    if matches!(status, 401 | 403 | 404) {
        return Route::Open;
    }
    let obstacle = SIGNS.iter().find(|(signs, _)| signs.iter().any(|sign| message.contains(sign)));
    match obstacle {
        Some((_, obstacle)) => Route::Closed(*obstacle, without_request(message).to_owned()),
        None => Route::Unknown(message.clone()),
    }
}

/// The signs of an obstacle in the text of an error. A certificate comes first, because its message may quote others.
const SIGNS: &[(&[&str], Obstacle)] = &[
    (&["x509: ", "tls: failed to verify certificate"], Obstacle::Certificate),
    (&["server gave HTTP response to HTTPS client"], Obstacle::PlainHttp),
    (
        &[
            "no such host",
            "server misbehaving",
            "Temporary failure in name resolution",
            "network is unreachable",
            "no route to host",
            "connection refused",
            "i/o timeout",
        ],
        Obstacle::Network,
    ),
];

/// The reason without the request before it: `Get "https://a.io/v2/": dial tcp: lookup a.io: no such host`.
fn without_request(message: &str) -> &str {
    let reason =
        message.strip_prefix("Get ").and_then(|rest| rest.split_once("/\": ").or_else(|| rest.split_once("/: ")));
    reason.map_or(message, |(_, reason)| reason)
}

impl Obstacle {
    /// The next step for the user of the engine at `engine`.
    fn hint(self, registry: &RegistryHost, engine: &Endpoint) -> String {
        match self {
            Self::Network if registry.is_loopback() && !engine.is_on_this_machine() => {
                "name the registry by an address that both machines know: loopback is a different registry on each"
                    .to_owned()
            }
            Self::Network => {
                "give the engine's host a route to the registry (DNS, firewall, proxy), or name a registry that it \
                 reaches"
                    .to_owned()
            }
            Self::Certificate => {
                format!("copy the registry's CA to /etc/docker/certs.d/{registry}/ca.crt on the engine's host")
            }
            Self::PlainHttp => format!(
                "add \"{registry}\" to `insecure-registries` in the engine's /etc/docker/daemon.json and restart the \
                 engine, or give the registry TLS"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::EngineHost;

    fn refused(status: u16, message: &str) -> Route {
        read(&EngineErrorKind::Refused { status, message: message.into() })
    }

    #[test]
    fn answer_of_a_registry_is_a_route() {
        for (status, message) in [
            (404, "manifest unknown: manifest unknown"),
            (403, "denied: requested access to the resource is denied"),
            (401, "unauthorized: authentication required"),
        ] {
            assert_eq!(refused(status, message), Route::Open, "{message}");
        }
        for message in ["toomanyrequests: slow down", "received unexpected HTTP status: 502 Bad Gateway"] {
            assert_eq!(refused(500, message), Route::Unknown(message.into()));
        }
        assert!(matches!(read(&EngineErrorKind::Timeout(10)), Route::Silent(_)));
        assert!(matches!(read(&EngineErrorKind::Lost("closed".into())), Route::Unknown(_)));
    }

    #[test]
    fn obstacle_is_read_from_the_error_of_the_engine() {
        let closed = |obstacle, why: &str| Route::Closed(obstacle, why.into());
        let get = "Get \"https://a.io/v2/\": ";
        for (obstacle, why) in [
            (Obstacle::Network, "dial tcp: lookup a.io on 10.0.0.2:53: no such host"),
            (Obstacle::Network, "dial tcp 192.0.2.1:443: connect: network is unreachable"),
            (Obstacle::Network, "dial tcp 192.0.2.1:443: i/o timeout"),
            (Obstacle::Certificate, "x509: certificate signed by unknown authority"),
            (Obstacle::Certificate, "tls: failed to verify certificate: x509: certificate is valid for b.io, not a.io"),
            (Obstacle::PlainHttp, "http: server gave HTTP response to HTTPS client"),
        ] {
            assert_eq!(refused(500, &format!("{get}{why}")), closed(obstacle, why));
        }
        let old = "Get https://a.io/v2/: dial tcp 127.0.0.1:1: connect: connection refused";
        assert_eq!(refused(500, old), closed(Obstacle::Network, "dial tcp 127.0.0.1:1: connect: connection refused"));
    }

    #[test]
    fn hint_for_loopback_on_another_machine_names_the_reason() {
        let host = |host: &str| Endpoint::from(host.parse::<EngineHost>().unwrap());
        let hint = |engine: &str| Obstacle::Network.hint(&"127.0.0.1:5000".parse().unwrap(), &host(engine));
        assert!(hint("ssh://graviton").contains("loopback"));
        assert!(hint("unix:///var/run/docker.sock").contains("route"));
    }
}
