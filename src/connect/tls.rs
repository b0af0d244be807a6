//! TLS to an engine: its certificates, and the reason if there is no connection.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use rustls::crypto::ring;
use rustls::pki_types::ServerName;
use rustls::{AlertDescription, CertificateError, ClientConfig, Error, InvalidMessage};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::OnceCell;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::error::ConnectError;
use super::ping::{Answer, Server, ping};
use super::tcp;
use crate::plan::{EngineTls, TlsHost};
use crate::text::chain;
use crate::tls::{Certificates, Trust, show};

/// An engine that listens with TLS. polyarch never speaks to it without TLS, and repeats no failed handshake.
#[derive(Debug)]
pub(super) struct Tls {
    host: TlsHost,
    server: Server,
    /// The certificates are read once, at the first connection.
    config: OnceCell<Arc<ClientConfig>>,
}

impl Tls {
    pub(super) fn new(host: TlsHost, server: Server) -> Self {
        Self { host, server, config: OnceCell::new() }
    }

    /// The name of the server in requests over HTTP/2. A proxy may choose the server by it.
    pub(super) fn authority(&self) -> String {
        let name = self.host.server_name();
        if name.contains(':') { format!("[{name}]:{}", self.host.port) } else { format!("{name}:{}", self.host.port) }
    }

    /// A new connection.
    pub(super) async fn connect(&self) -> io::Result<TlsConnection> {
        let config = self.config.get_or_try_init(async || config(&self.host.tls, self.server).map(Arc::new)).await?;
        let name = ServerName::try_from(self.host.server_name().to_owned()).map_err(|_| {
            let message = format!("`{}` cannot be the name in a certificate", self.host.server_name());
            invalid(ConnectError::new(message, "name the server in its certificate: `tls: { servername: NAME }`"))
        })?;
        let stream = tcp::connect(&self.host.host, self.host.port).await?;
        let identity = Identity::of(&self.host.tls);
        let stream = TlsConnector::from(config.clone()).connect(name, stream).await;
        Ok(TlsConnection { stream: stream.map_err(|error| identity.reason(error))?, identity })
    }
}

/// A connection with TLS. A failed read reports the reason of the server, which may come after the handshake.
#[derive(Debug)]
pub(super) struct TlsConnection {
    stream: TlsStream<TcpStream>,
    identity: Identity,
}

impl TlsConnection {
    /// Waits until the server answers on this stream. The stream has no other use afterwards.
    pub(super) async fn prove(&mut self, server: Server) -> io::Result<()> {
        match ping(self, server).await? {
            Answer::Proof => Ok(()),
            Answer::Other(_) => Err(invalid(ConnectError::new(
                "the server speaks TLS, and its answer is not that of an engine",
                "check that a Docker Engine listens at this address",
            ))),
        }
    }
}

impl AsyncRead for TlsConnection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = ready!(Pin::new(&mut self.stream).poll_read(context, buffer));
        Poll::Ready(read.map_err(|error| self.identity.reason(error)))
    }
}

impl AsyncWrite for TlsConnection {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// The way in which polyarch identifies itself to a server.
#[derive(Debug, Clone, Copy)]
enum Identity {
    Anonymous,
    Certificate,
}

impl Identity {
    fn of(tls: &EngineTls) -> Self {
        if tls.client.is_some() { Self::Certificate } else { Self::Anonymous }
    }

