//! A BuildKit without a Docker Engine, for tests: no package has buildkitd. It is the BuildKit of an engine behind a proxy
//! that makes the upgrade `POST /grpc` on every connection, so that its clients see plain gRPC only.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, UnixListener, UnixStream};
use tokio_util::task::AbortOnDropHandle;

use super::engines::Engine;

/// It ends with the value.
#[derive(Debug)]
pub(crate) struct BareBuildKit {
    folder: TempDir,
    tcp: u16,
    _servers: [AbortOnDropHandle<()>; 2],
}

impl BareBuildKit {
    /// The BuildKit of `engine`, on a socket and on a port.
    pub(crate) async fn start(engine: &Engine) -> Self {
        let folder = TempDir::with_prefix("polyarch-test-").unwrap();
        let listener = UnixListener::bind(folder.path().join("buildkitd.sock")).unwrap();
        let port = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let tcp = port.local_addr().unwrap().port();
        let behind = PathBuf::from(engine.host.strip_prefix("unix://").unwrap());
        let other = behind.clone();
        let servers = [
            tokio::spawn(async move {
                while let Ok((client, _)) = listener.accept().await {
                    tokio::spawn(serve(client, behind.clone()));
                }
            }),
            tokio::spawn(async move {
                while let Ok((client, _)) = port.accept().await {
                    tokio::spawn(serve(client, other.clone()));
                }
            }),
        ];
        Self { folder, tcp, _servers: servers.map(AbortOnDropHandle::new) }
    }

    pub(crate) fn unix(&self) -> String {
        format!("unix://{}", self.socket())
    }

    pub(crate) fn tcp(&self) -> String {
        format!("tcp://127.0.0.1:{}", self.tcp)
    }

    fn socket(&self) -> String {
        self.folder.path().join("buildkitd.sock").to_str().unwrap().to_owned()
    }

    /// A `PATH` in which `program` is a script. `$*` is its arguments, and `dial` connects its input and output to this
    /// BuildKit.
    pub(crate) fn path_with(&self, program: &str, script: &str) -> String {
        let folder = self.folder.path().join(format!("{program}-bin"));
        fs::create_dir_all(&folder).unwrap();
        let docker = which("docker");
        let dial = format!("dial() {{ exec {docker} --host unix://{} system dial-stdio; }}", self.socket());
        write_script(&folder.join(program), &format!("#!/bin/sh\n{dial}\n{script}\n"));
        format!("{}:{}", folder.display(), std::env::var("PATH").unwrap())
    }

    /// A file for a script, beside the socket.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

/// The first program of this name in `PATH`.
fn which(name: &str) -> String {
    let path = std::env::var("PATH").unwrap();
    let found = path.split(':').map(|folder| Path::new(folder).join(name)).find(|path| path.is_file());
    found.unwrap_or_else(|| panic!("no {name} in {path}")).to_str().unwrap().to_owned()
}

fn write_script(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// Connects `client` to the BuildKit of the engine at `socket`.
pub(crate) async fn serve(mut client: impl AsyncRead + AsyncWrite + Unpin, socket: PathBuf) {
    let Ok(mut engine) = UnixStream::connect(socket).await else { return };
    let ask = b"POST /grpc HTTP/1.1\r\nHost: docker\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n";
    engine.write_all(ask).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let Ok(byte) = engine.read_u8().await else { return };
        head.push(byte);
    }
    assert!(head.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&head));
    let _ = copy_bidirectional(&mut client, &mut engine).await;
}
