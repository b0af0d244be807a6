//! A server in front of an engine's socket: with TLS, or plain TCP. It copies the bytes of each connection.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tokio::io::{AsyncRead, AsyncWrite, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::rustls::server::{NoClientAuth, WebPkiClientVerifier, danger::ClientCertVerifier};
use tokio_rustls::rustls::{RootCertStore, ServerConfig};

/// An authority that signs certificates.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key.
pub(crate) struct Signed {
    certificate: rcgen::Certificate,
    key: KeyPair,
}

impl Authority {
    /// Each authority has the same name, so that only the key of the right one fits.
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub(crate) fn sign(&self, name: &str) -> Signed {
        self.sign_with(name, |_| {})
    }

    pub(crate) fn sign_with(&self, name: &str, change: impl Fn(&mut CertificateParams)) -> Signed {
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        Signed { certificate: params.signed_by(&key, &self.0).unwrap(), key }
    }

    /// Writes `ca.pem`, and `cert.pem` and `key.pem` of a client, as docker names them.
    pub(crate) fn write_for_client(&self, directory: &Path) {
        std::fs::create_dir_all(directory).unwrap();
        std::fs::write(directory.join("ca.pem"), self.0.pem()).unwrap();
        self.sign("client").write(directory);
    }
}

impl Signed {
    /// Writes `cert.pem` and `key.pem`.
    pub(crate) fn write(&self, directory: &Path) {
        std::fs::write(directory.join("cert.pem"), self.certificate.pem()).unwrap();
        std::fs::write(directory.join("key.pem"), self.key.serialize_pem()).unwrap();
    }
}

/// The way in which a front listens.
pub(crate) enum Listen {
    /// Plain TCP.
    Plain,
    /// TLS.
    Tls(TlsAcceptor),
}

impl Listen {
    /// TLS that shows a certificate, and demands one that the authority signed.
    pub(crate) fn tls(signed: &Signed, wants: Option<&Authority>) -> Self {
        Self::Tls(acceptor(signed, wants))
    }
}

/// A server in front of a socket. It ends with the value.
#[derive(Debug)]
pub(crate) struct Front {
    port: u16,
    task: JoinHandle<()>,
    first_bytes: Arc<Mutex<Vec<u8>>>,
}

impl Front {
    /// `host` is `unix://SOCKET`.
    pub(crate) async fn start(host: &str, listen: Listen) -> Self {
        Self::on(TcpListener::bind("127.0.0.1:0").await.unwrap(), host, listen)
    }

    /// The same, on a listener of the test.
    pub(crate) fn on(listener: TcpListener, host: &str, listen: Listen) -> Self {
        let socket = PathBuf::from(host.strip_prefix("unix://").unwrap());
        let port = listener.local_addr().unwrap().port();
        let first_bytes = Arc::new(Mutex::new(Vec::new()));
        let acceptor = match listen {
            Listen::Plain => None,
            Listen::Tls(acceptor) => Some(acceptor),
        };
        let task = tokio::spawn(serve(listener, acceptor, socket, first_bytes.clone()));
        Self { port, task, first_bytes }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// The first byte of each connection. A handshake of TLS begins with [`HANDSHAKE`].
    pub(crate) fn first_bytes(&self) -> Vec<u8> {
        self.first_bytes.lock().unwrap().clone()
    }
}

/// The first byte of a record with a handshake (RFC 8446, 5.1).
pub(crate) const HANDSHAKE: u8 = 22;

impl Drop for Front {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn acceptor(signed: &Signed, wants: Option<&Authority>) -> TlsAcceptor {
    let provider = Arc::new(ring::default_provider());
    let verifier: Arc<dyn ClientCertVerifier> = wants.map_or_else(
        || Arc::new(NoClientAuth) as _,
        |wanted| {
            let mut roots = RootCertStore::empty();
            roots.add(wanted.0.der().clone()).unwrap();
            WebPkiClientVerifier::builder_with_provider(roots.into(), provider.clone()).build().unwrap()
        },
    );
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(signed.key.serialize_der()));
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_client_cert_verifier(verifier);
    let config = config.with_single_cert(vec![signed.certificate.der().clone()], key).unwrap();
    Arc::new(config).into()
}

async fn serve(
    listener: TcpListener,
    acceptor: Option<TlsAcceptor>,
    socket: PathBuf,
    first_bytes: Arc<Mutex<Vec<u8>>>,
) {
    // The connections end with this task.
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let (acceptor, socket, first_bytes) = (acceptor.clone(), socket.clone(), first_bytes.clone());
        connections.spawn(async move {
            let mut first = [0];
            if stream.peek(&mut first).await.is_ok_and(|read| read == 1) {
                first_bytes.lock().unwrap().push(first[0]);
            }
            match acceptor {
                Some(acceptor) => {
                    if let Ok(stream) = acceptor.accept(stream).await {
                        splice(stream, &socket).await;
                    }
                }
                None => splice::<TcpStream>(stream, &socket).await,
            }
        });
    }
}

async fn splice<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, socket: &Path) {
    if let Ok(mut engine) = UnixStream::connect(socket).await {
        let _ = copy_bidirectional(&mut stream, &mut engine).await;
    }
}