    /// The reason of a failed connection in one line, if TLS is the reason.
    fn reason(self, error: io::Error) -> io::Error {
        let of_tls = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
        let explained = of_tls.map(|fault| explain(fault, self));
        explained.map_or(error, invalid)
    }
}

fn invalid(error: ConnectError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

/// Reads the certificates.
fn config(tls: &EngineTls, server: Server) -> io::Result<ClientConfig> {
    let mut certificates = Certificates::default();
    let read = tls.ca.as_ref().map_or(Ok(()), |ca| certificates.trust_file(ca));
    let client = tls.client.as_ref();
    let read = read.and_then(|()| client.map_or(Ok(()), |client| certificates.show_file(&client.cert, &client.key)));
    read.map_err(|error| invalid(ConnectError::new(chain(&error), error.hint())))?;
    let made = |certificates: &Certificates| {
        let provider = Arc::new(ring::default_provider());
        let trust = match &tls.ca {
            Some(_) => Trust::only(certificates, provider.clone())?,
            None => Trust::with_system(certificates, provider.clone())?,
        };
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
        let builder = builder.dangerous().with_custom_certificate_verifier(Arc::new(trust));
        Ok::<_, Error>(show(builder, certificates))
    };
    let mut config = made(&certificates).map_err(|error| {
        let hint = "name the authority of the engine: `tls: { ca: FILE }`, or ca.pem in DOCKER_CERT_PATH";
        invalid(ConnectError::new(format!("polyarch cannot use TLS: {error}"), hint))
    })?;
    // gRPC servers want the name of their protocol (RFC 7301). The REST API of Docker Engine needs none.
    config.alpn_protocols = if server == Server::BuildKit { vec![b"h2".to_vec()] } else { Vec::new() };
    Ok(config)
}

/// The fault of a handshake, with the next step.
fn explain(fault: &Error, identity: Identity) -> ConnectError {
    match fault {
        Error::InvalidCertificate(fault) => of_certificate(fault),
        Error::InvalidMessage(InvalidMessage::InvalidContentType) => ConnectError::new(
            "the server answered without TLS",
            "make the engine listen with TLS (`dockerd --tlsverify`), or check the port: Docker's port with TLS is 2376",
        ),
        Error::AlertReceived(alert) if is_of_client(*alert) && matches!(identity, Identity::Certificate) => {
            ConnectError::new(
                format!("the engine refused the client certificate (TLS alert {alert:?})"),
                "name a certificate that an authority of the engine signed: `tls: { cert, key }`, or cert.pem in \
             DOCKER_CERT_PATH",
            )
        }
        Error::AlertReceived(alert) if is_of_client(*alert) => ConnectError::new(
            format!("the engine demands a client certificate (TLS alert {alert:?})"),
            "name one with its key: `tls: { cert: FILE, key: FILE }`, or cert.pem and key.pem in DOCKER_CERT_PATH",
        ),
        other => ConnectError::new(
            format!("the TLS handshake failed: {other}"),
            "check that the engine speaks TLS 1.2 or 1.3 at this address",
        ),
    }
}

fn of_certificate(fault: &CertificateError) -> ConnectError {
    const CLOCK: &str = "renew the certificate of the engine, and check the clock of this machine";
    match fault {
        // A wrong authority may have the same name as the right one. Then only the signature does not match.
        CertificateError::UnknownIssuer | CertificateError::BadSignature => ConnectError::new(
            "no authority that polyarch trusts for this engine signed the engine's certificate",
            "name the authority of the engine: `tls: { ca: FILE }`, or ca.pem in DOCKER_CERT_PATH",
        ),
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            ConnectError::new("the certificate of the engine expired", CLOCK)
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            ConnectError::new("the certificate of the engine is not valid yet", CLOCK)
        }
        CertificateError::NotValidForName => ConnectError::new(
            "the certificate of the engine is for another name",
            "set the name that it has: `tls: { servername: NAME }`",
        ),
        CertificateError::NotValidForNameContext { expected, presented } => {
            let expected = expected.to_str();
            let names: Vec<_> = presented.iter().map(|name| name_of(name)).collect();
            let names = names.join(", ");
            ConnectError::new(
                format!("the certificate of the engine is for {names}, and not for {expected}"),
                "use one of its names in the address, or set the name: `tls: { servername: NAME }`",
            )
        }
        other => ConnectError::new(
            format!("the certificate of the engine is not valid: {other}"),
            "replace the certificate of the engine",
        ),
    }
}

/// The name in webpki's text for a name of a certificate, such as `DnsName("builder")` or `IpAddress(10.0.0.7)`.
fn name_of(text: &str) -> &str {
    let inner = text.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')'));
    inner.unwrap_or(text).trim_matches('"')
}

/// Whether an alert is about the client certificate, or about a missing one (RFC 8446, 6.2).
fn is_of_client(alert: AlertDescription) -> bool {
    matches!(
        alert,
        AlertDescription::CertificateRequired
            | AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA
            | AlertDescription::AccessDenied
            | AlertDescription::DecryptError
    )
}
