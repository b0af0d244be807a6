//! Opens, serves and ends a session.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bollard::health::health_server::HealthServer;
use bollard::moby::buildkit::secrets::v1::secrets_server::SecretsServer;
use bollard::moby::filesync::v1::auth_server::AuthServer;
use bollard::moby::filesync::v1::file_sync_server::FileSyncServer;
use bollard::moby::sshforward::v1::ssh_server::SshServer;
use hyper::server::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::task::AbortOnDropHandle;
use tonic::Status;
use tonic::service::Routes;

use super::auth::AuthService;
use super::content::ContentService;
use super::dockerfile;
use super::filesync::FileSyncService;
use super::health::HealthService;
use super::observed::Observed;
use super::secrets::SecretsService;
use super::ssh::{BuildAgents, SshService};
use super::tunnel;
use crate::auth::{AuthError, BuildSecrets, CredentialSource};
use crate::buildkit::grpc::{CONNECTION_WINDOW, Control, STREAM_WINDOW};
use crate::context::{AddedLines, AddedStages, ContextError, GivenDockerfile};
use crate::oci::Digest;
use crate::random;

/// The content that a session serves.
#[derive(Clone)]
pub struct SessionSpec {
    /// The build context, unless the engine fetches it itself.
    pub context: Option<PathBuf>,
    /// The Dockerfile, unless it is in a context that the engine fetches. The session serves only this file of its
    /// directory, and its `.dockerignore`.
    pub dockerfile: Option<GivenDockerfile>,
    /// The stages that polyarch adds before the Dockerfile's own.
    pub stages: AddedStages,
    /// Other directories, by the names that the engine uses: [`directories`](crate::buildkit::directories).
    pub directories: BTreeMap<String, PathBuf>,
    /// The directories that its builds import caches from, or export them to.
    pub caches: BTreeSet<PathBuf>,
    /// The key that distinguishes this context from others on the engine. If an earlier run had the same key, the
    /// engine requests only the files that changed.
    pub shared_key: String,
    /// The logins at registries.
    pub credentials: Arc<dyn CredentialSource>,
    /// The secrets that its builds may mount. The engine asks by id only, so builds with different secrets must not
    /// share a session.
    pub secrets: BuildSecrets,
    /// The ssh agents that its builds may use, also by id only.
    pub agents: BuildAgents,
}

/// The largest list of headers from an engine, in bytes: grpc-go's own limit. BuildKit sends each line of an ignore
/// file as a header, and each path that a Dockerfile copies. If the headers exceed this limit, BuildKit does not call
/// at all.
const MAX_HEADERS: u32 = 16 << 20;
/// The most concurrent requests of an engine. Further requests wait (RFC 9113, section 5.1.2). A build makes a few
/// requests for a platform, and one for each connection to an ssh agent.
const MAX_STREAMS: u32 = 32;

/// A session that an engine keeps open. Dropping it ends it.
#[derive(Debug)]
pub struct Session {
    id: String,
    observed: Observed,
    /// The lines that polyarch added to the user's Dockerfile.
    added: AddedLines,
    _server: AbortOnDropHandle<()>,
}

/// The services of a session, before BuildKit has a connection to them.
pub(crate) struct SessionServices {
    id: String,
    shared_key: Digest,
    observed: Observed,
    added: AddedLines,
    routes: Routes,
}

impl SessionServices {
    /// Prepares the services.
    ///
    /// # Errors
    /// polyarch cannot read the context or a Dockerfile.
    pub(crate) fn open(spec: SessionSpec) -> Result<Self, ContextError> {
        let observed = Observed::default();
        let dockerfile = spec.dockerfile.as_ref().map(|dockerfile| dockerfile::open(dockerfile, &spec.stages));
        let (dockerfile, added) = dockerfile.transpose()?.unzip();
        let files = FileSyncService::open(spec.context.as_deref(), dockerfile, &spec.directories, observed.clone())?;
        let credentials = AuthService { source: spec.credentials, error: observed.auth_error.clone() };
        let routes = Routes::new(HealthServer::new(HealthService))
            .add_service(AuthServer::new(credentials))
            .add_service(FileSyncServer::new(files))
            .add_service(ContentService::of(&spec.caches))
            .add_service(SecretsServer::new(SecretsService(spec.secrets)))
            .add_service(SshServer::new(SshService::new(spec.agents)));
        let shared_key = Digest::of(spec.shared_key.as_bytes());
        Ok(Self { id: random_id(), shared_key, observed, added: added.unwrap_or_default(), routes })
    }

    /// The names and values that introduce the session to BuildKit: as headers of a request to Docker Engine, or as
    /// metadata of `Control.Session`.
    pub(crate) fn introduction(&self) -> Vec<(&'static str, &str)> {
        let mut named = vec![
            ("X-Docker-Expose-Session-Uuid", self.id.as_str()),
            ("X-Docker-Expose-Session-Name", "polyarch"),
            ("X-Docker-Expose-Session-Sharedkey", self.shared_key.hex()),
        ];
        named.extend(METHODS.map(|method| ("X-Docker-Expose-Session-Grpc-Method", method)));
        named
    }

