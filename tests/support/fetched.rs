//! A web server on loopback that engines fetch contexts from: git repositories, as git itself serves them, and files.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;
use tokio::process::Command;
use tokio_util::task::AbortOnDropHandle;

use super::parts;

/// A server of a folder; it ends when it is dropped.
#[derive(Debug)]
pub(crate) struct Fetched {
    address: SocketAddr,
    _server: AbortOnDropHandle<()>,
}

/// What is served, and to whom.
#[derive(Debug)]
struct Served {
    folder: PathBuf,
    /// Where there is one, only those who know it are let in, as GitHub does.
    token: Option<String>,
}

impl Fetched {
    /// Serves `folder`: what ends in `.git` as a repository, the rest as files. With a token only to who has it.
    pub(crate) async fn serve(folder: &Path, token: Option<&str>) -> Self {
        let contents = Arc::new(Served { folder: folder.to_owned(), token: token.map(str::to_owned) });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().fallback(answer).with_state(contents);
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { address, _server: AbortOnDropHandle::new(server) }
    }

    /// The URL of a path of the folder.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}/{path}", self.address)
    }
}

/// Makes a bare repository `REPO` of the files of `folder`, on a branch `main`.
pub(crate) async fn repository(folder: &Path, bare: &Path) {
    let folder = folder.to_str().unwrap();
    let author = ["-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "safe.directory=*"];
    for args in [
        &["init", "--quiet", "--initial-branch", "main"][..],
        &["add", "--all"],
        &["commit", "--quiet", "--message", "all"],
        &["clone", "--quiet", "--bare", ".", bare.to_str().unwrap()],
    ] {
        let mut git = Command::new("git");
        git.arg("-C").arg(folder).args(author).args(args).env("GIT_CONFIG_NOSYSTEM", "1");
        parts::printed(&parts::output(git).await);
    }
}

async fn answer(State(served): State<Arc<Served>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let wanted =
        served.token.as_ref().map(|token| format!("basic {}", STANDARD.encode(format!("x-access-token:{token}"))));
    let given = parts.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    if wanted.is_some_and(|wanted| given != Some(&wanted)) {
        return (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, "Basic realm=\"git\"")]).into_response();
    }
    let path = parts.uri.path();
    if !path.contains(".git/") {
        let file = std::fs::read(served.folder.join(path.trim_start_matches('/')));
        return file.map_or_else(|_| StatusCode::NOT_FOUND.into_response(), |bytes| Body::from(bytes).into_response());
    }
    let body = to_bytes(body, 64 << 20).await.unwrap();
    let text =
        |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    let mut git = Command::new("git");
    git.arg("http-backend")
        .env("GIT_PROJECT_ROOT", &served.folder)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("REQUEST_METHOD", parts.method.as_str())
        .env("PATH_INFO", path)
        .env("QUERY_STRING", parts.uri.query().unwrap_or_default())
        .env("CONTENT_TYPE", text("content-type"))
        .env("CONTENT_LENGTH", body.len().to_string())
        .env("HTTP_CONTENT_ENCODING", text("content-encoding"))
        .env("GIT_PROTOCOL", text("git-protocol"));
    backend(git, &body).await
}

/// Runs a CGI program (RFC 3875).
async fn backend(mut program: Command, body: &Bytes) -> Response {
    let mut child = program.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    let ((), output) = tokio::join!(
        async move {
            // A program that has read enough is gone.
            let _ = input.write_all(body).await;
        },
        child.wait_with_output()
    );
    let output = output.unwrap().stdout;
    let end = output.windows(4).position(|bytes| bytes == b"\r\n\r\n").expect("git http-backend answered nothing");
    let mut response = Response::builder();
    for line in String::from_utf8_lossy(&output[..end]).lines() {
        let (name, value) = line.split_once(": ").unwrap();
        response = match name {
            "Status" => response.status(value[..3].parse::<u16>().unwrap()),
            _ => response.header(name, value),
        };
    }
    response.body(Body::from(output[end + 4..].to_vec())).unwrap()
}
