//! The kinds of endpoints. Each constructor makes a way to the engine of a project.

use std::fs;
use std::os::unix::fs::symlink;
use std::rc::Rc;

use serde_json::json;

use crate::project::Project;
use crate::support::bare_buildkit::BareBuildKit;
use crate::support::parts;
use crate::support::ssh_server::{Login, SshServer};
use crate::support::tls_front::{Authority, Front, Listen};

/// A way to the engine of a project.
pub(super) struct Endpoint {
    /// The end of the plan: `engines`, or nothing if the variables name the engine.
    pub(super) engines: String,
    /// The environment of each run.
    pub(super) variables: Vec<(&'static str, String)>,
    /// The sessions that a server of the test still has, besides the processes of the run.
    pub(super) sessions: Box<dyn Fn() -> usize>,
}

impl Endpoint {
    /// An engine in the plan: `{ host: … }`.
    fn planned(engine: &str) -> Self {
        Self { engines: format!("engines:\n  far: {engine}\n"), ..Self::unplanned(Vec::new()) }
    }

    /// An engine that the environment names.
    fn unplanned(variables: Vec<(&'static str, String)>) -> Self {
        Self { engines: String::new(), variables, sessions: Box::new(|| 0) }
    }

    /// The same endpoint, which keeps a part of the test.
    fn keeping(self, part: impl std::any::Any) -> Self {
        let sessions = self.sessions;
        Self {
            sessions: Box::new(move || {
                let _ = &part;
                sessions()
            }),
            ..self
        }
    }

    /// The same endpoint, whose program is found in another `PATH`.
    fn found_in(self, path: String) -> Self {
        Self { variables: vec![("PATH", path)], ..self }
    }

    /// The same endpoint through an ssh server.
    fn through(self, server: SshServer) -> Self {
        let server = Rc::new(server);
        let variables = vec![("PATH", server.path())];
        let sessions = Box::new(move || server.clients().len() + server.sessions());
        Self { variables, sessions, ..self }
    }
}

/// The path of the engine's socket.
fn socket(project: &Project) -> &str {
    project.engine.host.strip_prefix("unix://").unwrap()
}

/// Writes a docker context. The name of its folder is the hash of its name.
fn context(project: &Project, name: &str, host: &str) {
    let id = polyarch::oci::Digest::of(name.as_bytes()).to_string().replace("sha256:", "");
    let folder = project.home.docker_config().join("contexts/meta").join(id);
    fs::create_dir_all(&folder).unwrap();
    let meta = json!({ "Name": name, "Endpoints": { "docker": { "Host": host } } });
    fs::write(folder.join("meta.json"), meta.to_string()).unwrap();
}

/// The socket of the engine.
pub(super) async fn unix(project: &Project) -> Endpoint {
    Endpoint::planned(&format!("{{ host: '{}' }}", project.engine.host))
}

/// A socket in a directory of the user, which a docker context names, as rootless Docker has it.
pub(super) async fn rootless_context(project: &Project) -> Endpoint {
    let path = project.path("user/docker.sock");
    fs::create_dir(project.path("user")).unwrap();
    symlink(socket(project), &path).unwrap();
    context(project, "rootless", &format!("unix://{}", path.display()));
    Endpoint::unplanned(vec![("DOCKER_CONTEXT", "rootless".to_owned())])
}

/// Plain TCP on loopback.
pub(super) async fn tcp(project: &Project) -> Endpoint {
    let front = Front::start(&project.engine.host, Listen::Plain).await;
    Endpoint::planned(&format!("{{ host: 'tcp://127.0.0.1:{}' }}", front.port())).keeping(front)
}

/// TLS with a client certificate.
pub(super) async fn tls(project: &Project) -> Endpoint {
    let front = front_with_tls(project, &project.engine.host).await;
    Endpoint::planned(&format!("{{ host: 'tcp://localhost:{}', tls: {CERTS} }}", front.port())).keeping(front)
}

/// The certificates of a client in the plan.
const CERTS: &str = "{ ca: certs/ca.pem, cert: certs/cert.pem, key: certs/key.pem }";

/// A server of TLS before a socket, which demands the client certificate in the project.
async fn front_with_tls(project: &Project, host: &str) -> Front {
    let authority = Authority::new();
    authority.write_for_client(&project.path("certs"));
    Front::start(host, Listen::tls(&authority.sign("localhost"), Some(&authority))).await
}

/// OpenSSH.
pub(super) async fn ssh(project: &Project) -> Endpoint {
    let server = SshServer::start(Login::Key).await;
    Endpoint::planned(&format!("{{ host: 'ssh://graviton{}' }}", socket(project))).through(server)
}

/// A docker context in the plan that names a host of OpenSSH.
pub(super) async fn ssh_context(project: &Project) -> Endpoint {
    context(project, "graviton", &format!("ssh://graviton{}", socket(project)));
    let server = SshServer::start(Login::Key).await;
    Endpoint::planned("{ context: graviton }").through(server)
}

/// A program whose standard input and output are the connection.
pub(super) async fn program(project: &Project) -> Endpoint {
    let host = &project.engine.host;
    Endpoint::planned(&format!("{{ command: [docker, --host, '{host}', system, dial-stdio] }}"))
}

/// A BuildKit without a Docker Engine, on a socket.
pub(super) async fn buildkit_unix(project: &Project) -> Endpoint {
    let buildkit = BareBuildKit::start(&project.engine).await;
    Endpoint::planned(&format!("{{ buildkit: '{}' }}", buildkit.unix())).keeping(buildkit)
}

/// The same on a port of loopback.
pub(super) async fn buildkit_tcp(project: &Project) -> Endpoint {
    let buildkit = BareBuildKit::start(&project.engine).await;
    Endpoint::planned(&format!("{{ buildkit: '{}' }}", buildkit.tcp())).keeping(buildkit)
}

/// The same with TLS and a client certificate.
pub(super) async fn buildkit_tls(project: &Project) -> Endpoint {
    let buildkit = BareBuildKit::start(&project.engine).await;
    let front = front_with_tls(project, &buildkit.unix()).await;
    let engine = format!("{{ buildkit: 'tcp://localhost:{}', tls: {CERTS} }}", front.port());
    Endpoint::planned(&engine).keeping((front, buildkit))
}

/// A BuildKit in a container, behind a docker CLI of the test.
pub(super) async fn buildkit_container(project: &Project) -> Endpoint {
    let buildkit = BareBuildKit::start(&project.engine).await;
    let path = buildkit.path_with("docker", "dial");
    Endpoint::planned("{ buildkit: 'docker-container://buildkitd' }").found_in(path).keeping(buildkit)
}

/// A BuildKit in a pod, behind a kubectl of the test.
pub(super) async fn buildkit_pod(project: &Project) -> Endpoint {
    let buildkit = BareBuildKit::start(&project.engine).await;
    let path = buildkit.path_with("kubectl", "dial");
    Endpoint::planned("{ buildkit: 'kube-pod://buildkitd-0?namespace=ci' }").found_in(path).keeping(buildkit)
}

/// A builder of buildx by its name.
pub(super) async fn builder(project: &Project) -> Endpoint {
    let buildkit = BareBuildKit::start(&project.engine).await;
    let (tools, host) = (parts::variable("POLYARCH_TEST_TOOLS", None), &project.engine.host);
    let state = parts::variable("HOME", None) + "/.cache/polyarch-test";
    let state = parts::variable("POLYARCH_TEST_STATE", Some(&state));
    let script =
        format!("export PATH=/usr/bin:/bin POLYARCH_TEST_STATE={state}\nexec {tools} docker --host {host} \"$@\"");
    let path = buildkit.path_with("docker", &script);
    Endpoint::planned("{ builder: default }").found_in(path).keeping(buildkit)
}
