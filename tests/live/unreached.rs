//! A registry that the engine does not reach, although polyarch does: told before the build.

use std::net::{IpAddr, UdpSocket};

use crate::project::Project;
use crate::support::distribution::{Distribution, Setup};
use crate::support::engines::{Engine, PrivateEngine};
use crate::support::program::Finished;

on_both_engines!(
    engine_without_a_route_to_the_registry_stops_the_run,
    engine_that_distrusts_the_registry_stops_the_run,
    engine_that_expects_tls_of_the_registry_stops_the_run,
);

/// A step that would fail the build, if there was one.
const FAILING: &str = "FROM scratch\nCOPY missing /\n";

/// The run ended before the build, and names the engine, the registry and each of `words`.
fn stopped(finished: &Finished, registry: &str, words: &[&str]) {
    let first = format!("engine default cannot reach registry {registry}: ");
    for word in words.iter().chain(&[first.as_str()]) {
        assert!(finished.stderr.contains(word), "{word:?} is not in {}", finished.stderr);
    }
    assert!(!finished.stderr.contains("missing"), "{}", finished.stderr);
}

async fn engine_without_a_route_to_the_registry_stops_the_run(engine: Engine) {
    let private = PrivateEngine::start_alone(&engine, "unreached").await;
    let (registry, project) = (Distribution::start(Setup::Plain), Project::new(private.engine.clone(), "unreached"));
    project.write("context/Dockerfile", "FROM scratch\nCOPY Dockerfile /\n");
    project.plan(registry.address(), "platforms: [linux/amd64]");
    let finished = project.run(&["build"]).await.expect_code(3);
    stopped(&finished, &registry.address().to_string(), &["dial tcp", "hint: give the engine's host a route"]);
    // The same engine builds if it does not push.
    project.run(&["build", "--load"]).await.expect_code(0);
}

/// An address of this machine that is not loopback. The socket sends no packet.
fn own_address() -> IpAddr {
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    socket.connect("203.0.113.1:9").expect("this machine has a default route");
    socket.local_addr().unwrap().ip()
}

async fn engine_that_distrusts_the_registry_stops_the_run(engine: Engine) {
    let registry = Distribution::start_at(own_address(), Setup::Tls);
    let project = Project::new(engine, "distrusted");
    project.write("ca.pem", registry.certificate().unwrap());
    project.write("context/Dockerfile", FAILING);
    let host = registry.address().to_string();
    project.plan(format!("{{ host: \"{host}\", ca: ca.pem }}"), "platforms: [linux/amd64]");
    let finished = project.run(&["build"]).await.expect_code(3);
    stopped(&finished, &host, &["x509: ", &format!("/etc/docker/certs.d/{host}/ca.crt")]);
}

async fn engine_that_expects_tls_of_the_registry_stops_the_run(engine: Engine) {
    let registry = Distribution::start_at(own_address(), Setup::Plain);
    let project = Project::new(engine, "unencrypted");
    project.write("context/Dockerfile", FAILING);
    let host = registry.address().to_string();
    project.plan(format!("{{ host: \"{host}\", insecure: true }}"), "platforms: [linux/amd64]");
    let finished = project.run(&["build"]).await.expect_code(3);
    stopped(&finished, &host, &["server gave HTTP response to HTTPS client", "insecure-registries"]);
}
