//! A session: opened, served and ended.

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
use hyper_util::rt::TokioExecutor;
use hyper_util::service::TowerToHyperService;
use tokio_util::task::AbortOnDropHandle;
use tonic::service::Routes;

use super::auth::Credentials;
use super::content::Content;
use super::dockerfile;
use super::filesync::Files;
use super::health::Alive;
use super::outcome::Outcome;
use super::secrets::Given;
use super::ssh::{BuildAgents, Forwarded};
use crate::auth::{AuthError, BuildSecrets, CredentialSource};
use crate::context::{AddedLines, AddedStages, ContextError, GivenDockerfile};
use crate::engine::client::Engine;
use crate::engine::dial;
use crate::engine::error::{EngineError, EngineErrorKind};
use crate::engine::rest::{ANSWER, within};
use crate::oci::Digest;

/// What a session serves.
#[derive(Clone)]
pub struct SessionSpec {
    /// The build context, where the engine does not fetch it itself.
    pub context: Option<PathBuf>,
    /// The Dockerfile, where it is not in a context that the engine fetches: of its directory nothing but it and its
    /// `.dockerignore` are served.
    pub dockerfile: Option<GivenDockerfile>,
    /// Stages that the Dockerfile gets before its own: [`EngineFacts::stages`](crate::engine::EngineFacts::stages).
    pub stages: AddedStages,
    /// Other directories, by the names under which the engine asks for them: [`directories`](crate::engine::directories).
    pub directories: BTreeMap<String, PathBuf>,
    /// The directories that its builds import caches from or export them to.
    pub caches: BTreeSet<PathBuf>,
    /// Told apart from other contexts on the engine by this: where it is the same as in an earlier run, the engine
    /// asks only for what changed.
    pub shared_key: String,
    /// Who we are at registries.
    pub credentials: Arc<dyn CredentialSource>,
    /// What its builds may mount. The engine asks by id only: builds whose secrets differ must not share a session.
    pub secrets: BuildSecrets,
    /// The ssh agents that its builds may use. They are asked for by id only, too.
    pub agents: BuildAgents,
}

/// Largest list of headers that an engine may send, in bytes: grpc-go's own limit. BuildKit sends each line of an
/// ignore file, and each path that a Dockerfile copies, as a header. BuildKit does not call at all where the headers
/// would be more.
const MAX_HEADERS: u32 = 16 << 20;
/// Most requests that an engine may make at once; more of them wait (RFC 9113, section 5.1.2). A build makes a few a
/// platform, and one for each connection to an ssh agent.
const MAX_STREAMS: u32 = 32;

/// A session that an engine holds open. Dropping it ends it.
#[derive(Debug)]
pub struct Session {
    id: String,
    outcome: Outcome,
    /// Lines of the Dockerfile that are not the user's.
    added: AddedLines,
    _server: AbortOnDropHandle<()>,
}

impl Session {
    /// Opens a session on `engine`.
    ///
    /// # Errors
    /// The context or a Dockerfile cannot be read, or the engine refuses.
    pub async fn open(engine: &Engine, spec: SessionSpec) -> Result<Self, EngineError> {
        let failed = |kind| engine.error("open a build session".into(), kind);
        let outcome = Outcome::default();
        let dockerfile = spec.dockerfile.as_ref().map(|dockerfile| dockerfile::open(dockerfile, &spec.stages));
        let opened = dockerfile.transpose().and_then(|opened| {
            let (dockerfile, added) = opened.unzip();
            let files = Files::open(spec.context.as_deref(), dockerfile, &spec.directories, outcome.clone())?;
            Ok((files, added.unwrap_or_default()))
        });
        let (files, added) = opened.map_err(|error| failed(EngineErrorKind::Context(Arc::new(error))))?;
        let credentials = Credentials { source: spec.credentials, error: outcome.auth_error.clone() };
        let id = random_id();
        let shared_key = Digest::of(spec.shared_key.as_bytes());
        let mut headers = vec![
            ("X-Docker-Expose-Session-Uuid", id.as_str()),
            ("X-Docker-Expose-Session-Name", "polyarch"),
            ("X-Docker-Expose-Session-Sharedkey", shared_key.hex()),
        ];
        headers.extend(METHODS.map(|method| ("X-Docker-Expose-Session-Grpc-Method", method)));
        let upgrading = async { engine.dialer.upgrade("/session", &headers).await.map_err(EngineErrorKind::Connect) };
        let connection = within(ANSWER, upgrading).await.map_err(failed)?;
        let services = Routes::new(HealthServer::new(Alive))
            .add_service(AuthServer::new(credentials))
            .add_service(FileSyncServer::new(files))
            .add_service(Content::of(&spec.caches))
            .add_service(SecretsServer::new(Given(spec.secrets)))
            .add_service(SshServer::new(Forwarded::new(spec.agents)));
        let serving = http2::Builder::new(TokioExecutor::new())
            .initial_stream_window_size(dial::STREAM_WINDOW)
            .initial_connection_window_size(dial::CONNECTION_WINDOW)
            .max_header_list_size(MAX_HEADERS)
            .max_concurrent_streams(MAX_STREAMS)
            .serve_connection(connection, TowerToHyperService::new(services.prepare()));
        let server = AbortOnDropHandle::new(tokio::spawn(async move {
            // How it ends says nothing: a build that lost its session fails by itself.
            let _ = serving.await;
        }));
        Ok(Self { id, outcome, added, _server: server })
    }

    pub(in crate::engine) fn id(&self) -> &str {
        &self.id
    }

    /// Bytes of the context's files that were sent since this was last asked. Platforms that share a session share its context:
    /// the sum over them is what went over the wire.
    pub(in crate::engine) fn take_sent_bytes(&self) -> u64 {
        self.outcome.sent.swap(0, Ordering::Relaxed)
    }

    /// Waits until the engine takes nothing of the context any more. The bytes of files that it took stay counted.
    pub(in crate::engine) async fn stalled(&self) -> u64 {
        self.outcome.stalled.cancelled().await;
        self.outcome.sent.load(Ordering::Relaxed)
    }

    /// The lines of the Dockerfile that are not the user's.
    pub(in crate::engine) fn added_lines(&self) -> AddedLines {
        self.added
    }

    /// BuildKit's message, as if it had read the Dockerfile that is on the disk.
    pub(in crate::engine) fn in_lines_of_the_file(&self, message: String) -> String {
        dockerfile::in_lines_of_the_file(message, self.added)
    }

    /// What the context's reader said, in our words: BuildKit passes on only a text.
    pub(in crate::engine) fn context_error(&self) -> Option<Arc<ContextError>> {
        self.outcome.context_error.get().cloned()
    }

    /// A socket in the context, which the engine was not told of.
    pub(in crate::engine) fn socket(&self) -> Option<&str> {
        self.outcome.socket.get().map(String::as_str)
    }

    /// What the credentials' source said, in our words.
    pub(in crate::engine) fn auth_error(&self) -> Option<Arc<AuthError>> {
        self.outcome.auth_error.get().cloned()
    }
}

/// 128 random bits, as BuildKit's identifiers: unique among everybody's builds on the engine.
pub(in crate::engine) fn random_id() -> String {
    use std::hash::{BuildHasher, RandomState};
    // The standard library's only source of randomness: each RandomState has keys of its own.
    let half = || RandomState::new().hash_one(std::process::id());
    format!("{:016x}{:016x}", half(), half())
}

/// What the engine may call (BuildKit, `session.MethodURL`).
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