    /// Serves BuildKit inside of its own control API, where no Docker Engine has a connection for sessions.
    pub(in crate::buildkit) async fn serve_inside(self, control: Control) -> Result<Session, Status> {
        let tunnel = tunnel::open(control, &self.introduction()).await?;
        Ok(self.serve(tunnel))
    }

    /// Serves BuildKit on `connection`, where BuildKit is the client.
    pub(crate) fn serve(self, connection: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Session {
        let serving = http2::Builder::new(TokioExecutor::new())
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_header_list_size(MAX_HEADERS)
            .max_concurrent_streams(MAX_STREAMS)
            .serve_connection(TokioIo::new(connection), TowerToHyperService::new(self.routes.prepare()));
        let server = AbortOnDropHandle::new(tokio::spawn(async move {
            // The result has no meaning: a build that lost its session fails by itself.
            let _ = serving.await;
        }));
        Session { id: self.id, observed: self.observed, added: self.added, _server: server }
    }
}

impl Session {
    pub(in crate::buildkit) fn id(&self) -> &str {
        &self.id
    }

    /// The bytes of the context's files that were sent since the last call. Platforms that share a session share its
    /// context, so their sum is the traffic on the wire.
    pub(crate) fn take_sent_bytes(&self) -> u64 {
        self.observed.sent.swap(0, Ordering::Relaxed)
    }

    /// Waits until the engine stops reading the context. Returns the bytes of files that it has read, and keeps their
    /// count.
    pub(in crate::buildkit) async fn stalled(&self) -> u64 {
        self.observed.stalled.cancelled().await;
        self.observed.sent.load(Ordering::Relaxed)
    }

    /// The lines that polyarch added to the user's Dockerfile.
    pub(in crate::buildkit) fn added_lines(&self) -> AddedLines {
        self.added
    }

    /// BuildKit's message, with the line numbers of the Dockerfile on the disk.
    pub(in crate::buildkit) fn in_lines_of_the_file(&self, message: String) -> String {
        dockerfile::in_lines_of_the_file(message, self.added)
    }

    /// The error of the context's reader, as polyarch's value. BuildKit passes on only its text.
    pub(in crate::buildkit) fn context_error(&self) -> Option<Arc<ContextError>> {
        self.observed.context_error.get().cloned()
    }

    /// A socket in the context, which polyarch did not send.
    pub(in crate::buildkit) fn socket(&self) -> Option<&str> {
        self.observed.socket.get().map(String::as_str)
    }

    /// The error of the credentials' source, as polyarch's value.
    pub(in crate::buildkit) fn auth_error(&self) -> Option<Arc<AuthError>> {
        self.observed.auth_error.get().cloned()
    }
}

/// 128 random bits, the form of BuildKit's identifiers. They are unique among the builds of all users on the engine.
pub(in crate::buildkit) fn random_id() -> String {
    random::name()
}

/// The methods that the engine may call (BuildKit, `session.MethodURL`).
const METHODS: [&str; 16] = [
    "/containerd.services.content.v1.Content/Abort",
    "/containerd.services.content.v1.Content/Info",
    "/containerd.services.content.v1.Content/ListStatuses",
    "/containerd.services.content.v1.Content/Read",
    "/containerd.services.content.v1.Content/Status",
    "/containerd.services.content.v1.Content/Update",
    "/containerd.services.content.v1.Content/Write",
    "/grpc.health.v1.Health/Check",
    "/moby.buildkit.secrets.v1.Secrets/GetSecret",
    "/moby.filesync.v1.Auth/Credentials",
    "/moby.filesync.v1.Auth/FetchToken",
    "/moby.filesync.v1.Auth/GetTokenAuthority",
    "/moby.filesync.v1.Auth/VerifyTokenAuthority",
    "/moby.filesync.v1.FileSync/DiffCopy",
    "/moby.sshforward.v1.SSH/CheckAgent",
    "/moby.sshforward.v1.SSH/ForwardAgent",
];

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::Mutex;

    use bollard::health::HealthCheckRequest;
    use bollard::health::health_client::HealthClient;

    use super::*;
    use crate::auth::Anonymous;
    use crate::buildkit::grpc;

    #[tokio::test]
    async fn session_answers_buildkit_on_any_stream() {
        let spec = SessionSpec {
            context: None,
            dockerfile: None,
            stages: AddedStages::new(),
            directories: BTreeMap::new(),
            caches: BTreeSet::new(),
            shared_key: String::new(),
            credentials: Arc::new(Anonymous),
            secrets: BuildSecrets::new(),
            agents: BuildAgents::new(),
        };
        let services = SessionServices::open(spec).unwrap();
        assert_eq!(services.introduction()[0].0, "X-Docker-Expose-Session-Uuid");
        let (ours, theirs) = tokio::io::duplex(1 << 16);
        let _session = services.serve(ours);
        let theirs = Mutex::new(Some(theirs));
        let dial = move || {
            let stream = theirs.lock().unwrap().take();
            async move { stream.ok_or_else(|| io::Error::other("there is only one stream")) }
        };
        let buildkit = grpc::connect("docker", dial).await.unwrap();
        HealthClient::new(buildkit).check(HealthCheckRequest::default()).await.unwrap();
    }
}
